//! What is in a machine: the vulnerabilities that become known, and what a customize step changes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
