//! Versions of an image, as the gallery has them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::{Region, VersionNumber};
use serde::Deserialize;

use crate::api::GALLERIES;
use crate::client::{Arm, Deletion, Permit, Written};
use crate::date;
use crate::error::{At, Error};
use crate::id::{DefinitionId, VersionId, path};
use crate::readable::readable;
use crate::state::{Provisioning, ReplicationState};
use crate::version_intent::{self, VersionIntent};

/// A version, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub number: VersionNumber,
    pub id: VersionId,
    /// Its home region, which holds its metadata.
    pub location: Region,
    pub provisioning: Provisioning,
    /// When it was published; a restore does not change it.
    pub published_at: Option<DateTime<Utc>>,
    pub end_of_life: Option<DateTime<Utc>>,
    /// The flag for all regions. Absent counts as false.
    pub exclude_from_latest: bool,
    pub target_regions: Vec<TargetRegion>,
    /// How far each region is; absent in lists, and while Azure knows nothing of it.
    pub replication: Option<Vec<RegionReplication>>,
    /// Absent while it is being created.
    pub os_disk_gb: Option<u32>,
    /// The id of what it was made from; of a build, the disk's storage account, which is deleted
    /// with the template.
    pub source: Option<String>,
    pub allow_deletion_of_replicated_locations: bool,
    pub block_deletion_before_end_of_life: bool,
    pub tags: BTreeMap<String, String>,
}

/// A region that a version shall be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRegion {
    pub region: Region,
    pub replicas: u32,
    /// The region's own flag; absent where it was never said.
    pub exclude_from_latest: Option<bool>,
    /// The kind of its disks, `Standard_LRS`; it cannot change.
    pub storage: Option<String>,
}

/// How far a version's copy in one region is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionReplication {
    pub region: Region,
    pub state: ReplicationState,
    /// In percent.
    pub progress: u32,
    /// What went wrong, where something did.
    pub details: Option<String>,
}

impl Arm {
    /// Lists the versions of `definition`, in the order of their numbers, without their
    /// replication.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the definition is not there; else why they could not be listed.
    pub async fn versions(&self, definition: &DefinitionId) -> Result<Vec<Version>, Error> {
        let path = format!("{}/versions?api-version={GALLERIES}", path(&definition.to_string()));
        let fact = |it: WireVersion| it.facts(definition);
        let operation = "list the versions of";
        let mut versions = self.list(operation, definition.to_string(), path, fact).await?;
        versions.sort_by_key(|it| it.number);
        Ok(versions)
    }

    /// Reads a version with its replication.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else why it could not be read.
    pub async fn version(&self, id: &VersionId) -> Result<Version, Error> {
        let path = version_path(id, "$expand=ReplicationStatus&");
        let answer = self.get("read the version", id.to_string(), path).await?;
        answer.read(|it: WireVersion| it.facts(&id.definition))
    }

    /// Makes a version what `intent` says. Only for a version that was read in the same step: on a
    /// soft-deleted one this would restore it. A change of a flag alone takes minutes; the version
    /// is as it shall be when it reads [`Provisioning::Succeeded`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when the intent is wrong or the version is not there;
    /// [`Error::Conflict`] while something else is done to it; [`Error::NotSent`] for an intent that
    /// would leave a version without its home region or name a region twice.
    pub async fn put_version(
        &self,
        permit: &Permit,
        id: &VersionId,
        intent: &VersionIntent,
    ) -> Result<Written, Error> {
        let at = At { operation: "change the version", resource: id.to_string() };
        if let Err(because) = intent.check() {
            return Err(Error::NotSent { at, because });
        }
        self.put(permit, at, version_path(id, ""), &version_intent::body(intent)).await
    }

    /// Deletes a version. Azure does not stop anyone deleting one that is in use. In a gallery with
    /// soft delete it can be restored for a while, and its number stays taken.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] before the end of life of a version that blocks this; else why it was
    /// refused.
    pub async fn delete_version(&self, permit: &Permit, id: &VersionId) -> Result<Deletion, Error> {
        let at = At { operation: "delete the version", resource: id.to_string() };
        self.delete(permit, at, version_path(id, "")).await
    }
}

fn version_path(id: &VersionId, query: &str) -> String {
    format!("{}?{query}api-version={GALLERIES}", path(&id.to_string()))
}

#[derive(Deserialize)]
struct WireVersion {
    name: String,
    location: String,
    tags: Option<BTreeMap<String, String>>,
    properties: WireProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    provisioning_state: String,
    publishing_profile: Option<WirePublishing>,
    storage_profile: Option<WireStorage>,
    safety_profile: Option<WireSafety>,
    replication_status: Option<WireReplication>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePublishing {
    target_regions: Option<Vec<WireRegion>>,
    replica_count: Option<u32>,
    exclude_from_latest: Option<bool>,
    published_date: Option<String>,
    end_of_life_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRegion {
    name: String,
    regional_replica_count: Option<u32>,
    exclude_from_latest: Option<bool>,
    storage_account_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStorage {
    source: Option<WireSource>,
    os_disk_image: Option<WireDisk>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDisk {
    #[serde(rename = "sizeInGB")]
    size_in_gb: Option<u32>,
    source: Option<WireSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource {
    id: Option<String>,
    virtual_machine_id: Option<String>,
    storage_account_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSafety {
    allow_deletion_of_replicated_locations: Option<bool>,
    block_deletion_before_end_of_life: Option<bool>,
}

#[derive(Deserialize)]
struct WireReplication {
    summary: Option<Vec<WireRegionReplication>>,
}

#[derive(Deserialize)]
struct WireRegionReplication {
    region: String,
    state: String,
    progress: Option<u32>,
    details: Option<String>,
}

impl WireVersion {
    /// Its id is made from the definition's, since Azure's own comes back in another case.
    fn facts(self, definition: &DefinitionId) -> Result<Version, String> {
        let number: VersionNumber = self.name.parse().map_err(|error| format!("{error}"))?;
        let WireProperties { publishing_profile, storage_profile, safety_profile, .. } =
            self.properties;
        let publishing = publishing_profile.unwrap_or_default();
        let safety = safety_profile.unwrap_or_default();
        let WireStorage { source, os_disk_image } = storage_profile.unwrap_or_default();
        let replicas = publishing.replica_count.unwrap_or(1);
        let regions = publishing.target_regions.unwrap_or_default();
        let replication = self.properties.replication_status.and_then(|it| it.summary);
        let os_disk_gb = os_disk_image.as_ref().and_then(|it| it.size_in_gb);
        let disk_source = os_disk_image.and_then(|it| it.source);
        Ok(Version {
            number,
            id: definition.version(number),
            location: region(self.location)?,
            provisioning: Provisioning::named(&self.properties.provisioning_state),
            published_at: date::optional(publishing.published_date.as_deref())?,
            end_of_life: date::optional(publishing.end_of_life_date.as_deref())?,
            exclude_from_latest: publishing.exclude_from_latest.unwrap_or(false),
            target_regions: regions
                .into_iter()
                .map(|it| it.fact(replicas))
                .collect::<Result<_, _>>()?,
            replication: replication
                .map(|it| it.into_iter().map(WireRegionReplication::fact).collect())
                .transpose()?,
            os_disk_gb,
            source: source
                .and_then(WireSource::id)
                .or_else(|| disk_source.and_then(WireSource::id)),
            allow_deletion_of_replicated_locations: safety
                .allow_deletion_of_replicated_locations
                .unwrap_or(false),
            block_deletion_before_end_of_life: safety
                .block_deletion_before_end_of_life
                .unwrap_or(false),
            tags: self.tags.unwrap_or_default(),
        })
    }
}

impl WireRegion {
    fn fact(self, replicas: u32) -> Result<TargetRegion, String> {
        Ok(TargetRegion {
            region: region(self.name)?,
            replicas: self.regional_replica_count.unwrap_or(replicas),
            exclude_from_latest: self.exclude_from_latest,
            storage: self.storage_account_type,
        })
    }
}

impl WireRegionReplication {
    fn fact(self) -> Result<RegionReplication, String> {
        let details = self.details.filter(|it| !it.is_empty());
        Ok(RegionReplication {
            region: region(self.region)?,
            state: ReplicationState::named(&self.state),
            progress: self.progress.unwrap_or(0),
            details: details.map(|it| readable(&it, 500)),
        })
    }
}

impl WireSource {
    fn id(self) -> Option<String> {
        let WireSource { id, virtual_machine_id, storage_account_id } = self;
        id.or(virtual_machine_id).or(storage_account_id).filter(|it| !it.is_empty())
    }
}

/// Azure writes `East US 2` among the target regions and `eastus2` in the replication.
fn region(text: String) -> Result<Region, String> {
    Region::try_from(text).map_err(|error| error.to_string())
}
