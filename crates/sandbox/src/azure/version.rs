//! Versions of images: what they are, how they are read, and which one *latest* means.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::operation::Operation;
use super::software::Software;
use super::{
    Offer, World, definition, event, gallery, moment, plain, region, route, throttle,
    version_change, version_deletion,
};
use crate::estate::{Exclusion, LatestWhileReplicating, Outage, StagingDeleted};

pub(super) const KIND: &str = "Microsoft.Compute/galleries/images/versions";

/// A version of an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) id: String,
    /// The home region, short.
    pub(super) location: String,
    pub(super) tags: Value,
    pub(super) regions: Vec<TargetRegion>,
    pub(super) replica_count: u64,
    pub(super) exclude_from_latest: bool,
    pub(super) published: DateTime<Utc>,
    pub(super) end_of_life: Option<DateTime<Utc>>,
    pub(super) storage_account_type: String,
    pub(super) replication_mode: Option<String>,
    /// `storageProfile.source`, when it has one.
    pub(super) source: Option<Value>,
    /// Where the OS disk came from; empty for most sources.
    pub(super) disk_source: Value,
    pub(super) disk_gb: u32,
    pub(super) allow_deletion_of_replicated_locations: bool,
    pub(super) block_deletion_before_end_of_life: Option<bool>,
    /// Creating, Updating, Succeeded, Failed, Deleting.
    pub(super) state: String,
    /// The operation that changes it, while one does.
    pub(super) operation: Option<String>,
    pub(super) software: Software,
    /// Publisher, offer and sku of the Marketplace image at its root.
    pub(super) platform: Option<[String; 3]>,
}

/// A region that a version is replicated to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TargetRegion {
    /// The short name.
    pub(super) name: String,
    pub(super) replicas: u64,
    pub(super) storage_account_type: String,
    /// The regional flag, when a request ever carried it.
    pub(super) exclude_from_latest: Option<bool>,
    /// Whatever else a request said of the region, such as its encryption.
    #[serde(default)]
    pub(super) besides: serde_json::Map<String, Value>,
    pub(super) begun: DateTime<Utc>,
    pub(super) completes: DateTime<Utc>,
    /// True: it ends as Failed.
    pub(super) fails: bool,
}

/// How far the replication to a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replication {
    Replicating { progress: i64 },
    Completed,
    Failed,
}

impl TargetRegion {
    /// How far it is at `now`.
    pub(super) fn replication(&self, now: DateTime<Utc>) -> Replication {
        if now >= self.completes {
            return if self.fails { Replication::Failed } else { Replication::Completed };
        }
        let whole = (self.completes - self.begun).num_milliseconds().max(1);
        let progress = (now - self.begun).num_milliseconds() * 100 / whole;
        Replication::Replicating { progress: progress.clamp(0, 99) }
    }
}

impl Version {
    /// Its number, `1.2.3`.
    pub(super) fn number(&self) -> &str {
        plain::name_of(&self.id)
    }

    /// Stores it.
    pub(super) fn store(&self, world: &World<'_>) -> Result<(), Trouble> {
        world.records.put(&self.id, KIND, self)
    }

    /// The region of this name, in either spelling.
    pub(super) fn region(&self, name: &str) -> Option<&TargetRegion> {
        let name = region::short(name);
        self.regions.iter().find(|it| it.name == name)
    }

    /// Whether a new machine in one of its regions could get it as *latest*.
    pub(super) fn is_offered_in(&self, world: &World<'_>, target: &TargetRegion) -> bool {
        let variants = &world.estate.variants;
        let excluded = match (variants.exclusion, target.exclude_from_latest) {
            (Exclusion::Either, regional) => self.exclude_from_latest || regional == Some(true),
            (Exclusion::RegionalWins, Some(regional)) => regional,
            (Exclusion::RegionalOnly, regional) => regional.unwrap_or(false),
            (Exclusion::RegionalWins, None) | (Exclusion::GlobalOnly, _) => {
                self.exclude_from_latest
            }
        };
        let complete = match variants.latest_while_replicating {
            LatestWhileReplicating::Highest => true,
            LatestWhileReplicating::Complete => {
                target.replication(world.now) == Replication::Completed
            }
        };
        let alive = !matches!(self.state.as_str(), "Creating" | "Deleting");
        alive && complete && !excluded
    }
}

/// Lists the versions of a definition; without replication status.
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let definition = call.id(10);
    if !world.records.exists(&definition)? {
        return Err(definition::not_found(call).into());
    }
    let quota = throttle::LIST_VERSIONS.take(world)?;
    let versions: Vec<Version> = world.records.below_of(&definition, KIND)?;
    let bodies: Vec<Value> =
        versions.iter().map(|it| it.read_body(world, call.api_version())).collect();
    Ok(Reply::ok(json!({ "value": bodies })).header(QUOTA, quota))
}

/// GET, PUT, PATCH and DELETE of one version.
pub(super) fn one(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(12);
    let found = world.records.get::<Version>(&id)?;
    match call.method {
        Method::GET => {
            let quota = throttle::GET_VERSION.take(world)?;
            let version = found.ok_or_else(|| not_found(call))?;
            let mut body = version.read_body(world, call.api_version());
            if call.expands("ReplicationStatus") {
                body["properties"]["replicationStatus"] = version.replication_status(world.now);
            }
            Ok(Reply::ok(body).header(QUOTA, quota))
        }
        Method::PUT | Method::PATCH => {
            let quota = throttle::PUT_VERSION.take(world)?;
            Ok(version_change::write(world, call, &id, found)?.header(QUOTA, quota))
        }
        Method::DELETE => {
            let quota = throttle::DELETE_VERSION.take(world)?;
            Ok(version_deletion::delete(world, call, &id, found)?.header(QUOTA, quota))
        }
        _ => Err(route::unknown(call)),
    }
}

/// 404 for the version of this path.
pub(super) fn not_found(call: &Call) -> Refusal {
    let (gallery, image, version) = (&call.segments[7], &call.segments[9], &call.segments[11]);
    let name = format!("{gallery}/images/{image}/versions/{version}");
    Refusal::not_found(gallery::KIND, &name, &call.segments[3])
}

/// A version has become what the operation was to make it.
pub(super) fn settled(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    let Some(mut version) = world.records.get::<Version>(id)? else { return Ok(()) };
    if version.operation.as_deref() != Some(operation) {
        return Operation::end(world, operation, at, None);
    }
    // A region may fail and leave its version Succeeded: then only the region tells.
    let failed: Vec<String> = version
        .regions
        .iter()
        .filter(|it| it.replication(at) == Replication::Failed)
        .filter(|it| !outage(world, &it.name, it.begun).is_some_and(|it| it.version_succeeds))
        .map(|it| region::display(&it.name))
        .collect();
    version.operation = None;
    if version.state != "Deleting" {
        version.state = if failed.is_empty() { "Succeeded" } else { "Failed" }.to_owned();
    }
    version.store(world)?;

    event::version_written(world, id, at, failed.is_empty())?;
    let error = (!failed.is_empty()).then(|| {
        let regions = failed.join("', '");
        let message = format!("The replication job has not completed at region '{regions}'.");
        ("ReplicationJobsNotCompleted".to_owned(), message)
    });
    Operation::end(world, operation, at, error)
}

/// A staging group was deleted: what still replicates of the versions that were built there may
/// fail, which is an open question.
pub(super) fn staging_gone(world: &World<'_>, group: &str) -> Result<(), Trouble> {
    if world.estate.variants.staging_deleted == StagingDeleted::Harmless {
        return Ok(());
    }
    let inside = format!("{}/", group.to_ascii_lowercase());
    for mut version in world.records.below_of::<Version>("/subscriptions", KIND)? {
        let account = version.disk_source["storageAccountId"].as_str().unwrap_or_default();
        if !account.to_ascii_lowercase().starts_with(&inside) {
            continue;
        }
        for region in &mut version.regions {
            region.fails |=
                matches!(region.replication(world.now), Replication::Replicating { .. });
        }
        version.store(world)?;
    }
    Ok(())
}

/// The version that *latest* of the definition means in `region`.
pub(super) fn latest(
    world: &World<'_>,
    definition: &str,
    region: &str,
) -> Result<Option<Version>, Trouble> {
    let mut versions: Vec<Version> = world.records.below_of(definition, KIND)?;
    versions.sort_by_key(|it| Reverse(numbers(it.number())));
    let offered = |version: &Version| {
        version.region(region).is_some_and(|it| version.is_offered_in(world, it))
    };
    Ok(versions.into_iter().find(offered))
}

/// The versions of the definition in their regions, lowest number first.
pub(super) fn offers(world: &World<'_>, definition: &str) -> Result<Vec<Offer>, Trouble> {
    let mut versions: Vec<Version> = world.records.below_of(definition, KIND)?;
    versions.sort_by_key(|it| numbers(it.number()));
    let of = |version: &Version| -> Vec<Offer> {
        let regions = version.regions.iter().map(|it| Offer {
            number: version.number().to_owned(),
            region: it.name.clone(),
            completed: it.replication(world.now) == Replication::Completed,
            offered: version.is_offered_in(world, it),
        });
        regions.collect()
    };
    Ok(versions.iter().flat_map(of).collect())
}

/// The parts of a dotted number, to compare as numbers.
pub(super) fn numbers(text: &str) -> Vec<u64> {
    text.split('.').map(|it| it.parse().unwrap_or(0)).collect()
}

/// Whether replication to `region` that begins at `at` fails.
pub(super) fn is_out(world: &World<'_>, region: &str, at: DateTime<Utc>) -> bool {
    outage(world, region, at).is_some()
}

/// The outage by which replication to `region` that begins at `at` fails.
fn outage<'a>(world: &World<'a>, region: &str, at: DateTime<Utc>) -> Option<&'a Outage> {
    let hits = |it: &&Outage| region::short(&it.region) == region && it.from <= at && at < it.until;
    world.estate.outages.iter().find(hits)
}

/// When a version's regions complete that begin at `begun`: each at its own time, the last one at
/// `begun + longest`.
pub(super) fn completions(
    id: &str,
    regions: &[String],
    begun: DateTime<Utc>,
    longest: TimeDelta,
) -> Vec<DateTime<Utc>> {
    let last = regions.len().saturating_sub(1);
    let share = |(index, name): (usize, &String)| {
        let share = if index == last {
            1.0
        } else {
            moment::between(&[id, name, "replicate"], 0.6, 0.98).as_seconds_f64()
        };
        begun + moment::share(longest, share)
    };
    regions.iter().enumerate().map(share).collect()
}
