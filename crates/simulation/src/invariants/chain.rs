//! The ledger: entries follow one another without a gap, each with the hash of the one before, and
//! none is ever changed.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Invariant, Seen};

/// By stream: the number and the hash of its newest entry.
#[derive(Debug, Default)]
pub(super) struct Chain {
    heads: BTreeMap<String, (u64, String)>,
}

impl Invariant for Chain {
    fn name(&self) -> &'static str {
        "the ledger is whole"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        if let Some(what) = seen.written.tampered.first() {
            return Err(what.clone());
        }
        for (stream, entry) in &seen.entries {
            let (seq, hash) = self.heads.get(*stream).cloned().unwrap_or_default();
            if entry.seq != seq + 1 {
                return Err(format!("{stream}: entry {} follows {seq}", entry.seq));
            }
            if entry.value["prev"].as_str() != Some(&hash) {
                return Err(format!("{stream}: entry {} does not name the one before", entry.seq));
            }
            let digest = Sha256::digest(&entry.bytes);
            let hash = HEXLOWER.encode(&digest);
            self.heads.insert((*stream).to_owned(), (entry.seq, hash));
        }
        Ok(())
    }
}
