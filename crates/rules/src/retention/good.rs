//! Which versions of an image are good, and where: those that retention never touches.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Provisioned, RegionFacts, VersionFacts};
use crate::catalog::Retention;
use crate::standing::Standing;
use crate::{Region, VersionNumber};

/// The good versions of the image: as a whole, and in each wanted region.
pub(super) struct Good {
    keep: usize,
    /// Newest first. `None` stands for the image as a whole: it still has good versions when the
    /// catalog has just moved it to regions that have none yet.
    of: BTreeMap<Option<Region>, Vec<Candidate>>,
}

/// A version that is good in a region, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    number: VersionNumber,
    /// False: nobody can say yet whether it is replicated there, or somebody else has hidden it.
    sure: bool,
}

impl Good {
    pub(super) fn of(policy: &Retention, facts: &Facts) -> Good {
        let scopes = facts.wanted_regions.iter().cloned().map(Some).chain([None]);
        let of = scopes.map(|scope| {
            let mut candidates: Vec<Candidate> = facts
                .versions
                .iter()
                .filter_map(|version| {
                    let sure = is_good(policy, version, scope.as_ref())?;
                    Some(Candidate { number: version.number, sure })
                })
                .collect();
            candidates.sort_by(|left, right| right.cmp(left));
            (scope, candidates)
        });
        Good { keep: policy.keep.max(1) as usize, of: of.collect() }
    }

    /// The good versions that are kept, over all scopes.
    pub(super) fn staying(&self) -> BTreeSet<VersionNumber> {
        self.of.values().flat_map(|it| self.newest(it)).map(|it| it.number).collect()
    }

    /// The newest of `candidates`: as many sure ones as are kept, and whoever may be good before
    /// them. Only what is sure makes another one needless.
    fn newest<'a>(&self, candidates: &'a [Candidate]) -> &'a [Candidate] {
        let sure = candidates.iter().enumerate().filter(|(_, it)| it.sure);
        let last = sure.map(|(place, _)| place).nth(self.keep - 1);
        &candidates[..last.map_or(candidates.len(), |it| it + 1)]
    }

    /// Why `number` is never touched, if it is one of those that stay.
    pub(super) fn protects(&self, number: VersionNumber) -> Option<String> {
        let protecting = |candidates: &Vec<Candidate>| {
            self.newest(candidates).iter().find(|it| it.number == number).map(|it| it.sure)
        };
        let in_regions = |wanted: bool| {
            let found = self.of.iter().filter(|(_, it)| protecting(it) == Some(wanted));
            let names = found.filter_map(|(scope, _)| scope.as_ref().map(Region::as_str));
            names.collect::<Vec<_>>().join(", ")
        };
        let keep = self.keep;
        let (sure, perhaps) = (in_regions(true), in_regions(false));
        let newest = format!("among the {keep} newest good versions");
        let unclear = "where it is hidden, or its replication neither Completed nor Failed";
        if !sure.is_empty() {
            return Some(format!("it is {newest} in {sure}"));
        }
        if !perhaps.is_empty() {
            return Some(format!("it may be {newest} in {perhaps}, {unclear}"));
        }
        let of_image = self.of.get(&None).and_then(protecting)?;
        Some(match of_image {
            true => format!("it is {newest} of the image"),
            false => format!("it may be {newest} of the image, {unclear}"),
        })
    }

    /// Where `version` is, and good ones are fewer than wanted; apart from `home`, if given.
    pub(super) fn is_short_without(
        &self,
        version: &VersionFacts,
        home: Option<&Region>,
    ) -> Vec<String> {
        let is_there = |region: &Region| {
            version.regions.get(region).is_some_and(|it| it.completed) && Some(region) != home
        };
        let sure = |candidates: &Vec<Candidate>| candidates.iter().filter(|it| it.sure).count();
        let short = self.of.iter().filter(|(scope, candidates)| {
            let counts = match scope {
                Some(region) => is_there(region),
                None => home.is_none(),
            };
            counts && sure(candidates) < self.keep
        });
        let sentence = |(scope, candidates): (&Option<Region>, &Vec<Candidate>)| {
            let (place, count) =
                (scope.as_ref().map_or("the image", Region::as_str), sure(candidates));
            format!("{place} has only {count} of the {} good versions to keep", self.keep)
        };
        short.map(sentence).collect()
    }
}

/// Whether `version` is good in a region, or without one in any, surely or perhaps. A version
/// whose run is still under way is good only where it is offered already: its later rings may never
/// come. One that was released and is hidden all the same was hidden by somebody else, who has not
/// said why.
fn is_good(policy: &Retention, version: &VersionFacts, region: Option<&Region>) -> Option<bool> {
    let hidden = version.hidden && !version.in_a_run;
    let serves = |it: &RegionFacts| it.completed && !it.excluded && !hidden;
    let sound = version.provisioned == Provisioned::Succeeded
        && version.standing == Standing::Released
        && (version.ours || policy.adopt);
    if !sound {
        return None;
    }
    let serves_or_may = |it: &&RegionFacts| !(it.failed || version.in_a_run && it.excluded);
    match region {
        Some(region) => version.regions.get(region).filter(serves_or_may).map(serves),
        None => version.regions.values().filter(serves_or_may).map(serves).max(),
    }
}
