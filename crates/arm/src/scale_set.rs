//! The instances of a scale set in Uniform mode. Each keeps the version that it was made or last
//! re-imaged from, whatever the model names.

use rules::in_use::{Kind, UseRow};
use serde::Deserialize;

use crate::api::COMPUTE;
use crate::client::Arm;
use crate::date;
use crate::error::Error;
use crate::id::path;

impl Arm {
    /// Lists the instances of the scale set whose resource id is `id`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there; else why they could not be listed.
    pub async fn scale_set_instances(&self, id: &str) -> Result<Vec<UseRow>, Error> {
        let path = format!("{}/virtualMachines?api-version={COMPUTE}", path(id));
        let fact = |it: WireInstance| Ok(it.fact(id));
        self.list("list the instances of", id.to_owned(), path, fact).await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInstance {
    id: Option<String>,
    instance_id: Option<String>,
    location: Option<String>,
    properties: Option<WireProperties>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    storage_profile: Option<WireStorage>,
    time_created: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStorage {
    image_reference: Option<WireReference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReference {
    id: Option<String>,
    shared_gallery_image_id: Option<String>,
    community_gallery_image_id: Option<String>,
    exact_version: Option<String>,
}

impl WireInstance {
    /// Its id is made from the set's, whose case the lists of instances change.
    fn fact(self, set: &str) -> UseRow {
        let properties = self.properties.unwrap_or_default();
        let storage = properties.storage_profile.and_then(|it| it.image_reference);
        let reference = storage.unwrap_or_default();
        let last = self.id.as_deref().and_then(|it| it.rsplit('/').next()).map(str::to_owned);
        let instance = self.instance_id.or(last).unwrap_or_default();
        UseRow {
            id: format!("{set}/virtualMachines/{instance}"),
            kind: Kind::ScaleSetInstance,
            reference: reference
                .id
                .or(reference.shared_gallery_image_id)
                .or(reference.community_gallery_image_id)
                .map(|it| it.to_lowercase()),
            exact_version: reference.exact_version.filter(|it| !it.is_empty()),
            os_disk_reference: None,
            created_at: date::optional(properties.time_created.as_deref()).ok().flatten(),
            size: None,
            location: self.location,
            scale_set: Some(set.to_owned()),
        }
    }
}
