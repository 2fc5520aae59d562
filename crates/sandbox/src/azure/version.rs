//! Versions of images: what they are, how they are read, and which one *latest* means.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::software::Software;
use super::{
    Offer, World, definition, event, gallery, moment, plain, region, route, throttle,
    version_change,
};
use crate::estate::{Exclusion, LatestWhileReplicating, Outage, StagingDeleted, UnsetFlag};

pub(super) const KIND: &str = "Microsoft.Compute/galleries/images/versions";

/// From this api-version on, a GET tells `validationsProfile` (recorded in 2026; absent in 2023).
const VALIDATIONS_TOLD: &str = "2024-03-03";

/// From this api-version on, `bypassSoftDelete` is read (GalleryRP.json); before it is ignored.
const BYPASS_SINCE: &str = "2026-03-03";

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

    /// Its body as a GET or a list tells it, in `read_version` of the api. What it shows as the
    /// flag of a region for which none was ever sent is an open question.
    pub(super) fn read_body(&self, world: &World<'_>, read_version: &str) -> Value {
        let mut body = self.body(Some(read_version));
        let shown = match world.estate.variants.unset_flag {
            UnsetFlag::Absent => return body,
            UnsetFlag::False => false,
            UnsetFlag::LikeGlobal => self.exclude_from_latest,
        };
        let regions = body["properties"]["publishingProfile"]["targetRegions"].as_array_mut();
        for region in regions.into_iter().flatten() {
            if region["excludeFromLatest"].is_null() {
                region["excludeFromLatest"] = json!(shown);
            }
        }
        body
    }

    /// Its body, as an answer to a PUT, or to a GET in `read_version` of the api.
    pub(super) fn body(&self, read_version: Option<&str>) -> Value {
        let regions: Vec<Value> = self
            .regions
            .iter()
            .map(|it| {
                let mut region = Value::Object(it.besides.clone());
                region["name"] = json!(region::display(&it.name));
                region["regionalReplicaCount"] = json!(it.replicas);
                region["storageAccountType"] = json!(it.storage_account_type);
                if let Some(excluded) = it.exclude_from_latest {
                    region["excludeFromLatest"] = json!(excluded);
                }
                region
            })
            .collect();
        let mut profile = json!({
            "targetRegions": regions,
            "replicaCount": self.replica_count,
            "excludeFromLatest": self.exclude_from_latest,
            "publishedDate": moment::compute(self.published),
            "storageAccountType": self.storage_account_type,
        });
        if let Some(date) = self.end_of_life {
            profile["endOfLifeDate"] = json!(moment::compute(date));
        }
        if let Some(mode) = &self.replication_mode {
            profile["replicationMode"] = json!(mode);
        }

        let mut storage = json!({});
        if let Some(source) = &self.source {
            storage["source"] = source.clone();
        }
        // While it is Creating the disk is not known (recorded).
        if self.state != "Creating" {
            storage["osDiskImage"] = json!({
                "sizeInGB": self.disk_gb, "hostCaching": "ReadWrite", "source": self.disk_source,
            });
        }
        let mut safety = json!({
            "reportedForPolicyViolation": false,
            "allowDeletionOfReplicatedLocations": self.allow_deletion_of_replicated_locations,
        });
        if let Some(block) = self.block_deletion_before_end_of_life {
            safety["blockDeletionBeforeEndOfLife"] = json!(block);
        }

        let mut body = json!({
            "name": self.number(),
            "id": self.id,
            "type": KIND,
            "location": self.location,
            "tags": self.tags,
            "properties": {
                "publishingProfile": profile,
                "storageProfile": storage,
                "safetyProfile": safety,
                "provisioningState": self.state,
            },
        });
        if read_version.is_some_and(|it| it >= VALIDATIONS_TOLD)
            && let Some([publisher, offer, sku]) = &self.platform
        {
            body["properties"]["validationsProfile"] = json!({
                "validationOperationStatus": "NotExecuted",
                "platformAttributes": [
                    { "name": "source_image_publisher", "value": publisher },
                    { "name": "source_image_offer", "value": offer },
                    { "name": "source_image_sku", "value": sku },
                ],
            });
        }
        body
    }

    /// `properties.replicationStatus`: regions in their short form (recorded).
    fn replication_status(&self, now: DateTime<Utc>) -> Value {
        let states: Vec<Replication> = self.regions.iter().map(|it| it.replication(now)).collect();
        let aggregated = if states.iter().any(|it| matches!(it, Replication::Replicating { .. })) {
            "InProgress"
        } else if states.contains(&Replication::Failed) {
            "Failed"
        } else {
            "Completed"
        };
        let regions = self.regions.iter().zip(&states);
        let summary: Vec<Value> = regions
            .map(|(region, state)| match state {
                Replication::Completed => {
                    json!({ "region": region.name, "state": "Completed", "progress": 100 })
                }
                Replication::Replicating { progress } => {
                    json!({ "region": region.name, "state": "Replicating", "progress": progress })
                }
                Replication::Failed => json!({
                    "region": region.name,
                    "state": "Failed",
                    "progress": 0,
                    "details": format!(
                        "Replication to {} failed. Please repeat the request.",
                        region::display(&region.name)
                    ),
                }),
            })
            .collect();
        json!({ "aggregatedState": aggregated, "summary": summary })
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
            Ok(delete(world, call, &id, found)?.header(QUOTA, quota))
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

fn delete(
    world: &World<'_>,
    call: &Call,
    id: &str,
    found: Option<Version>,
) -> Result<Reply, Trouble> {
    let bypass = call.query("bypasssoftdelete").is_some_and(|it| it.eq_ignore_ascii_case("true"))
        && call.api_version() >= BYPASS_SINCE;
    let Some(mut version) = found else {
        let kept = super::soft_deleted::of_version(world, id)?;
        return match kept {
            Some(kept) if bypass => begin_delete(world, call, &kept.version, true),
            _ => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        };
    };
    if version.state == "Deleting" {
        // Deleting twice attaches to the deletion that is under way.
        return begin_delete(world, call, &version, bypass);
    }
    let blocks = version.block_deletion_before_end_of_life == Some(true);
    if blocks && version.end_of_life.is_some_and(|it| it > world.now) {
        let number = version.number();
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "DeleteGalleryImageVersionBlockedBeforeEndOfLife",
            format!(
                "The gallery image version '{number}' can not be deleted before its end of life \
                 date. Set 'safetyProfile.blockDeletionBeforeEndOfLife' to false and try again."
            ),
        )
        .into());
    }

    version.state = "Deleting".to_owned();
    version.store(world)?;
    begin_delete(world, call, &version, bypass)
}

fn begin_delete(
    world: &World<'_>,
    call: &Call,
    version: &Version,
    bypass: bool,
) -> Result<Reply, Trouble> {
    let id = version.id.clone();
    let operation = Operation::start_paced(world, Provider::Gallery, &id, &version.location, 60)?;
    // Recorded: 91 to 180 seconds.
    let ends = world.now + moment::between(&[&id, "delete"], 91.0, 180.0);
    let work = Work::VersionDeleted { id, operation: operation.id.clone(), bypass };
    world.records.schedule(ends, &work)?;
    Ok(operation.accepted(world, call))
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

/// A version is gone; kept aside when its gallery has a soft-delete policy.
pub(super) fn deleted(
    world: &World<'_>,
    id: &str,
    operation: &str,
    bypass: bool,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    if let Some(version) = world.records.get::<Version>(id)? {
        world.records.remove(id)?;
        if !bypass {
            super::soft_deleted::keep(world, version, at)?;
        }
        event::version_deleted(world, id, at)?;
    } else if bypass {
        super::soft_deleted::forget(world, id)?;
    }
    Operation::end(world, operation, at, None)
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
