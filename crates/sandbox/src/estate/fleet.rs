//! What is made from images: machines, scale sets, and the templates of somebody else.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
