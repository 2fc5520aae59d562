//! The base address of a service, as it is configured: https anywhere, http on this machine only.
//!
//! A bearer token sent over http to another machine is a token given away, so the check is here,
//! before the first request.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use url::{Host, Url};

/// A base address that may be sent our requests: `https://…`, or `http://` and a loopback host;
/// without user, query or fragment. Its path has no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    authority: String,
    loopback: bool,
}

impl Endpoint {
    /// `host` or `host:port`, lower case, as [`crate::Outbound::new`] wants its trusted ones.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it is on this machine: `localhost`, `127.0.0.0/8` or `[::1]`.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The base address as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// The address of `path_and_query` (which begins with a slash) below this base.
    ///
    /// # Errors
    /// When the two together are not an address.
    pub fn at(&self, path_and_query: &str) -> Result<Uri, String> {
        if !path_and_query.starts_with('/') {
            return Err(format!("what is below `{}` begins with a slash", self.base));
        }
        let text = format!("{}{path_and_query}", self.base);
        text.parse().map_err(|error| format!("no address below `{}`: {error}", self.base))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// The error never repeats a text that could hold a secret (a user, a query, a fragment).
    fn from_str(text: &str) -> Result<Endpoint, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("an endpoint is not an address ({error}); write it as `https://host`")
        })?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();

        let secret = !url.username().is_empty() || url.password().is_some();
        if secret || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "the endpoint on `{host}` has a user, a `?` or a `#`; access is granted to the \
                 managed identity, so write the address alone"
            ));
        }

        let loopback = is_loopback(&host);
        match url.scheme() {
            "https" if !host.is_empty() => {}
            "http" if loopback => {}
            "http" => {
                return Err(format!(
                    "`http://{host}` would show our tokens to the network; use https, or a \
                     loopback address"
                ));
            }
            other => return Err(format!("`{other}:` is not a scheme we speak; use https")),
        }

        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Endpoint { base, authority, loopback })
    }
}

/// Whether `host`, as an address names it, is this machine: `localhost`, `127.0.0.0/8` or `[::1]`.
pub(crate) fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Ok(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Err(_) => false,
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for text in ["http://127.0.0.1:8080", "http://localhost:1/bus/", "http://[::1]:9"] {
            assert!(endpoint(text).is_loopback(), "{text}");
        }

        for text in ["http://10.0.0.1", "http://images.servicebus.windows.net", "http://127.evil"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains("use https"), "{text}: {error}");
        }
        assert!(!endpoint("https://images.servicebus.windows.net/").is_loopback());
    }

    #[test]
    fn an_endpoint_with_a_secret_is_refused_without_showing_it() {
        for text in ["https://a.net/?sig=hush", "https://me:hush@a.net", "https://a.net/#hush"] {
            let error = text.parse::<Endpoint>().unwrap_err();

            assert!(error.contains("a.net"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_is_joined_to_a_base_never_changes_its_host() {
        let base = endpoint("https://a.net");

        for text in ["@evil.example/x", ".evil.example/x", ":444/x", "", "x"] {
            assert!(base.at(text).is_err(), "{text}");
        }
        for text in ["//evil.example/x", "/@evil.example/x"] {
            assert_eq!(base.at(text).unwrap().host(), Some("a.net"), "{text}");
        }
    }

    #[test]
    fn paths_are_joined_below_the_base() {
        let base = endpoint("http://127.0.0.1:8080/bus/");

        assert_eq!(base.as_str(), "http://127.0.0.1:8080/bus");
        assert_eq!(base.authority(), "127.0.0.1:8080");
        assert_eq!(base.at("/q/messages?a=1").unwrap(), "http://127.0.0.1:8080/bus/q/messages?a=1");
        assert_eq!(endpoint("https://A.NET:443").authority(), "a.net");
    }
}
