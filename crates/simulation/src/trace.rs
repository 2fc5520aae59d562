//! What happened in a seed, a line at a time: the digest of all lines, which proves that two runs
//! were the same, and the lines themselves for whoever wants to read them.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The lines of one seed. Clones write to the same trace.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    digest: Sha256,
    /// Nothing is kept when nobody reads it.
    kept: Option<Vec<String>>,
    line: String,
}

impl Trace {
    /// An empty trace that keeps its lines when `keeps`.
    pub fn new(keeps: bool) -> Trace {
        let kept = keeps.then(Vec::new);
        let lines = Lines { digest: Sha256::new(), kept, line: String::new() };
        Trace(Arc::new(Mutex::new(lines)))
    }

    /// Writes a line: when, what kind of thing, and what.
    pub fn say(&self, at: DateTime<Utc>, kind: &str, what: std::fmt::Arguments<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = &mut *lines;
        lines.line.clear();
        let _ = write!(lines.line, "{} {kind:<9} {what}", at.format("%m-%d %H:%M:%S%.3f"));
        lines.digest.update(lines.line.as_bytes());
        lines.digest.update(b"\n");
        if let Some(kept) = &mut lines.kept {
            kept.push(lines.line.clone());
        }
    }

    /// The SHA-256 of all lines so far, in hex.
    pub fn digest(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        HEXLOWER.encode(&lines.digest.clone().finalize())
    }

    /// The lines, where they were kept.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.clone().unwrap_or_default()
    }
}
