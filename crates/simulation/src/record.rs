//! What really happened, written down where it cannot be missed: every entry as the store holds it,
//! every write as Azure has taken it, and what it said of replication. The invariants read this, and
//! the code they check never does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;

/// An entry of a stream, as JSON: whoever checks the rules must not read it with their types.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: u64,
    /// When the store took it.
    pub at: DateTime<Utc>,
    pub bytes: bytes::Bytes,
    pub value: Value,
}

/// A write that Azure has taken.
#[derive(Clone, Debug)]
pub struct Write {
    pub at: DateTime<Utc>,
    pub method: http::Method,
    /// The resource's id, in lower case.
    pub path: String,
    pub body: Value,
    /// The status of the answer.
    pub status: u16,
    /// Whether our app sent it, by its user agent.
    pub ours: bool,
    /// The invocation that sent it, by `x-ms-client-request-id`.
    pub invocation: String,
}

impl Write {
    /// Whether Azure has done anything: 204 says that there was nothing to delete.
    pub fn has_happened(&self) -> bool {
        (200..300).contains(&self.status) && self.status != 204
    }
}

/// The record of one seed. Clones write to the same.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Written>>);

/// What is in a record.
#[derive(Debug, Default)]
pub struct Written {
    /// By the stream's name, oldest first.
    pub streams: BTreeMap<String, Vec<Entry>>,
    pub writes: Vec<Write>,
    /// What Azure said of the replication of each version, by its id in lower case, to each region.
    pub replication: BTreeMap<String, BTreeMap<String, Replication>>,
    /// Whatever else was put into the store, by its key, in this order.
    pub objects: Vec<(String, bytes::Bytes)>,
    /// Grows whenever something is written.
    pub changes: u64,
    /// Entries that were not new: overwritten or deleted.
    pub tampered: Vec<String>,
    /// How often each event happened, by its name in the ledger, and how often each operation was
    /// accepted.
    pub happened: BTreeMap<String, u64>,
    /// How many entries each stream has, and the runs that they have opened.
    pub lengths: BTreeMap<String, Length>,
}

/// What Azure said of the replication of a version to a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// When it was last called Completed.
    pub completed: Option<DateTime<Utc>>,
    /// Whether it was called something else since.
    pub is_unfinished: bool,
}

/// How long a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub entries: u64,
    pub runs: u64,
}

impl Record {
    /// What is written so far.
    pub fn read(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object was written to the ledger's store.
    pub fn stored(&self, key: &str, bytes: &bytes::Bytes, at: DateTime<Utc>) {
        if !key.starts_with("ledger/") {
            self.read().objects.push((key.to_owned(), bytes.clone()));
            return;
        }
        let mut parts = key.split('/').skip_while(|it| *it != "ledger");
        let (Some(_), Some(_), Some(stream), Some(file), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let Some(seq) = file.strip_suffix(".json").and_then(|it| it.parse().ok()) else { return };
        let value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let mut written = self.read();
        written.changes += 1;
        let length = written.lengths.entry(stream.to_owned()).or_default();
        // The store creates an entry once: only a number that the stream has had can be one again.
        if seq <= length.entries {
            written.tampered.push(format!("{key} was written twice"));
            return;
        }
        length.entries = seq;
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let events: Vec<&Value> = value["events"].as_array().into_iter().flatten().collect();
        let names: Vec<String> = events.iter().map(|it| text(&it["event"])).collect();
        let done = events.iter().filter(|it| it["outcome"]["kind"] == "accepted");
        let done: Vec<String> = done.map(|it| text(&it["operation"])).collect();
        length.runs += names.iter().filter(|it| *it == "runOpened").count() as u64;
        for name in names.into_iter().chain(done) {
            *written.happened.entry(name).or_default() += 1;
        }
        let entries = written.streams.entry(stream.to_owned()).or_default();
        entries.push(Entry { seq, at, bytes: bytes.clone(), value });
    }

    /// Azure answered a write.
    pub fn wrote(&self, write: Write) {
        let mut written = self.read();
        written.changes += 1;
        written.writes.push(write);
    }

    /// Azure said `body` of the resource at `path`.
    pub fn said(&self, path: &str, body: &Value, at: DateTime<Utc>) {
        let Some(told) = body["properties"]["replicationStatus"]["summary"].as_array() else {
            return;
        };
        let mut written = self.read();
        let regions = written.replication.entry(path.to_ascii_lowercase()).or_default();
        for region in told {
            let name = region["region"].as_str().unwrap_or_default();
            let name = name.replace(' ', "").to_ascii_lowercase();
            let told = regions.entry(name).or_default();
            told.is_unfinished = region["state"] != "Completed";
            if !told.is_unfinished {
                told.completed = Some(at);
            }
        }
    }

    /// Forgets what every onlooker has seen: all but the newest entry of each stream, and what
    /// others have written.
    pub fn forget(&self) {
        let mut written = self.read();
        for entries in written.streams.values_mut() {
            entries.drain(..entries.len().saturating_sub(1));
        }
        written.writes.retain(|it| !it.ours);
        written.replication.clear();
        written.objects.clear();
    }

    /// How often something was written.
    pub fn changes(&self) -> u64 {
        self.read().changes
    }
}
