//! The estate, put in place once: what is there when desk time starts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::Trouble;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::software::Software;
use super::template::Template;
use super::version::{TargetRegion, Version};
use super::{World, compute, definition, gallery, group, moment, plain, region};
use crate::estate::reference::{self, Reference};
use crate::estate::{self, Estate, Generation, Orchestration, OsType, VersionState};

/// The api-version whose defaults the definitions of an estate have.
const DEFINITIONS_API: &str = "2026-03-03";

/// Puts the whole estate in place.
pub(super) fn seed(world: &World<'_>) -> Result<(), Trouble> {
    // The clock may stand elsewhere; the estate is as of its own start.
    let world = &World { now: world.estate.start, ..*world };
    for subscription in &world.estate.subscriptions {
        for resource_group in &subscription.resource_groups {
            let id = group::id(&subscription.id, &resource_group.name);
            let tags = json!(resource_group.tags);
            plain::put(world, &group::body(&id, &resource_group.location, tags, None))?;
        }
    }
    for gallery in &world.estate.galleries {
        seed_gallery(world, gallery)?;
    }
    for set in &world.estate.scale_sets {
        seed_scale_set(world, set)?;
    }
    for machine in &world.estate.machines {
        seed_machine(world, machine)?;
    }
    for template in &world.estate.templates {
        seed_template(world, template)?;
    }
    Ok(())
}

fn broken(text: String) -> Trouble {
    Trouble::Broken(format!(
        "the estate does not fit together: {text}; read it with `Estate::parse`"
    ))
}

fn resolve(estate: &Estate, text: &str) -> Result<Reference, Trouble> {
    reference::resolve(estate, text).map_err(broken)
}

fn seed_gallery(world: &World<'_>, gallery: &estate::Gallery) -> Result<(), Trouble> {
    let id = reference::gallery_id(gallery);
    let mut body = gallery::body(&id, &gallery.location, json!(gallery.tags));
    if let Some(policy) = &gallery.soft_delete {
        body["properties"]["softDeletePolicy"] = json!({
            "isSoftDeleteEnabled": true,
            "retentionPeriodInDays": policy.retention_days,
            "gracePeriodInDays": policy.grace_days,
        });
    }
    plain::put(world, &body)?;

    for definition in &gallery.definitions {
        let id = reference::definition_id(gallery, definition);
        let properties = json!({
            "osType": definition.os_type,
            "osState": "Generalized",
            "hyperVGeneration": match definition.generation {
                Generation::V1 => "V1",
                Generation::V2 => "V2",
            },
            "identifier": {
                "publisher": definition.publisher,
                "offer": definition.offer,
                "sku": definition.sku,
            },
            "features": [{ "name": "SecurityType", "value": definition.security }],
        });
        let mut body = definition::body(&id, &gallery.location, &properties, DEFINITIONS_API);
        body["tags"] = json!(definition.tags);
        plain::put(world, &body)?;
    }
    // A version may be built from one of another definition, so parents come first.
    let mut waiting: Vec<(&estate::Definition, &estate::Version)> = gallery
        .definitions
        .iter()
        .flat_map(|definition| definition.versions.iter().map(move |it| (definition, it)))
        .collect();
    waiting.sort_by_key(|it| it.1.published);
    for (definition, version) in waiting {
        seed_version(world, gallery, definition, version)?;
    }
    Ok(())
}

fn seed_version(
    world: &World<'_>,
    gallery: &estate::Gallery,
    definition: &estate::Definition,
    version: &estate::Version,
) -> Result<(), Trouble> {
    let id =
        format!("{}/versions/{}", reference::definition_id(gallery, definition), version.number);
    let windows = definition.os_type == OsType::Windows;
    let (mut software, platform) = software_of_base(world, version)?;
    for step in &version.steps {
        software.run_step(world.estate, step, version.published);
    }
    software.packages.extend(version.packages.clone());

    let completed = version.published + moment::seconds(450.0);
    let excluded: Vec<String> = version.excluded_in.iter().map(|it| region::short(it)).collect();
    let says_regions = !excluded.is_empty();
    let regions = version
        .regions
        .iter()
        .map(|name| {
            let name = region::short(name);
            TargetRegion {
                exclude_from_latest: says_regions.then(|| excluded.contains(&name)),
                name,
                replicas: 1,
                storage_account_type: "Standard_LRS".to_owned(),
                besides: serde_json::Map::new(),
                begun: version.published,
                completes: completed.min(world.now),
                fails: version.state == VersionState::Failed,
            }
        })
        .collect();
    Version {
        id,
        location: region::short(&gallery.location),
        tags: json!(version.tags),
        regions,
        replica_count: 1,
        exclude_from_latest: version.exclude_from_latest,
        published: version.published,
        end_of_life: version.end_of_life,
        storage_account_type: "Standard_LRS".to_owned(),
        replication_mode: None,
        source: None,
        disk_source: json!({}),
        disk_gb: if windows { 127 } else { 30 },
        allow_deletion_of_replicated_locations: version.allow_deletion_of_replicated_locations,
        block_deletion_before_end_of_life: version
            .block_deletion_before_end_of_life
            .then_some(true),
        state: match version.state {
            VersionState::Succeeded => "Succeeded",
            VersionState::Failed => "Failed",
        }
        .to_owned(),
        operation: None,
        software,
        platform,
    }
    .store(world)
}

fn software_of_base(
    world: &World<'_>,
    version: &estate::Version,
) -> Result<(Software, Option<[String; 3]>), Trouble> {
    let Some(base) = &version.base else { return Ok((Software::default(), None)) };
    match resolve(world.estate, base)? {
        Reference::Platform { publisher, offer, sku, version } => {
            let image = reference::platform_image(world.estate, &publisher, &offer, &sku);
            let software = image.map(|it| Software::of_platform(it, &version));
            Ok((software.unwrap_or_default(), Some([publisher, offer, sku])))
        }
        Reference::Gallery { definition_id, version } => {
            let id = format!("{definition_id}/versions/{}", version.unwrap_or_default());
            let parent = world.records.get::<Version>(&id)?;
            let parent = parent.ok_or_else(|| {
                broken(format!("`{base}` was published after what is built from it"))
            })?;
            Ok((parent.software, parent.platform))
        }
        Reference::Resource(_) => Ok((Software::default(), None)),
    }
}

/// The `imageReference` of a machine, and what it tells of its version.
fn image_reference(estate: &Estate, text: &str, exact: Option<&String>) -> Result<Value, Trouble> {
    let mut value = match resolve(estate, text)? {
        Reference::Platform { publisher, offer, sku, version } => {
            let told = exact.cloned().unwrap_or_else(|| version.clone());
            return Ok(json!({
                "publisher": publisher, "offer": offer, "sku": sku, "version": version,
                "exactVersion": told,
            }));
        }
        Reference::Gallery { definition_id, version } => {
            let path = version.as_ref().map(|it| format!("/versions/{it}")).unwrap_or_default();
            let mut value = json!({ "id": format!("{definition_id}{path}") });
            if let Some(version) = version {
                value["exactVersion"] = json!(version);
            }
            value
        }
        Reference::Resource(id) => {
            let lower = id.to_ascii_lowercase();
            let member = if lower.starts_with("/sharedgalleries/") {
                "sharedGalleryImageId"
            } else if lower.starts_with("/communitygalleries/") {
                "communityGalleryImageId"
            } else {
                "id"
            };
            json!({ member: id })
        }
    };
    if let Some(exact) = exact {
        value["exactVersion"] = json!(exact);
    }
    Ok(value)
}

/// The same for a scale set's model, which never tells an exact version (recorded).
fn model_reference(estate: &Estate, text: &str) -> Result<Value, Trouble> {
    let mut value = image_reference(estate, text, None)?;
    if let Some(members) = value.as_object_mut() {
        members.remove("exactVersion");
    }
    Ok(value)
}

fn seed_machine(world: &World<'_>, machine: &estate::Machine) -> Result<(), Trouble> {
    let group = group::id(&machine.subscription, &machine.resource_group);
    let id = format!("{group}/providers/{}/{}", compute::MACHINE, machine.name);
    let image = image_reference(world.estate, &machine.image, machine.exact_version.as_ref())?;
    let windows = is_windows(world.estate, &machine.image);
    let tags = json!(machine.tags);
    let mut body = compute::machine(&id, &machine.location, tags, &image, windows, machine.created);
    if let Some(set) = &machine.scale_set {
        let set = format!("{group}/providers/{}/{set}", compute::SCALE_SET);
        body["properties"]["virtualMachineScaleSet"] = json!({ "id": set });
    }
    plain::put(world, &body)?;

    // A disk keeps the version that it was made from, also where the machine does not tell it.
    let mut made_from = image["id"].clone();
    for member in ["sharedGalleryImageId", "communityGalleryImageId"] {
        if image[member].is_string() {
            made_from = image[member].clone();
        }
    }
    if let (Some(id), Some(exact)) = (made_from.as_str(), image["exactVersion"].as_str())
        && id.contains("/galleries/")
        && !id.contains("/versions/")
    {
        made_from = json!(format!("{id}/versions/{exact}"));
    }
    plain::put(world, &compute::os_disk(&body, &made_from))
}

fn is_windows(estate: &Estate, image: &str) -> bool {
    match reference::resolve(estate, image) {
        Ok(Reference::Platform { publisher, offer, sku, .. }) => {
            let found = reference::platform_image(estate, &publisher, &offer, &sku);
            found.is_some_and(|it| it.os_type == OsType::Windows)
        }
        Ok(Reference::Gallery { definition_id, .. }) => estate.galleries.iter().any(|gallery| {
            gallery.definitions.iter().any(|it| {
                it.os_type == OsType::Windows
                    && reference::definition_id(gallery, it) == definition_id
            })
        }),
        _ => false,
    }
}

fn seed_scale_set(world: &World<'_>, set: &estate::ScaleSet) -> Result<(), Trouble> {
    let group = group::id(&set.subscription, &set.resource_group);
    let id = format!("{group}/providers/{}/{}", compute::SCALE_SET, set.name);
    let model = model_reference(world.estate, &set.image)?;
    let orchestration = match set.orchestration {
        Orchestration::Uniform => "Uniform",
        Orchestration::Flexible => "Flexible",
    };
    let tags = json!(set.tags);
    let body =
        compute::scale_set(&id, &set.location, tags, &model, orchestration, set.size, set.created);
    plain::put(world, &body)?;
    if set.orchestration == Orchestration::Flexible {
        return Ok(());
    }

    let others: BTreeMap<u32, &estate::Instance> =
        set.instances.iter().map(|it| (it.id, it)).collect();
    for number in 0..set.size {
        let other = others.get(&number);
        let image = other.and_then(|it| it.image.as_ref()).unwrap_or(&set.image);
        let exact = other.and_then(|it| it.exact_version.as_ref());
        let reference = image_reference(world.estate, image, exact)?;
        plain::put(world, &compute::instance(&body, number, &reference))?;
    }
    Ok(())
}

/// A template of somebody else; it is validated like any other, in the first seconds.
fn seed_template(world: &World<'_>, template: &estate::Template) -> Result<(), Trouble> {
    let group = group::id(&template.subscription, &template.resource_group);
    let id = format!("{group}/providers/{}/{}", super::template::KIND, template.name);
    let source = match resolve(world.estate, &template.source)? {
        Reference::Platform { publisher, offer, sku, version } => json!({
            "type": "PlatformImage", "publisher": publisher, "offer": offer, "sku": sku,
            "version": version,
        }),
        Reference::Gallery { definition_id, version } => {
            let path = version.map(|it| format!("/versions/{it}")).unwrap_or_default();
            json!({
                "type": "SharedImageVersion", "imageVersionId": format!("{definition_id}{path}"),
            })
        }
        Reference::Resource(id) => json!({ "type": "SharedImageVersion", "imageVersionId": id }),
    };
    let Reference::Gallery { definition_id, .. } = resolve(world.estate, &template.distribute)?
    else {
        return Err(broken(format!("`{}` is not a definition", template.distribute)));
    };
    let exact_version = source["imageVersionId"].as_str().unwrap_or("latest").to_owned();
    let record = Template {
        id: id.clone(),
        location: region::short(&template.location),
        tags: json!(template.tags),
        identity: json!({
            "type": "UserAssigned", "userAssignedIdentities": { template.identity.clone(): {} },
        }),
        properties: json!({
            "source": source,
            "distribute": [{
                "type": "SharedImage",
                "runOutputName": "output",
                "galleryImageId": definition_id,
                "replicationRegions": [region::short(&template.location)],
            }],
        }),
        state: "Creating".to_owned(),
        error: None,
        exact_version,
        checksums: BTreeMap::new(),
        staging: None,
        last_run: None,
    };
    record.store(world)?;
    let operation = Operation::start(world, Provider::Builder, &id, &record.location)?;
    let work = Work::TemplateReady { id, operation: operation.id };
    world.records.schedule(world.now, &work)
}
