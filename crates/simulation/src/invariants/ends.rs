//! What was begun comes to its end: every run, every retirement, and what people and children are to
//! be told. What is open is read off the entries alone: a fold that forgets it would not look for it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Fact, Invariant, Seen};

/// What was begun and has not ended, by stream and what it is about.
#[derive(Debug, Default)]
pub(super) struct Ends {
    open: BTreeMap<(String, What), Begun>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Retirement(String),
    Children(String),
    Notice(u64),
}

#[derive(Debug)]
struct Begun {
    at: DateTime<Utc>,
    /// The entries that want a step of it.
    seqs: BTreeSet<u64>,
    /// Azure has been asked for it.
    asked: bool,
}

impl Invariant for Ends {
    fn name(&self) -> &'static str {
        "what was begun ends"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            let (seq, at) = (fact.entry.seq, fact.entry.at);
            if let Some(what) = begun(&fact) {
                let of = (fact.stream.to_owned(), what);
                // A sweep that begins it has found that nobody does anything.
                if fact.name == "retirementDue"
                    && let Some(begun) = self.open.get(&of).filter(|it| !it.asked)
                {
                    let (stream, what) = of;
                    return Err(format!("{stream}: {what:?} was begun {}, and is again", begun.at));
                }
                self.open.insert(of, Begun { at, seqs: BTreeSet::from([seq]), asked: false });
            }
            if let Some(what) = ended(&fact) {
                self.open.remove(&(fact.stream.to_owned(), what));
            }
            let retirement = What::Retirement(fact.version().to_owned());
            if fact.name == "retirementRequested"
                && let Some(begun) = self.open.get_mut(&(fact.stream.to_owned(), retirement))
            {
                begun.seqs.insert(seq);
                begun.asked = true;
            }
            if fact.name == "stepFailed" {
                self.open.retain(|(stream, what), begun| {
                    if *stream != fact.stream || !is_given_up(what, begun, &fact) {
                        return true;
                    }
                    // That nobody gets what is condemned is never given up, but tried again later.
                    begun.seqs.insert(seq);
                    begun.asked = false;
                    is_condemned(seen, stream, what)
                });
            }
        }
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        // In a year nobody approves what waits until somebody does.
        if seen.calm.is_none() {
            return Ok(());
        }
        let told = &seen.story.images;
        let runs = told.iter().flat_map(|(image, it)| {
            let runs = it.building.iter().chain(&it.releasing);
            runs.filter_map(move |run| Some((image, run, it.versions.get(run)?.opened_at?)))
        });
        let mut runs = runs.filter(|(.., at)| !seen.is_young(*at));
        if let Some((image, run, at)) = runs.next() {
            return Err(format!("{image}: the run of {run} is open since {at}"));
        }
        let mut open = self.open.iter().filter(|(_, it)| !seen.is_young(it.at));
        match open.next() {
            Some(((stream, what), it)) => {
                Err(format!("{stream}: {what:?} is open since {}", it.at))
            }
            None => Ok(()),
        }
    }
}

/// What an event begins.
fn begun(fact: &Fact<'_>) -> Option<What> {
    match fact.name {
        // Nobody is to get what is condemned, from that entry on.
        "retirementDue" | "versionRevoked" | "imageRejected" => {
            Some(What::Retirement(fact.version().to_owned()))
        }
        "childrenDue" => Some(What::Children(fact.version().to_owned())),
        "noticeDue" => Some(What::Notice(fact.entry.seq)),
        _ => None,
    }
}

/// What an event ends.
fn ended(fact: &Fact<'_>) -> Option<What> {
    match fact.name {
        "retirementRefused" | "versionDeprecated" | "versionTrimmed" | "versionDeleted" => {
            Some(What::Retirement(fact.version().to_owned()))
        }
        "childrenTold" => Some(What::Children(fact.version().to_owned())),
        "peopleTold" => Some(What::Notice(fact.body["seq"].as_u64()?)),
        _ => None,
    }
}

fn is_condemned(seen: &Seen<'_>, stream: &str, what: &What) -> bool {
    let What::Retirement(number) = what else { return false };
    seen.story.version(stream, number).is_some_and(|it| it.condemned.is_some())
}

/// Whether a step of it can never succeed.
fn is_given_up(what: &What, begun: &Begun, fact: &Fact<'_>) -> bool {
    let retires = ["deprecate_version", "trim_version", "delete_version", "follow_version"];
    let function = fact.text("function");
    let is_its = match what {
        What::Retirement(_) => retires.contains(&function),
        What::Children(_) => function == "receive_events",
        What::Notice(_) => function == "notify",
    };
    is_its && fact.body["seq"].as_u64().is_some_and(|it| begun.seqs.contains(&it))
}
