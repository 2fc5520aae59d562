//! A version is never deprecated, trimmed or deleted if that leaves an image or a region without its
//! configured number of good versions.
//!
//! The main problem is time: what a step has read may change before its write arrives, by somebody
//! else, by a person, by Azure itself. So a version counts that was good at any time since the step
//! began, unless we ourselves have taken it away.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rules::catalog::Image as Policy;
use sandbox::azure::SeenVersion;

use super::condemned::Condemned;
use super::story::{Target, Version, target};
use super::{Invariant, PATIENCE, Seen};

/// An image, and a version of it.
type Named = (String, String);

/// Since when each version is good where it is, and until when it was.
#[derive(Debug, Default)]
pub(super) struct Good {
    now: BTreeMap<Named, BTreeMap<String, DateTime<Utc>>>,
    lost: BTreeMap<(Named, String), Lost>,
    condemned: Condemned,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    at: DateTime<Utc>,
    since: DateTime<Utc>,
    by_us: bool,
}

impl Invariant for Good {
    fn name(&self) -> &'static str {
        "the last good versions stay"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        self.condemned.remember(seen);
        let write = seen.our_write();
        let written = write.and_then(|it| match target(&it.path) {
            Target::Version { image, number } => Some((image, number)),
            _ => None,
        });
        let good = good(seen);
        let mut taken = BTreeSet::new();
        for (named, regions) in &self.now {
            for (region, since) in regions {
                if !good.get(named).is_some_and(|it| it.contains(region)) {
                    // A person may condemn it at the very moment at which we write.
                    let told = seen.story.version(&named.0, &named.1);
                    let condemned = told.is_some_and(|it| it.condemned.is_some())
                        || self.condemned.contains(named, seen.now);
                    let by_us = written.as_ref() == Some(named) && !condemned;
                    let lost = Lost { at: seen.now, since: *since, by_us };
                    self.lost.insert((named.clone(), region.clone()), lost);
                    if by_us {
                        taken.insert(region.clone());
                    }
                }
            }
        }
        let before = std::mem::take(&mut self.now);
        for (named, regions) in good {
            let known = before.get(&named);
            let since = |region: &String| known.and_then(|it| it.get(region)).copied();
            let regions = regions.into_iter().map(|it| {
                let since = since(&it).unwrap_or(seen.now);
                (it, since)
            });
            self.now.insert(named, regions.collect());
        }
        let (Some(write), Some(named)) = (write, written) else { return Ok(()) };
        if taken.is_empty() {
            return Ok(());
        }
        let Some((_, intent)) = seen.story.intent_of(write) else { return Ok(()) };
        let Some(catalog) = seen.story.catalog(&intent.policy) else { return Ok(()) };
        let policy = catalog.images.iter().find(|it| it.name.as_str() == named.0);
        let Some(policy) = policy else { return Ok(()) };
        self.enough(&named, &taken, policy, intent.began())
    }

    fn rest(&mut self, seen: &Seen<'_>) {
        // A step that began before that has ended.
        self.lost.retain(|_, lost| seen.now - lost.at < PATIENCE);
    }
}

impl Good {
    /// Whether enough is left of the image and of each of its regions, since `began`.
    fn enough(
        &self,
        named: &Named,
        taken: &BTreeSet<String>,
        policy: &Policy,
        began: DateTime<Utc>,
    ) -> Result<(), String> {
        let keep = policy.retention.keep.max(1) as usize;
        let wanted: BTreeSet<&str> =
            policy.rings.iter().flat_map(|it| &it.regions).map(|it| it.as_str()).collect();
        let (image, number) = named;
        let was_good_when_it_began = |region: &String| {
            let lost = self.lost.get(&(named.clone(), region.clone()));
            lost.is_some_and(|it| it.since <= began)
        };
        let still_somewhere = self.now.contains_key(named);
        for region in taken.iter().filter(|it| was_good_when_it_began(it)) {
            let left = self.others(named, Some(region), began);
            if wanted.contains(region.as_str()) && left < keep {
                return Err(format!(
                    "{image} {number} goes from {region}, and leaves {left} of {keep} good versions"
                ));
            }
            let left = self.others(named, None, began);
            if !still_somewhere && left < keep {
                return Err(format!(
                    "{image} {number} goes, and leaves {left} of {keep} good versions"
                ));
            }
        }
        Ok(())
    }

    /// How many other versions were good in `region`, or anywhere, since `began`.
    fn others(&self, but: &Named, region: Option<&String>, began: DateTime<Utc>) -> usize {
        let counts = |named: &Named| named.0 == but.0 && named != but;
        let now = self
            .now
            .iter()
            .filter(|(named, _)| counts(named))
            .filter(|(_, it)| region.is_none_or(|region| it.contains_key(region)))
            .map(|(named, _)| &named.1);
        let lately = self
            .lost
            .iter()
            .filter(|((named, _), _)| counts(named))
            .filter(|((_, it), _)| region.is_none_or(|region| it == region))
            .filter(|(_, lost)| lost.at >= began && !lost.by_us)
            .map(|((named, _), _)| &named.1);
        now.chain(lately).collect::<BTreeSet<&String>>().len()
    }
}

/// Where each version is good: the gallery has it whole, its replication is Completed, and it was
/// released, not condemned and not deprecated.
fn good(seen: &Seen<'_>) -> BTreeMap<Named, BTreeSet<String>> {
    let mut good = BTreeMap::new();
    for (image, versions) in seen.gallery {
        let policy = seen.catalog.images.iter().find(|it| it.name.as_str() == image);
        let adopts = policy.is_some_and(|it| it.retention.adopt);
        for version in versions {
            // What is being changed comes back.
            if !matches!(version.state.as_str(), "Succeeded" | "Updating") {
                continue;
            }
            let told = seen.story.version(image, &version.number);
            let regions = match told.filter(|it| it.opened.is_some()) {
                Some(told) => of_a_run(seen, image, version, told),
                None => of_before(image, version, told, adopts),
            };
            if !regions.is_empty() {
                good.insert((image.clone(), version.number.clone()), regions);
            }
        }
    }
    good
}

/// A version that we made. While its run is under way its later rings may never come.
fn of_a_run(
    seen: &Seen<'_>,
    image: &str,
    version: &SeenVersion,
    told: &Version,
) -> BTreeSet<String> {
    if told.condemned.is_some()
        || told.deprecated
        || told.rings.is_empty()
        || is_tagged_old(version)
    {
        return BTreeSet::new();
    }
    let under_way = seen.story.images[image].releasing.as_ref() == Some(&version.number);
    let there = version.regions.iter().filter(|(_, it)| it.completed);
    // Somebody else may have offered it in their own way, with the global flag alone.
    let is_offered = |flag: Option<bool>| !flag.unwrap_or(version.excluded);
    let has_it = |region: &String| {
        told.rings.keys().any(|it| told.plan.get(*it).is_some_and(|it| it.regions.contains(region)))
    };
    let good = there.filter(|(region, it)| !under_way || has_it(region) && is_offered(it.excluded));
    good.map(|(region, _)| region.clone()).collect()
}

/// A version that was there before the ledger.
fn of_before(
    image: &str,
    version: &SeenVersion,
    told: Option<&Version>,
    adopts: bool,
) -> BTreeSet<String> {
    let is_ours = version.tags.get("goldsmith-image").is_some_and(|it| it == image);
    let is_over = told.is_some_and(|it| it.condemned.is_some() || it.deprecated);
    let is_released = version
        .tags
        .get("goldsmith-version-state")
        .map_or(!version.excluded, |it| it == "released");
    if is_over || !is_released || !(is_ours || adopts) {
        return BTreeSet::new();
    }
    let there = version.regions.iter().filter(|(_, it)| it.completed);
    there.map(|(region, _)| region.clone()).collect()
}

/// We say of it on Azure that it is not offered any more.
fn is_tagged_old(version: &SeenVersion) -> bool {
    let standing = version.tags.get("goldsmith-version-state");
    standing.is_some_and(|it| it == "deprecated" || it == "trimmed")
}
