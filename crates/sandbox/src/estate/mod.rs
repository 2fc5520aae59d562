//! The estate: what is there on Azure at the start, and what the world around it will do later:
//! Marketplace releases, advisories and outages to come. These are its types, as they are written
//! in YAML; `check.rs` says what must hold between them.

mod bus;
mod check;
mod cloud;
mod fleet;
mod gallery;
mod marketplace;
mod positions;
mod problem;
mod software;
mod variants;
pub(crate) mod reference;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bus::{BusTroubles, Period};
pub use cloud::Cloud;
pub use fleet::{Instance, Machine, Orchestration, ScaleSet, Template};
pub use gallery::{Definition, Gallery, SoftDelete, Version, VersionState};
pub use marketplace::{Plan, PlatformImage, PlatformVersion};
pub use problem::{EstateError, EstateProblem};
pub use software::{Advisory, Fix, Severity, StepEffect, StepFailure};
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

fn hundred() -> u32 {
    100
}

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

fn linux() -> OsType {
    OsType::Linux
}
