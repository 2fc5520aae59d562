//! A state that was folded before, so that a stream need not be read from its beginning.
//!
//! A snapshot is a guess: it is believed only when its shape is the one that this release writes
//! and the entry it speaks of is there with the hash it had; else the stream is folded anew.

use rules::state::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Stream, StreamName};

/// A snapshot is written with every entry whose number this divides.
pub const SNAPSHOT_EVERY: u64 = 16;

/// To be raised when an event means something else to the state than before: every older
/// snapshot is then ignored.
const SNAPSHOT_FORMAT: u32 = 3;

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    seq: u64,
    hash: &'a str,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    seq: u64,
    hash: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

/// The snapshot of `stream`; nothing when its state has no JSON form.
pub(crate) fn to_bytes(stream: &Stream) -> Option<Vec<u8>> {
    let Stream { head: seq, hash, state, .. } = stream;
    serde_json::to_vec(&Written { v: SNAPSHOT_FORMAT, seq: *seq, hash, state }).ok()
}

/// The stream as of a snapshot; nothing when this release would have written it differently.
/// A member that an older release did not know reads as absent, which is not what a fold gives:
/// so what was read must be what is written again, to the letter.
pub(crate) fn from_bytes(name: &StreamName, bytes: &[u8]) -> Option<Stream> {
    let Read { v, seq, hash, state: written } = serde_json::from_slice(bytes).ok()?;
    if v != SNAPSHOT_FORMAT || seq == 0 {
        return None;
    }
    let state: State = serde_json::from_str(written.get()).ok()?;
    let same = serde_json::to_string(&state).is_ok_and(|rewritten| rewritten == written.get());
    same.then(|| Stream { name: name.clone(), head: seq, hash, state })
}
