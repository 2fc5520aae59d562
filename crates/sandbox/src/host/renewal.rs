//! How a lock is kept while its message is worked on.

use chrono::{DateTime, TimeDelta, Utc};

use super::envelope::Payload;
use super::invocation::{Asked, Invocation};
use crate::bus::{Bus, Delivery};

/// The lock of the message that is worked on, kept until a function may have it no longer. Nobody
/// renews those of a batch.
pub(super) struct Renewal<'a> {
    delivery: Option<&'a Delivery>,
    locked_until: DateTime<Utc>,
    until: DateTime<Utc>,
    lock: TimeDelta,
}

impl<'a> Renewal<'a> {
    pub(super) fn of(invocation: &'a Invocation, longest: TimeDelta) -> Renewal<'a> {
        let now = invocation.began;
        let delivery = match &invocation.asked {
            Asked::Told(Payload::Message { delivery, .. }) => Some(&**delivery),
            Asked::Told(_) | Asked::Forwarded(_) => None,
        };
        let locked_until = delivery.map_or(now, |it| it.locked_until);
        Renewal { delivery, locked_until, until: now + longest, lock: locked_until - now }
    }

    /// When the lock is to be renewed next: a quarter before its end.
    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        self.delivery?;
        let due = self.locked_until - self.lock / 4;
        (due < self.until).then_some(due)
    }

    pub(super) fn renew(&mut self, bus: &Bus) {
        let Some(delivery) = self.delivery else { return };
        match bus.renew(delivery) {
            Ok(until) => self.locked_until = until,
            Err(error) => {
                let message = &delivery.message_id;
                tracing::warn!(%message, %error, "The lock on {message} cannot be renewed");
                self.delivery = None;
            }
        }
    }
}
