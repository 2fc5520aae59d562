//! Recording: what a step says is appended to its own stream, and to those of others.

use ledger::{Stream, StreamName};
use rules::event::{Event, Outcome};
use rules::state::State;
use tracing::info;

use crate::context::Context;
use crate::dispatch::{App, Ill};
use crate::step::Failure;

/// What is appended to a stream: one entry after another. With none at all, what it owes is sent
/// again.
pub type Record = (Stream, Vec<Vec<Event>>);

/// Adds `more` to `records`, of which there is one for each stream: a second one would be overtaken
/// by the first.
pub(crate) fn merge(records: &mut Vec<Record>, more: impl IntoIterator<Item = Record>) {
    for (stream, mut entries) in more {
        match records.iter_mut().find(|(known, _)| known.name == stream.name) {
            Some((_, known)) => known.append(&mut entries),
            None => records.push((stream, entries)),
        }
    }
}

/// How often a step that was overtaken decides again before it waits its turn.
pub(crate) const DECISIONS: u32 = 3;

impl App {
    /// Appends what a step has to say to `stream`, whose state is `before`; returns the state that it
    /// was appended to. What was done on Azure is told even when another step was faster meanwhile:
    /// the rest of it where it still fits, and what became of the intent in any case. That nobody knows
    /// what became of it was true of the world before, and is decided again.
    ///
    /// # Errors
    /// [`Failure::Overtaken`] when it has to be decided again.
    pub(crate) async fn record(
        &self,
        cx: &Context,
        stream: &mut Stream,
        mut before: State,
        mut events: Vec<Event>,
    ) -> Result<State, Failure> {
        let is_outcome = |it: &Event| match it {
            Event::EffectSettled { outcome, .. } => !matches!(outcome, Outcome::Unknown { .. }),
            _ => false,
        };
        let mut whole = true;
        for _ in 0..DECISIONS {
            let appended = self.ledger.append(stream, cx.draft(events.clone())).await;
            match appended.map_err(Failure::from) {
                Ok(_) if whole => return Ok(before),
                Ok(_) => return Err(Failure::Overtaken),
                Err(Failure::Overtaken) if events.iter().any(is_outcome) => {
                    *stream = self.ledger.read(&stream.name).await?;
                    before = stream.state.clone();
                }
                // It does not follow from what the other step has recorded.
                Err(Failure::Never { .. }) if whole && events.iter().any(is_outcome) => {
                    events.retain(is_outcome);
                    whole = false;
                }
                Err(Failure::Never { .. }) if !whole => return Err(Failure::Overtaken),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Overtaken)
    }

    /// Appends to several streams. A stream that somebody else wrote to meanwhile is left as it is;
    /// then the answer is false, and whoever has no next tick decides again.
    pub(crate) async fn append_all(&self, cx: &Context, records: Vec<Record>) -> Result<bool, Ill> {
        let mut all = true;
        let mut sent = 0;
        for (mut stream, entries) in records {
            let again = entries.is_empty();
            let before = stream.state.clone();
            for events in entries {
                let appended = self.ledger.append(&mut stream, cx.draft(events)).await;
                match appended.map_err(Failure::from) {
                    Ok(_) => {}
                    Err(Failure::Ledger(why)) => return Err(Ill(why)),
                    Err(failure) => {
                        info!(function = cx.by, "Left for another time: {failure:?}");
                        all = false;
                        break;
                    }
                }
            }
            if let StreamName::Image(image) = &stream.name {
                let image = image.clone();
                sent += match again {
                    true => self.send_again(cx, &image, &stream.state, sent).await?,
                    false => self.send_spaced(cx, &image, &before, &stream.state, sent).await?,
                };
            }
        }
        Ok(all)
    }
}
