//! What a version is made from: another version, a machine, a disk.

use http::StatusCode;
use serde_json::{Value, json};

use super::World;
use super::answer::{Refusal, Trouble};
use super::software::Software;
use super::version::{self, Version};

/// What a version is made from.
pub(super) struct Source {
    pub(super) profile: Option<Value>,
    pub(super) disk: Value,
    pub(super) disk_gb: Option<u32>,
    pub(super) software: Software,
    pub(super) platform: Option<[String; 3]>,
}

/// What the body of a PUT that creates a version makes it from.
///
/// # Errors
/// 400 when it names nothing, 404 when what it names is not there.
pub(super) fn source(world: &World<'_>, asked: &Value) -> Result<Source, Trouble> {
    let storage = &asked["properties"]["storageProfile"];
    let disk = &storage["osDiskImage"]["source"];
    let id = storage["source"]["id"].as_str().or(storage["source"]["virtualMachineId"].as_str());
    let has_disk = disk["id"].is_string() || disk["uri"].is_string();
    let community = storage["source"]["communityGalleryImageId"].is_string();
    if id.is_none() && !has_disk && !community {
        return Err(Refusal::parameter(
            "The gallery artifact version source can only be specified either directly under \
             storageProfile or within individual OS or data disks. One and only one source type \
             (user image, snapshot, disk, virtual machine) can be provided.",
            "galleryImageVersion.properties.storageProfile.source.id",
        )
        .into());
    }

    let mut source = Source {
        profile: storage.get("source").filter(|it| it.is_object()).cloned(),
        disk: if has_disk { disk.clone() } else { json!({}) },
        disk_gb: None,
        software: Software::default(),
        platform: None,
    };
    let Some(id) = id else { return Ok(source) };
    if !world.records.exists(id)? {
        let message = format!("The source '{id}' could not be found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "NotFound", message).into());
    }
    let kind = world.records.kind(id)?.unwrap_or_default();
    if kind == version::KIND.to_ascii_lowercase()
        && let Some(other) = world.records.get::<Version>(id)?
    {
        source.disk_gb = Some(other.disk_gb);
        source.software = other.software;
        source.platform = other.platform;
    }
    Ok(source)
}
