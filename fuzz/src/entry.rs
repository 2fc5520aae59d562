//! Entries of the ledger, one on each line, in whatever order: what can be read can be folded, told
//! and written again.

use chrono::TimeDelta;
use ledger::Entry;
use rules::event::Event;
use rules::state::{Stamp, State};

use super::script::noon;

pub(crate) fn entry(bytes: &[u8]) {
    let mut state = State::default();
    for (line, seq) in bytes.split(|it| *it == b'\n').take(64).zip(1..) {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
        let written = serde_json::to_vec(&entry).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Entry>(&written).ok().as_ref(), Some(&entry));
        for event in &entry.events {
            told(event, &entry.by);
            let stamp = Stamp { seq, at: entry.at };
            if let Ok(after) = state.clone().after(stamp, event) {
                state = after;
            }
        }
        looked_at(&state);
    }
    let written = serde_json::to_vec(&state).expect("a state can be written");
    assert_eq!(serde_json::from_slice::<State>(&written).ok(), Some(state));
}

/// What a person reads of it.
fn told(event: &Event, by: &str) {
    let sentence = cli::story::sentence(event, by);
    let _ = (cli::story::weight(event), cli::story::version(event));
    let _ = cli::page::wrap(80, "head", 2, &sentence);
}

/// What handlers and commands ask of a state.
fn looked_at(state: &State) {
    let now = noon() + TimeDelta::days(1);
    for wake in state.wants() {
        let task = &wake.task;
        assert!(state.wanted(task.seq, task.function, task.generation).is_some());
    }
    let _ = (state.overdue(now), state.is_quiet(), state.newest_run());
    for target in state.intents.keys() {
        let _ = state.claim(target, now);
    }
}
