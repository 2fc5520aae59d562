//! What must always hold, looked at after every event by code that shares no line with the rules:
//! it reads the entries as JSON, Azure's own record of what is offered, and the writes that Azure
//! has taken.
//!
//! A new invariant is a file here that implements [`Invariant`], and a line in [`all`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use sandbox::azure::Offer;
use serde_json::Value;

use crate::record::{Entry, Write, Written};

mod chain;
mod latest;
mod numbers;
mod secrets;
mod triggers;

/// One thing that must always hold.
pub trait Invariant: Send {
    /// What it says, in a few words.
    fn name(&self) -> &'static str;

    /// Looks at what has happened since the last look.
    ///
    /// # Errors
    /// How it does not hold.
    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String>;

    /// Looks once more when the seed is over: nothing has gone wrong for days.
    ///
    /// # Errors
    /// How it does not hold.
    fn end(&mut self, _seen: &Seen<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// What an invariant sees.
#[derive(Debug)]
pub struct Seen<'a> {
    pub now: DateTime<Utc>,
    /// The catalog in force.
    pub catalog: &'a Catalog,
    /// Everything that was written so far.
    pub written: &'a Written,
    /// The entries that are new since the last look, in the order in which the store took them.
    pub entries: Vec<(&'a str, &'a Entry)>,
    /// The writes that are new since the last look.
    pub writes: &'a [Write],
    /// By image: where its versions are, and where *latest* may mean them.
    pub offers: &'a BTreeMap<String, Vec<Offer>>,
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
}

impl<'a> Seen<'a> {
    /// The events that are new since the last look.
    pub fn facts(&self) -> impl Iterator<Item = Fact<'a>> + '_ {
        self.entries.iter().flat_map(|(stream, entry)| {
            let events = entry.value["events"].as_array().into_iter().flatten();
            events.map(|body| {
                let name = body["event"].as_str().unwrap_or_default();
                Fact { stream, entry, name, body }
            })
        })
    }
}

/// All of them.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(latest::Latest::default()),
        Box::new(triggers::Triggers::default()),
        Box::new(numbers::Numbers::default()),
        Box::new(chain::Chain::default()),
        Box::new(secrets::Secrets),
    ]
}
