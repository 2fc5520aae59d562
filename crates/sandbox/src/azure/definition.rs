//! Image definitions.

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::{World, gallery, moment, plain, region, route, soft_deleted, throttle};

pub(super) const KIND: &str = "Microsoft.Compute/galleries/images";

/// From this api-version on, a definition without generation and security gets V2 and
/// TrustedLaunchSupported instead of V1 and none.
const TRUSTED_BY_DEFAULT: &str = "2025-03-03";

/// What may never change.
const FIXED: [&str; 5] = ["osType", "osState", "hyperVGeneration", "identifier", "architecture"];

/// What a body may say besides.
const FREE: [&str; 9] = [
    "description",
    "eula",
    "privacyStatementUri",
    "releaseNoteUri",
    "recommended",
    "purchasePlan",
    "features",
    "allowUpdateImage",
    "endOfLifeDate",
];

/// Lists the definitions of a gallery.
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let gallery = call.id(8);
    if !world.records.exists(&gallery)? {
        return Err(gallery::not_found(call).into());
    }
    let quota = throttle::LIST_DEFINITIONS.take(world)?;
    let definitions: Vec<Value> = world.records.below_of(&gallery, KIND)?;
    Ok(Reply::ok(json!({ "value": definitions })).header(QUOTA, quota))
}

/// GET, PUT, PATCH and DELETE of one definition.
pub(super) fn one(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(10);
    let found = world.records.get::<Value>(&id)?;
    match call.method {
        Method::GET => {
            let quota = throttle::GET_DEFINITION.take(world)?;
            Ok(Reply::ok(found.ok_or_else(|| not_found(call))?).header(QUOTA, quota))
        }
        Method::PUT | Method::PATCH => {
            let quota = throttle::PUT_DEFINITION.take(world)?;
            Ok(write(world, call, &id, found)?.header(QUOTA, quota))
        }
        Method::DELETE => {
            let quota = throttle::DELETE_DEFINITION.take(world)?;
            let Some(body) = found else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
            let kept = soft_deleted::of_definition(world, &id)?;
            if !world.records.below(&id)?.is_empty() || !kept.is_empty() {
                return Err(gallery::nested(&id).into());
            }
            Ok(gallery::begin_delete(world, call, &body)?.header(QUOTA, quota))
        }
        _ => Err(route::unknown(call)),
    }
}

/// 404 for the definition of this path.
pub(super) fn not_found(call: &Call) -> Refusal {
    let name = format!("{}/images/{}", call.segments[7], call.segments[9]);
    Refusal::not_found(gallery::KIND, &name, &call.segments[3])
}

fn write(world: &World<'_>, call: &Call, id: &str, found: Option<Value>) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if !world.records.exists(&call.id(8))? {
        return Err(gallery::not_found(call).into());
    }
    end_of_life(world, &asked)?;

    let created = found.is_none();
    let mut body = match found {
        Some(body) => {
            unchanged(&body, &asked)?;
            body
        }
        None if call.method == Method::PATCH => return Err(not_found(call).into()),
        None => new(world, call, id, &asked)?,
    };
    if asked.get("tags").is_some() {
        body["tags"] = plain::tags(&asked);
    }
    for member in FREE {
        if let Some(value) = asked["properties"].get(member) {
            body["properties"][member] = value.clone();
        }
    }
    if let Some(date) = parsed(&asked["properties"]["endOfLifeDate"]) {
        body["properties"]["endOfLifeDate"] = json!(moment::compute(date));
    }
    body["properties"]["provisioningState"] = json!(if created { "Creating" } else { "Updating" });
    plain::put(world, &body)?;

    let location = body["location"].as_str().unwrap_or_default().to_owned();
    gallery::begin(world, call, &body, &location, created)
}

fn new(world: &World<'_>, call: &Call, id: &str, asked: &Value) -> Result<Value, Trouble> {
    let location = gallery::location(asked)?;
    let properties = &asked["properties"];
    for (member, known) in
        [("osType", &["Linux", "Windows"][..]), ("osState", &["Generalized", "Specialized"][..])]
    {
        let given = properties[member].as_str();
        if !given.is_some_and(|it| known.iter().any(|known| known.eq_ignore_ascii_case(it))) {
            let message = format!(
                "Required parameter 'galleryImage.properties.{member}' is missing or invalid."
            );
            return Err(
                Refusal::parameter(message, format!("galleryImage.properties.{member}")).into()
            );
        }
    }
    for member in ["publisher", "offer", "sku"] {
        if properties["identifier"][member].as_str().is_none_or(str::is_empty) {
            let target = format!("galleryImage.properties.identifier.{member}");
            let message = format!("Required parameter '{target}' is missing (null).");
            return Err(Refusal::parameter(message, target).into());
        }
    }

    let others: Vec<Value> = world.records.below_of(&call.id(8), KIND)?;
    let identifier = &properties["identifier"];
    let taken = others.iter().find(|it| {
        ["publisher", "offer", "sku"].iter().all(|member| {
            let theirs = it["properties"]["identifier"][*member].as_str().unwrap_or_default();
            identifier[*member].as_str().is_some_and(|ours| ours.eq_ignore_ascii_case(theirs))
        })
    });
    if let Some(other) = taken {
        let message = format!(
            "The combination of publisher, offer and sku must be unique in a gallery; '{}' has it.",
            other["name"].as_str().unwrap_or_default()
        );
        return Err(Refusal::conflict(message).into());
    }

    Ok(body(id, &location, properties, call.api_version()))
}

/// The body of a definition that is there, with the defaults of `api_version`.
pub(super) fn body(id: &str, location: &str, properties: &Value, api_version: &str) -> Value {
    let trusted = api_version >= TRUSTED_BY_DEFAULT;
    let generation = properties["hyperVGeneration"].as_str();
    let generation = generation.unwrap_or(if trusted { "V2" } else { "V1" });
    let architecture = properties["architecture"].as_str().unwrap_or("x64");
    let identifier = &properties["identifier"];
    let mut body = json!({
        "name": plain::name_of(id),
        "id": id,
        "type": KIND,
        "location": region::short(location),
        "tags": {},
        "properties": {
            "hyperVGeneration": generation,
            "architecture": architecture,
            "osType": properties["osType"],
            "osState": properties["osState"],
            "identifier": {
                "publisher": identifier["publisher"],
                "offer": identifier["offer"],
                "sku": identifier["sku"],
            },
            "provisioningState": "Succeeded",
        },
    });
    let features = properties.get("features");
    if let Some(features) = features {
        body["properties"]["features"] = features.clone();
    } else if trusted && generation == "V2" {
        body["properties"]["features"] =
            json!([{ "name": "SecurityType", "value": "TrustedLaunchSupported" }]);
    }
    body
}

fn unchanged(body: &Value, asked: &Value) -> Result<(), Refusal> {
    if let Some(location) = asked["location"].as_str()
        && region::short(location) != region::short(body["location"].as_str().unwrap_or_default())
    {
        return Err(moved(body, location));
    }
    for member in FIXED {
        let Some(given) = asked["properties"].get(member) else { continue };
        let ours = &body["properties"][member];
        if !given.is_null() && !same(ours, given) {
            let path = format!("galleryImage.properties.{member}");
            let message = format!("Changing property '{path}' is not allowed.");
            let status = StatusCode::CONFLICT;
            return Err(Refusal::new(status, "PropertyChangeNotAllowed", message));
        }
    }
    Ok(())
}

fn same(one: &Value, other: &Value) -> bool {
    one.to_string().eq_ignore_ascii_case(&other.to_string())
}

/// 409 of ARM for a resource that is asked to change its location.
pub(super) fn moved(body: &Value, location: &str) -> Refusal {
    let (name, home) = (body["name"].as_str(), body["location"].as_str());
    Refusal::gateway(
        StatusCode::CONFLICT,
        "InvalidResourceLocation",
        format!(
            "The resource '{}' already exists in location '{}'. A resource with the same name \
             cannot be created in location '{location}'. Please select a new resource name.",
            name.unwrap_or_default(),
            home.unwrap_or_default()
        ),
    )
}

/// An instant of a body.
pub(super) fn parsed(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|it| it.with_timezone(&Utc))
}

fn end_of_life(world: &World<'_>, asked: &Value) -> Result<(), Refusal> {
    let given = &asked["properties"]["endOfLifeDate"];
    if given.is_null() {
        return Ok(());
    }
    let target = "galleryImage.properties.endOfLifeDate";
    let Some(date) = parsed(given) else {
        return Err(Refusal::parameter(format!("{given} is not a valid date."), target));
    };
    if date <= world.now {
        return Err(past_end_of_life());
    }
    Ok(())
}

/// The 400 for an end of life that has passed; its target says `galleryImage` for versions too
/// (recorded).
pub(super) fn past_end_of_life() -> Refusal {
    Refusal::parameter(
        "EndOfLifeDate must be set to a future date.",
        "galleryImage.properties.endOfLifeDate",
    )
}
