//! Marketplace images: what can be built from, with its history and its future.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Generation, OsType};

/// A Marketplace image: one publisher, offer and sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlatformImage {
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    /// The distribution and its release, `ubuntu/22.04`; advisories and steps refer to it.
    pub os: String,
    #[serde(default = "super::linux")]
    pub os_type: OsType,
    #[serde(default)]
    pub generation: Generation,
    /// The size of its OS disk. Defaults to 30.
    #[serde(default = "thirty")]
    pub disk_gb: u32,
    /// The purchase plan, when the publisher demands one.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// The regions that offer it; all of them when empty.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Its versions, the oldest first.
    pub versions: Vec<PlatformVersion>,
}

/// A Marketplace purchase plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    pub name: String,
    pub product: String,
    pub publisher: String,
}

/// One version of a Marketplace image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlatformVersion {
    /// `22.04.202608120`.
    pub version: String,
    /// When it appears; before this instant nobody sees it.
    pub released: DateTime<Utc>,
    /// When the publisher marks it deprecated.
    #[serde(default)]
    pub deprecated: Option<DateTime<Utc>>,
    /// When the publisher removes it.
    #[serde(default)]
    pub withdrawn: Option<DateTime<Utc>>,
    /// The packages that differ from the version before it in this list; all of them for the first.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

fn thirty() -> u32 {
    30
}
