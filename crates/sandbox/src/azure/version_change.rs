//! PUT and PATCH of a version: create it, change it, restore a deleted one. What may not change is
//! refused before anything is written.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::definition::{self, parsed};
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::version::{self, Replication, Version};
use super::version_regions::{Wish, home_is_there, replicate, wishes};
use super::version_source::source;
use super::{World, gallery, moment, plain, region, soft_deleted};
use crate::estate::{AbsentEndOfLife, Answer, BareUpdate, TagsOnly};

/// Where the publishing profile is, in refusals.
pub(super) const PROFILE: &str = "galleryImageVersion.properties.publishingProfile";

/// Recorded: one region 420 to 511 seconds, with mode Shallow 45.
const CREATE_SECS: (f64, f64) = (420.0, 510.0);
/// Recorded: 421 to 466 seconds when a region is added.
const ADD_REGION_SECS: (f64, f64) = (420.0, 466.0);
/// Not recorded: the removal of a region; between a changed attribute and an added region.
const REMOVE_REGION_SECS: (f64, f64) = (180.0, 420.0);
/// Recorded: 150 seconds for a changed attribute, a lifted safety profile, a restore.
const ATTRIBUTE_SECS: (f64, f64) = (149.9, 150.4);

/// PUT or PATCH of the version `id`.
pub(super) fn write(
    world: &World<'_>,
    call: &Call,
    id: &str,
    found: Option<Version>,
) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if !world.records.exists(&call.id(8))? {
        return Err(gallery::not_found(call).into());
    }
    let Some(definition) = world.records.get::<Value>(&call.id(10))? else {
        return Err(definition::not_found(call).into());
    };
    well_formed_number(&call.segments[11])?;

    if let Some(version) = found {
        return update(world, call, version, &asked);
    }
    if let Some(kept) = soft_deleted::of_version(world, id)? {
        return restore(world, call, kept.version, &asked);
    }
    if call.method == Method::PATCH {
        return Err(version::not_found(call).into());
    }
    create(world, call, id, &definition, &asked)
}

fn well_formed_number(number: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = number.split('.').collect();
    let numbers = parts.iter().all(|it| {
        it.bytes().all(|it| it.is_ascii_digit()) && it.parse::<u32>().is_ok_and(|it| it < 1 << 31)
    });
    if parts.len() == 3 && numbers {
        return Ok(());
    }
    let message = format!(
        "The entity name 'galleryImageVersionName' is invalid according to its validation rule: \
         ^[0-9]+\\.[0-9]+\\.[0-9]+$. The value was '{number}'."
    );
    Err(Refusal::parameter(message, "galleryImageVersionName"))
}

fn create(
    world: &World<'_>,
    call: &Call,
    id: &str,
    definition: &Value,
    asked: &Value,
) -> Result<Reply, Trouble> {
    let location = gallery::location(asked)?;
    let profile = &asked["properties"]["publishingProfile"];
    let source = source(world, asked)?;
    let end_of_life = future(world, profile)?;
    let storage = profile["storageAccountType"].as_str().unwrap_or("Standard_LRS").to_owned();
    let replicas = profile["replicaCount"].as_u64().unwrap_or(1);

    let mut wishes = wishes(profile, replicas, &storage)?;
    if wishes.is_empty() {
        wishes.push(Wish::home(&location, replicas, &storage));
    }
    home_is_there(&wishes, &location)?;

    let mode = profile["replicationMode"].as_str();
    let longest = match mode {
        Some("Shallow") => moment::seconds(45.0),
        _ => moment::between(&[id, "create"], CREATE_SECS.0, CREATE_SECS.1),
    };
    let safety = &asked["properties"]["safetyProfile"];
    let mut version = Version {
        id: id.to_owned(),
        location,
        tags: plain::tags(asked),
        regions: Vec::new(),
        replica_count: replicas,
        exclude_from_latest: profile["excludeFromLatest"].as_bool().unwrap_or(false),
        published: world.now,
        end_of_life,
        storage_account_type: storage,
        replication_mode: mode.map(str::to_owned),
        source: source.profile,
        disk_source: source.disk,
        disk_gb: source.disk_gb.unwrap_or(match definition["properties"]["osType"].as_str() {
            Some("Windows") => 127,
            _ => 30,
        }),
        allow_deletion_of_replicated_locations: safety["allowDeletionOfReplicatedLocations"]
            .as_bool()
            .unwrap_or(false),
        block_deletion_before_end_of_life: safety["blockDeletionBeforeEndOfLife"].as_bool(),
        state: "Creating".to_owned(),
        operation: None,
        software: source.software,
        platform: source.platform,
    };
    replicate(world, &mut version, wishes, longest);
    begin(world, call, version, longest, StatusCode::CREATED)
}

/// A deleted version comes back by a PUT of `{location, tags}` (recorded): everything as it was.
fn restore(
    world: &World<'_>,
    call: &Call,
    mut version: Version,
    asked: &Value,
) -> Result<Reply, Trouble> {
    same_location(&version, asked)?;
    soft_deleted::forget(world, &version.id)?;
    if asked.get("tags").is_some() {
        version.tags = plain::tags(asked);
    }
    version.state = "Updating".to_owned();
    let longest = moment::between(&[&version.id, "restore"], ATTRIBUTE_SECS.0, ATTRIBUTE_SECS.1);
    begin(world, call, version, longest, StatusCode::OK)
}

fn update(
    world: &World<'_>,
    call: &Call,
    mut version: Version,
    asked: &Value,
) -> Result<Reply, Trouble> {
    allowed_now(world, &version)?;
    same_location(&version, asked)?;
    let properties = &asked["properties"];
    source_is_the_same(&version, properties)?;
    nothing_fixed_changes(&version, &properties["publishingProfile"])?;
    let profile = &properties["publishingProfile"];
    let bare = properties.is_null() || properties.as_object().is_some_and(Map::is_empty);
    let variants = &world.estate.variants;
    if bare && call.method == Method::PUT && variants.bare_update == BareUpdate::Refused {
        let target = "galleryImageVersion.properties";
        let message = format!("Required parameter '{target}' is missing (null).");
        return Err(Refusal::parameter(message, target).into());
    }
    let tags_before = version.tags.clone();
    if asked.get("tags").is_some() {
        version.tags = plain::tags(asked);
    }
    if bare && call.method == Method::PUT && variants.bare_update == BareUpdate::Ignored {
        version.tags = tags_before.clone();
    }
    let end_of_life = changed_end_of_life(world, &version, profile)?;

    let replicas = profile["replicaCount"].as_u64().unwrap_or(version.replica_count);
    let mut wishes = wishes(profile, replicas, &version.storage_account_type)?;
    if bare && call.method == Method::PUT && variants.bare_update == BareUpdate::ResetsProfile {
        wishes = vec![Wish::home(&version.location, replicas, &version.storage_account_type)];
        version.exclude_from_latest = false;
    }
    if wishes.is_empty() {
        wishes = version.regions.iter().map(Wish::again).collect();
    }
    home_is_there(&wishes, &version.location)?;
    let wished: BTreeSet<&str> = wishes.iter().map(|it| it.name.as_str()).collect();
    let removed: Vec<String> = version
        .regions
        .iter()
        .filter(|it| !wished.contains(it.name.as_str()))
        .map(|it| it.name.clone())
        .collect();
    let lifts = properties["safetyProfile"]["allowDeletionOfReplicatedLocations"].as_bool();
    removal_is_allowed(world, &version, &removed, lifts)?;

    let before = Version { tags: tags_before, ..version.clone() };
    let known = |name: &str| before.region(name);
    let added = wishes.iter().any(|it| {
        known(&it.name).is_none_or(|it| it.replication(world.now) == Replication::Failed)
    });
    version.end_of_life = end_of_life;
    version.replica_count = replicas;
    if let Some(excluded) = profile["excludeFromLatest"].as_bool() {
        version.exclude_from_latest = excluded;
    }
    if let Some(allow) = lifts {
        version.allow_deletion_of_replicated_locations = allow;
    }
    if let Some(block) = properties["safetyProfile"]["blockDeletionBeforeEndOfLife"].as_bool() {
        version.block_deletion_before_end_of_life = Some(block);
    }

    let (least, most) = if added {
        ADD_REGION_SECS
    } else if removed.is_empty() {
        ATTRIBUTE_SECS
    } else {
        REMOVE_REGION_SECS
    };
    let mut longest = moment::between(&[&version.id, "update"], least, most);
    replicate(world, &mut version, wishes, longest);
    let tags_alone = before.tags != version.tags && {
        let untagged = Version { tags: before.tags.clone(), ..version.clone() };
        serde_json::to_value(&untagged)? == serde_json::to_value(&before)?
    };
    if tags_alone && variants.tags_only == TagsOnly::Quick {
        longest = moment::seconds(0.4);
    }
    version.state = "Updating".to_owned();
    begin(world, call, version, longest, StatusCode::OK)
}

fn begin(
    world: &World<'_>,
    call: &Call,
    mut version: Version,
    longest: TimeDelta,
    status: StatusCode,
) -> Result<Reply, Trouble> {
    let id = version.id.clone();
    let operation = Operation::start_paced(world, Provider::Gallery, &id, &version.location, 60)?;
    version.operation = Some(operation.id.clone());
    version.store(world)?;
    let work = Work::VersionSettled { id, operation: operation.id.clone() };
    world.records.schedule(world.now + longest, &work)?;
    Ok(operation.on_put(world, call, Reply::with(status, version.body(None))))
}

fn allowed_now(world: &World<'_>, version: &Version) -> Result<(), Refusal> {
    let number = version.number();
    match version.state.as_str() {
        "Deleting" => Err(Refusal::conflict(format!(
            "Operation 'Update Gallery Image Version' is not allowed on {number}, since it is \
             marked for deletion."
        ))),
        "Creating" | "Updating"
            if world.estate.variants.update_while_updating == Answer::Refuse =>
        {
            Err(Refusal::conflict(format!(
                "Operation 'Update Gallery Image Version' is not allowed on {number}, since \
                 another operation is in progress. Please try again later."
            )))
        }
        _ => Ok(()),
    }
}

fn same_location(version: &Version, asked: &Value) -> Result<(), Refusal> {
    let Some(location) = asked["location"].as_str() else { return Ok(()) };
    if region::short(location) == version.location {
        return Ok(());
    }
    Err(definition::moved(&version.body(None), location))
}

fn not_changeable(property: &str) -> Refusal {
    let message = format!("Changing property '{property}' is not allowed.");
    Refusal::new(StatusCode::CONFLICT, "PropertyChangeNotAllowed", message)
}

/// `"storageProfile": {}` keeps the source (recorded); another source is refused.
fn source_is_the_same(version: &Version, properties: &Value) -> Result<(), Refusal> {
    let asked = &properties["storageProfile"]["source"];
    for member in ["id", "virtualMachineId", "communityGalleryImageId"] {
        let Some(given) = asked[member].as_str() else { continue };
        let ours = version.source.as_ref().and_then(|it| it[member].as_str());
        if !ours.is_some_and(|it| it.eq_ignore_ascii_case(given)) {
            let path = format!("galleryImageVersion.properties.storageProfile.source.{member}");
            return Err(not_changeable(&path));
        }
    }
    let asked = &properties["storageProfile"]["osDiskImage"]["source"];
    for member in ["id", "uri", "storageAccountId"] {
        let Some(given) = asked[member].as_str() else { continue };
        let ours = version.disk_source[member].as_str();
        if !ours.is_some_and(|it| it.eq_ignore_ascii_case(given)) {
            let path = format!(
                "galleryImageVersion.properties.storageProfile.osDiskImage.source.{member}"
            );
            return Err(not_changeable(&path));
        }
    }
    Ok(())
}

fn nothing_fixed_changes(version: &Version, profile: &Value) -> Result<(), Refusal> {
    let storage = profile["storageAccountType"].as_str();
    if storage.is_some_and(|it| it != version.storage_account_type) {
        return Err(not_changeable(&format!("{PROFILE}.storageAccountType")));
    }
    let mode = profile["replicationMode"].as_str();
    let ours = version.replication_mode.as_deref().unwrap_or("Full");
    if mode.is_some_and(|it| it != ours) {
        return Err(not_changeable(&format!("{PROFILE}.replicationMode")));
    }
    for asked in profile["targetRegions"].as_array().into_iter().flatten() {
        let name = asked["name"].as_str().unwrap_or_default();
        let (Some(ours), Some(given)) =
            (version.region(name), asked["storageAccountType"].as_str())
        else {
            continue;
        };
        if ours.storage_account_type != given {
            return Err(not_changeable(&format!("{PROFILE}.targetRegions.storageAccountType")));
        }
    }
    Ok(())
}

/// An end of life that lies ahead, or none.
fn future(world: &World<'_>, profile: &Value) -> Result<Option<DateTime<Utc>>, Refusal> {
    let given = &profile["endOfLifeDate"];
    if given.is_null() {
        return Ok(None);
    }
    let Some(date) = parsed(given) else {
        let message = format!("{given} is not a valid date.");
        return Err(Refusal::parameter(message, format!("{PROFILE}.endOfLifeDate")));
    };
    if date <= world.now {
        return Err(definition::past_end_of_life());
    }
    Ok(Some(date))
}

fn changed_end_of_life(
    world: &World<'_>,
    version: &Version,
    profile: &Value,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    if profile["endOfLifeDate"].is_null() {
        let cleared = world.estate.variants.absent_end_of_life == AbsentEndOfLife::Cleared;
        let says_profile = profile.is_object();
        return Ok(if cleared && says_profile { None } else { version.end_of_life });
    }
    let unchanged = parsed(&profile["endOfLifeDate"]) == version.end_of_life;
    if unchanged && world.estate.variants.unchanged_past_end_of_life == Answer::Accept {
        return Ok(version.end_of_life);
    }
    future(world, profile)
}

fn removal_is_allowed(
    world: &World<'_>,
    version: &Version,
    removed: &[String],
    lifts: Option<bool>,
) -> Result<(), Refusal> {
    if removed.is_empty() || version.allow_deletion_of_replicated_locations {
        return Ok(());
    }
    let at_once = world.estate.variants.lift_and_remove_at_once == Answer::Accept;
    if at_once && lifts == Some(true) {
        return Ok(());
    }
    let regions: Vec<String> = removed.iter().map(|it| region::display(it)).collect();
    let regions = regions.join("', '");
    Err(Refusal::new(
        StatusCode::CONFLICT,
        "OperationNotAllowed",
        format!(
            "Removing the region(s) '{regions}' from the gallery image version '{}' is not \
             allowed, because 'safetyProfile.allowDeletionOfReplicatedLocations' is false.",
            version.number()
        ),
    ))
}
