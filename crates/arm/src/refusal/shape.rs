//! What a refusing answer says. ARM's own shape is one of five that were recorded: wrapped in
//! `error`, unwrapped, in capitals, a lone `Message`, and no JSON at all.

use serde_json::Value;

use crate::readable::readable;

/// The most of a message that is kept, in characters.
const MESSAGE: usize = 500;

/// The most of a code or target that is kept, in characters.
const CODE: usize = 120;

/// What a refusing answer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) target: Option<String>,
}

/// What the body says; None when it is in none of the shapes.
pub(super) fn read(raw: &str) -> Option<Refusal> {
    let value: Value = serde_json::from_str(raw.trim_start_matches('\u{feff}')).ok()?;
    let inner = member(&value, "error").filter(|it| it.is_object()).unwrap_or(&value);
    let shape = Shape::of(inner);
    if shape.code.is_none() && shape.message.is_none() {
        return None;
    }

    let mut message = shape.message.unwrap_or_default();
    for detail in shape.details.iter().take(3) {
        let detail = Shape::of(detail);
        let text = match (detail.code, detail.message) {
            (Some(code), Some(text)) if code != text => format!("{code}: {text}"),
            (code, text) => text.or(code).unwrap_or_default(),
        };
        if !text.is_empty() && !message.contains(&text) {
            message = format!("{message} [{text}]");
        }
    }
    Some(Refusal {
        code: readable(&shape.code.unwrap_or_else(|| "no code".to_owned()), CODE),
        message: readable(message.trim(), MESSAGE),
        target: shape.target.filter(|it| !it.is_empty()).map(|it| readable(&it, CODE)),
    })
}

/// The members that all shapes have, whatever the case of their names.
#[derive(Default)]
struct Shape<'a> {
    code: Option<String>,
    message: Option<String>,
    target: Option<String>,
    details: &'a [Value],
}

impl<'a> Shape<'a> {
    fn of(value: &'a Value) -> Shape<'a> {
        let text = |name: &str| member(value, name).and_then(said);
        let details = member(value, "details").and_then(Value::as_array);
        Shape {
            code: text("code"),
            message: text("message"),
            target: text("target"),
            details: details.map_or(&[], Vec::as_slice),
        }
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut() {
        let body = format!(r#"{{"error":{{"code":"X","message":"{}"}}}}"#, "a".repeat(10_000));

        let message = read(&body).unwrap().message;

        assert_eq!(message.chars().count(), MESSAGE + 1);
    }
}
