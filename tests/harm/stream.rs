//! A stream of the ledger, read from its files: numbers, hashes, events. Nothing here is the
//! product's own reading of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The images of the catalog in this folder.
pub(crate) const IMAGES: [&str; 2] = ["base", "app"];

/// One event, with what its entry says.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) seq: u64,
    pub(crate) at: String,
    pub(crate) event: Value,
}

impl Happened {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.event["event"] == name
    }

    /// A member that is a text; empty without it.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.event[member].as_str().unwrap_or_default()
    }
}

/// The events of a stream, and what is wrong with its files.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) events: Vec<Happened>,
    pub(crate) faults: Vec<String>,
}

impl Stream {
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Happened> {
        let name = name.to_owned();
        self.events.iter().filter(move |it| it.is(&name))
    }
}

/// Where the streams lie.
pub(crate) fn ledger(state: &Path) -> PathBuf {
    state.join("blobs/goldsmith/goldsmith/ledger/tailspin")
}

/// The file of entry `seq` of `image`.
pub(crate) fn entry(state: &Path, image: &str, seq: u64) -> PathBuf {
    ledger(state).join(image).join(format!("{seq:010}.json"))
}

/// The files of a stream, by number.
pub(crate) fn files(state: &Path, name: &str) -> BTreeMap<u64, PathBuf> {
    let Ok(folder) = fs::read_dir(ledger(state).join(name)) else { return BTreeMap::new() };
    let files = folder.flatten().map(|it| it.path());
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    files.filter_map(|path| Some((number(&path)?, path))).collect()
}

/// Reads a stream; `_catalog` is the catalog's own.
pub(crate) fn read(state: &Path, name: &str) -> Stream {
    let mut stream = Stream::default();
    let mut before = String::new();
    let Ok(folder) = fs::read_dir(ledger(state).join(name)) else { return stream };
    let mut names: Vec<String> =
        folder.flatten().map(|it| it.file_name().into_string().unwrap()).collect();
    names.sort();
    for (index, file) in names.iter().enumerate() {
        let seq = index as u64 + 1;
        if *file != format!("{seq:010}.json") {
            stream.faults.push(format!("{name}: `{file}` stands where entry {seq} is expected"));
            return stream;
        }
        let bytes = fs::read(ledger(state).join(name).join(file)).unwrap();
        let entry: Value = match serde_json::from_slice(&bytes) {
            Ok(entry) => entry,
            Err(error) => {
                stream.faults.push(format!("{name} {seq}: no JSON ({error})"));
                return stream;
            }
        };
        if entry["prev"] != before.as_str() {
            stream.faults.push(format!("{name} {seq}: `prev` is not the hash before"));
        }
        before = Sha256::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
        let at = entry["at"].as_str().unwrap_or_default().to_owned();
        for event in entry["events"].as_array().into_iter().flatten() {
            stream.events.push(Happened { seq, at: at.clone(), event: event.clone() });
        }
    }
    stream
}
