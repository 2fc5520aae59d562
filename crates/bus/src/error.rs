//! Why a message was not sent, and whether it is worth trying again.

use seam::Fault;
use seam::legacy::NotAccepted;

/// A message that was not accepted, or of which that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BusError {
    /// True when the same message may be accepted later; false when somebody must act first.
    pub later: bool,
    /// What happened, the queue, and the next move. Never holds a token.
    pub text: String,
}

impl BusError {
    pub(crate) fn never(text: String) -> BusError {
        BusError { later: false, text }
    }

    pub(crate) fn later(text: String) -> BusError {
        BusError { later: true, text }
    }

    /// What the refusal of a message to `queue` means.
    pub(crate) fn not_accepted(queue: &str, cause: &NotAccepted) -> BusError {
        let (status, detail) = match cause {
            NotAccepted::Refused { status, detail } => (*status, detail),
            NotAccepted::Fault(fault @ Fault::NotSent(_)) => {
                return BusError::later(format!("no message to queue `{queue}`: {fault}"));
            }
            NotAccepted::Fault(fault @ Fault::PerhapsDone(_)) => {
                let text = format!("a message to queue `{queue}` may have arrived: {fault}");
                return BusError::later(text);
            }
        };

        let refused = format!("queue `{queue}` did not accept a message ({status} {detail})");
        match status {
            400 => BusError::never(format!(
                "{refused}; the queue must not require sessions, see the queues in `infra`"
            )),
            401 => BusError::never(format!(
                "{refused}; grant the role `Azure Service Bus Data Sender` on the queue to the \
                 managed identity"
            )),
            403 => BusError::never(format!(
                "{refused}; either the queue is full, or the managed identity lacks the role \
                 `Azure Service Bus Data Sender` on it"
            )),
            404 | 410 => BusError::never(format!(
                "there is no queue `{queue}` in the namespace ({status} {detail}); create it, \
                 one queue for each function"
            )),
            408 | 429 | 500.. => BusError::later(refused),
            200..300 => BusError::later(format!(
                "{refused}; only 201 is an acceptance, something between us and the namespace \
                 answered"
            )),
            _ => BusError::never(format!("{refused}; check the address of the namespace")),
        }
    }
}
