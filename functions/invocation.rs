//! The Functions host's side of the wire: what it asks and what it must be answered.
//!
//! A custom handler's contract (host source: `HttpScriptInvocationContextExtensions.cs`,
//! `DefaultHttpWorkerService.cs`): values are JSON, binary ones base64; success is always
//! `200 application/json` with a non-empty object, since an empty answer hangs the invocation.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// What the host sends to every function.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Data", borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "Metadata", default)]
    metadata: Map<String, Value>,
}

/// A body that is not an invocation; what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInvocation(pub String);

/// A Service Bus message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// What the host says its id is; a payload can overwrite it, so nothing is decided by it.
    pub said_id: Option<String>,
    pub body: Bytes,
}

/// An HTTP request to the app, as the host describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HttpRequest {
    #[serde(rename = "Method")]
    pub method: String,
    #[serde(rename = "Params", default)]
    pub params: std::collections::BTreeMap<String, String>,
    #[serde(rename = "Headers", default)]
    pub headers: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(rename = "Body", default)]
    pub body: Option<String>,
}

/// What a person's request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: StatusCode,
    pub body: Value,
}

/// Reads the invocation of a queue function; its binding is called `message`, `dataType` binary.
///
/// # Errors
/// [`BadInvocation`] when the body is not such an invocation.
pub fn queue_message(body: &[u8]) -> Result<QueueMessage, BadInvocation> {
    #[derive(Deserialize)]
    struct Data {
        message: String,
    }

    let (data, metadata) = read::<Data>(body)?;
    let body = payload(&data.message)?;
    // A string in Metadata is JSON inside a JSON string.
    let said_id = metadata
        .get("MessageId")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(QueueMessage { said_id, body: body.into() })
}

/// The bytes of a message: base64 when it is bound as binary. Bound as a string it is JSON text
/// inside the JSON string, which always begins with a quotation mark, and base64 never does.
fn payload(data: &str) -> Result<Vec<u8>, BadInvocation> {
    if data.starts_with('"') {
        let text = serde_json::from_str::<String>(data);
        let bad = |error| BadInvocation(format!("`Data.message` is not a JSON string: {error}"));
        return text.map(String::into_bytes).map_err(bad);
    }
    STANDARD.decode(data.as_bytes()).map_err(|_| {
        let why = "`Data.message` is not one message; bind it as binary, with cardinality one";
        BadInvocation(why.to_owned())
    })
}

/// Reads the invocation of an http function; its binding is called `req`.
///
/// # Errors
/// [`BadInvocation`] when the body is not such an invocation.
pub fn http_request(body: &[u8]) -> Result<HttpRequest, BadInvocation> {
    #[derive(Deserialize)]
    struct Data {
        req: HttpRequest,
    }

    read::<Data>(body).map(|(data, _)| data.req)
}

/// Checks that `body` is an invocation of a timer function; what it says is not needed.
///
/// # Errors
/// [`BadInvocation`] when the body is not an invocation.
pub fn timer(body: &[u8]) -> Result<(), BadInvocation> {
    read::<serde::de::IgnoredAny>(body).map(|_| ())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, Map<String, Value>), BadInvocation> {
    let envelope: Envelope<'a> = serde_json::from_slice(body)
        .map_err(|error| BadInvocation(format!("not an invocation: {error}")))?;
    let Some(data) = envelope.data else {
        return Err(BadInvocation("not an invocation: `Data` is missing".to_owned()));
    };
    let data = serde_json::from_str(data.get())
        .map_err(|error| BadInvocation(format!("`Data` is not as bound: {error}")))?;
    Ok((data, envelope.metadata))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    outputs: Map<String, Value>,
    logs: [String; 0],
    return_value: Option<()>,
}

/// The answer that completes a message or a timer.
pub fn done() -> Response {
    Json(Answer { outputs: Map::new(), logs: [], return_value: None }).into_response()
}

/// The answer of an http function; its output is called `res`.
pub fn answered(answer: &HttpAnswer) -> Response {
    let res = json!({
        "statusCode": answer.status.as_u16(),
        "headers": { "Content-Type": "application/json" },
        "body": answer.body.to_string(),
    });
    let outputs = Map::from_iter([("res".to_owned(), res)]);
    Json(Answer { outputs, logs: [], return_value: None }).into_response()
}

/// The answer that makes the host abandon the message; it is redelivered at once.
pub fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": why }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_message_is_decoded_to_its_exact_bytes() {
        let body = br#"{"Data":{"message":"eyJhIjoxfQ=="},"Metadata":{"MessageId":"\"x:1\""}}"#;
        let message = queue_message(body).unwrap();

        assert_eq!(&message.body[..], br#"{"a":1}"#);
        assert_eq!(message.said_id.as_deref(), Some("x:1"));
    }

    #[test]
    fn a_message_bound_as_a_string_is_decoded_twice() {
        let body = br#"{"Data":{"message":"\"{\\\"a\\\":\\\"w\u00f6rld\\\"}\""},"Metadata":{}}"#;

        let message = queue_message(body).unwrap();

        assert_eq!(&message.body[..], r#"{"a":"wörld"}"#.as_bytes());
    }

    #[test]
    fn a_batch_is_refused_with_the_cure() {
        let body = br#"{"Data":{"message":"[\"eyJhIjoxfQ==\"]"},"Metadata":{}}"#;
        let error = queue_message(body).unwrap_err();

        assert!(error.to_string().contains("with cardinality one"), "{error}");
    }

    #[test]
    fn bodies_that_are_no_invocation_are_refused() {
        for body in [&b""[..], b"null", b"[]", b"{}", b"{\"Data\":3}", b"\xff"] {
            assert!(queue_message(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn success_is_a_non_empty_json_object() {
        let answer =
            serde_json::to_string(&Answer { outputs: Map::new(), logs: [], return_value: None });

        assert_eq!(answer.unwrap(), r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#);
    }
}
