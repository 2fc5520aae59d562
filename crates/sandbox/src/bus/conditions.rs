//! The conditions that a namespace works under: what befalls it and when, and which of the answers
//! that may be it gives. Both come from the estate; by default nothing befalls it.

use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};

use super::BusError;
use super::refusal::refusal;
use crate::estate::{
    BusTroubles, Estate, LargeMessage, LostLock, MissingQueue, MissingRole, Period, ThrottledBus,
    Variants,
};

/// What befalls a namespace, and how it answers.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    troubles: BusTroubles,
    variants: Variants,
}

impl From<MissingRole> for StatusCode {
    fn from(answer: MissingRole) -> StatusCode {
        match answer {
            MissingRole::Unauthorized => StatusCode::UNAUTHORIZED,
            MissingRole::Forbidden => StatusCode::FORBIDDEN,
        }
    }
}

impl Conditions {
    /// The conditions of an estate's namespace.
    pub fn of(estate: &Estate) -> Conditions {
        let mut troubles = estate.bus.clone();
        troubles.locks_lost.sort_unstable();
        Conditions { troubles, variants: estate.variants.clone() }
    }

    /// The answer to a request that comes in a time of trouble, whatever it asks for. `sends` when
    /// it brings messages.
    pub(super) fn trouble(
        &self,
        request: &Parts,
        sends: bool,
        now: DateTime<Utc>,
    ) -> Option<Response> {
        let holds = |periods: &[Period]| periods.iter().any(|it| it.holds(now));
        let troubles = &self.troubles;
        if holds(&troubles.role_missing) && is_bearer(request) {
            let text = "Unauthorized access. 'Send' claim(s) are required to perform this \
                        operation.";
            return Some(refusal(self.variants.missing_role.into(), text));
        }
        if holds(&troubles.queues_missing) {
            let path = request.uri.path();
            let text = format!("The messaging entity could not be found: {path}");
            return Some(refusal(self.missing_queue(), &text));
        }
        if holds(&troubles.throttled) {
            return Some(self.throttled());
        }
        if sends && holds(&troubles.full) {
            let text = "The maximum entity size has been reached or exceeded.";
            return Some(refusal(StatusCode::FORBIDDEN, text));
        }
        None
    }

    /// The status that says `error`.
    pub(super) fn status(&self, error: &BusError) -> StatusCode {
        match error {
            BusError::NoQueue(_) => self.missing_queue(),
            BusError::TooLarge(_) => match self.variants.large_message {
                LargeMessage::Forbidden => StatusCode::FORBIDDEN,
                LargeMessage::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            },
            BusError::NeedsSession(_) => StatusCode::BAD_REQUEST,
            BusError::LockLost(_) => match self.variants.lost_lock {
                LostLock::NotFound => StatusCode::NOT_FOUND,
                LostLock::Gone => StatusCode::GONE,
            },
            BusError::NotCommitted(_) | BusError::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer to a token whose bearer has no role.
    pub(super) fn missing_role(&self) -> MissingRole {
        self.variants.missing_role
    }

    /// The last instant until `now` at which every lock was lost.
    pub(super) fn locks_lost_by(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until_now = self.troubles.locks_lost.partition_point(|it| *it <= now);
        self.troubles.locks_lost[..until_now].last().copied()
    }

    /// When a lock is over that was taken or renewed at `since` and lasts for `lock`.
    pub(super) fn end_of_lock(&self, since: DateTime<Utc>, lock: TimeDelta) -> DateTime<Utc> {
        let before = self.troubles.locks_lost.partition_point(|it| *it <= since);
        let lost = self.troubles.locks_lost.get(before).copied();
        lost.map_or(since + lock, |lost| lost.min(since + lock))
    }

    fn missing_queue(&self) -> StatusCode {
        match self.variants.missing_queue {
            MissingQueue::Gone => StatusCode::GONE,
            MissingQueue::NotFound => StatusCode::NOT_FOUND,
        }
    }

    /// In the words of the documents.
    fn throttled(&self) -> Response {
        const WAIT: &str = "2";
        let text = format!(
            "The request was terminated because the namespace is being throttled. Error code: \
             50009. Please wait {WAIT} seconds and try again."
        );
        let (status, told) = match self.variants.throttled_bus {
            ThrottledBus::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, false),
            ThrottledBus::UnavailableAndWait => (StatusCode::SERVICE_UNAVAILABLE, true),
            ThrottledBus::TooMany => (StatusCode::TOO_MANY_REQUESTS, false),
            ThrottledBus::TooManyAndWait => (StatusCode::TOO_MANY_REQUESTS, true),
        };
        let mut response = refusal(status, &text);
        if told {
            response.headers_mut().insert(RETRY_AFTER, WAIT.parse().expect("it is digits"));
        }
        response
    }
}

/// Signatures need no role.
fn is_bearer(request: &Parts) -> bool {
    let value = request.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    value.and_then(|it| it.get(..6)).is_some_and(|it| it.eq_ignore_ascii_case("bearer"))
}
