//! What the Functions host sends to a handler: `{"Data":…,"Metadata":…}`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use super::json::{Json, Members};
use super::metadata::{Item, Metadata, instant};
use super::package::DataType;
use crate::bus::Delivery;

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
    Messages {
        deliveries: Vec<Delivery>,
        data_type: DataType,
    },
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
    let metadata = Json::Object(metadata.into_members());
    Ok(format!("{{\"Data\":{data},\"Metadata\":{metadata}}}").into_bytes())
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

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
