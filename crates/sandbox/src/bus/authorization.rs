//! Who may use the bus: any bearer token, or a shared access signature made with the desk's key, so
//! that Microsoft's clients run unmodified.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;

/// The name of the one shared access policy.
pub const KEY_NAME: &str = "dev";
/// Its key. It guards nothing: the desk listens on loopback only.
pub const KEY: &str = "local-dev-key";

/// Checks the `Authorization` header.
///
/// The expiry of a signature is not compared with the desk's time, since its maker reads another
/// clock.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()) else {
        return Err("MissingToken: The authorization header was not found.");
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("Bearer") {
        return if token.trim().is_empty() { Err("InvalidToken: It is empty.") } else { Ok(()) };
    }
    if !scheme.eq_ignore_ascii_case("SharedAccessSignature") {
        return Err("MalformedToken: Use Bearer or SharedAccessSignature.");
    }
    signature(token.trim())
}

fn signature(token: &str) -> Result<(), &'static str> {
    let field = |name: &str| {
        token.split('&').find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let (Some(resource), Some(signature), Some(expiry), Some(key_name)) =
        (field("sr"), field("sig"), field("se"), field("skn"))
    else {
        return Err("MalformedToken: A signature needs sr, sig, se and skn.");
    };
    if key_name != KEY_NAME {
        return Err("InvalidSignature: There is no such shared access policy.");
    }
    if expiry.parse::<u64>().is_err() {
        return Err("MalformedToken: se is not a number of seconds.");
    }

    let given = percent_decode_str(signature).decode_utf8_lossy();
    let given = STANDARD.decode(given.as_bytes()).unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()) else {
        return Err("InvalidSignature: The key cannot be used.");
    };
    mac.update(format!("{resource}\n{expiry}").as_bytes());
    mac.verify_slice(&given).map_err(|_| "InvalidSignature: The token has an invalid signature.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's hmac and base64 from the key `local-dev-key`.
    const SIGNED: &str = "SharedAccessSignature sr=http%3a%2f%2f127.0.0.1%2fbuilds\
        &sig=ya3cUeJmOn54g6Ac%2FA%2Bhdd0xablf6pjSsfBKcXERUms%3D&se=1790000000&skn=dev";

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_bearer_token_is_enough() {
        assert_eq!(check(&with("Bearer x")), Ok(()));
        assert!(check(&with("Bearer ")).is_err());
        assert!(check(&HeaderMap::new()).is_err());
        assert!(check(&with("Basic eDp4")).is_err());
    }

    #[test]
    fn a_signature_by_the_right_key_is_enough() {
        assert_eq!(check(&with(SIGNED)), Ok(()));
    }

    #[test]
    fn a_signature_for_another_expiry_or_policy_is_refused() {
        assert!(check(&with(&SIGNED.replace("1790000000", "1790000001"))).is_err());
        assert!(check(&with(&SIGNED.replace("skn=dev", "skn=prod"))).is_err());
        assert!(check(&with(&SIGNED.replace("&se=1790000000", ""))).is_err());
    }
}
