//! What there really is, for somebody who looks on from outside: no budget is spent, nothing lags,
//! and nothing is left out that an answer of Azure would leave out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::settle;
use super::version::{self, Replication, Version};
use super::{Azure, AzureError};

/// A version as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVersion {
    /// Its number, `1.2.3`.
    pub number: String,
    /// Creating, Updating, Succeeded, Failed, Deleting.
    pub state: String,
    /// When a build or a PUT published it.
    pub published: DateTime<Utc>,
    pub tags: BTreeMap<String, String>,
    /// `excludeFromLatest` of the publishing profile.
    pub excluded: bool,
    /// By the short name of the region.
    pub regions: BTreeMap<String, SeenRegion>,
}

/// A version in one of its regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRegion {
    /// True: its replication there is Completed.
    pub completed: bool,
    /// The region's own `excludeFromLatest`, when a request ever carried it.
    pub excluded: Option<bool>,
    /// True: *latest* may mean it there, as the estate's variants have it.
    pub offered: bool,
}

/// Any resource.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenResource {
    /// Its id, in lower case.
    pub id: String,
    /// Its type, in lower case.
    pub kind: String,
    /// What is remembered of it: of most kinds the body that Azure tells.
    pub record: Value,
}

impl Azure {
    /// The versions of the image definition `definition_id`, lowest number first.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn versions(&self, definition_id: &str) -> Result<Vec<SeenVersion>, AzureError> {
        Ok(self.within(|world| {
            settle::settle(world)?;
            let mut versions: Vec<Version> =
                world.records.below_of(definition_id, version::KIND)?;
            versions.sort_by_key(|it| version::numbers(it.number()));
            let seen = versions.iter().map(|version| {
                let regions = version.regions.iter().map(|it| {
                    let region = SeenRegion {
                        completed: it.replication(world.now) == Replication::Completed,
                        excluded: it.exclude_from_latest,
                        offered: version.is_offered_in(world, it),
                    };
                    (it.name.clone(), region)
                });
                SeenVersion {
                    number: version.number().to_owned(),
                    state: version.state.clone(),
                    published: version.published,
                    tags: tags(&version.tags),
                    excluded: version.exclude_from_latest,
                    regions: regions.collect(),
                }
            });
            Ok(seen.collect())
        })?)
    }

    /// Every resource below `scope`, by id.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn resources(&self, scope: &str) -> Result<Vec<SeenResource>, AzureError> {
        Ok(self.within(|world| {
            settle::settle(world)?;
            let stored = world.records.below(scope)?;
            let seen = stored.into_iter().map(|it| {
                let record = serde_json::from_str(&it.record)?;
                Ok(SeenResource { id: it.key, kind: it.kind, record })
            });
            seen.collect()
        })?)
    }
}

fn tags(tags: &Value) -> BTreeMap<String, String> {
    let pairs = tags.as_object().into_iter().flatten();
    pairs.filter_map(|(name, it)| Some((name.clone(), it.as_str()?.to_owned()))).collect()
}
