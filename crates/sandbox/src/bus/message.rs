//! A message, as it was sent and as it is received.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A message as a sender gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// At most 128 characters; an empty one is replaced by one that is made up.
    pub message_id: String,
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub session_id: Option<String>,
    /// When it becomes visible; at once when this has passed.
    pub scheduled_at: Option<DateTime<Utc>>,
    pub time_to_live: Option<TimeDelta>,
    pub said: Said,
    /// The sender's own properties, by name in lower case.
    pub properties: BTreeMap<String, Property>,
}

/// What a sender may say about a message and the service only passes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub partition_key: Option<String>,
    pub correlation_id: Option<String>,
    pub label: Option<String>,
    pub reply_to: Option<String>,
    pub reply_to_session_id: Option<String>,
    pub to: Option<String>,
}

/// The value of a property. On the wire a text is in double quotes, the others are bare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Property {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Message {
    /// What counts towards the limit: the body, the id and the properties.
    pub fn size_bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| {
            name.len()
                + match value {
                    Property::Text(text) => text.len(),
                    Property::Flag(_) | Property::Whole(_) | Property::Number(_) => 8,
                }
        });
        self.body.len() + self.message_id.len() + properties.sum::<usize>()
    }
}

/// A message as a receiver gets it, locked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The queue it is in; `{name}/$deadletterqueue` for a dead letter.
    pub queue: String,
    pub message_id: String,
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub session_id: Option<String>,
    /// Its place in the queue; a scheduled message gets a new one when it becomes visible.
    pub sequence: i64,
    /// The number it had when it was sent.
    pub enqueued_sequence: i64,
    pub enqueued_at: DateTime<Utc>,
    pub time_to_live: Option<TimeDelta>,
    /// 1 at the first delivery.
    pub delivery_count: u32,
    pub lock_token: String,
    pub locked_until: DateTime<Utc>,
    pub said: Said,
    pub properties: BTreeMap<String, Property>,
}

/// A message that was moved to its queue's dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub queue: String,
    pub message_id: String,
    /// `MaxDeliveryCountExceeded` or `TTLExpiredException`.
    pub reason: String,
}
