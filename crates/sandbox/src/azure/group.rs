//! Resource groups, what is in them, and the tags of any resource.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::filter::Filter;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::{World, graph, moment, plain, region, route};

pub(super) const KIND: &str = "Microsoft.Resources/resourceGroups";

/// Refuses a path below a group that is not there.
pub(super) fn present(world: &World<'_>, subscription: &str, group: &str) -> Result<(), Trouble> {
    if world.records.exists(&id(subscription, group))? {
        return Ok(());
    }
    Err(Refusal::no_group(group).into())
}

/// The id of a resource group.
pub(super) fn id(subscription: &str, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

/// The body of a resource group.
pub(super) fn body(id: &str, location: &str, tags: Value, managed_by: Option<&str>) -> Value {
    let mut body = json!({
        "id": id,
        "name": plain::name_of(id),
        "type": KIND,
        "location": region::short(location),
        "tags": tags,
        "properties": { "provisioningState": "Succeeded" },
    });
    if let Some(managed_by) = managed_by {
        body["managedBy"] = json!(managed_by);
    }
    body
}

/// `GET /subscriptions/{s}/resourcegroups`, with `$filter=tagName eq 'a' and tagValue eq 'b'`.
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let scope = call.id(2);
    let mut groups: Vec<Value> = world.records.below_of(&scope, KIND)?;
    if let Some(filter) = call.query("$filter") {
        let filter = Filter::parse(filter)?;
        groups.retain(|it| filter.admits(it));
    }
    if let Some(top) = call.query("$top").and_then(|it| it.parse().ok()) {
        groups.truncate(top);
    }
    Ok(Reply::ok(json!({ "value": groups })))
}

/// GET, HEAD, PUT, PATCH and DELETE of one group.
pub(super) fn one(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let name = &call.segments[3];
    let id = call.id(4);
    let found = world.records.get::<Value>(&id)?;
    match call.method {
        Method::HEAD => {
            let status =
                if found.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
            Ok(Reply::empty(status))
        }
        Method::GET => Ok(Reply::ok(found.ok_or_else(|| Refusal::no_group(name))?)),
        Method::PUT | Method::PATCH => write(world, call, &id, found),
        Method::DELETE => delete(world, call, &id, found),
        _ => Err(route::unknown(call)),
    }
}

fn write(world: &World<'_>, call: &Call, id: &str, found: Option<Value>) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if let Some(mut body) = found {
        if asked.get("tags").is_some() {
            body["tags"] = plain::tags(&asked);
        }
        plain::put(world, &body)?;
        return Ok(Reply::ok(body));
    }
    if call.method == Method::PATCH {
        return Err(Refusal::no_group(&call.segments[3]).into());
    }
    let Some(location) = asked["location"].as_str() else {
        let message = "The location property is required for this definition.";
        return Err(Refusal::gateway(StatusCode::BAD_REQUEST, "LocationRequired", message).into());
    };
    if region::known(location).is_none() {
        let message =
            format!("The provided location '{location}' is not available for resource group.");
        let code = "LocationNotAvailableForResourceGroup";
        return Err(Refusal::gateway(StatusCode::BAD_REQUEST, code, message).into());
    }
    let body = body(id, location, plain::tags(&asked), asked["managedBy"].as_str());
    plain::put(world, &body)?;
    Ok(Reply::with(StatusCode::CREATED, body))
}

fn delete(
    world: &World<'_>,
    call: &Call,
    id: &str,
    found: Option<Value>,
) -> Result<Reply, Trouble> {
    let Some(body) = found else { return Err(Refusal::no_group(&call.segments[3]).into()) };
    plain::set_state(world, id, "Deleting")?;
    let location = body["location"].as_str().unwrap_or_default();
    let operation = Operation::start_paced(world, Provider::Group, id, location, 15)?;
    let ends = world.now + moment::between(&[id, "delete"], 20.0, 60.0);
    let work = Work::GroupDeleted { id: id.to_owned(), operation: operation.id.clone() };
    world.records.schedule(ends, &work)?;
    Ok(operation.located(world, call))
}

/// Takes a group and everything in it away.
pub(super) fn remove(world: &World<'_>, id: &str) -> Result<(), Trouble> {
    for stored in world.records.below(id)? {
        world.records.remove(&stored.key)?;
    }
    world.records.remove(id)
}

/// `GET .../resources` of a subscription or a group, with `$filter`, `$top` and
/// `$expand=createdTime,changedTime,provisioningState`.
pub(super) fn resources(
    world: &World<'_>,
    call: &Call,
    group: Option<&String>,
) -> Result<Reply, Trouble> {
    let scope = match group {
        Some(group) => {
            present(world, &call.segments[1], group)?;
            call.id(4)
        }
        None => call.id(2),
    };
    let filter = call.query("$filter").map(Filter::parse).transpose()?;

    let hidden = [KIND.to_ascii_lowercase(), super::soft_deleted::KIND.to_ascii_lowercase()];
    let mut value = Vec::new();
    for stored in world.records.below(&scope)? {
        if hidden.contains(&stored.kind) {
            continue;
        }
        let body = graph::body(world, &stored)?;
        if filter.as_ref().is_none_or(|it| it.admits(&body)) {
            value.push(summary(world, call, &body, filter.as_ref()));
        }
    }
    if let Some(top) = call.query("$top").and_then(|it| it.parse().ok()) {
        value.truncate(top);
    }
    Ok(Reply::ok(json!({ "value": value })))
}

/// What a list says of a resource; of one inside another its name tells both: `gallery/image`.
fn summary(world: &World<'_>, call: &Call, body: &Value, filter: Option<&Filter>) -> Value {
    let mut summary = json!({});
    for member in ["id", "name", "type", "location", "tags", "sku", "identity", "managedBy"] {
        if let Some(value) = body.get(member) {
            summary[member] = value.clone();
        }
    }
    summary["name"] = json!(plain::full_name(body["id"].as_str().unwrap_or_default()));
    if filter.is_some_and(Filter::hides_tags)
        && let Some(members) = summary.as_object_mut()
    {
        members.remove("tags");
    }
    if call.expands("provisioningState") {
        summary["provisioningState"] = body["properties"]["provisioningState"].clone();
    }
    if call.expands("createdTime") {
        let created = ["timeCreated", "publishingProfile"].iter().find_map(|it| {
            let value = &body["properties"][*it];
            value.as_str().or_else(|| value["publishedDate"].as_str())
        });
        let start = moment::compute(world.estate.start);
        summary["createdTime"] = json!(created.unwrap_or(&start));
    }
    if call.expands("changedTime") {
        summary["changedTime"] = json!(moment::compute(world.now));
    }
    summary
}

/// `GET`, `PUT`, `PATCH` of `{id}/providers/Microsoft.Resources/tags/default`. Tags of a version
/// are written at once here; that the resource itself is not Updating meanwhile is not recorded.
pub(super) fn tags(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(call.segments.len() - 4);
    let Some(mut record) = world.records.get::<Value>(&id)? else {
        let path = id.split("/providers/").nth(1).unwrap_or_default();
        let mut pieces = path.splitn(3, '/');
        let kind = [pieces.next(), pieces.next()].map(Option::unwrap_or_default).join("/");
        let name = pieces.next().unwrap_or_default();
        return Err(Refusal::not_found(&kind, name, plain::group_of(&id)).into());
    };
    let answer = |tags: &Value| {
        Reply::ok(json!({
            "id": format!("{id}/providers/Microsoft.Resources/tags/default"),
            "name": "default",
            "type": "Microsoft.Resources/tags",
            "properties": { "tags": tags },
        }))
    };
    if call.method == Method::GET {
        return Ok(answer(&record["tags"]));
    }
    if call.method != Method::PATCH && call.method != Method::PUT {
        return Err(route::unknown(call));
    }

    let asked = call.json()?;
    let given = plain::tags(&asked["properties"]);
    let operation = asked["operation"].as_str().unwrap_or("Replace").to_ascii_lowercase();
    let mut tags = record["tags"].as_object().cloned().unwrap_or_default();
    match operation.as_str() {
        "merge" => tags.extend(given.as_object().cloned().unwrap_or_default()),
        "delete" => {
            for name in given.as_object().into_iter().flatten() {
                tags.remove(name.0);
            }
        }
        _ => tags = given.as_object().cloned().unwrap_or_default(),
    }
    record["tags"] = Value::Object(tags);
    let kind = world.records.kind(&id)?.unwrap_or_default();
    world.records.put(&id, &kind, &record)?;
    Ok(answer(&record["tags"]))
}
