//! The ledger folds to the same state from any prefix: entry by entry, after a rest as a snapshot, and
//! as the snapshots in the store say. The fold is what is looked at, so this is the one invariant that
//! calls it.

use std::collections::BTreeMap;

use rules::event::Event;
use rules::state::{Stamp, State};
use serde_json::Value;

use super::{Invariant, Seen};

/// By stream: its state so far.
#[derive(Debug, Default)]
pub(super) struct Fold {
    states: BTreeMap<String, State>,
    /// The state of each stream as it was when a snapshot may have been made of it.
    written: BTreeMap<(String, u64), String>,
}

impl Invariant for Fold {
    fn name(&self) -> &'static str {
        "the ledger folds to the same state"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (stream, entry) in &seen.entries {
            let state = self.states.remove(*stream).unwrap_or_default();
            let seq = entry.seq;
            let told = |error: String| format!("{stream}: entry {seq} does not fold: {error}");
            let at = entry.value["at"].as_str().and_then(|it| it.parse().ok());
            let stamp = Stamp { seq, at: at.unwrap_or_default() };
            let events: Vec<Event> = serde_json::from_value(entry.value["events"].clone())
                .map_err(|error| told(error.to_string()))?;
            let state = events.iter().try_fold(state, |state, event| state.after(stamp, event));
            let state = state.map_err(|wrong| told(wrong.to_string()))?;

            let written = serde_json::to_string(&state).map_err(|error| told(error.to_string()))?;
            let rested: State = serde_json::from_str(&written)
                .map_err(|error| told(format!("its state is not read again: {error}")))?;
            if rested != state {
                return Err(told("its state is another one after a rest".to_owned()));
            }
            if seq.is_multiple_of(ledger::SNAPSHOT_EVERY) {
                self.written.insert(((*stream).to_owned(), seq), written);
            }
            self.states.insert((*stream).to_owned(), state);
        }
        for (key, bytes) in seen.objects {
            let Some(name) = key.strip_prefix("heads/") else { continue };
            let name = name.rsplit('/').next().and_then(|it| it.strip_suffix(".json"));
            let stream = name.unwrap_or_default().to_owned();
            let snapshot: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let seq = snapshot["seq"].as_u64().unwrap_or(0);
            if let Some(written) = self.written.get(&(stream.clone(), seq))
                && serde_json::from_str(written).ok().as_ref() != Some(&snapshot["state"])
            {
                return Err(format!("{stream}: the snapshot of entry {seq} is another state"));
            }
        }
        Ok(())
    }

    fn rest(&mut self, _seen: &Seen<'_>) {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for (stream, seq) in self.written.keys() {
            newest.insert(stream.clone(), *seq);
        }
        self.written.retain(|(stream, seq), _| newest.get(stream) == Some(seq));
    }
}
