//! Every dead letter is explained by what went wrong: a message dies when it was delivered in vain ten
//! times, which a handler that lives, and can reach its ledger and the bus, lets happen to none.

use chrono::TimeDelta;

use super::{Invariant, Seen};
use crate::fault::Kind;

/// What can keep a handler from ending a message: it dies, the host takes it for dead, it waits until
/// its time is over, or it reaches neither the ledger nor the bus.
const EXPLAINS: [Kind; 12] = [
    Kind::RequestLost,
    Kind::AnswerLost,
    Kind::RequestSlow,
    Kind::ThrottlingStorm,
    Kind::DeliveredTwice,
    Kind::LockLost,
    Kind::Cancelled,
    Kind::Restarted,
    Kind::StoreReadFails,
    Kind::StoreWriteFails,
    Kind::StoreAnswerLost,
    Kind::StoreGone,
];

/// What explains it where the bus answers so; what Azure answers, a step waits out.
const OF_THE_BUS: [Kind; 5] = [
    Kind::RequestRefused,
    Kind::Throttled,
    Kind::ServerError,
    Kind::ServerErrorAfterwards,
    Kind::HtmlAnswer,
];

/// What goes on for long once it has struck.
const GOES_ON: [Kind; 2] = [Kind::ThrottlingStorm, Kind::StoreGone];

/// Ten deliveries, each held for half a minute at least, and the longest spell before them.
const TAKES: TimeDelta = TimeDelta::minutes(40);

/// So many deliveries end in the dead-letter queue; a few of them may have failed before that time.
const DELIVERIES: usize = 5;

/// Counts what went wrong just before.
#[derive(Debug)]
pub(super) struct DeadLetters;

impl Invariant for DeadLetters {
    fn name(&self) -> &'static str {
        "every dead letter is explained"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for dead in seen.dead {
            let since = dead.at - TAKES;
            let long = seen.faults.struck_since(since, |kind, _| GOES_ON.contains(&kind));
            let all = seen.faults.struck_since(since, |kind, of_arm| {
                EXPLAINS.contains(&kind) || (!of_arm && OF_THE_BUS.contains(&kind))
            });
            if long == 0 && all < DELIVERIES {
                let (queue, id, reason) = (&dead.queue, &dead.id, &dead.reason);
                return Err(format!("{id} of {queue} died ({reason}) of {all} faults"));
            }
        }
        Ok(())
    }
}
