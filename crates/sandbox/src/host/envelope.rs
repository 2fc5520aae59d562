//! What the Functions host sends to a handler: `{"Data":…,"Metadata":…}`.
//!
//! Its one rule surprises: everything that is not bytes, a date or an object travels as JSON text
//! inside a JSON string, and a text payload leaks its members into Metadata, over what was there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::package::DataType;
use crate::bus::{Delivery, Property};

/// A value before it is encoded.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    Object(Map<String, Value>),
    Text(String),
    Whole(i64),
    /// .NET's DateTime: no zone.
    Utc(DateTime<Utc>),
    /// .NET's DateTimeOffset.
    Offset(DateTime<Utc>),
}

impl Item {
    fn encoded(self) -> Value {
        match self {
            Item::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
            Item::Object(members) => Value::Object(members),
            Item::Text(text) => Value::String(Value::String(text).to_string()),
            Item::Whole(number) => Value::String(number.to_string()),
            Item::Utc(at) => Value::String(at.format("%Y-%m-%dT%H:%M:%S").to_string()),
            Item::Offset(at) => Value::String(at.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()),
        }
    }
}

/// What the host knows about an invocation besides what woke it.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) function: String,
    pub(super) now: DateTime<Utc>,
    pub(super) random_guid: String,
}

/// Members in the order they were put, their names compared without regard to case.
#[derive(Debug, Default)]
struct Metadata(Vec<(String, Value)>);

impl Metadata {
    fn put(&mut self, name: &str, item: Item) {
        let value = item.encoded();
        let known = self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match known {
            Some((_, there)) => *there = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn put_some(&mut self, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.put(name, Item::Text(text.clone()));
        }
    }

    fn put_system(&mut self, system: &System) {
        let members = json!({
            "MethodName": system.function,
            "UtcNow": instant(system.now, "Z"),
            "RandGuid": system.random_guid,
        });
        self.put("sys", Item::Object(object(members)));
    }

    /// Puts the members of a text that is a JSON object, as the host does.
    fn leak(&mut self, text: &str) {
        let Ok(Value::Object(members)) = serde_json::from_str(text) else {
            return;
        };
        for (name, value) in members {
            if name.to_ascii_lowercase().ends_with("trigger") {
                continue;
            }
            match value {
                Value::Null | Value::Array(_) => {}
                Value::Object(members) => self.put(&name, Item::Object(members)),
                Value::Bool(true) => self.put(&name, Item::Text("True".to_owned())),
                Value::Bool(false) => self.put(&name, Item::Text("False".to_owned())),
                Value::Number(number) => self.put(&name, Item::Text(number.to_string())),
                Value::String(text) => {
                    let text = date_as_dotnet_prints_it(&text).unwrap_or(text);
                    self.put(&name, Item::Text(text));
                }
            }
        }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A message of a queue.
pub(super) fn message(
    binding: &str,
    data_type: DataType,
    delivery: &Delivery,
    namespace: &str,
    system: &System,
) -> Vec<u8> {
    let text = match data_type {
        DataType::Binary => None,
        DataType::String => Some(String::from_utf8_lossy(&delivery.body).into_owned()),
    };
    let data = match &text {
        Some(text) => Item::Text(text.clone()),
        None => Item::Bytes(delivery.body.clone()),
    };

    let mut metadata = Metadata::default();
    for name in
        ["MessageReceiver", "MessageSession", "MessageActions", "SessionActions", "ReceiveActions"]
    {
        metadata.put(name, Item::Object(Map::new()));
    }
    let identifier = crate::guid::of(&["client", namespace, &system.function]);
    metadata.put(
        "Client",
        Item::Object(object(json!({
            "FullyQualifiedNamespace": namespace,
            "IsClosed": false,
            "TransportType": 0,
            "Identifier": format!("{namespace}-{identifier}"),
        }))),
    );
    metadata.put("DeliveryCount", Item::Whole(delivery.delivery_count.into()));
    metadata.put("LockToken", Item::Text(delivery.lock_token.clone()));
    let expires = expiry(delivery);
    metadata.put("ExpiresAtUtc", Item::Utc(expires));
    metadata.put("ExpiresAt", Item::Offset(expires));
    metadata.put("EnqueuedTimeUtc", Item::Utc(delivery.enqueued_at));
    metadata.put("EnqueuedTime", Item::Offset(delivery.enqueued_at));
    metadata.put("MessageId", Item::Text(delivery.message_id.clone()));
    metadata.put_some("ContentType", delivery.content_type.as_ref());
    metadata.put_some("ReplyTo", delivery.said.reply_to.as_ref());
    metadata.put("SequenceNumber", Item::Whole(delivery.sequence));
    metadata.put_some("To", delivery.said.to.as_ref());
    metadata.put_some("Subject", delivery.said.label.as_ref());
    metadata.put_some("Label", delivery.said.label.as_ref());
    metadata.put_some("CorrelationId", delivery.said.correlation_id.as_ref());
    let properties: Map<String, Value> = delivery.properties.iter().map(property).collect();
    metadata.put("ApplicationProperties", Item::Object(properties.clone()));
    metadata.put("UserProperties", Item::Object(properties));
    metadata.put_some("SessionId", delivery.session_id.as_ref());
    metadata.put_some("ReplyToSessionId", delivery.said.reply_to_session_id.as_ref());
    let partition = delivery.said.partition_key.as_ref().or(delivery.session_id.as_ref());
    metadata.put_some("PartitionKey", partition);
    metadata.put_system(system);
    if let Some(text) = &text {
        metadata.leak(text);
    }
    envelope(binding, data, &metadata)
}

/// What a timer remembers of its last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerStatus {
    /// None before the first run.
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) next: DateTime<Utc>,
}

/// An occurrence of a schedule.
pub(super) fn timer(
    binding: &str,
    adjusts_for_dst: bool,
    status: Option<TimerStatus>,
    is_past_due: bool,
    system: &System,
) -> Vec<u8> {
    let never = || "0001-01-01T00:00:00+00:00".to_owned();
    let status = status.map(|status| {
        let last = status.last.map_or_else(never, |at| instant(at, "+00:00"));
        json!({ "Last": last, "Next": instant(status.next, "+00:00"), "LastUpdated": last })
    });
    let data = json!({
        "Schedule": { "AdjustForDST": adjusts_for_dst },
        "ScheduleStatus": status,
        "IsPastDue": is_past_due,
    });
    let mut metadata = Metadata::default();
    metadata.put_system(system);
    envelope(binding, Item::Object(object(data)), &metadata)
}

/// A request of the public interface that is not forwarded.
#[derive(Clone, Debug, Default)]
pub(super) struct HttpCall {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) params: Vec<(String, String)>,
    /// None when there is none.
    pub(super) body: Option<Vec<u8>>,
    /// Whether a key was shown.
    pub(super) keyed: bool,
}

/// A request.
pub(super) fn http(binding: &str, call: &HttpCall, system: &System) -> Vec<u8> {
    let flat = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    let mut headers = Map::new();
    for (name, value) in &call.headers {
        let values = headers.entry(name.clone()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(value));
        }
    }
    let body = call.body.as_ref().map(|bytes| request_body(call, bytes));
    let mut data = object(json!({
        "Url": call.url,
        "Method": call.method,
        "Query": flat(&call.query),
        "Headers": headers,
        "Params": flat(&call.params),
        "Identities": [identity(call.keyed)],
    }));
    if let Some(body) = &body {
        data.insert("Body".to_owned(), json!(body));
    }

    let mut metadata = Metadata::default();
    if let Some(body) = &body {
        metadata.leak(body);
    }
    for (name, value) in call.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("code")) {
        metadata.put(name, Item::Text(value.clone()));
    }
    for (name, value) in &call.params {
        metadata.put(name, Item::Text(value.clone()));
    }
    metadata.put("Query", Item::Object(flat(&call.query)));
    metadata.put("Headers", Item::Object(flat(&call.headers)));
    metadata.put_system(system);
    envelope(binding, Item::Object(data), &metadata)
}

fn request_body(call: &HttpCall, bytes: &[u8]) -> String {
    let content_type =
        call.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_binary = content_type.is_some_and(|(_, value)| {
        value.starts_with("application/octet-stream") || value.starts_with("multipart/")
    });
    if is_binary { STANDARD.encode(bytes) } else { String::from_utf8_lossy(bytes).into_owned() }
}

fn identity(keyed: bool) -> Value {
    let level = if keyed { "Function" } else { "Anonymous" };
    json!({
        "AuthenticationType": "WebJobsAuthLevel",
        "IsAuthenticated": true,
        "Actor": null,
        "BootstrapContext": null,
        "Claims": [{
            "Issuer": "LOCAL AUTHORITY",
            "OriginalIssuer": "LOCAL AUTHORITY",
            "Properties": {},
            "Type": "http://schemas.microsoft.com/2017/07/functions/claims/authlevel",
            "Value": level,
            "ValueType": "http://www.w3.org/2001/XMLSchema#string",
        }],
        "Label": null,
        "Name": null,
        "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    })
}

fn envelope(binding: &str, data: Item, metadata: &Metadata) -> Vec<u8> {
    let data = json!({ binding: data.encoded() });
    // Serialising to memory cannot fail: all keys are strings.
    let metadata = serde_json::to_string(metadata).unwrap_or_default();
    format!("{{\"Data\":{data},\"Metadata\":{metadata}}}").into_bytes()
}

fn expiry(delivery: &Delivery) -> DateTime<Utc> {
    let life = delivery.time_to_live.unwrap_or(TimeDelta::MAX);
    let end_of_dotnet = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
    delivery.enqueued_at.checked_add_signed(life).unwrap_or(end_of_dotnet).min(end_of_dotnet)
}

fn property((name, value): (&String, &Property)) -> (String, Value) {
    let value = match value {
        Property::Text(text) => json!(text),
        Property::Whole(number) => json!(number),
        Property::Number(number) => json!(number),
        Property::Flag(flag) => json!(flag),
    };
    (name.clone(), value)
}

/// As Json.NET writes a date: up to seven digits of a second, no trailing zeros.
fn instant(at: DateTime<Utc>, zone: &str) -> String {
    let ticks = at.timestamp_subsec_nanos() / 100;
    let fraction = format!(".{ticks:07}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{}{fraction}{zone}", at.format("%Y-%m-%dT%H:%M:%S"))
}

/// Json.NET takes an ISO date in a text for a date, and .NET prints that in its own way.
fn date_as_dotnet_prints_it(text: &str) -> Option<String> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.naive_utc(),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?,
    };
    Some(at.format("%m/%d/%Y %H:%M:%S").to_string())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
