//! What must always hold, looked at after every event by code that shares no line with the rules:
//! it reads the entries as JSON, what there really is in Azure, and the writes that Azure has taken.
//!
//! What is wrong is laid at our door only where a write or an entry of ours made it so: somebody else
//! may hide a version, a person may take back the newest, and both are legal.
//!
//! A new invariant is a file here that implements [`Invariant`], and a line in [`all`].

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use sandbox::azure::{Azure, SeenVersion};
use sandbox::bus::Bus;
use sandbox::estate::Estate;
use sandbox::host::Activity;
use serde_json::Value;

use crate::fault::Faults;
use crate::record::{Entry, Write, Written};
use story::{Story, Target};

mod condemned;
pub mod story;

mod latest;
mod gate;
mod good;
mod references;
mod triggers;
mod reasons;
mod bases;
mod numbers;
mod rings;
mod foreign;
mod intents;
mod cap;
mod chain;
mod fold;
pub(crate) mod secrets;
mod remains;
mod ends;
mod woken;
mod dead_letters;

/// How long after its beginning something may still be under way where nothing goes wrong.
const PATIENCE: TimeDelta = TimeDelta::hours(24);

/// One thing that must always hold.
pub trait Invariant: Send {
    /// What it says, in a few words.
    fn name(&self) -> &'static str;

    /// Looks at what has happened since the last look.
    ///
    /// # Errors
    /// How it does not hold.
    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String>;

    /// Looks once more when nothing has gone wrong for hours: a seed goes on until this holds, for nine
    /// days at most.
    ///
    /// # Errors
    /// How it does not hold.
    fn end(&self, _seen: &Seen<'_>) -> Result<(), String> {
        Ok(())
    }

    /// Hears what the host does, which is nothing to most.
    fn hears(&mut self, _activity: &Activity) {}

    /// Forgets what is over: in a year there is more of it than fits into a memory, and a look must
    /// not cost more each time.
    fn rest(&mut self, _seen: &Seen<'_>) {}
}

/// By image: the versions that the gallery has.
pub type Gallery = BTreeMap<String, Vec<SeenVersion>>;

/// What an invariant sees.
#[derive(Debug)]
pub struct Seen<'a> {
    pub now: DateTime<Utc>,
    /// The catalog in force.
    pub catalog: &'a Catalog,
    pub estate: &'a Estate,
    /// Everything that was written so far.
    pub written: &'a Written,
    /// What the ledger has said so far.
    pub story: &'a Story,
    /// The entries that are new since the last look, in the order in which the store took them.
    pub entries: Vec<(&'a str, &'a Entry)>,
    /// What else is new in the store, by its key.
    pub objects: &'a [(String, Bytes)],
    /// The write that Azure has answered since the last look: one at most.
    pub writes: &'a [Write],
    /// What the gallery was just before that write.
    pub before: &'a Gallery,
    /// What it is.
    pub gallery: &'a Gallery,
    pub azure: &'a Azure,
    pub bus: &'a Bus,
    /// The dead letters that are new since the last look.
    pub dead: &'a [DeadLetter],
    pub faults: &'a Faults,
    /// Since when nothing goes wrong any more.
    pub calm: Option<DateTime<Utc>>,
}

/// A message that nobody could handle.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub at: DateTime<Utc>,
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// An event of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// The stream it is in: an image, or `_catalog`.
    pub stream: &'a str,
    pub entry: &'a Entry,
    /// `imageBuilt`
    pub name: &'a str,
    pub body: &'a Value,
}

impl Fact<'_> {
    /// The version that it is about, if it is about one.
    pub fn version(&self) -> &str {
        self.text("version")
    }

    /// A member that is text; empty without it.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// A member that is an instant.
    pub fn time(&self, member: &str) -> Option<DateTime<Utc>> {
        self.text(member).parse().ok()
    }

    /// When it happened by the clock of whoever says so.
    pub fn said_at(&self) -> DateTime<Utc> {
        self.entry.value["at"].as_str().and_then(|it| it.parse().ok()).unwrap_or(self.entry.at)
    }
}

/// The events of entries.
pub fn facts<'a>(entries: &[(&'a str, &'a Entry)]) -> impl Iterator<Item = Fact<'a>> {
    entries.iter().flat_map(|(stream, entry)| {
        let events = entry.value["events"].as_array().into_iter().flatten();
        events.map(|body| {
            let name = body["event"].as_str().unwrap_or_default();
            Fact { stream, entry, name, body }
        })
    })
}

impl<'a> Seen<'a> {
    /// The events that are new since the last look.
    pub fn facts(&self) -> impl Iterator<Item = Fact<'a>> {
        facts(&self.entries)
    }

    /// Whether what began then may still be under way: lately, and after everything that went wrong.
    fn is_young(&self, began: DateTime<Utc>) -> bool {
        self.now - began < PATIENCE && self.calm.is_none_or(|calm| calm < began)
    }

    /// Our new write, when Azure has done it.
    pub fn our_write(&self) -> Option<&'a Write> {
        self.writes.iter().find(|it| it.ours && it.has_happened())
    }

    /// Whether somebody else has just written a version.
    pub fn is_written_by_others(&self, image: &str, number: &str) -> bool {
        let others = self.writes.iter().filter(|it| !it.ours && it.has_happened());
        let wanted = Target::Version { image: image.to_owned(), number: number.to_owned() };
        others.map(|it| story::target(&it.path)).any(|it| it == wanted)
    }

    /// A version in the gallery.
    pub fn version(gallery: &'a Gallery, image: &str, number: &str) -> Option<&'a SeenVersion> {
        gallery.get(image)?.iter().find(|it| it.number == number)
    }
}

/// True when some way of resolving the flags offers the version: the global one may count, or any
/// region's own. A region without a flag of its own has no defence against one way alone
/// (`docs/live.md`), which no seed chooses.
fn may_be_offered(version: &SeenVersion) -> bool {
    !version.excluded || version.regions.values().any(|it| it.excluded == Some(false) || it.offered)
}

/// The parts of a number, to compare.
fn parts(number: &str) -> Vec<u64> {
    number.split('.').map(|it| it.parse().unwrap_or(0)).collect()
}

/// All of them.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(latest::Latest::default()),
        Box::new(gate::Gate),
        Box::new(good::Good::default()),
        Box::new(references::References::default()),
        Box::new(triggers::Triggers::default()),
        Box::new(reasons::Reasons::default()),
        Box::new(bases::Bases),
        Box::new(numbers::Numbers::default()),
        Box::new(rings::Rings::default()),
        Box::new(foreign::Foreign),
        Box::new(intents::Intents),
        Box::new(cap::Cap::default()),
        Box::new(chain::Chain::default()),
        Box::new(fold::Fold::default()),
        Box::new(secrets::Secrets),
        Box::new(remains::Remains),
        Box::new(ends::Ends::default()),
        Box::new(woken::Woken),
        Box::new(dead_letters::DeadLetters),
    ]
}
