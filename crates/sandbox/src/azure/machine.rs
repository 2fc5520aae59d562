//! Machines that somebody makes: what *latest* means to them is decided here, once, as on Azure.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::compute::Teller;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::version::{self, Version};
use super::{World, compute, definition, gallery, moment, plain, platform, route};
use crate::estate::OsType;

/// PUT and DELETE of a machine. A PUT over one that is there changes its tags alone.
pub(super) fn write(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(8);
    let found = world.records.get::<Value>(&id)?;
    match (&call.method, found) {
        (&Method::PUT, Some(body)) => update(world, call, body),
        (&Method::PUT, None) => create(world, call, &id),
        (&Method::DELETE, None) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (&Method::DELETE, Some(body)) => {
            plain::set_state(world, &id, "Deleting")?;
            let operation = start(world, &body)?;
            let work = Work::PlainDeleted { id: id.clone(), operation: operation.id.clone() };
            world
                .records
                .schedule(world.now + moment::between(&[&id, "delete"], 20., 60.), &work)?;
            Ok(operation.located(world, call))
        }
        _ => Err(route::unknown(call)),
    }
}

fn start(world: &World<'_>, body: &Value) -> Result<Operation, Trouble> {
    let text = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
    Operation::start(world, Provider::Machine, &text("id"), &text("location"))
}

fn begin(world: &World<'_>, call: &Call, body: Value, created: bool) -> Result<Reply, Trouble> {
    plain::put(world, &body)?;
    let id = body["id"].as_str().unwrap_or_default().to_owned();
    let operation = start(world, &body)?;
    let work = Work::PlainSettled { id: id.clone(), operation: operation.id.clone() };
    world.records.schedule(world.now + moment::between(&[&id, "put"], 20., 60.), &work)?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let told = Reply::with(status, compute::told(world, body, Teller::Arm));
    // The document declares it of a machine that was not there alone.
    Ok(if created { operation.declared(world, call, told) } else { told })
}

fn update(world: &World<'_>, call: &Call, mut body: Value) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if asked.get("tags").is_some() {
        body["tags"] = plain::tags(&asked);
    }
    body["properties"]["provisioningState"] = json!("Updating");
    begin(world, call, body, false)
}

fn create(world: &World<'_>, call: &Call, id: &str) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    let location = gallery::location(&asked)?;
    let properties = &asked["properties"];
    let wanted = &properties["storageProfile"]["imageReference"];
    let made = resolve(world, call, wanted, &location)?;

    let tags = plain::tags(&asked);
    let mut body = compute::machine(id, &location, tags, &made.reference, made.windows, world.now);
    for member in ["hardwareProfile", "networkProfile"] {
        if properties[member].is_object() {
            body["properties"][member] = properties[member].clone();
        }
    }
    body["properties"]["provisioningState"] = json!("Creating");
    plain::put(world, &compute::os_disk(&body, &json!(made.from)))?;
    begin(world, call, body, true)
}

/// What a machine is made from.
struct Made {
    /// The machine's `imageReference`, with its exact version.
    reference: Value,
    /// The id of exactly that image, which the OS disk keeps.
    from: String,
    windows: bool,
}

/// Finds the image that `wanted` means in `location` at this instant.
fn resolve(
    world: &World<'_>,
    call: &Call,
    wanted: &Value,
    location: &str,
) -> Result<Made, Trouble> {
    if let Some(id) = wanted["id"].as_str() {
        return of_gallery(world, id, location);
    }
    let text = |member: &str| wanted[member].as_str().unwrap_or_default();
    let (publisher, offer, sku, version) =
        (text("publisher"), text("offer"), text("sku"), text("version"));
    let image = platform::image(world, location, publisher, offer, sku);
    let exact = image.and_then(|image| match version {
        "latest" => platform::newest(image, world.now),
        named => platform::offered(image, world.now).find(|it| it.version == named),
    });
    let (Some(image), Some(exact)) = (image, exact) else {
        let message = format!(
            "The platform image '{publisher}:{offer}:{sku}:{version}' is not available. Verify that \
             all fields in the storage profile are correct."
        );
        let code = "PlatformImageNotFound";
        return Err(Refusal::new(StatusCode::NOT_FOUND, code, message).into());
    };
    let exact = &exact.version;
    let mut reference = wanted.clone();
    reference["exactVersion"] = json!(exact);
    let subscription = &call.segments[1];
    let from = format!(
        "/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers/\
         {publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{exact}"
    );
    Ok(Made { reference, from, windows: image.os_type == OsType::Windows })
}

/// A version, or the latest one of a definition. The codes and texts are from memory: no recording
/// shows a machine that was refused its image.
fn of_gallery(world: &World<'_>, id: &str, location: &str) -> Result<Made, Trouble> {
    let missing = || {
        let message = format!(
            "The gallery image {id} is not available in {location} region. Please contact image \
             owner to replicate to this region, or change your requested region."
        );
        Refusal::new(StatusCode::NOT_FOUND, "GalleryImageNotFound", message)
    };
    let (definition_id, named) = match id.to_ascii_lowercase().rfind("/versions/") {
        Some(at) => (&id[..at], id.rsplit('/').next().filter(|it| *it != "latest")),
        None => (id, None),
    };
    let definition = world.records.get::<Value>(definition_id)?;
    let definition = definition.filter(|it| it["type"] == definition::KIND).ok_or_else(missing)?;
    let version = match named {
        Some(_) => world.records.get::<Version>(id)?.filter(|it| it.region(location).is_some()),
        None => version::latest(world, definition_id, location)?,
    };
    let version = version.ok_or_else(missing)?;
    Ok(Made {
        reference: json!({ "id": id, "exactVersion": version.number() }),
        from: version.id.clone(),
        windows: definition["properties"]["osType"] == "Windows",
    })
}
