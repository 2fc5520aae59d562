//! The body of a version's PUT: every region with an explicit flag, built from what we intend.
//! Nothing of a GET is repeated except what others may own or what cannot change: foreign tags,
//! regions that we do not speak of, and the kind of disks.

use std::collections::{BTreeMap, BTreeSet};

use arm::{
    Provisioning, RegionIntent, RegionReplication, ReplicationState, Version, VersionIntent,
};
use rules::Region;
use rules::rings::{self, PlannedRing, RegionFlags};

/// What `version` shall be: in the regions of `flags` with their flags. A region that is in the
/// version and not in `flags` stays, hidden: a region is given up by `trim_version` alone.
pub fn with_flags(
    version: &Version,
    flags: &RegionFlags,
    tags: BTreeMap<String, String>,
) -> VersionIntent {
    let mut regions: BTreeMap<Region, RegionIntent> = version
        .target_regions
        .iter()
        .map(|it| {
            let (region, replicas) = (it.region.clone(), it.replicas);
            let storage = it.storage.clone();
            let kept = RegionIntent { region, replicas, exclude_from_latest: true, storage };
            (it.region.clone(), kept)
        })
        .collect();
    for (region, flag) in &flags.regions {
        let storage = regions.get(region).and_then(|it| it.storage.clone());
        let (replicas, exclude_from_latest) = (flag.replicas, flag.excluded);
        let region = region.clone();
        let wanted =
            RegionIntent { region: region.clone(), replicas, exclude_from_latest, storage };
        regions.insert(region, wanted);
    }
    intent(version, regions.into_values().collect(), flags.global_excluded, tags)
}

/// What `version` shall be when `ring` of `plan` has it, and every ring before. A region of those that
/// offers it no more, and where it is not Completed, stays hidden, and so does the version as a whole:
/// somebody else has taken the version out of it since.
pub fn released(
    version: &Version,
    plan: &[PlannedRing],
    ring: usize,
    tags: BTreeMap<String, String>,
) -> VersionIntent {
    in_rings(version, plan, ring, Some(ring), tags)
}

/// What `version` shall be while `ring` of `plan` waits for it: there, and offered in every ring
/// before, as [`released`] has it.
pub fn waiting(
    version: &Version,
    plan: &[PlannedRing],
    ring: usize,
    tags: BTreeMap<String, String>,
) -> VersionIntent {
    in_rings(version, plan, ring, ring.checked_sub(1), tags)
}

fn in_rings(
    version: &Version,
    plan: &[PlannedRing],
    ring: usize,
    released_through: Option<usize>,
    tags: BTreeMap<String, String>,
) -> VersionIntent {
    let mut flags = rings::flags(plan, released_through, &version.location);
    let (completed, offers) = (completed(version), offers(version));
    for region in plan.iter().take(ring).flat_map(|it| &it.regions) {
        let is_there = completed.contains(region) || offers.contains(region);
        if let (false, Some(flag)) = (is_there, flags.regions.get_mut(region)) {
            flag.excluded = true;
            flags.global_excluded = true;
        }
    }
    with_flags(version, &flags, tags)
}

/// What `version` shall be: where it is, offered nowhere.
pub fn hidden(version: &Version, tags: BTreeMap<String, String>) -> VersionIntent {
    let regions = version.target_regions.iter().map(|it| RegionIntent {
        region: it.region.clone(),
        replicas: it.replicas,
        exclude_from_latest: true,
        storage: it.storage.clone(),
    });
    intent(version, regions.collect(), true, tags)
}

fn intent(
    version: &Version,
    regions: Vec<RegionIntent>,
    exclude_from_latest: bool,
    tags: BTreeMap<String, String>,
) -> VersionIntent {
    VersionIntent {
        location: version.location.clone(),
        regions,
        exclude_from_latest,
        end_of_life: None,
        allow_deletion_of_replicated_locations: false,
        block_deletion_before_end_of_life: None,
        tags,
    }
}

/// True when the version carries the flags of `intent`, region by region; regions may be more. Where
/// somebody else has left a region without a flag of its own, that hides nothing, and offers nothing
/// that is hidden as a whole.
pub fn carries(version: &Version, intent: &VersionIntent) -> bool {
    let carries = |flag: Option<bool>, wanted: bool| match flag {
        Some(flag) => flag == wanted,
        None => !wanted && !version.exclude_from_latest,
    };
    let same = |wanted: &RegionIntent| {
        version.target_regions.iter().any(|it| {
            it.region == wanted.region
                && carries(it.exclude_from_latest, wanted.exclude_from_latest)
        })
    };
    version.exclude_from_latest == intent.exclude_from_latest && intent.regions.iter().all(same)
}

/// True when no region offers it, whichever flag wins: the global one or the region's own.
pub fn is_hidden(version: &Version) -> bool {
    version.exclude_from_latest
        && version.target_regions.iter().all(|it| it.exclude_from_latest != Some(false))
}

/// True when Azure is not changing it any more.
pub fn is_settled(version: &Version) -> bool {
    matches!(version.provisioning, Provisioning::Succeeded | Provisioning::Failed)
}

/// Those of `wanted` that it has been taken out of: Azure itself never leaves a region out.
pub fn taken_out<'a>(
    version: &Version,
    wanted: impl IntoIterator<Item = &'a Region>,
) -> Vec<Region> {
    let is_there = |region: &Region| version.target_regions.iter().any(|it| it.region == *region);
    let taken_out = wanted.into_iter().filter(|it| is_settled(version) && !is_there(it));
    taken_out.cloned().collect()
}

/// The regions that offer it.
fn offers(version: &Version) -> BTreeSet<Region> {
    let offers = version
        .target_regions
        .iter()
        .filter(|it| !it.exclude_from_latest.unwrap_or(version.exclude_from_latest));
    offers.map(|it| it.region.clone()).collect()
}

/// The regions where its replication is Completed. Succeeded does not say that.
pub fn completed(version: &Version) -> BTreeSet<Region> {
    regions_in(version, ReplicationState::Completed).map(|it| it.region.clone()).collect()
}

/// The regions in which its replication has failed, and why.
pub fn failed(version: &Version) -> BTreeMap<Region, String> {
    let regions = regions_in(version, ReplicationState::Failed);
    let why = |it: &RegionReplication| it.details.clone();
    let unknown = || "Azure does not say why".to_owned();
    regions.map(|it| (it.region.clone(), why(it).unwrap_or_else(unknown))).collect()
}

fn regions_in(
    version: &Version,
    state: ReplicationState,
) -> impl Iterator<Item = &RegionReplication> {
    version.replication.iter().flatten().filter(move |it| it.state == state)
}
