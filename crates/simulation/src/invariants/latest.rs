//! A version that did not pass its gate is never *latest* in any region, however Azure resolves the
//! flags; and no sweep that meets one which somebody else offers leaves it so.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::story::CLOCKS;
use super::{Fact, Invariant, Seen, may_be_offered};

/// Looks at the flags themselves, and at what is offered.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// What somebody else has offered; it is hidden again by a sweep.
    by_others: BTreeSet<(String, String)>,
    /// Since when each version is offered.
    since: BTreeMap<(String, String), DateTime<Utc>>,
}

impl Invariant for Latest {
    fn name(&self) -> &'static str {
        "an unproven version is never latest"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let is_there = |(image, number): &(String, String)| {
            Seen::version(seen.gallery, image, number).is_some()
        };
        self.by_others.retain(is_there);
        self.since.retain(|it, _| is_there(it));
        for (image, versions) in seen.gallery {
            for version in versions {
                let number = &version.number;
                let named = (image.clone(), number.clone());
                if !may_be_offered(version) {
                    self.by_others.remove(&named);
                    self.since.remove(&named);
                    continue;
                }
                self.since.entry(named.clone()).or_insert(seen.now);
                let before = Seen::version(seen.before, image, number);
                let is_new = before.is_none_or(|it| !may_be_offered(it));
                if is_new && seen.is_written_by_others(image, number) {
                    self.by_others.insert(named.clone());
                }
                let told = seen.story.version(image, number);
                let unproven = told.is_some_and(|it| it.opened.is_some() && it.passed.is_none());
                if unproven && !self.by_others.contains(&named) {
                    return Err(format!("{image} {number} has not passed, and may be offered"));
                }
            }
        }
        seen.facts().try_for_each(|fact| self.is_met(seen, &fact))
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            for version in versions.iter().filter(|it| may_be_offered(it)) {
                let number = &version.number;
                let told = seen.story.version(image, number);
                let condemned = told.and_then(|it| it.condemned);
                // What is no longer in the catalog no sweep looks at.
                let swept = seen.catalog.images.iter().any(|it| it.name.as_str() == image);
                if !swept && self.by_others.contains(&(image.clone(), number.clone())) {
                    continue;
                }
                if condemned.is_some_and(|(_, at)| !seen.is_young(at)) {
                    return Err(format!("{image} {number} was condemned, and is offered for ever"));
                }
            }
        }
        Ok(())
    }
}

impl Latest {
    /// What a sweep has met offered, and condemned, is neither kept so nor left so until it is deleted.
    fn is_met(&self, seen: &Seen<'_>, fact: &Fact<'_>) -> Result<(), String> {
        if fact.entry.value["by"] != "find_expired_versions" {
            return Ok(());
        }
        let kept = fact.body["kept"].as_object().into_iter().flatten().map(|(number, _)| number);
        let due = (fact.name == "retirementDue" && fact.text("stage") != "deprecate")
            .then(|| fact.version().to_owned());
        let image = fact.stream;
        for number in kept.chain(&due) {
            let condemned = seen.story.version(image, number).and_then(|it| it.condemned);
            let since = self.since.get(&(image.to_owned(), number.clone()));
            let (Some((_, condemned)), Some(since)) = (condemned, since) else { continue };
            let there = Seen::version(seen.gallery, image, number);
            let is_going = there.is_none_or(|it| it.state == "Deleting");
            if !is_going && condemned.max(*since) + CLOCKS < fact.said_at() {
                return Err(format!(
                    "{image} {number} was condemned, and a sweep leaves it offered"
                ));
            }
        }
        Ok(())
    }
}
