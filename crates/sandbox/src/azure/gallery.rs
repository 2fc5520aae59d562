//! Galleries.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::{World, moment, plain, region, route, throttle};

pub(super) const KIND: &str = "Microsoft.Compute/galleries";

/// The name of the header that tells what is left of a Compute policy.
pub(super) const QUOTA: &str = "x-ms-ratelimit-remaining-resource";

/// The body of a gallery that is there.
pub(super) fn body(id: &str, location: &str, tags: Value) -> Value {
    let subscription = id.split('/').nth(2).unwrap_or_default();
    let name = plain::name_of(id);
    json!({
        "name": name,
        "id": id,
        "type": KIND,
        "location": region::short(location),
        "tags": tags,
        "properties": {
            "identifier": { "uniqueName": format!("{subscription}-{}", name.to_ascii_uppercase()) },
            "provisioningState": "Succeeded",
        },
    })
}

/// The api-version that tells how long deleted versions are kept (GalleryRP.json).
const DAYS_SINCE: &str = "2026-03-03";

/// `body` as it is read in `api_version`.
fn as_of(mut body: Value, api_version: &str) -> Value {
    if let Some(policy) = body["properties"].get_mut("softDeletePolicy")
        && let Some(policy) = policy.as_object_mut()
        && api_version < DAYS_SINCE
    {
        policy.remove("retentionPeriodInDays");
        policy.remove("gracePeriodInDays");
    }
    body
}

/// Lists the galleries of a group or a subscription; the groups' names are in upper case (recorded).
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let in_group = call.lower[2] == "resourcegroups";
    let galleries: Vec<Value> =
        world.records.below_of(&call.id(if in_group { 4 } else { 2 }), KIND)?;
    let galleries: Vec<Value> = galleries
        .into_iter()
        .map(plain::upper_case_group)
        .map(|it| as_of(it, call.api_version()))
        .collect();
    let reply = Reply::ok(json!({ "value": galleries }));
    // Lists over a whole subscription carry no quota of the resource (recorded).
    Ok(if in_group { reply.header(QUOTA, throttle::LIST_GALLERIES.take(world)?) } else { reply })
}

/// GET, PUT, PATCH and DELETE of one gallery.
pub(super) fn one(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(8);
    let found = world.records.get::<Value>(&id)?;
    match call.method {
        Method::GET => {
            let quota = throttle::GET_GALLERY.take(world)?;
            let body = as_of(found.ok_or_else(|| not_found(call))?, call.api_version());
            Ok(Reply::ok(body).header(QUOTA, quota))
        }
        Method::PUT | Method::PATCH => {
            let quota = throttle::PUT_GALLERY.take(world)?;
            Ok(write(world, call, &id, found)?.header(QUOTA, quota))
        }
        Method::DELETE => {
            let quota = throttle::DELETE_GALLERY.take(world)?;
            let Some(body) = found else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
            Ok(delete(world, call, &body)?.header(QUOTA, quota))
        }
        _ => Err(route::unknown(call)),
    }
}

/// 404 for the gallery of this path.
pub(super) fn not_found(call: &Call) -> Refusal {
    Refusal::not_found(KIND, &call.segments[7], &call.segments[3])
}

fn write(world: &World<'_>, call: &Call, id: &str, found: Option<Value>) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if found.is_none() && call.method == Method::PATCH {
        return Err(not_found(call).into());
    }
    let name = &call.segments[7];
    let good = name.len() <= 80
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'.')
        && !name.starts_with(['_', '.'])
        && !name.ends_with(['_', '.']);
    if !good {
        let message = format!(
            "The entity name 'galleryName' is invalid according to its validation rule: \
             ^[^_\\W][\\w-._]{{0,79}}(?<![-.])$. The value was '{name}'."
        );
        return Err(Refusal::parameter(message, "galleryName").into());
    }

    let created = found.is_none();
    let mut body = match found {
        Some(body) => body,
        None => {
            let location = location(&asked)?;
            body(id, &location, json!({}))
        }
    };
    if asked.get("tags").is_some() {
        body["tags"] = plain::tags(&asked);
    }
    for member in ["description", "softDeletePolicy", "sharingProfile"] {
        if let Some(value) = asked["properties"].get(member) {
            body["properties"][member] = value.clone();
        }
    }
    body["properties"]["provisioningState"] = json!(if created { "Creating" } else { "Updating" });
    plain::put(world, &body)?;

    let home = body["location"].as_str().unwrap_or_default().to_owned();
    begin(world, call, &as_of(body, call.api_version()), &home, created)
}

/// Starts the operation that a PUT of a gallery or a definition begins, and answers it.
pub(super) fn begin(
    world: &World<'_>,
    call: &Call,
    body: &Value,
    location: &str,
    created: bool,
) -> Result<Reply, Trouble> {
    let id = body["id"].as_str().unwrap_or_default();
    let operation = Operation::start(world, Provider::Gallery, id, location)?;
    let work = Work::PlainSettled { id: id.to_owned(), operation: operation.id.clone() };
    // Recorded: 0.0 to 0.5 seconds.
    world.records.schedule(world.now + moment::between(&[id, "put"], 0.05, 0.5), &work)?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(operation.on_put(world, call, Reply::with(status, body.clone())))
}

fn delete(world: &World<'_>, call: &Call, body: &Value) -> Result<Reply, Trouble> {
    let id = body["id"].as_str().unwrap_or_default();
    if !world.records.below(id)?.is_empty() {
        return Err(nested(id).into());
    }
    begin_delete(world, call, body)
}

/// 409 for a resource that still holds others.
pub(super) fn nested(id: &str) -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "CannotDeleteResource",
        format!("Can not delete resource before nested resources are deleted: '{id}'."),
    )
}

/// Starts the deletion of a gallery or a definition: always 202 with both headers (recorded).
pub(super) fn begin_delete(world: &World<'_>, call: &Call, body: &Value) -> Result<Reply, Trouble> {
    let id = body["id"].as_str().unwrap_or_default();
    plain::set_state(world, id, "Deleting")?;
    let location = body["location"].as_str().unwrap_or_default();
    let operation = Operation::start(world, Provider::Gallery, id, location)?;
    let work = Work::PlainDeleted { id: id.to_owned(), operation: operation.id.clone() };
    world.records.schedule(world.now + moment::between(&[id, "delete"], 0.05, 0.5), &work)?;
    Ok(operation.accepted(world, call))
}

/// The location that a body names.
///
/// # Errors
/// 400 when there is none or no such region.
pub(super) fn location(asked: &Value) -> Result<String, Refusal> {
    let Some(location) = asked["location"].as_str() else {
        let message = "The location property is required for this definition.";
        return Err(Refusal::gateway(StatusCode::BAD_REQUEST, "LocationRequired", message));
    };
    region::known(location).map(str::to_owned).ok_or_else(|| {
        let message =
            format!("The provided location '{location}' is not available for resource type.");
        Refusal::gateway(StatusCode::BAD_REQUEST, "LocationNotAvailableForResourceType", message)
    })
}
