//! What Azure and the bus were asked, and what Azure refused because it was too much.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;

/// The longest of the times for which Azure publishes budgets.
const HALF_AN_HOUR: TimeDelta = TimeDelta::minutes(30);

/// Requests that Azure has answered.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub calls: u64,
    /// Those that were refused with 429.
    pub refused: u64,
    /// The most that were not refused in any half hour.
    pub most_in_half_an_hour: usize,
    /// Requests to the bus: messages, mostly one in each.
    pub sent: u64,
    lately: VecDeque<DateTime<Utc>>,
}

impl Traffic {
    /// Azure has answered a request with `status`.
    pub fn answered(&mut self, at: DateTime<Utc>, status: StatusCode) {
        self.calls += 1;
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.refused += 1;
            return;
        }
        self.lately.push_back(at);
        while self.lately.front().is_some_and(|it| *it <= at - HALF_AN_HOUR) {
            self.lately.pop_front();
        }
        self.most_in_half_an_hour = self.most_in_half_an_hour.max(self.lately.len());
    }
}
