//! The catalog: which images there are, and how each is treated. These are its types, as they are
//! written in YAML and as the JSON Schema prints them; `catalog/check.rs` says what must hold
//! between them.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{CatalogName, ImageName, Region};

mod check;

pub use check::{Problem, Step, check};

/// A whole catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Catalog {
    /// The catalog's name; it is the first folder of the ledger.
    pub catalog: CatalogName,
    /// Where the versions are published.
    pub gallery: Gallery,
    /// Where and as whom images are built.
    pub build: Build,
    /// Who may use the images; asked before anything is deleted.
    pub consumers: Consumers,
    /// Tags that every resource Goldsmith makes must carry.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where people are told what happened.
    #[serde(default)]
    pub notify: Notify,
    /// The most versions that one sweep may delete without an approval of its plan. Defaults to 10.
    #[serde(default = "ten")]
    pub deletions_per_sweep: u32,
    /// The images.
    pub images: Vec<Image>,
}

/// An Azure Compute Gallery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gallery {
    /// The subscription's id.
    pub subscription: String,
    pub resource_group: String,
    /// The gallery's name.
    pub name: String,
    /// The home region: candidates are distributed there first, and it holds the versions' metadata.
    pub location: Region,
}

/// Where and as whom images are built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Build {
    /// The resource group of the image templates, in the gallery's subscription.
    pub resource_group: String,
    /// The resource id of the user-assigned identity that Image Builder builds as. The build
    /// machine uses it too, to upload its scan report.
    pub identity: String,
    /// The resource id of the subnet to build in; without it Image Builder makes a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The size of the build machine. Defaults to `Standard_D2s_v5`.
    #[serde(default = "build_size")]
    pub vm_size: String,
    /// How many images may build at once, over the whole catalog. Defaults to 4.
    #[serde(default = "four")]
    pub at_once: u32,
    /// Minutes after which a build is given up, 6 to 960. Defaults to 240.
    #[serde(default = "build_timeout")]
    pub timeout_minutes: u32,
}

/// The scopes whose machines, scale sets and templates may use the images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Consumers {
    #[serde(default)]
    pub subscriptions: Vec<String>,
    #[serde(default)]
    pub management_groups: Vec<String>,
}

/// Where people are told what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Notify {
    /// True: POST a line of JSON to the address in the setting `GOLDSMITH_WEBHOOK`. The address is
    /// a secret and therefore not written here.
    #[serde(default)]
    pub webhook: bool,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Image {
    /// Its name; also the name of its definition in the gallery.
    pub name: ImageName,
    /// What the definition says it is; unique in the gallery.
    pub identifier: Identifier,
    pub os: Os,
    /// The virtual machine generation. Defaults to V2.
    #[serde(default)]
    pub generation: Generation,
    /// What security machines made from it may have. Defaults to TrustedLaunchSupported.
    #[serde(default)]
    pub security: Security,
    /// What it is built from.
    pub base: Base,
    /// The steps that make it ours, in order.
    #[serde(default)]
    pub customize: Vec<Customize>,
    /// When it is rebuilt by the calendar; without it only a new base, a parent or a person does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(default)]
    pub gate: Gate,
    /// Regions in the order in which they get a release. The gallery's home region may be in any ring.
    pub rings: Vec<Ring>,
    /// When images that are built from this one are rebuilt. Defaults to `released`.
    #[serde(default)]
    pub children_build_when: Moment,
    #[serde(default)]
    pub retention: Retention,
}

/// `publisher/offer/sku` of an image definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identifier {
    pub publisher: String,
    pub offer: String,
    pub sku: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Os {
    Linux,
    Windows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Generation {
    V1,
    #[default]
    V2,
}

/// The definition's `SecurityType` feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Security {
    Standard,
    #[default]
    TrustedLaunchSupported,
    TrustedLaunch,
    ConfidentialVmSupported,
    TrustedLaunchAndConfidentialVmSupported,
}

/// What an image is built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Base {
    /// A Marketplace image; its newest version is taken.
    Platform(PlatformImage),
    /// Another image of this catalog; its newest version that reached the parent's moment is taken.
    Image(ImageName),
}

/// A Marketplace image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlatformImage {
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    /// The purchase plan, when the publisher demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    pub name: String,
    pub product: String,
    pub publisher: String,
}

/// One step that makes an image ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Customize {
    /// Runs in `sh` as root.
    Shell(ScriptStep),
    /// Runs in PowerShell, elevated.
    Powershell(ScriptStep),
    /// Copies a file of the catalog's folder into the image.
    File(FileStep),
    /// Installs what Windows Update offers, restarting as often as needed.
    WindowsUpdate(WindowsUpdateStep),
    /// Restarts a Windows build machine.
    Restart(RestartStep),
}

/// A script: written here, or in a file beside the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScriptStep {
    pub name: String,
    /// The lines to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inline: Vec<String>,
    /// A file's path, relative to the catalog's folder. It is kept by its content: an edit is a
    /// change of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The SHA-256 of the script's bytes; filled in when the catalog is put in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub sha256: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileStep {
    pub name: String,
    /// A file's path, relative to the catalog's folder.
    pub source: String,
    /// Its absolute path in the image.
    pub destination: String,
    /// The SHA-256 of the file's bytes; filled in when the catalog is put in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub sha256: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WindowsUpdateStep {
    pub name: String,
    /// What to search for. Defaults to `IsInstalled=0`.
    #[serde(default = "not_installed")]
    pub search_criteria: String,
    /// Image Builder's filters, such as `exclude:$_.Title -like '*Preview*'`.
    #[serde(default)]
    pub filters: Vec<String>,
    /// The most updates to install. Defaults to 1000.
    #[serde(default = "thousand")]
    pub update_limit: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RestartStep {
    pub name: String,
    /// How long a restart may take, in minutes. Defaults to 10.
    #[serde(default = "ten")]
    pub timeout_minutes: u32,
}

/// When an image is rebuilt by the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Schedule {
    /// So many days after the second Tuesday of each month.
    PatchTuesday(PatchTuesday),
    /// A cron expression: second, minute, hour, day of month, month, day of week (by name).
    Cron(CronSchedule),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PatchTuesday {
    /// Days after Patch Tuesday, 0 to 27. Defaults to 0.
    #[serde(default)]
    pub days_after: u32,
    /// The local time, `HH:MM`.
    pub at: String,
    /// The time zone, `Europe/Amsterdam`.
    #[schemars(with = "String", extend("format" = "time-zone"))]
    pub zone: Tz,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CronSchedule {
    /// `0 30 2 * * Sun`.
    pub expression: String,
    /// The time zone, `Europe/Amsterdam`.
    #[schemars(with = "String", extend("format" = "time-zone"))]
    pub zone: Tz,
}

/// What a candidate must fulfil to be released.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Gate {
    /// The most findings of each severity; a severity that is not named is not limited. Defaults
    /// to no critical and no high one.
    pub most: BTreeMap<Severity, u32>,
    /// True: findings for which no fix is published do not count. Defaults to true.
    pub ignore_unfixed: bool,
    /// Findings that are accepted until a day.
    pub exceptions: Vec<Exception>,
    /// The largest OS disk, in GB; no limit without it.
    pub max_disk_gb: Option<u32>,
    /// How long to wait for the scan report after the build, in minutes. Defaults to 60.
    pub report_within_minutes: u32,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    Unknown,
    Low,
    Medium,
    High,
    Critical,
}

/// A finding that is accepted until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Exception {
    /// The advisory, `CVE-2026-1234`.
    pub id: String,
    /// The last day (UTC) on which it is accepted.
    #[schemars(with = "String", extend("format" = "date"))]
    pub until: chrono::NaiveDate,
    /// Why it is accepted; shown in every verdict that used it.
    pub why: String,
}

/// Regions that are released together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ring {
    pub name: String,
    pub regions: Vec<Region>,
    /// Replicas in each region, 1 to 100. Defaults to 1.
    #[serde(default = "one")]
    pub replicas: u32,
    /// How long the ring before it must have had the release, in hours. Defaults to 0.
    #[serde(default)]
    pub bake_hours: u32,
    /// True: a person must approve. Defaults to false.
    #[serde(default)]
    pub approval: bool,
}

/// The moment in a parent's walk at which its children are rebuilt.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// When the gate has passed it.
    Passed,
    /// When its first ring is released.
    FirstRing,
    /// When its last ring is released.
    #[default]
    Released,
}

/// How versions grow old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Retention {
    /// How many good versions always stay, in every region. At least 1; defaults to 3.
    pub keep: u32,
    /// Days after a newer release at which a version is deprecated. Defaults to 30.
    pub deprecate_after_days: u32,
    /// Days after deprecation at which all regions but home are given up. Defaults to 30.
    pub trim_after_days: u32,
    /// Days after deprecation at which it is deleted. Defaults to 60.
    pub delete_after_days: u32,
    /// Days after which a rejected or failed version is deleted. Defaults to 14.
    pub quarantine_days: u32,
    /// True: versions that Goldsmith did not make are treated by these rules too. Defaults to
    /// false: they are kept.
    pub adopt: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            most: BTreeMap::from([(Severity::Critical, 0), (Severity::High, 0)]),
            ignore_unfixed: true,
            exceptions: Vec::new(),
            max_disk_gb: None,
            report_within_minutes: 60,
        }
    }
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            keep: 3,
            deprecate_after_days: 30,
            trim_after_days: 30,
            delete_after_days: 60,
            quarantine_days: 14,
            adopt: false,
        }
    }
}

fn one() -> u32 {
    1
}

fn four() -> u32 {
    4
}

fn ten() -> u32 {
    10
}

fn thousand() -> u32 {
    1000
}

fn build_timeout() -> u32 {
    240
}

fn build_size() -> String {
    "Standard_D2s_v5".to_owned()
}

fn not_installed() -> String {
    "IsInstalled=0".to_owned()
}

impl Catalog {
    /// The image called `name`.
    pub fn image(&self, name: &ImageName) -> Option<&Image> {
        self.images.iter().find(|it| it.name == *name)
    }

    /// The images that are built from `parent`.
    pub fn children<'a>(&'a self, parent: &'a ImageName) -> impl Iterator<Item = &'a Image> {
        self.images.iter().filter(move |it| it.base == Base::Image(parent.clone()))
    }
}

impl Image {
    /// Every region of every ring, once, in ring order.
    pub fn regions(&self) -> Vec<&Region> {
        let mut regions: Vec<&Region> = Vec::new();
        for region in self.rings.iter().flat_map(|ring| &ring.regions) {
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
        regions
    }
}
