//! What befalls the Service Bus namespace: times in which it refuses what is asked of it, and
//! instants at which locks end before their time. What its refusals look like is a question that
//! only live Azure can answer: `variants.rs`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The troubles of the namespace. They are those of its REST interface, which the handler sends
/// over; the Functions host receives over AMQP, where its extension waits and tries again by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct BusTroubles {
    /// Times in which somebody else uses up what the namespace may do in a second.
    pub throttled: Vec<Period>,
    /// Times in which our identities lack their role, as until Entra has heard of an assignment.
    pub role_missing: Vec<Period>,
    /// Times in which no queue is there, as before a deployment has come to them.
    pub queues_missing: Vec<Period>,
    /// Times in which every queue is as large as it may become.
    pub full: Vec<Period>,
    /// Instants at which every lock is lost, as when the service moves a namespace. Who holds one
    /// is not told; the message is delivered again.
    pub locks_lost: Vec<DateTime<Utc>>,
}

/// From an instant on, until another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Period {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Period {
    /// Whether it is going on at `at`.
    pub(crate) fn holds(self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.until
    }
}

impl BusTroubles {
    /// Every time in which something is refused, with the name it is written under.
    pub(super) fn periods(&self) -> impl Iterator<Item = (&'static str, usize, Period)> + '_ {
        let named = [
            ("throttled", &self.throttled),
            ("roleMissing", &self.role_missing),
            ("queuesMissing", &self.queues_missing),
            ("full", &self.full),
        ];
        named.into_iter().flat_map(|(name, periods)| {
            periods.iter().enumerate().map(move |(index, period)| (name, index, *period))
        })
    }
}
