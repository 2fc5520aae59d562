//! `BrokerProperties` and the sender's own properties, as they travel in HTTP headers.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Map, Value, json};

use super::message::{Delivery, Message, Property, Said};

/// What a message without a time to live says about it, in seconds.
const FOR_EVER: f64 = 922_337_203_685.477_5;

/// Headers that belong to HTTP, tracing or the service; every other one is a property.
const NOT_PROPERTIES: [&str; 19] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "brokerproperties",
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "via",
];

/// The settable broker properties; others are ignored, as the service does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Sent {
    message_id: Option<String>,
    session_id: Option<String>,
    partition_key: Option<String>,
    correlation_id: Option<String>,
    label: Option<String>,
    reply_to: Option<String>,
    reply_to_session_id: Option<String>,
    to: Option<String>,
    #[serde(deserialize_with = "seconds_or_text")]
    time_to_live: Option<f64>,
    scheduled_enqueue_time_utc: Option<String>,
}

impl Sent {
    /// Reads the `BrokerProperties` header; its bytes are UTF-8.
    pub(super) fn read(headers: &HeaderMap) -> Result<Sent, String> {
        match headers.get("brokerproperties") {
            None => Ok(Sent::default()),
            Some(value) => serde_json::from_slice(value.as_bytes())
                .map_err(|error| format!("BrokerProperties cannot be read: {error}")),
        }
    }

    /// The message with this `body`.
    pub(super) fn message(
        self,
        body: Vec<u8>,
        content_type: Option<String>,
        properties: BTreeMap<String, Property>,
    ) -> Result<Message, String> {
        for (name, id) in [("MessageId", &self.message_id), ("SessionId", &self.session_id)] {
            if id.as_ref().is_some_and(|it| it.chars().count() > 128) {
                return Err(format!("{name} is longer than 128 characters"));
            }
        }
        if let (Some(session), Some(partition)) = (&self.session_id, &self.partition_key)
            && session != partition
        {
            return Err("SessionId and PartitionKey differ".to_owned());
        }

        let scheduled_at = self.scheduled_enqueue_time_utc.as_deref().map(instant).transpose()?;
        let time_to_live = self.time_to_live.map(span).transpose()?.flatten();
        Ok(Message {
            message_id: self.message_id.unwrap_or_default(),
            body,
            content_type,
            session_id: self.session_id,
            scheduled_at,
            time_to_live,
            said: Said {
                partition_key: self.partition_key,
                correlation_id: self.correlation_id,
                label: self.label,
                reply_to: self.reply_to,
                reply_to_session_id: self.reply_to_session_id,
                to: self.to,
            },
            properties,
        })
    }
}

/// The sender's own properties among the headers of a request.
pub(super) fn own(headers: &HeaderMap) -> BTreeMap<String, Property> {
    let own = |name: &str| {
        !NOT_PROPERTIES.contains(&name)
            && !name.starts_with("x-ms-")
            && !name.starts_with("x-forwarded-")
    };
    let properties = headers.iter().filter(|(name, _)| own(name.as_str()));
    let properties = properties.map(|(name, value)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), property(text.trim()))
    });
    properties.collect()
}

/// A text is in double quotes, the other kinds are bare; what is neither is taken as a text.
fn property(text: &str) -> Property {
    if let Some(quoted) = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        return Property::Text(unescaped(quoted));
    }
    match serde_json::from_str(text) {
        Ok(Value::Bool(flag)) => Property::Flag(flag),
        Ok(Value::Number(number)) => match number.as_i64() {
            Some(whole) => Property::Whole(whole),
            None => Property::Number(number.as_f64().unwrap_or_default()),
        },
        _ => Property::Text(text.to_owned()),
    }
}

/// A text without its escapes, of which there are two: `\"`, which Microsoft's Python client writes
/// (its Node client writes a bare quote), and `\uXXXX`. Any other backslash stands for itself, as
/// both clients have it.
fn unescaped(quoted: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(next) = rest.chars().next() {
        let code = rest.strip_prefix("\\u").and_then(|it| it.get(..4));
        let code = code.filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        let taken = if let Some(unit) = code.and_then(|it| u16::from_str_radix(it, 16).ok()) {
            units.push(unit);
            6
        } else if rest.starts_with("\\\"") {
            units.push(u16::from(b'"'));
            2
        } else {
            units.extend_from_slice(next.encode_utf16(&mut [0; 2]));
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    String::from_utf16_lossy(&units)
}

/// A text in quotes, as [`property`] reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", ascii(&text.replace('"', "\\\"")))
}

/// Writes what a receiver is told about a message. `locked` is false when it was taken away at once.
pub(super) fn write(delivery: &Delivery, locked: bool, headers: &mut HeaderMap) {
    let mut broker = Map::new();
    let mut put = |name: &str, value: Value| broker.insert(name.to_owned(), value);
    put("DeliveryCount", json!(delivery.delivery_count));
    put("EnqueuedSequenceNumber", json!(delivery.enqueued_sequence));
    put("EnqueuedTimeUtc", json!(rfc1123(delivery.enqueued_at)));
    put("MessageId", json!(delivery.message_id));
    put("SequenceNumber", json!(delivery.sequence));
    put("State", json!("Active"));
    put("TimeToLive", json!(delivery.time_to_live.map_or(FOR_EVER, seconds)));
    if locked {
        put("LockToken", json!(delivery.lock_token));
        put("LockedUntilUtc", json!(rfc1123(delivery.locked_until)));
    }
    for (name, value) in [
        ("SessionId", &delivery.session_id),
        ("PartitionKey", &delivery.said.partition_key),
        ("CorrelationId", &delivery.said.correlation_id),
        ("Label", &delivery.said.label),
        ("ReplyTo", &delivery.said.reply_to),
        ("ReplyToSessionId", &delivery.said.reply_to_session_id),
        ("To", &delivery.said.to),
    ] {
        if let Some(value) = value {
            put(name, json!(value));
        }
    }
    insert(headers, "brokerproperties", &ascii(&Value::Object(broker).to_string()));

    for (name, value) in &delivery.properties {
        let text = match value {
            Property::Text(text) => quoted(text),
            Property::Flag(flag) => flag.to_string(),
            Property::Whole(number) => number.to_string(),
            Property::Number(number) => number.to_string(),
        };
        insert(headers, name, &text);
    }
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}

/// The text with everything escaped that a header cannot hold.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() && !letter.is_ascii_control() {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, whole seconds.
fn rfc1123(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// RFC 1123 as documented, with `GMT` or `+0000`; RFC 3339 is understood too.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc2822(text)
        .or_else(|_| DateTime::parse_from_rfc3339(text))
        .map(|at| at.to_utc())
        .map_err(|_| format!("ScheduledEnqueueTimeUtc `{text}` is not a date of RFC 1123"))
}

/// A number of seconds; Microsoft's Python client writes every value in quotes.
fn seconds_or_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }

    match Option::<Written>::deserialize(from)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// A time to live; none when it is longer than this can count.
fn span(seconds: f64) -> Result<Option<TimeDelta>, String> {
    if seconds.is_nan() || seconds <= 0.0 {
        return Err(format!("TimeToLive `{seconds}` is not a positive number of seconds"));
    }
    const HUNDRED_YEARS: f64 = 3_155_760_000.0;
    if seconds > HUNDRED_YEARS {
        return Ok(None);
    }
    Ok(Some(TimeDelta::microseconds((seconds * 1e6) as i64)))
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_read_by_its_quotes() {
        assert_eq!(property(r#""a \"b\"""#), Property::Text("a \"b\"".into()));
        assert_eq!(property("3"), Property::Whole(3));
        assert_eq!(property("1.5"), Property::Number(1.5));
        assert_eq!(property("true"), Property::Flag(true));
        assert_eq!(property("bare words"), Property::Text("bare words".into()));
    }

    #[test]
    fn a_text_comes_back_as_either_client_wrote_it() {
        for (written, meant) in [
            (r#""High \"!\"""#, "High \"!\""),
            (r#""High "!"""#, "High \"!\""),
            (r#""C:\temp\new""#, r"C:\temp\new"),
            (r#""w\u00f6rld \ud83e\udd80""#, "wörld 🦀"),
            (r#""C:\users\u12""#, r"C:\users\u12"),
            (r#""\""#, r"\"),
            (r#""""#, ""),
        ] {
            assert_eq!(property(written), Property::Text(meant.to_owned()), "{written}");
            assert_eq!(property(&quoted(meant)), Property::Text(meant.to_owned()), "{meant}");
        }
        assert_eq!(quoted("two\nlines"), r#""two\u000alines""#);
    }

    #[test]
    fn a_time_to_live_may_be_written_as_a_text() {
        for (written, seconds) in [("1.5", Some(1.5)), ("\"90\"", Some(90.0)), ("null", None)] {
            let sent: Sent =
                serde_json::from_str(&format!("{{\"TimeToLive\":{written}}}")).unwrap();
            assert_eq!(sent.time_to_live, seconds, "{written}");
        }
        assert!(serde_json::from_str::<Sent>("{\"TimeToLive\":\"soon\"}").is_err());
    }

    #[test]
    fn text_outside_ascii_is_escaped_in_headers() {
        assert_eq!(ascii("\"wörld 🦀\""), "\"w\\u00f6rld \\ud83e\\udd80\"");
    }

    #[test]
    fn both_spellings_of_utc_are_read() {
        let at = instant("Tue, 08 Sep 2026 06:00:00 GMT").unwrap();

        assert_eq!(instant("Tue, 08 Sep 2026 06:00:00 +0000").unwrap(), at);
        assert_eq!(instant("2026-09-08T06:00:00Z").unwrap(), at);
        assert!(instant("tomorrow").is_err());
        assert_eq!(rfc1123(at), "Tue, 08 Sep 2026 06:00:00 GMT");
    }

    #[test]
    fn a_life_without_end_has_none() {
        assert_eq!(span(FOR_EVER).unwrap(), None);
        assert_eq!(span(1.5).unwrap(), Some(TimeDelta::milliseconds(1500)));
        assert!(span(-1.0).is_err());
        assert!(span(f64::NAN).is_err());
    }
}
