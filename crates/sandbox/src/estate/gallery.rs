//! Galleries with their definitions and versions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Generation, OsType};

/// An Azure Compute Gallery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gallery {
    /// The subscription's id.
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
    pub location: String,
    /// Deleted versions can be restored; without it they are gone at once.
    #[serde(default)]
    pub soft_delete: Option<SoftDelete>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub definitions: Vec<Definition>,
}

/// A gallery's soft-delete policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SoftDelete {
    /// Days in which a deleted version can still be used.
    pub retention_days: u32,
    /// Days after these in which it can still be restored.
    #[serde(default)]
    pub grace_days: u32,
}

/// An image definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Definition {
    pub name: String,
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    #[serde(default = "super::linux")]
    pub os_type: OsType,
    #[serde(default)]
    pub generation: Generation,
    /// The feature `SecurityType`. Defaults to `TrustedLaunchSupported`.
    #[serde(default = "trusted")]
    pub security: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub versions: Vec<Version>,
}

/// One version of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Version {
    /// `1.4.0`.
    pub number: String,
    pub published: DateTime<Utc>,
    /// The regions it is replicated to; the gallery's location must be one of them.
    pub regions: Vec<String>,
    /// The regions in which *latest* does not mean it.
    #[serde(default)]
    pub excluded_in: Vec<String>,
    /// True: *latest* means it nowhere.
    #[serde(default)]
    pub exclude_from_latest: bool,
    #[serde(default)]
    pub end_of_life: Option<DateTime<Utc>>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub state: VersionState,
    /// What it was built from: `publisher:offer:sku:version`, or `gallery/definition/version`.
    #[serde(default)]
    pub base: Option<String>,
    /// The steps that were run on the base, by name, at the instant it was published.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Packages besides what the base and the steps gave it.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
    /// True: a region may be removed from it.
    #[serde(default)]
    pub allow_deletion_of_replicated_locations: bool,
    /// True: it cannot be deleted before its end of life.
    #[serde(default)]
    pub block_deletion_before_end_of_life: bool,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VersionState {
    #[default]
    Succeeded,
    Failed,
}

fn trusted() -> String {
    "TrustedLaunchSupported".to_owned()
}
