//! The certificate of a desk's https address, and the throw-away authority that signed it.
//!
//! Both are made anew each time a desk starts, and neither key is ever written: the authority's is
//! forgotten once it has signed, the server's goes with the process. What a client is told to trust
//! can therefore vouch for this desk and for nothing else, even when it is trusted for too long.

use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tls_listener::rustls::rustls::ServerConfig;
use tls_listener::rustls::rustls::crypto::aws_lc_rs;
use tls_listener::rustls::rustls::pki_types::PrivateKeyDer;

/// The names under which a desk is reached.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// How long it is good for: the longest that clients take from an authority of their own, 398 days
/// (Apple), less one for the day before.
const LIFE: TimeDelta = TimeDelta::days(397);

/// A certificate with its key, and the authority's certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    authority: String,
    server: Arc<ServerConfig>,
}

/// A certificate could not be made; the text says what failed, and holds no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate can be made here: {0}")]
pub struct NoCertificate(String);

impl Certificate {
    /// A certificate for `127.0.0.1` and `localhost`, good from the day before `now`, which is the
    /// machine's time: that is what clients go by.
    ///
    /// # Errors
    /// When there is no randomness, or the cryptography refuses.
    pub fn issue(now: DateTime<Utc>) -> Result<Certificate, NoCertificate> {
        let failed = |error: rcgen::Error| NoCertificate(error.to_string());

        let mut authority = params(&[], "Goldsmith desk, throw-away authority", now)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate().map_err(failed)?;
        let authority_pem = authority.self_signed(&authority_key).map_err(failed)?.pem();

        let mut leaf = params(&NAMES, "Goldsmith desk", now)?;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = Issuer::new(authority, authority_key);
        let leaf = leaf.signed_by(&key, &issuer).map_err(failed)?;

        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(vec![leaf.into()], key))
            .map_err(|error| NoCertificate(error.to_string()))?;
        Ok(Certificate { authority: authority_pem, server: Arc::new(server) })
    }

    /// The authority's certificate, as the PEM text that clients are told to trust.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// How the server shows itself.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

fn params(
    names: &[&str],
    title: &str,
    now: DateTime<Utc>,
) -> Result<CertificateParams, NoCertificate> {
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let mut params =
        CertificateParams::new(names).map_err(|error| NoCertificate(error.to_string()))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, title);
    let day = |at: DateTime<Utc>| {
        // Months and days fit: there are at most 31 of either.
        rcgen::date_time_ymd(at.year(), at.month() as u8, at.day() as u8)
    };
    params.not_before = day(now - TimeDelta::days(1));
    params.not_after = day(now + LIFE);
    Ok(params)
}
