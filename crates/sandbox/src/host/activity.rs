//! What a host does, for whoever shows it.

use chrono::{DateTime, TimeDelta, Utc};

/// One thing that happened in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A function was woken.
    Started {
        function: String,
        /// The host's id of this invocation; a redelivery gets another.
        invocation: String,
        /// The message that woke it; none for a timer or a request.
        message_id: Option<String>,
        at: DateTime<Utc>,
    },
    /// An invocation is over.
    Ended {
        function: String,
        invocation: String,
        message_id: Option<String>,
        outcome: Outcome,
        /// In the host's time, which stands still on a desk while a handler works.
        took: TimeDelta,
        at: DateTime<Utc>,
    },
    /// A message was moved to its queue's dead-letter queue.
    DeadLettered { queue: String, message_id: String, reason: String, at: DateTime<Utc> },
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// The handler failed, for this reason.
    Failed(String),
    /// The function's time was out, and the handler was killed.
    TimedOut,
}
