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
    of: BTreeMap<Option<Region>, Vec<VersionNumber>>,
}

impl Good {
    pub(super) fn of(policy: &Retention, facts: &Facts) -> Good {
        let scopes = facts.wanted_regions.iter().cloned().map(Some).chain([None]);
        let of = scopes.map(|scope| {
            let mut numbers: Vec<VersionNumber> = facts
                .versions
                .iter()
                .filter(|version| is_good(policy, version, scope.as_ref()))
                .map(|version| version.number)
                .collect();
            numbers.sort_by(|left, right| right.cmp(left));
            (scope, numbers)
        });
        Good { keep: policy.keep.max(1) as usize, of: of.collect() }
    }

    /// The good versions that are kept, over all scopes.
    pub(super) fn staying(&self) -> BTreeSet<VersionNumber> {
        self.of.values().flat_map(|numbers| numbers.iter().take(self.keep)).copied().collect()
    }

    /// Why `number` is never touched, if it is one of those that stay.
    pub(super) fn protects(&self, number: VersionNumber) -> Option<String> {
        let protecting =
            |numbers: &&Vec<VersionNumber>| numbers.iter().take(self.keep).any(|it| *it == number);
        let regions: Vec<&str> = self
            .of
            .iter()
            .filter(|(_, numbers)| protecting(numbers))
            .filter_map(|(scope, _)| scope.as_ref().map(Region::as_str))
            .collect();
        let keep = self.keep;
        if !regions.is_empty() {
            let regions = regions.join(", ");
            return Some(format!("it is among the {keep} newest good versions in {regions}"));
        }
        let of_image = self.of.get(&None).filter(protecting);
        of_image.map(|_| format!("it is among the {keep} newest good versions of the image"))
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
        let short = self.of.iter().filter(|(scope, numbers)| {
            let counts = match scope {
                Some(region) => is_there(region),
                None => home.is_none(),
            };
            counts && numbers.len() < self.keep
        });
        let sentence = |(scope, numbers): (&Option<Region>, &Vec<VersionNumber>)| {
            let place = scope.as_ref().map_or("the image", Region::as_str);
            format!("{place} has only {} of the {} good versions to keep", numbers.len(), self.keep)
        };
        short.map(sentence).collect()
    }
}

/// Whether `version` is good in a region; without one, in any. A version whose run is still under
/// way is good only where it is offered already: its later rings may never come.
fn is_good(policy: &Retention, version: &VersionFacts, region: Option<&Region>) -> bool {
    let serves = |it: &RegionFacts| it.completed && !(version.in_a_run && it.excluded);
    let sound = version.provisioned == Provisioned::Succeeded
        && version.standing == Standing::Released
        && (version.ours || policy.adopt);
    sound
        && match region {
            Some(region) => version.regions.get(region).is_some_and(serves),
            None => version.regions.values().any(serves),
        }
}
