//! What the Functions host sends to a handler: `{"Data":…,"Metadata":…}`.
//!
//! Its one rule surprises: everything that is not bytes, a date or an object travels as JSON text
//! inside a JSON string, and a text payload leaks its members into Metadata, over what was there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::json::{Json, Members};
use super::package::DataType;
use crate::bus::{Delivery, Property};

/// A value before it is encoded.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    Object(Members),
    Text(String),
    Whole(i64),
    List(Vec<Json>),
    /// .NET's DateTime: no zone.
    Utc(DateTime<Utc>),
    /// .NET's DateTimeOffset.
    Offset(DateTime<Utc>),
}

impl Item {
    fn encoded(self) -> Json {
        let inner = match self {
            Item::Bytes(bytes) => return STANDARD.encode(bytes).into(),
            Item::Object(members) => return members.into(),
            Item::Utc(at) => return at.format("%Y-%m-%dT%H:%M:%S").to_string().into(),
            Item::Offset(at) => return at.format("%Y-%m-%dT%H:%M:%S+00:00").to_string().into(),
            Item::Text(text) => Json::Text(text),
            Item::Whole(number) => number.into(),
            Item::List(values) => values.into(),
        };
        inner.to_string().into()
    }
}

/// What woke a function.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    Timer {
        adjusts_for_dst: bool,
        status: Option<TimerStatus>,
        is_past_due: bool,
    },
    Message {
        delivery: Box<Delivery>,
        data_type: DataType,
        /// Whether it was received in its session.
        in_session: bool,
    },
    /// All that the function gets at once (`cardinality` many).
    Messages { deliveries: Vec<Delivery>, data_type: DataType },
    Event(Members),
    /// As [`Payload::Messages`].
    Events(Vec<Members>),
    Http(HttpCall),
}

/// What a timer remembers of its last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerStatus {
    /// None before the first run.
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) next: DateTime<Utc>,
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

/// What the host knows about an invocation besides what woke it.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) function: String,
    pub(super) now: DateTime<Utc>,
    pub(super) random_guid: String,
    /// The name of the Service Bus namespace.
    pub(super) namespace: String,
    /// `RetryContext`, for a function that has a retry policy.
    pub(super) retry: Option<Members>,
}

/// The body of the call that tells `binding` of `payload`.
///
/// # Errors
/// When the host itself cannot bind it, and so never calls the handler.
pub(super) fn encoded(
    binding: &str,
    payload: &Payload,
    system: &System,
) -> Result<Vec<u8>, String> {
    let mut metadata = Metadata::default();
    let data = match payload {
        Payload::Timer { adjusts_for_dst, status, is_past_due } => {
            let data = timer(*adjusts_for_dst, *status, *is_past_due);
            metadata.put_system(system);
            data
        }
        Payload::Message { delivery, data_type, in_session } => {
            metadata.put_receiver(in_session.then_some(delivery.locked_until), system);
            metadata.put_message(delivery);
            metadata.put_system(system);
            match data_type {
                DataType::Binary => Item::Bytes(delivery.body.clone()),
                DataType::String | DataType::Untyped => {
                    let text = String::from_utf8_lossy(&delivery.body).into_owned();
                    metadata.leak(&text);
                    Item::Text(text)
                }
            }
        }
        Payload::Messages { deliveries, data_type } => {
            metadata.put_receiver(None, system);
            metadata.put_messages(deliveries);
            metadata.put_system(system);
            let bodies = deliveries.iter().map(|it| batched(&it.body, *data_type));
            Item::List(bodies.collect::<Result<_, _>>()?)
        }
        Payload::Event(event) => {
            match event.get("data") {
                None | Some(Json::Null) => {}
                Some(Json::Object(data)) => metadata.put("data", Item::Object(data.clone())),
                Some(data) => metadata.put_value("data", data.to_string()),
            }
            metadata.put_system(system);
            Item::Object(event.clone())
        }
        Payload::Events(events) => {
            let data = events.iter().map(|it| it.get("data").cloned().unwrap_or(Json::Null));
            metadata.put("data", Item::List(data.collect()));
            metadata.put_system(system);
            Item::List(events.iter().cloned().map(Json::Object).collect())
        }
        Payload::Http(call) => request(call, &mut metadata, system),
    };
    let data = Json::Object(Members::default().with(binding, data.encoded()));
    let metadata = Json::Object(metadata.0);
    Ok(format!("{{\"Data\":{data},\"Metadata\":{metadata}}}").into_bytes())
}

/// Members in the order they were put, their names compared without regard to case.
#[derive(Debug, Default)]
struct Metadata(Members);

impl Metadata {
    fn put(&mut self, name: &str, item: Item) {
        self.put_value(name, item.encoded());
    }

    fn put_value(&mut self, name: &str, value: impl Into<Json>) {
        let known = self.0.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match known {
            Some((_, there)) => *there = value.into(),
            None => self.0.0.push((name.to_owned(), value.into())),
        }
    }

    fn put_some(&mut self, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.put(name, Item::Text(text.clone()));
        }
    }

    fn put_system(&mut self, system: &System) {
        let members = Members::default()
            .with("MethodName", system.function.as_str())
            .with("UtcNow", instant(system.now, "Z"))
            .with("RandGuid", system.random_guid.as_str());
        self.put("sys", Item::Object(members));
        if let Some(retry) = &system.retry {
            self.put("RetryContext", Item::Object(retry.clone()));
        }
    }

    /// What a function of .NET would settle messages with; all that is seen of it here is until
    /// when a session is locked.
    fn put_receiver(&mut self, session_locked_until: Option<DateTime<Utc>>, system: &System) {
        let lock = session_locked_until.map_or_else(Members::default, |until| {
            Members::default().with("SessionLockedUntil", instant(until, "+00:00"))
        });
        for name in ["MessageReceiver", "MessageSession", "MessageActions", "SessionActions"] {
            self.put(name, Item::Object(lock.clone()));
        }
        self.put("ReceiveActions", Item::Object(Members::default()));
        let namespace = &system.namespace;
        let identifier = crate::guid::of(&["client", namespace, &system.function]);
        let client = Members::default()
            .with("FullyQualifiedNamespace", namespace.as_str())
            .with("IsClosed", false)
            .with("TransportType", 0)
            .with("Identifier", format!("{namespace}-{identifier}"));
        self.put("Client", Item::Object(client));
    }

    fn put_message(&mut self, delivery: &Delivery) {
        self.put("DeliveryCount", Item::Whole(delivery.delivery_count.into()));
        self.put("LockToken", Item::Text(delivery.lock_token.clone()));
        let expires = expiry(delivery);
        self.put("ExpiresAtUtc", Item::Utc(expires));
        self.put("ExpiresAt", Item::Offset(expires));
        self.put("EnqueuedTimeUtc", Item::Utc(delivery.enqueued_at));
        self.put("EnqueuedTime", Item::Offset(delivery.enqueued_at));
        self.put("MessageId", Item::Text(delivery.message_id.clone()));
        self.put_some("ContentType", delivery.content_type.as_ref());
        self.put_some("ReplyTo", delivery.said.reply_to.as_ref());
        self.put("SequenceNumber", Item::Whole(delivery.sequence));
        self.put_some("To", delivery.said.to.as_ref());
        self.put_some("Subject", delivery.said.label.as_ref());
        self.put_some("Label", delivery.said.label.as_ref());
        self.put_some("CorrelationId", delivery.said.correlation_id.as_ref());
        let properties = properties(delivery);
        self.put("ApplicationProperties", Item::Object(properties.clone()));
        self.put("UserProperties", Item::Object(properties));
        self.put_some("SessionId", delivery.session_id.as_ref());
        self.put_some("ReplyToSessionId", delivery.said.reply_to_session_id.as_ref());
        self.put_some("PartitionKey", partition(delivery));
    }

    /// Of a batch every property is an array, with the nulls and the fractions of a second that a
    /// single message loses.
    fn put_messages(&mut self, deliveries: &[Delivery]) {
        let utc = |at| Json::Text(instant(at, ""));
        let offset = |at| Json::Text(instant(at, "+00:00"));
        let of: [(&str, &dyn Fn(&Delivery) -> Json); 21] = [
            ("DeliveryCount", &|it| i64::from(it.delivery_count).into()),
            ("DeadLetterSource", &|_| Json::Null),
            ("LockToken", &|it| it.lock_token.as_str().into()),
            ("ExpiresAtUtc", &|it| utc(expiry(it))),
            ("ExpiresAt", &|it| offset(expiry(it))),
            ("EnqueuedTimeUtc", &|it| utc(it.enqueued_at)),
            ("EnqueuedTime", &|it| offset(it.enqueued_at)),
            ("MessageId", &|it| it.message_id.as_str().into()),
            ("ContentType", &|it| it.content_type.as_ref().into()),
            ("ReplyTo", &|it| it.said.reply_to.as_ref().into()),
            ("SequenceNumber", &|it| it.sequence.into()),
            ("To", &|it| it.said.to.as_ref().into()),
            ("Subject", &|it| it.said.label.as_ref().into()),
            ("Label", &|it| it.said.label.as_ref().into()),
            ("CorrelationId", &|it| it.said.correlation_id.as_ref().into()),
            ("ApplicationProperties", &|it| properties(it).into()),
            ("UserProperties", &|it| properties(it).into()),
            ("SessionId", &|it| it.session_id.as_ref().into()),
            ("ReplyToSessionId", &|it| it.said.reply_to_session_id.as_ref().into()),
            ("PartitionKey", &|it| partition(it).into()),
            ("TransactionPartitionKey", &|_| Json::Null),
        ];
        for (name, value) in of {
            let values = deliveries.iter().map(value).collect();
            self.put(&format!("{name}Array"), Item::List(values));
        }
    }

    /// Puts the members of a text that is a JSON object, as the host does.
    fn leak(&mut self, text: &str) {
        let Ok(members) = serde_json::from_str::<Members>(text) else {
            return;
        };
        for (name, value) in members.0 {
            if name.to_ascii_lowercase().ends_with("trigger") {
                continue;
            }
            match value {
                Json::Null | Json::List(_) => {}
                Json::Object(members) => self.put(&name, Item::Object(members)),
                Json::Flag(true) => self.put(&name, Item::Text("True".to_owned())),
                Json::Flag(false) => self.put(&name, Item::Text("False".to_owned())),
                Json::Number(number) => self.put(&name, Item::Text(number.to_string())),
                Json::Text(text) => {
                    let text = date_as_dotnet_prints_it(&text).unwrap_or(text);
                    self.put(&name, Item::Text(text));
                }
            }
        }
    }
}

/// One body of a batch. Without a type the host reads each as JSON, and fails on one that is not.
fn batched(body: &[u8], data_type: DataType) -> Result<Json, String> {
    match data_type {
        DataType::Binary => Ok(STANDARD.encode(body).into()),
        DataType::String => Ok(String::from_utf8_lossy(body).into_owned().into()),
        DataType::Untyped => serde_json::from_slice(body)
            .map_err(|error| format!("a message of the batch is not JSON: {error}")),
    }
}

fn timer(adjusts_for_dst: bool, status: Option<TimerStatus>, is_past_due: bool) -> Item {
    let never = || "0001-01-01T00:00:00+00:00".to_owned();
    let status = status.map(|status| {
        let last = status.last.map_or_else(never, |at| instant(at, "+00:00"));
        Members::default()
            .with("Last", last.as_str())
            .with("Next", instant(status.next, "+00:00"))
            .with("LastUpdated", last)
    });
    let schedule = Members::default().with("AdjustForDST", adjusts_for_dst);
    let members = Members::default()
        .with("Schedule", schedule)
        .with("ScheduleStatus", status.map_or(Json::Null, Json::Object))
        .with("IsPastDue", is_past_due);
    Item::Object(members)
}

fn request(call: &HttpCall, metadata: &mut Metadata, system: &System) -> Item {
    let flat = |pairs: &[(String, String)]| {
        let mut members = Members::default();
        pairs.iter().for_each(|(name, value)| members.put(name, value.as_str()));
        members
    };
    let mut headers = Members::default();
    for (name, _) in &call.headers {
        let values = call.headers.iter().filter(|(other, _)| other == name);
        let values: Vec<Json> = values.map(|(_, value)| value.as_str().into()).collect();
        headers.put(name, values);
    }
    let body = call.body.as_ref().map(|bytes| request_body(call, bytes));
    let mut data = Members::default()
        .with("Url", call.url.as_str())
        .with("Method", call.method.as_str())
        .with("Query", flat(&call.query))
        .with("Headers", headers)
        .with("Params", flat(&call.params))
        .with("Identities", vec![Json::Object(identity(call.keyed))]);
    if let Some(body) = &body {
        data.put("Body", body.as_str());
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
    Item::Object(data)
}

fn request_body(call: &HttpCall, bytes: &[u8]) -> String {
    let content_type =
        call.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_binary = content_type.is_some_and(|(_, value)| {
        value.starts_with("application/octet-stream") || value.starts_with("multipart/")
    });
    if is_binary { STANDARD.encode(bytes) } else { String::from_utf8_lossy(bytes).into_owned() }
}

fn identity(keyed: bool) -> Members {
    let level = if keyed { "Function" } else { "Anonymous" };
    let claim = Members::default()
        .with("Issuer", "LOCAL AUTHORITY")
        .with("OriginalIssuer", "LOCAL AUTHORITY")
        .with("Properties", Members::default())
        .with("Type", "http://schemas.microsoft.com/2017/07/functions/claims/authlevel")
        .with("Value", level)
        .with("ValueType", "http://www.w3.org/2001/XMLSchema#string");
    let name_claim = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
    let role_claim = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
    Members::default()
        .with("AuthenticationType", "WebJobsAuthLevel")
        .with("IsAuthenticated", true)
        .with("Actor", Json::Null)
        .with("BootstrapContext", Json::Null)
        .with("Claims", vec![Json::Object(claim)])
        .with("Label", Json::Null)
        .with("Name", Json::Null)
        .with("NameClaimType", name_claim)
        .with("RoleClaimType", role_claim)
}

fn expiry(delivery: &Delivery) -> DateTime<Utc> {
    let life = delivery.time_to_live.unwrap_or(TimeDelta::MAX);
    let end_of_dotnet = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
    delivery.enqueued_at.checked_add_signed(life).unwrap_or(end_of_dotnet).min(end_of_dotnet)
}

fn partition(delivery: &Delivery) -> Option<&String> {
    delivery.said.partition_key.as_ref().or(delivery.session_id.as_ref())
}

fn properties(delivery: &Delivery) -> Members {
    let value = |property: &Property| match property {
        Property::Text(text) => text.as_str().into(),
        Property::Whole(number) => (*number).into(),
        Property::Number(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Property::Flag(flag) => (*flag).into(),
    };
    Members(delivery.properties.iter().map(|(name, it)| (name.clone(), value(it))).collect())
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

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
