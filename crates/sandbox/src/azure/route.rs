//! Which part of the simulated Azure a request belongs to. Paths are matched without regard to
//! case; what is not here gets Azure's own answer, naming what is missing.

use http::{Method, StatusCode};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::operation::Operation;
use super::{
    World, compute, definition, gallery, graph, group, platform, provider, run, soft_deleted,
    subscription, template, version,
};

/// Answers a request that was admitted.
pub(super) fn route(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let path: Vec<&str> = call.lower.iter().map(String::as_str).collect();
    let Some((namespace, kind)) = provider::kind(&path) else {
        return elsewhere(world, call, &path);
    };
    provider::check_version(world, namespace, &kind, call.api_version())?;

    let provider = match path.iter().position(|it| *it == "providers") {
        Some(index) => &path[index + 1..],
        None => &[],
    };
    // Azure knows no subscription that it may not read, and says so before anything else.
    if path.len() > 1 && path[0] == "subscriptions" {
        subscription::readable(world, &call.segments[1])?;
    }

    if call.method == Method::HEAD {
        // Whether a resource is there: 204 or 404 (Resources_CheckExistenceById).
        route(world, &Call { method: Method::GET, ..call.clone() })?;
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }

    match (&path[..], provider) {
        (_, ["microsoft.resourcegraph", "resources"]) => graph::query(world, call),
        (["subscriptions", _, "resourcegroups", _, ..], [first, rest @ ..]) => {
            group::present(world, &call.segments[1], &call.segments[3])?;
            in_group(world, call, first, rest)
        }
        (["subscriptions", _, "providers", ..], [first, rest @ ..]) => {
            in_subscription(world, call, first, rest)
        }
        _ => elsewhere(world, call, &path),
    }
}

/// Subscriptions, resource groups, providers: ARM's own resources.
fn elsewhere(world: &World<'_>, call: &Call, path: &[&str]) -> Result<Reply, Trouble> {
    provider::check_version(world, "Microsoft.Resources", "", call.api_version())?;
    if path.len() > 1 && path[0] == "subscriptions" {
        subscription::readable(world, &call.segments[1])?;
    }
    let get = call.method == Method::GET;
    match path {
        ["subscriptions"] if get => subscription::list(world),
        ["subscriptions", id] if get => subscription::get(world, id),
        ["subscriptions", id, "locations"] if get => subscription::locations(id),
        ["subscriptions", _, "resources"] if get => group::resources(world, call, None),
        ["subscriptions", id, "providers"] if get => provider::list(world, id),
        ["subscriptions", id, "providers", namespace] if get => provider::get(world, id, namespace),
        ["subscriptions", _, "resourcegroups"] if get => group::list(world, call),
        ["subscriptions", _, "resourcegroups", _] => group::one(world, call),
        ["subscriptions", _, "resourcegroups", _, "resources"] if get => {
            group::resources(world, call, Some(&call.segments[3]))
        }
        ["subscriptions", _, "operationresults", id] if get => Operation::poll(world, call, id),
        _ => Err(unknown(call)),
    }
}

/// Resources in a resource group.
fn in_group(
    world: &World<'_>,
    call: &Call,
    namespace: &str,
    rest: &[&str],
) -> Result<Reply, Trouble> {
    if let [.., "providers", "microsoft.resources", "tags", "default"] = rest {
        return group::tags(world, call);
    }
    if let ["locks"] = rest
        && namespace == "microsoft.authorization"
    {
        return Ok(Reply::ok(serde_json::json!({ "value": [] })));
    }
    match (namespace, rest) {
        ("microsoft.virtualmachineimages", ["imagetemplates"]) => template::list(world, call),
        ("microsoft.virtualmachineimages", ["imagetemplates", _]) => template::one(world, call),
        ("microsoft.virtualmachineimages", ["imagetemplates", _, action @ ("run" | "cancel")]) => {
            run::action(world, call, action)
        }
        ("microsoft.virtualmachineimages", ["imagetemplates", _, "runoutputs", output @ ..]) => {
            run::outputs(world, call, output)
        }
        ("microsoft.compute", ["galleries"]) => gallery::list(world, call),
        ("microsoft.compute", ["galleries", _]) => gallery::one(world, call),
        ("microsoft.compute", ["galleries", _, "images"]) => definition::list(world, call),
        ("microsoft.compute", ["galleries", _, "images", _]) => definition::one(world, call),
        ("microsoft.compute", ["galleries", _, "images", _, "versions"]) => {
            version::list(world, call)
        }
        ("microsoft.compute", ["galleries", _, "images", _, "versions", _]) => {
            version::one(world, call)
        }
        (
            "microsoft.compute",
            ["galleries", _, "softdeletedartifacttypes", "images", "artifacts", _, "versions"],
        ) => soft_deleted::list(world, call),
        ("microsoft.compute" | "microsoft.storage", _) => compute::in_group(world, call, rest),
        _ => Err(unknown(call)),
    }
}

/// Lists over a subscription, Marketplace images, status URLs.
fn in_subscription(
    world: &World<'_>,
    call: &Call,
    namespace: &str,
    rest: &[&str],
) -> Result<Reply, Trouble> {
    let get = call.method == Method::GET;
    match (namespace, rest) {
        ("microsoft.virtualmachineimages", ["imagetemplates"]) => template::list(world, call),
        ("microsoft.virtualmachineimages", ["locations", _, "operations", id]) if get => {
            Operation::poll(world, call, id)
        }
        ("microsoft.compute", ["locations", _, "operations", id]) if get => {
            Operation::poll(world, call, id)
        }
        ("microsoft.compute", ["locations", _, "capsoperations", id]) if get => {
            let quota = super::throttle::GET_OPERATION.take(world)?;
            let reply = Operation::poll(world, call, id)?;
            Ok(reply.header("x-ms-ratelimit-remaining-resource", quota))
        }
        ("microsoft.compute", ["galleries"]) => gallery::list(world, call),
        ("microsoft.compute", ["locations", location, "publishers", inside @ ..]) if get => {
            platform::browse(world, call, location, inside)
        }
        ("microsoft.compute", _) => compute::in_subscription(world, call, rest),
        _ => Err(unknown(call)),
    }
}

/// The answer to what the simulated Azure does not know.
pub(super) fn unknown(call: &Call) -> Trouble {
    let path = call.segments.join("/");
    let method = &call.method;
    Refusal::gateway(
        StatusCode::NOT_FOUND,
        "InvalidResourceType",
        format!("The simulated Azure has no operation '{method} /{path}'."),
    )
    .into()
}
