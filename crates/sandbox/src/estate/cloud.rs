//! What a cloud is like where clouds and days differ: which api-versions it lacks, how its lists are
//! cut into pages, how far Resource Graph is behind. All of it is known of Azure; what is not known
//! is a variant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the cloud of an estate differs from a plain one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Cloud {
    /// API versions that no resource type of this cloud has, as a sovereign cloud lacks the newest:
    /// `2026-03-03`.
    pub lacks_api_versions: Vec<String>,
    /// The most items on one page of a list, 1 or more; then an empty page comes first and another
    /// one last, each with its link but for the last. Without it a list is one page.
    pub items_per_page: Option<u32>,
    /// How many minutes Resource Graph is behind. Defaults to 0.
    pub graph_lag_minutes: u32,
}
