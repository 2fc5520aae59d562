//! The estate: what is there on Azure at the start, and what the world around it will do later:
//! Marketplace releases, advisories and outages to come. These are its types, as they are written
//! in YAML; `check.rs` says what must hold between them.

mod bus;
mod check;
mod cloud;
mod positions;
mod variants;
pub(crate) mod reference;

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bus::{BusTroubles, Period};
pub use cloud::Cloud;
pub use variants::{
    AbsentEndOfLife, Answer, BareUpdate, ExactVersion, Exclusion, LargeMessage,
    LatestWhileReplicating, LostLock, MissingQueue, MissingRole, RunEvent, StagingDeleted,
    TagsOnly, ThrottledBus, UnsetFlag, Variants, VersionEvents, WaitTold,
};

/// A whole estate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Estate {
    /// The instant at which desk time starts.
    pub start: DateTime<Utc>,
    /// The id of the Entra tenant that the subscriptions belong to.
    pub tenant: String,
    /// The subscriptions, each with its resource groups.
    pub subscriptions: Vec<Subscription>,
    /// Named sets of subscriptions, as Resource Graph may be asked about them.
    #[serde(default)]
    pub management_groups: Vec<ManagementGroup>,
    /// True: Event Grid delivers what happened to templates and versions to the queue `ingress`, in
    /// the CloudEvents schema. Or the schema: `cloudEvents`, `eventGrid`.
    #[serde(default)]
    pub event_grid: EventGrid,
    /// The Marketplace images that exist, with their history and their future.
    #[serde(default)]
    pub marketplace: Vec<PlatformImage>,
    /// The vulnerabilities that become known, each at its instant.
    #[serde(default)]
    pub advisories: Vec<Advisory>,
    /// What a customize step of a template does to the build machine, by the step's name. A step
    /// that is not named here changes no package.
    #[serde(default)]
    pub steps: Vec<StepEffect>,
    /// The galleries with their definitions and versions.
    #[serde(default)]
    pub galleries: Vec<Gallery>,
    /// The virtual machines.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// The virtual machine scale sets.
    #[serde(default)]
    pub scale_sets: Vec<ScaleSet>,
    /// Image templates that somebody else made.
    #[serde(default)]
    pub templates: Vec<Template>,
    /// Times in which a region takes no replicas.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// What befalls Service Bus.
    #[serde(default)]
    pub bus: BusTroubles,
    /// How this cloud differs from a plain one in what is known of Azure.
    #[serde(default)]
    pub cloud: Cloud,
    /// How Azure behaves where its documents and every recording are silent.
    #[serde(default)]
    pub variants: Variants,
    /// How much of Azure's published request budgets there is, in percent: 100 without it, less for
    /// somebody who wants to see them run out. Of each budget at least one request is left, of
    /// Resource Graph's at least two. An invocation takes no desk time, so that nothing comes back
    /// within it: below 3 there are steps that ask for more in one moment than there ever is.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 100))]
    pub budgets_percent: u32,
}

/// Whether there are events, and in which schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EventGrid {
    Told(bool),
    In(EventSchema),
}

/// How Event Grid writes an event down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EventSchema {
    /// One object.
    CloudEvents,
    /// An array of one.
    EventGrid,
}

impl Default for EventGrid {
    fn default() -> EventGrid {
        EventGrid::Told(false)
    }
}

impl EventGrid {
    /// The schema of the events; None when there are none.
    pub fn schema(self) -> Option<EventSchema> {
        match self {
            EventGrid::Told(false) => None,
            EventGrid::Told(true) => Some(EventSchema::CloudEvents),
            EventGrid::In(schema) => Some(schema),
        }
    }
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Subscription {
    /// Its id, a GUID.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// False: our identity may not read it. It is missing in every list, silently, as on Azure.
    /// Defaults to true.
    #[serde(default = "yes")]
    pub readable: bool,
    #[serde(default)]
    pub resource_groups: Vec<ResourceGroup>,
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResourceGroup {
    pub name: String,
    /// A region, `westeurope`.
    pub location: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A management group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ManagementGroup {
    pub name: String,
    /// The ids of its subscriptions.
    pub subscriptions: Vec<String>,
}

/// Linux or Windows, as Compute spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OsType {
    Linux,
    Windows,
}

/// The generation of a virtual machine, as Compute spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Generation {
    V1,
    #[default]
    V2,
}

/// A Marketplace image: one publisher, offer and sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlatformImage {
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    /// The distribution and its release, `ubuntu/22.04`; advisories and steps refer to it.
    pub os: String,
    #[serde(default = "linux")]
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

/// A vulnerability in a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Advisory {
    /// `CVE-2026-31415`.
    pub id: String,
    /// The distribution it is about, `ubuntu/22.04`.
    pub os: String,
    pub package: String,
    pub severity: Severity,
    pub title: String,
    /// When scanners start to know it.
    pub published: DateTime<Utc>,
    /// The first version without it; without this every version has it, for good.
    #[serde(default)]
    pub fixed: Option<Fix>,
    /// The first version that has it; without this every version below the fixed one.
    #[serde(default)]
    pub introduced: Option<String>,
}

/// The version of a package that cures an advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Fix {
    pub version: String,
    /// When the version can be installed, and when scanners start to name it.
    pub published: DateTime<Utc>,
}

/// A scanner's severity.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    Unknown,
    Low,
    Medium,
    High,
    Critical,
}

/// What a customize step does to the build machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StepEffect {
    /// The name of the customizer in the template.
    pub name: String,
    /// The distributions it holds for, `ubuntu/22.04`; every one when empty.
    #[serde(default)]
    pub os: Vec<String>,
    /// Packages that are installed, each at least at this version, or at the newest fixed one.
    #[serde(default)]
    pub installs: BTreeMap<String, String>,
    /// Packages that are removed.
    #[serde(default)]
    pub removes: Vec<String>,
    /// True: every package that is not held becomes the newest fixed version published by then.
    #[serde(default)]
    pub upgrades_all: bool,
    /// These packages become the newest fixed version published by then.
    #[serde(default)]
    pub upgrades: Vec<String>,
    /// These packages are kept back by `upgradesAll`, as `apt-get upgrade` keeps back a kernel.
    #[serde(default)]
    pub holds: Vec<String>,
    /// The step fails.
    #[serde(default)]
    pub fails: Option<StepFailure>,
}

/// Why and when a step fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StepFailure {
    /// What the step prints before it fails.
    pub reason: String,
    /// The first instant at which it fails; always when absent.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// The instant from which it works again; never when absent.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
}

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
    #[serde(default = "linux")]
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

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Machine {
    /// The subscription's id.
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
    pub location: String,
    /// What it was made from: `gallery/definition` (latest), `gallery/definition/version`,
    /// `publisher:offer:sku:version`, or a whole resource id.
    pub image: String,
    /// The version that it runs, as Azure tells it for a reference to *latest*.
    #[serde(default)]
    pub exact_version: Option<String>,
    pub created: DateTime<Utc>,
    /// The name of the flexible scale set it belongs to, in the same group.
    #[serde(default)]
    pub scale_set: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A virtual machine scale set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScaleSet {
    /// The subscription's id.
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
    pub location: String,
    /// What its model is made from, written as for a machine.
    pub image: String,
    /// How many machines it has; 0 is legal, and its model still refers to the image.
    pub size: u32,
    #[serde(default)]
    pub orchestration: Orchestration,
    pub created: DateTime<Utc>,
    /// Instances of a uniform scale set that run something else than the model; the others run it.
    #[serde(default)]
    pub instances: Vec<Instance>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// How a scale set keeps its machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Orchestration {
    #[default]
    Uniform,
    Flexible,
}

/// An instance of a uniform scale set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Instance {
    /// Its number, `0` for the first.
    pub id: u32,
    /// What it was made from; the model's image when absent.
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default)]
    pub exact_version: Option<String>,
}

/// An image template of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Template {
    /// The subscription's id.
    pub subscription: String,
    pub resource_group: String,
    pub name: String,
    pub location: String,
    /// The resource id of the user-assigned identity it builds as.
    pub identity: String,
    /// What it builds from, written as for a machine.
    pub source: String,
    /// Where it publishes: `gallery/definition`.
    pub distribute: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A time in which replicating to a region fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Outage {
    pub region: String,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// True: a version ends Succeeded all the same, and only its region says Failed. Else both say
    /// so.
    #[serde(default)]
    pub version_succeeds: bool,
}

fn yes() -> bool {
    true
}

fn thirty() -> u32 {
    30
}

fn hundred() -> u32 {
    100
}

fn linux() -> OsType {
    OsType::Linux
}

fn trusted() -> String {
    "TrustedLaunchSupported".to_owned()
}

/// Everything that is wrong with an estate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstateError {
    /// In the order of the document.
    pub problems: Vec<EstateProblem>,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EstateProblem {
    /// The line, the first being 1; 0 when it is not known.
    pub line: usize,
    /// The column, the first being 1; 0 when it is not known.
    pub column: usize,
    /// The place in the document, `machines[2].image`; empty for a fault of the syntax.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for EstateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for EstateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EstateError {}

impl Estate {
    /// Reads an estate from YAML and checks it.
    ///
    /// # Errors
    /// The first fault of the syntax or of a type; else everything that does not fit together.
    pub fn parse(text: &str) -> Result<Estate, EstateError> {
        let estate: Estate = serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location();
            let (line, column) = location.map_or((0, 0), |at| (at.line(), at.column()));
            let message = first_line(&error.without_snippet().to_string());
            let problem = EstateProblem {
                line: usize::try_from(line).unwrap_or(0),
                column: usize::try_from(column).unwrap_or(0),
                path: String::new(),
                message,
            };
            EstateError { problems: vec![problem] }
        })?;

        let faults = estate.check();
        if faults.is_empty() {
            return Ok(estate);
        }
        let positions = positions::of(text);
        let mut problems: Vec<EstateProblem> = faults
            .into_iter()
            .map(|(path, message)| {
                let (line, column) = positions::nearest(&positions, &path);
                EstateProblem { line, column, path, message }
            })
            .collect();
        problems.sort();
        Err(EstateError { problems })
    }

    /// What is left of a published budget of `published` requests.
    pub(crate) fn budget(&self, published: u64) -> u64 {
        (published * u64::from(self.budgets_percent) / 100).max(1)
    }

    /// Everything that does not fit together, as (path, message): for an estate that was read by
    /// other means than [`Estate::parse`].
    pub fn check(&self) -> Vec<(String, String)> {
        check::check(self)
    }
}

/// The library appends the place and a picture of it, which whoever prints the error draws itself.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let cut = line.rfind(" at line ").unwrap_or(line.len());
    line[..cut].trim_end_matches(['.', ',', ':']).to_owned()
}
