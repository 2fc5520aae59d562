//! At most one building and one releasing run per image; one run publishes at most one version; a
//! number is never used twice.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::story::{Target, target};
use super::{Invariant, Seen, parts};

/// What is known of each image.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By image: the numbers that the gallery has ever had, and when each was published.
    ever: BTreeMap<String, BTreeMap<String, DateTime<Utc>>>,
    /// By image: the numbers that the ledger has named, also those that a sweep has met.
    named: BTreeMap<String, BTreeSet<String>>,
    building: BTreeMap<String, String>,
    releasing: BTreeMap<String, String>,
    opened: BTreeSet<(String, String)>,
    /// The templates whose run Azure has begun.
    ran: BTreeSet<String>,
}

impl Invariant for Numbers {
    fn name(&self) -> &'static str {
        "one building and one releasing run, each number once"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            let (image, version) = (fact.stream, fact.version().to_owned());
            let named = self.named.entry(image.to_owned()).or_default();
            named
                .extend(fact.body["kept"].as_object().into_iter().flatten().map(|it| it.0.clone()));
            if fact.name != "runOpened" {
                named.insert(version.clone());
            }
            let slot = match fact.name {
                "runOpened" => {
                    let above =
                        self.known(seen, image).find(|it| parts(it) >= parts(&version)).cloned();
                    if !self.opened.insert((image.to_owned(), version.clone())) {
                        return Err(format!("{image} uses {version} a second time"));
                    }
                    if let Some(other) = above {
                        return Err(format!("{image} uses {version}, and has had {other}"));
                    }
                    // Somebody else's, which came and went before anybody of us had met it.
                    if let Some(ever) = self.ever.get_mut(image) {
                        ever.remove(&version);
                    }
                    &mut self.building
                }
                "gatePassed" => {
                    self.building.remove(image);
                    &mut self.releasing
                }
                "buildFailed" | "imageRejected" | "runSuperseded" | "runReleased" | "runFailed"
                | "versionRevoked" | "stepFailed" => {
                    // What the run of a failed step was, the story knows.
                    let told = &seen.story.images[image];
                    let slots = [(&mut self.building, &told.building)];
                    for (slot, now) in
                        slots.into_iter().chain([(&mut self.releasing, &told.releasing)])
                    {
                        let is_over = now.as_ref() != slot.get(image);
                        if slot.get(image) == Some(&version) || fact.name == "stepFailed" && is_over
                        {
                            slot.remove(image);
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            if let Some(other) = slot.insert(image.to_owned(), version.clone()) {
                return Err(format!("{image} has a run of {version} beside one of {other}"));
            }
        }
        self.publications(seen)?;
        self.runs(seen)
    }
}

impl Numbers {
    /// The numbers that the gallery has had, as far as anybody can know: those that are there, and
    /// those that the ledger has named.
    fn known<'a>(&'a self, seen: &'a Seen<'_>, image: &'a str) -> impl Iterator<Item = &'a String> {
        let ever = self.ever.get(image).into_iter().flat_map(BTreeMap::keys);
        ever.filter(move |it| {
            let named = self.named.get(image).is_some_and(|named| named.contains(*it));
            named || Seen::version(seen.gallery, image, it).is_some()
        })
    }

    /// What the gallery has got: nothing that no run was opened for, and nothing twice.
    fn publications(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            let first = !self.ever.contains_key(image);
            let ever = self.ever.entry(image.clone()).or_default();
            for version in versions {
                let number = &version.number;
                match ever.insert(number.clone(), version.published) {
                    Some(published) if published != version.published => {
                        return Err(format!("{image} {number} was published a second time"));
                    }
                    None if !first && !self.opened.contains(&(image.clone(), number.clone())) => {
                        return Err(format!("{image} {number} was published by no run"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A template is run once: a second run would publish again.
    fn runs(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(write) = seen.our_write().filter(|it| it.path.ends_with("/run")) else {
            return Ok(());
        };
        let Target::Template { name } = target(&write.path) else { return Ok(()) };
        match self.ran.insert(name.clone()) {
            true => Ok(()),
            false => Err(format!("template {name} was run a second time")),
        }
    }
}
