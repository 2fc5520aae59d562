//! Galleries, and the versions that one of them holds back after their deletion.

use chrono::{DateTime, Utc};
use rules::{Region, VersionNumber};
use serde::Deserialize;

use crate::api::GALLERIES;
use crate::client::Arm;
use crate::date;
use crate::error::Error;
use crate::id::{DefinitionId, GalleryId, escaped, path};
use crate::state::Provisioning;

/// A gallery, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gallery {
    pub name: String,
    pub location: Region,
    pub provisioning: Option<Provisioning>,
    /// True: a deleted version can be restored for a while, and its number stays taken.
    pub soft_delete: bool,
    /// The names under which subscriptions that it is shared with see it: its unique name, and its
    /// public names when it is a community gallery.
    pub shared_names: Vec<String>,
}

/// A version that was deleted and can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftDeleted {
    pub number: VersionNumber,
    pub deleted_at: Option<DateTime<Utc>>,
    /// Until then machines can be made from it.
    pub usable_until: Option<DateTime<Utc>>,
    /// When Azure deletes it for good.
    pub gone_at: Option<DateTime<Utc>>,
}

impl Arm {
    /// Reads a gallery.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else why it could not be read.
    pub async fn gallery(&self, id: &GalleryId) -> Result<Gallery, Error> {
        let path = format!("{}?api-version={GALLERIES}", path(&id.to_string()));
        let answer = self.get("read the gallery", id.to_string(), path).await?;
        answer.read(WireGallery::facts)
    }

    /// Lists the versions of `definition` that are deleted and can be restored.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the gallery is not there or keeps nothing; else why they could not
    /// be listed.
    pub async fn soft_deleted(&self, definition: &DefinitionId) -> Result<Vec<SoftDeleted>, Error> {
        let path = format!(
            "{}/softdeletedartifacttypes/images/artifacts/{}/versions?api-version={GALLERIES}",
            path(&definition.gallery.to_string()),
            escaped(&definition.name)
        );
        let operation = "list the soft-deleted versions of";
        self.list(operation, definition.to_string(), path, WireSoftDeleted::facts).await
    }
}

#[derive(Deserialize)]
struct WireGallery {
    name: String,
    location: String,
    properties: WireProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    provisioning_state: Option<String>,
    identifier: Option<WireIdentifier>,
    sharing_profile: Option<WireSharing>,
    soft_delete_policy: Option<WireSoftDelete>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireIdentifier {
    unique_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSharing {
    community_gallery_info: Option<WireCommunity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCommunity {
    public_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSoftDelete {
    is_soft_delete_enabled: Option<bool>,
}

#[derive(Deserialize)]
struct WireSoftDeleted {
    name: String,
    properties: Option<WireSoftDeletedProperties>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSoftDeletedProperties {
    soft_deleted_time: Option<String>,
    consumption_end_time: Option<String>,
    hard_deletion_target_time: Option<String>,
}

impl WireGallery {
    fn facts(self) -> Result<Gallery, String> {
        let WireProperties { provisioning_state, identifier, sharing_profile, soft_delete_policy } =
            self.properties;
        let community = sharing_profile.and_then(|it| it.community_gallery_info);
        let public = community.and_then(|it| it.public_names).unwrap_or_default();
        let unique = identifier.and_then(|it| it.unique_name);
        Ok(Gallery {
            name: self.name,
            location: Region::try_from(self.location).map_err(|error| error.to_string())?,
            provisioning: provisioning_state.map(|it| Provisioning::named(&it)),
            soft_delete: soft_delete_policy
                .is_some_and(|it| it.is_soft_delete_enabled == Some(true)),
            shared_names: unique.into_iter().chain(public).filter(|it| !it.is_empty()).collect(),
        })
    }
}

impl WireSoftDeleted {
    fn facts(self) -> Result<SoftDeleted, String> {
        let dates = self.properties.unwrap_or_default();
        Ok(SoftDeleted {
            number: self.name.parse().map_err(|error| format!("{error}"))?,
            deleted_at: date::optional(dates.soft_deleted_time.as_deref())?,
            usable_until: date::optional(dates.consumption_end_time.as_deref())?,
            gone_at: date::optional(dates.hard_deletion_target_time.as_deref())?,
        })
    }
}
