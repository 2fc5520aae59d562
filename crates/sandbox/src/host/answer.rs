//! What the Functions host makes of a handler's answer: success, failure, or nothing at all.
//!
//! The order is the host's: status, content type, parsing, and only then whether there is a result.

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The invocation is over and went well.
    Success(Reply),
    /// The invocation failed, for this reason.
    Failure(String),
    /// The host waits on, until the function's time is out: the answer was empty or `null`.
    Hang,
}

/// The members of a good answer, found without regard to case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reply {
    pub(super) outputs: Map<String, Value>,
    pub(super) logs: Vec<String>,
    pub(super) return_value: Value,
}

/// Reads an answer. Redirects have been followed before, or are failures here.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if !status.is_success() {
        let reason = status.canonical_reason().unwrap_or_default();
        return Answer::Failure(format!(
            "Response status code does not indicate success: {} ({reason}).",
            status.as_u16()
        ));
    }
    if body.is_empty() {
        return Answer::Hang;
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = content_type.unwrap_or("application/octet-stream");
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !["application/json", "text/json"].iter().any(|it| media_type.eq_ignore_ascii_case(it)) {
        return Answer::Failure(format!("an answer of `{media_type}` cannot be read as JSON"));
    }

    match serde_json::from_slice(body) {
        Ok(Value::Null) => Answer::Hang,
        Ok(Value::Object(members)) => reply(members),
        Ok(_) => Answer::Failure("the answer is JSON, but not an object".to_owned()),
        Err(error) => Answer::Failure(format!("the answer is not JSON: {error}")),
    }
}

fn reply(members: Map<String, Value>) -> Answer {
    let mut reply = Reply::default();
    for (name, value) in members {
        match name.to_ascii_lowercase().as_str() {
            "outputs" => match value {
                Value::Object(outputs) => reply.outputs = outputs,
                Value::Null => {}
                _ => return Answer::Failure("`Outputs` is not an object".to_owned()),
            },
            "logs" => match logs(value) {
                Some(logs) => reply.logs = logs,
                None => return Answer::Failure("`Logs` is not an array of scalars".to_owned()),
            },
            "returnvalue" => reply.return_value = value,
            _ => {}
        }
    }
    Answer::Success(reply)
}

fn logs(value: Value) -> Option<Vec<String>> {
    let lines = match value {
        Value::Null => return Some(Vec::new()),
        Value::Array(lines) => lines,
        _ => return None,
    };
    let line = |value| match value {
        Value::String(text) => Some(text),
        Value::Object(_) | Value::Array(_) => None,
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        read(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn a_json_object_is_a_success_whatever_its_members() {
        for (status, content_type, body) in [
            (200, "application/json", "{}"),
            (
                200,
                "application/json; charset=utf-8",
                r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#,
            ),
            (200, "TEXT/JSON", r#"{"outputs":null,"logs":null}"#),
            (202, "application/json", r#"{"status":"accepted","extra":{"a":1}}"#),
        ] {
            assert!(matches!(answer(status, content_type, body), Answer::Success(_)), "{body}");
        }
    }

    #[test]
    fn an_empty_answer_hangs_even_when_the_status_is_good() {
        for (status, content_type, body) in [
            (204, "", ""),
            (200, "", ""),
            (200, "application/json", ""),
            (200, "application/json", "null"),
        ] {
            assert_eq!(answer(status, content_type, body), Answer::Hang, "{status} `{body}`");
        }
    }

    #[test]
    fn everything_else_is_a_failure() {
        for (status, content_type, body) in [
            (400, "application/json", "{}"),
            (500, "application/json", r#"{"Logs":["why"]}"#),
            (307, "", ""),
            (200, "", "{}"),
            (200, "text/plain; charset=utf-8", "{}"),
            (200, "application/problem+json", "{}"),
            (200, "application/json", "[]"),
            (200, "application/json", "\"ok\""),
            (200, "application/json", "{\"Outputs\":"),
            (200, "application/json", r#"{"Logs":[{"level":"info"}]}"#),
            (200, "application/json", r#"{"Logs":"one"}"#),
        ] {
            assert!(matches!(answer(status, content_type, body), Answer::Failure(_)), "{body}");
        }
    }

    #[test]
    fn logs_and_outputs_are_read_without_regard_to_case() {
        let Answer::Success(reply) =
            answer(200, "application/json", r#"{"lOGS":["a",2,true],"OUTPUTS":{"res":1}}"#)
        else {
            panic!("not a success");
        };

        assert_eq!(reply.logs, ["a", "2", "true"]);
        assert_eq!(reply.outputs["res"], 1);
    }
}
