//! What of a refused message may be kept. An event of Azure tells who did something, with the claims
//! of their token, and whatever somebody sends may hold a key: neither is anybody's to keep.

use serde_json::{Map, Value};

/// Members of an event that are about a person, whatever their type: objects by the documents of
/// today, texts by those of yesterday.
const PERSONAL: [&str; 3] = ["claims", "authorization", "httpRequest"];
/// What a text that holds something secret has in it, in lower case; `eyj` begins every token.
const SECRET: [&str; 9] = [
    "claims",
    "authorization",
    "httprequest",
    "bearer ",
    "eyj",
    "sig=",
    "sharedaccesskey",
    "accountkey",
    "password",
];
/// What the name of a member that holds something secret has in it, in lower case.
const SECRET_NAMES: [&str; 7] =
    ["password", "secret", "token", "accesskey", "accountkey", "apikey", "signature"];
const LEFT_OUT: &str = "(left out)";

/// `body` without what may not be kept.
pub(crate) fn keepable(body: &[u8]) -> Vec<u8> {
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        clean(&mut value);
        return value.to_string().into_bytes();
    }
    if is_secret(&String::from_utf8_lossy(body)) {
        return LEFT_OUT.as_bytes().to_vec();
    }
    body.to_vec()
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(members) => {
            remove_personal(members);
            members.values_mut().for_each(clean);
        }
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::String(text) if is_secret(text) => LEFT_OUT.clone_into(text),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn remove_personal(members: &mut Map<String, Value>) {
    members.retain(|name, _| {
        let name = name.to_ascii_lowercase();
        !PERSONAL.iter().any(|it| it.eq_ignore_ascii_case(&name))
            && !SECRET_NAMES.iter().any(|it| name.contains(it))
    });
}

fn is_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SECRET.iter().any(|it| text.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &str) -> String {
        String::from_utf8(keepable(body.as_bytes())).unwrap()
    }

    #[test]
    fn claims_are_left_out_at_any_depth_and_of_any_type() {
        let body = r#"[{"id":"1","data":{"claims":{"name":"x"},"Authorization":"y",
            "status":"Succeeded","httpRequest":"z"}}]"#;

        assert_eq!(kept(body), r#"[{"data":{"status":"Succeeded"},"id":"1"}]"#);
    }

    #[test]
    fn a_text_that_hides_them_is_left_out_whole() {
        assert_eq!(kept(r#"{"data":"{\"claims\":1}"}"#), r#"{"data":"(left out)"}"#);
        assert_eq!(kept(r#"{"url":"https://x/?sig=abc"}"#), r#"{"url":"(left out)"}"#);
        assert_eq!(kept(r#"[{"data":{"claims":{"name":"x"#), "(left out)");
    }

    #[test]
    fn what_is_called_a_secret_or_looks_like_a_token_is_left_out() {
        let body = r#"{"id":"1","password":"x","sharedAccessKey":"y","data":{"accessToken":"z"}}"#;

        assert_eq!(kept(body), r#"{"data":{},"id":"1"}"#);
        assert_eq!(kept(r#"{"data":"eyJ0eXAi.eyJhdWQi.x"}"#), r#"{"data":"(left out)"}"#);
    }

    #[test]
    fn everything_else_is_kept_as_it_came() {
        assert_eq!(kept(r#"{"image":3}"#), r#"{"image":3}"#);
        assert_eq!(kept("no pointer"), "no pointer");
        assert_eq!(keepable(&[0xff, 0x00]), [0xff, 0x00]);
    }
}
