//! How the Functions host encodes values, and what it says about an invocation besides its payload.
//!
//! Its one rule surprises: everything that is not bytes, a date or an object travels as JSON text
//! inside a JSON string, and a text payload leaks its members into Metadata, over what was there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::envelope::System;
use super::json::{Json, Members};
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
    pub(super) fn encoded(self) -> Json {
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

/// Members in the order they were put, their names compared without regard to case.
#[derive(Debug, Default)]
pub(super) struct Metadata(Members);

impl Metadata {
    pub(super) fn into_members(self) -> Members {
        self.0
    }

    pub(super) fn put(&mut self, name: &str, item: Item) {
        self.put_value(name, item.encoded());
    }

    pub(super) fn put_value(&mut self, name: &str, value: impl Into<Json>) {
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

    pub(super) fn put_system(&mut self, system: &System) {
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
    pub(super) fn put_receiver(
        &mut self,
        session_locked_until: Option<DateTime<Utc>>,
        system: &System,
    ) {
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

    pub(super) fn put_message(&mut self, delivery: &Delivery) {
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
    pub(super) fn put_messages(&mut self, deliveries: &[Delivery]) {
        let utc = |at| Json::Text(instant(at, ""));
        let offset = |at| Json::Text(instant(at, "+00:00"));
        let of: [(&str, PropertyOf<'_>); 21] = [
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
    pub(super) fn leak(&mut self, text: &str) {
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

/// What one property of a message is, as JSON.
type PropertyOf<'a> = &'a dyn Fn(&Delivery) -> Json;

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
        Property::Number(number) => {
            serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number)
        }
        Property::Flag(flag) => (*flag).into(),
    };
    Members(delivery.properties.iter().map(|(name, it)| (name.clone(), value(it))).collect())
}

/// As Json.NET writes a date: up to seven digits of a second, no trailing zeros.
pub(super) fn instant(at: DateTime<Utc>, zone: &str) -> String {
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
