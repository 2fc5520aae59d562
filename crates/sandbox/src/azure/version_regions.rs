//! The regions that a PUT wants of a version, and the replication that follows from them.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::version::{self, Replication, TargetRegion, Version};
use super::version_change::PROFILE;
use super::{World, region};

/// What a request wants of one region.
pub(super) struct Wish {
    pub(super) name: String,
    replicas: u64,
    storage_account_type: String,
    exclude_from_latest: Option<bool>,
    besides: Map<String, Value>,
}

impl Wish {
    /// The home region alone.
    pub(super) fn home(location: &str, replicas: u64, storage: &str) -> Wish {
        Wish {
            name: region::short(location),
            replicas,
            storage_account_type: storage.to_owned(),
            exclude_from_latest: None,
            besides: Map::new(),
        }
    }

    /// A region as it is.
    pub(super) fn again(region: &TargetRegion) -> Wish {
        Wish {
            name: region.name.clone(),
            replicas: region.replicas,
            storage_account_type: region.storage_account_type.clone(),
            exclude_from_latest: region.exclude_from_latest,
            besides: region.besides.clone(),
        }
    }
}

/// The regions of a publishing profile; none when it names none.
///
/// # Errors
/// 400 for a region that does not exist or is there twice, and for a wrong count of replicas.
pub(super) fn wishes(profile: &Value, replicas: u64, storage: &str) -> Result<Vec<Wish>, Refusal> {
    let target = format!("{PROFILE}.targetRegions");
    let mut seen = BTreeSet::new();
    let mut wishes = Vec::new();
    for asked in profile["targetRegions"].as_array().into_iter().flatten() {
        let name = asked["name"].as_str().unwrap_or_default();
        let Some(short) = region::known(name) else {
            let message = format!("The target region '{name}' is not a valid Azure region.");
            return Err(Refusal::parameter(message, target));
        };
        if !seen.insert(short) {
            let message = format!("The target regions contain duplicate regions: '{name}'.");
            return Err(Refusal::parameter(message, target));
        }
        let count = asked["regionalReplicaCount"].as_u64().unwrap_or(replicas);
        if !(1..=100).contains(&count) {
            let message = format!(
                "The regionalReplicaCount {count} of '{name}' is not in the range 1 to 100."
            );
            return Err(Refusal::parameter(message, target));
        }
        let mut besides = asked.as_object().cloned().unwrap_or_default();
        for own in ["name", "regionalReplicaCount", "storageAccountType", "excludeFromLatest"] {
            besides.remove(own);
        }
        wishes.push(Wish {
            name: short.to_owned(),
            replicas: count,
            storage_account_type: asked["storageAccountType"]
                .as_str()
                .unwrap_or(storage)
                .to_owned(),
            exclude_from_latest: asked["excludeFromLatest"].as_bool(),
            besides,
        });
    }
    Ok(wishes)
}

/// Refuses regions without the version's own location.
pub(super) fn home_is_there(wishes: &[Wish], home: &str) -> Result<(), Refusal> {
    let home = region::short(home);
    if wishes.iter().any(|it| it.name == home) {
        return Ok(());
    }
    let display = region::display(&home);
    Err(Refusal::parameter(
        format!("The target regions must contain the location of image version '{display}'."),
        format!("{PROFILE}.targetRegions"),
    ))
}

/// Gives the version its regions: those that are complete stay so, the others begin now.
pub(super) fn replicate(
    world: &World<'_>,
    version: &mut Version,
    wishes: Vec<Wish>,
    longest: TimeDelta,
) {
    let stays = |name: &str| {
        version.region(name).filter(|it| it.replication(world.now) != Replication::Failed)
    };
    let beginning: Vec<String> =
        wishes.iter().filter(|it| stays(&it.name).is_none()).map(|it| it.name.clone()).collect();
    let completions = version::completions(&version.id, &beginning, world.now, longest);
    let times: Vec<(&String, DateTime<Utc>)> = beginning.iter().zip(completions).collect();

    let regions = wishes.into_iter().map(|wish| {
        let (begun, completes, fails) = match stays(&wish.name) {
            Some(region) => (region.begun, region.completes, region.fails),
            None => {
                let found = times.iter().find(|it| *it.0 == wish.name);
                let completes = found.map_or(world.now + longest, |it| it.1);
                (world.now, completes, version::is_out(world, &wish.name, world.now))
            }
        };
        TargetRegion {
            name: wish.name,
            replicas: wish.replicas,
            storage_account_type: wish.storage_account_type,
            exclude_from_latest: wish.exclude_from_latest,
            besides: wish.besides,
            begun,
            completes,
            fails,
        }
    });
    version.regions = regions.collect();
}
