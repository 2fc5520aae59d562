//! What a step has found to be recorded in streams that are not its own.

use ledger::Stream;
use rules::event::Event;

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
