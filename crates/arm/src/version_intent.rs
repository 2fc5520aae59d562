//! What a version shall be, and the body that says so: every region with its own flag, the global
//! flag beside them. The body is built from the intent alone; what Azure answered is not echoed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::Region;
use serde::Serialize;

use crate::date;

/// What a version shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionIntent {
    /// The version's home region; it cannot change.
    pub location: Region,
    /// Every region that it shall be in, home among them. One that is left out is removed, which
    /// Azure refuses unless the version already allows it.
    pub regions: Vec<RegionIntent>,
    /// The flag for all regions.
    pub exclude_from_latest: bool,
    /// Only when it changes, and only ahead of now: Azure refuses a past one.
    pub end_of_life: Option<DateTime<Utc>>,
    /// True: a later PUT may remove regions.
    pub allow_deletion_of_replicated_locations: bool,
    /// Only when it changes.
    pub block_deletion_before_end_of_life: Option<bool>,
    /// All tags that it shall have, those of others among them.
    pub tags: BTreeMap<String, String>,
}

/// A region that a version shall be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionIntent {
    pub region: Region,
    pub replicas: u32,
    pub exclude_from_latest: bool,
    /// The kind of disks that it has there already, since that cannot change; nothing lets Azure
    /// choose.
    pub storage: Option<String>,
}

impl VersionIntent {
    /// What Azure would refuse only after it has begun, or would do although nobody means it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.regions.iter().any(|it| it.region == self.location) {
            let home = &self.location;
            return Err(format!("the intent leaves out the version's home region `{home}`"));
        }
        for (index, RegionIntent { region, .. }) in self.regions.iter().enumerate() {
            if self.regions.iter().take(index).any(|it| it.region == *region) {
                return Err(format!("the intent names the region `{region}` twice"));
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
pub(crate) struct Body<'a> {
    location: &'a str,
    tags: &'a BTreeMap<String, String>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    publishing_profile: Publishing<'a>,
    safety_profile: Safety,
    storage_profile: Storage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publishing<'a> {
    target_regions: Vec<Target<'a>>,
    exclude_from_latest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_life_date: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    name: &'a str,
    regional_replica_count: u32,
    exclude_from_latest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_account_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Safety {
    allow_deletion_of_replicated_locations: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_deletion_before_end_of_life: Option<bool>,
}

/// Empty keeps the source of a version that is there, and is refused where there is none
/// (recorded in Azure CLI's test_gallery_e2e).
#[derive(Serialize)]
struct Storage {}

/// The body of the version that `intent` says.
pub(crate) fn body(intent: &VersionIntent) -> Body<'_> {
    Body {
        location: intent.location.as_str(),
        tags: &intent.tags,
        properties: Properties {
            publishing_profile: Publishing {
                target_regions: intent.regions.iter().map(target).collect(),
                exclude_from_latest: intent.exclude_from_latest,
                end_of_life_date: intent.end_of_life.map(date::written),
            },
            safety_profile: Safety {
                allow_deletion_of_replicated_locations: intent
                    .allow_deletion_of_replicated_locations,
                block_deletion_before_end_of_life: intent.block_deletion_before_end_of_life,
            },
            storage_profile: Storage {},
        },
    }
}

fn target(intent: &RegionIntent) -> Target<'_> {
    Target {
        name: intent.region.as_str(),
        regional_replica_count: intent.replicas,
        exclude_from_latest: intent.exclude_from_latest,
        storage_account_type: intent.storage.as_deref(),
    }
}
