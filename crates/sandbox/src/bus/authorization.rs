//! Who may use the bus: any bearer token, or a shared access signature made with the desk's key, so
//! that Microsoft's clients run unmodified.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use seam::Clock;
use sha2::Sha256;

/// The one shared access policy of a namespace. It guards nothing: the desk listens on loopback
/// only.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    name: String,
    key: String,
}

impl Default for SharedKey {
    fn default() -> SharedKey {
        SharedKey { name: "dev".to_owned(), key: "local-dev-key".to_owned() }
    }
}

/// As it is written on a command line: `NAME=KEY`.
impl FromStr for SharedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<SharedKey, String> {
        let wrong = || "a shared access key is written `NAME=KEY`".to_owned();
        let (name, key) = text.split_once('=').ok_or_else(wrong)?;
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
        if name.is_empty() || key.is_empty() || !name.chars().all(plain) {
            return Err(wrong());
        }
        Ok(SharedKey { name: name.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({})", self.name)
    }
}

/// Stands before the REST interface.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    key: SharedKey,
    /// What the expiry of a signature is compared with: the clock of those who make signatures.
    clock: Arc<dyn Clock>,
}

impl Guard {
    pub(super) fn new(key: SharedKey, clock: Arc<dyn Clock>) -> Guard {
        Guard { key, clock }
    }

    /// Checks the `Authorization` header.
    ///
    /// # Errors
    /// Why the request is refused with 401.
    pub(super) fn check(&self, request: &Parts) -> Result<(), &'static str> {
        let header = request.headers.get(AUTHORIZATION);
        let Some(value) = header.and_then(|it| it.to_str().ok()) else {
            return Err("MissingToken: The authorization header was not found.");
        };
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("Bearer") {
            let empty = token.trim().is_empty();
            return if empty { Err("InvalidToken: It is empty.") } else { Ok(()) };
        }
        if !scheme.eq_ignore_ascii_case("SharedAccessSignature") {
            return Err("MalformedToken: Use Bearer or SharedAccessSignature.");
        }
        self.signature(token.trim(), request)
    }

    fn signature(&self, token: &str, request: &Parts) -> Result<(), &'static str> {
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
        if key_name != self.key.name {
            return Err("InvalidSignature: There is no such shared access policy.");
        }
        let Ok(expiry_secs) = expiry.parse::<i64>() else {
            return Err("MalformedToken: se is not a number of seconds.");
        };

        let given = percent_decode_str(signature).decode_utf8_lossy();
        let given = STANDARD.decode(given.as_bytes()).unwrap_or_default();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.key.as_bytes()) else {
            return Err("InvalidSignature: The key cannot be used.");
        };
        mac.update(format!("{resource}\n{expiry}").as_bytes());
        if mac.verify_slice(&given).is_err() {
            return Err("InvalidSignature: The token has an invalid signature.");
        }
        if expiry_secs <= self.clock.now().timestamp() {
            return Err("ExpiredToken: The signature has expired.");
        }
        if !covers(resource, request) {
            return Err("InvalidAudience: The signature is for another resource.");
        }
        Ok(())
    }
}

/// Whether what was signed for is what is asked for, or above it: the same host, and a beginning of
/// its path. Scheme and port are not compared, and nothing regards case.
fn covers(resource: &str, request: &Parts) -> bool {
    let lower = |text: &str| percent_decode_str(text).decode_utf8_lossy().to_ascii_lowercase();
    let resource = lower(resource);
    let resource = resource.split_once("://").map_or(resource.as_str(), |(_, rest)| rest);
    let resource = resource.split('?').next().unwrap_or_default();
    let (authority, path) = resource.split_once('/').unwrap_or((resource, ""));

    let header = request.headers.get(HOST).and_then(|it| it.to_str().ok());
    let asked = header.or(request.uri.authority().map(|it| it.as_str())).unwrap_or_default();
    if host(authority) != host(&asked.to_ascii_lowercase()) {
        return false;
    }

    let asked = lower(request.uri.path());
    let mut asked = asked.split('/').filter(|it| !it.is_empty());
    path.split('/').filter(|it| !it.is_empty()).all(|segment| asked.next() == Some(segment))
}

/// An authority without its port. Microsoft's Python client writes two of them.
fn host(authority: &str) -> &str {
    match authority.split_once(']') {
        Some((address, _)) => address.trim_start_matches('['),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use chrono::DateTime;
    use seam::ToldClock;

    use super::*;

    /// Made with Python's hmac and base64 from the key `local-dev-key`.
    const SIGNED: &str = "SharedAccessSignature sr=http%3a%2f%2f127.0.0.1%2fbuilds\
        &sig=ya3cUeJmOn54g6Ac%2FA%2Bhdd0xablf6pjSsfBKcXERUms%3D&se=1790000000&skn=dev";

    /// What azure-servicebus 0.21.1 and azure-sb 0.11.2 sent to sign for one message's lock: two
    /// ports, a query, everything in lower case.
    const PYTHONS: &str = "https%3a%2f%2f127.0.0.1%3a18080%3a443%2fbuilds%2fmessages";
    const NODES: &str = "http%3a%2f%2f127.0.0.1%3a18080%2fbuilds%2fmessages%2fhead\
        %3ftimeout%3d5%26api-version%3d2016-07";

    fn asking(path: &str, authorization: Option<&str>) -> Parts {
        let mut request = Request::post(path).header(HOST, "127.0.0.1:18080");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn at(seconds: i64, path: &str, authorization: Option<&str>) -> Result<(), &'static str> {
        let clock = ToldClock(DateTime::from_timestamp(seconds, 0).unwrap());
        let guard = Guard::new(SharedKey::default(), Arc::new(clock));
        guard.check(&asking(path, authorization))
    }

    fn check(authorization: &str) -> Result<(), &'static str> {
        at(1_789_999_999, "/builds/messages", Some(authorization))
    }

    #[test]
    fn a_bearer_token_is_enough() {
        assert_eq!(check("Bearer x"), Ok(()));
        assert!(check("Bearer ").is_err());
        assert!(at(0, "/builds/messages", None).is_err());
        assert!(check("Basic eDp4").is_err());
    }

    #[test]
    fn a_signature_by_the_right_key_is_enough() {
        assert_eq!(check(SIGNED), Ok(()));
    }

    #[test]
    fn a_signature_for_another_expiry_or_policy_is_refused() {
        assert!(check(&SIGNED.replace("1790000000", "1790000001")).is_err());
        assert!(check(&SIGNED.replace("skn=dev", "skn=prod")).is_err());
        assert!(check(&SIGNED.replace("&se=1790000000", "")).is_err());
    }

    #[test]
    fn a_signature_by_another_key_is_refused() {
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(1_789_999_999, 0).unwrap()));
        let guard = Guard::new("dev=another".parse().unwrap(), clock);

        let refused = guard.check(&asking("/builds/messages", Some(SIGNED)));

        assert!(refused.unwrap_err().starts_with("InvalidSignature"));
    }

    #[test]
    fn a_signature_that_has_expired_is_refused() {
        let refused = at(1_790_000_000, "/builds/messages", Some(SIGNED));

        assert!(refused.unwrap_err().starts_with("ExpiredToken"));
    }

    #[test]
    fn a_signature_opens_what_is_below_it_and_nothing_else() {
        for path in ["/builds/messages", "/Builds/Messages/Head", "/builds/$DeadLetterQueue/x"] {
            assert_eq!(at(0, path, Some(SIGNED)), Ok(()), "{path}");
        }
        for path in ["/build/messages", "/builds2/messages", "/dups/messages", "/"] {
            let refused = at(0, path, Some(SIGNED)).unwrap_err();
            assert!(refused.starts_with("InvalidAudience"), "{path}: {refused}");
        }
        let elsewhere = Request::post("/builds/messages").header(HOST, "other.test");
        assert!(!covers("http%3a%2f%2f127.0.0.1%2f", &elsewhere.body(()).unwrap().into_parts().0));
    }

    #[test]
    fn what_microsofts_clients_sign_for_is_understood() {
        let head = asking("/builds/Messages/Head?timeout=5&api-version=2016-07", None);

        assert!(covers(PYTHONS, &head));
        assert!(covers(NODES, &head));
        assert!(!covers(NODES, &asking("/builds/messages", None)));
    }

    #[test]
    fn a_key_is_read_from_a_command_line_and_not_shown() {
        let key: SharedKey = "tester=a+key/of=ours".parse().unwrap();

        assert_eq!((key.name.as_str(), key.key.as_str()), ("tester", "a+key/of=ours"));
        assert_eq!(format!("{key:?}"), "SharedKey(tester)");
        for wrong in ["", "tester", "tester=", "=key", "a b=key"] {
            assert!(wrong.parse::<SharedKey>().unwrap_err().contains("NAME=KEY"), "{wrong}");
        }
    }
}
