//! What `up --json` says: one line of JSON for each thing that happens.

use chrono::{DateTime, Utc};
use contract::Violation;
use ledger::StreamName;
use serde::Serialize;
use serde_json::{Map, Value};

use super::cloud::Cloud;
use super::follower::{Lost, Noted};

/// The first line: where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    pub event: &'static str,
    pub arm: String,
    pub bus: String,
    pub blob: String,
    pub host: String,
    pub identity: String,
    pub subscription: String,
    pub tenant: String,
    pub handler_pid: u32,
    #[serde(flatten)]
    pub cloud: Option<Cloud>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HandlerStarted {
    event: &'static str,
    handler_pid: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLettered<'a> {
    event: &'static str,
    queue: &'a str,
    message_id: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct StreamLost<'a> {
    event: &'static str,
    stream: &'a str,
    because: String,
}

#[derive(Serialize)]
struct Happened<'a> {
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    seq: u64,
    at: DateTime<Utc>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

#[derive(Serialize)]
struct Violated<'a> {
    event: &'static str,
    #[serde(flatten)]
    violation: &'a Violation,
}

/// The first line.
///
/// # Errors
/// When it has no JSON form.
pub fn ready(ready: &Ready) -> serde_json::Result<String> {
    serde_json::to_string(ready)
}

/// The handler was started again.
///
/// # Errors
/// When it has no JSON form.
pub fn handler_started(handler_pid: u32) -> serde_json::Result<String> {
    serde_json::to_string(&HandlerStarted { event: "handlerStarted", handler_pid })
}

/// A message was given up by the bus.
///
/// # Errors
/// When it has no JSON form.
pub fn dead_lettered(queue: &str, message_id: &str, reason: &str) -> serde_json::Result<String> {
    serde_json::to_string(&DeadLettered { event: "deadLettered", queue, message_id, reason })
}

/// A stream is followed no further.
///
/// # Errors
/// When it has no JSON form.
pub fn stream_lost(stream: &StreamName, lost: &Lost) -> serde_json::Result<String> {
    let (stream, because) = (stream.as_str(), lost.to_string());
    serde_json::to_string(&StreamLost { event: "streamLost", stream, because })
}

/// Something on the wire is not what Microsoft's documents say, for the first time.
///
/// # Errors
/// When it has no JSON form.
pub fn violated(violation: &Violation) -> serde_json::Result<String> {
    serde_json::to_string(&Violated { event: "wireViolated", violation })
}

/// The events of an entry, a line for each. The entry's number is `seq`; where an event speaks of
/// another entry, that one's is `wishSeq`.
///
/// # Errors
/// When an event has no JSON form.
pub fn happened(noted: &Noted) -> serde_json::Result<Vec<String>> {
    let image = match &noted.stream {
        StreamName::Image(image) => Some(image.as_str()),
        StreamName::Catalog => None,
    };
    let line = |event| {
        let Value::Object(mut fields) = serde_json::to_value(event)? else {
            return serde_json::to_string(event);
        };
        let event = match fields.remove("event") {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        if let Some(other) = fields.remove("seq") {
            fields.insert("wishSeq".to_owned(), other);
        }
        let (seq, at) = (noted.seq, noted.entry.at);
        serde_json::to_string(&Happened { event, image, seq, at, fields })
    };
    noted.entry.events.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use ledger::{Entry, FORMAT};
    use rules::event::Event;
    use rules::wake::Function;

    use super::*;

    #[test]
    fn an_event_is_a_line_with_its_image_its_entry_and_its_own_fields() {
        let events = vec![
            Event::ImageBuilt {
                version: "1.1.0".parse().unwrap(),
                minutes: 17,
                staging_group: None,
            },
            Event::RunWoken { seq: 4, function: Function::FollowBuild, generation: 1 },
        ];
        let entry = Entry {
            v: FORMAT,
            id: String::new(),
            prev: String::new(),
            cause: String::new(),
            by: String::new(),
            at: DateTime::UNIX_EPOCH,
            policy: String::new(),
            events,
        };
        let stream = StreamName::Image("web".parse().unwrap());

        let lines = happened(&Noted { stream, seq: 7, entry }).unwrap();

        assert!(lines[0].starts_with(
            r#"{"event":"imageBuilt","image":"web","seq":7,"at":"1970-01-01T00:00:00Z","#
        ));
        let woken: Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!((&woken["seq"], &woken["wishSeq"]), (&7.into(), &4.into()));
    }

    #[test]
    fn the_ready_line_begins_with_its_event() {
        let line = handler_started(12).unwrap();

        assert_eq!(line, r#"{"event":"handlerStarted","handlerPid":12}"#);
    }
}
