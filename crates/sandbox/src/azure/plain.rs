//! Resources whose record is the body that a GET answers: groups, galleries, definitions, machines,
//! scale sets, disks. What they share is here: storing, ids, tags, and the end of an operation.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::World;
use super::answer::Trouble;
use super::operation::Operation;

/// Stores `body` under its own id and type.
pub(super) fn put(world: &World<'_>, body: &Value) -> Result<(), Trouble> {
    let id = body["id"].as_str().unwrap_or_default();
    let kind = body["type"].as_str().unwrap_or_default();
    world.records.put(id, kind, body)
}

/// Sets a resource's provisioning state and stores it.
pub(super) fn set_state(world: &World<'_>, id: &str, state: &str) -> Result<(), Trouble> {
    let Some(mut body) = world.records.get::<Value>(id)? else { return Ok(()) };
    body["properties"]["provisioningState"] = json!(state);
    put(world, &body)
}

/// A gallery or a definition became what it was asked to become.
pub(super) fn settled(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    set_state(world, id, "Succeeded")?;
    Operation::end(world, operation, at, None)
}

/// A gallery or a definition is gone.
pub(super) fn deleted(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    world.records.remove(id)?;
    Operation::end(world, operation, at, None)
}

/// `tags` of a request body: texts alone, an empty map when there are none.
pub(super) fn tags(body: &Value) -> Value {
    let tags = body["tags"].as_object().cloned().unwrap_or_default();
    let texts: Map<String, Value> = tags.into_iter().filter(|it| it.1.is_string()).collect();
    Value::Object(texts)
}

/// `body` with the resource group of its id in upper case, as lists of galleries, machines with a
/// filter and scale sets of a subscription show it (recorded).
pub(super) fn upper_case_group(mut body: Value) -> Value {
    let id = body["id"].as_str().unwrap_or_default().to_owned();
    let mut pieces: Vec<String> = id.split('/').map(str::to_owned).collect();
    if let Some(group) = pieces.get_mut(4) {
        *group = group.to_ascii_uppercase();
    }
    body["id"] = json!(pieces.join("/"));
    body
}

/// The resource group's name in an id.
pub(super) fn group_of(id: &str) -> &str {
    id.split('/').nth(4).unwrap_or_default()
}

/// All names in an id, those of a resource's parents first: `gallery/image/1.2.3`.
pub(super) fn full_name(id: &str) -> String {
    let path = id.rsplit("/providers/").next().unwrap_or_default();
    path.split('/').skip(2).step_by(2).collect::<Vec<_>>().join("/")
}

/// The last piece of an id.
pub(super) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}
