//! A version that a machine, a scale set (model or instance, size 0 too), an image template, a child
//! image or a pin refers to is never deleted; none is while a scope cannot be read.

use chrono::{DateTime, Utc};
use sandbox::azure::SeenResource;
use serde_json::Value;

use super::story::{CLOCKS, Intent, Target, target};
use super::{Invariant, Seen, parts};

/// Looks at what there is in Azure when a version goes, whatever was told of it.
#[derive(Debug)]
pub(super) struct References;

impl Invariant for References {
    fn name(&self) -> &'static str {
        "what is in use is never deleted"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(write) = seen.our_write().filter(|it| it.method == http::Method::DELETE) else {
            return Ok(());
        };
        let Target::Version { image, number } = target(&write.path) else { return Ok(()) };
        let was_there = Seen::version(seen.before, &image, &number);
        if was_there.is_none_or(|it| it.state == "Deleting") {
            return Ok(());
        }
        let Some((_, intent)) = seen.story.intent_of(write) else { return Ok(()) };
        let user = by_pin(seen, &image, &number, intent)
            .or_else(|| by_scope(seen, intent))
            .or_else(|| by_child(seen, &image, &number, intent))
            .or_else(|| by_resource(seen, &write.path, intent));
        user.map_or(Ok(()), |it| Err(format!("{image} {number} is deleted, and {it}")))
    }
}

/// When the step began that deletes: what came later it could not know.
fn began(intent: &Intent) -> DateTime<Utc> {
    intent.said_at.min(intent.stored_at) - CLOCKS
}

fn by_pin(seen: &Seen<'_>, image: &str, number: &str, intent: &Intent) -> Option<String> {
    let pin = seen.story.images.get(image)?.pins.get(number)?;
    let holds = pin.seq < intent.seq && pin.until.is_none_or(|it| it > intent.said_at);
    holds.then(|| "somebody has pinned it".to_owned())
}

fn by_scope(seen: &Seen<'_>, intent: &Intent) -> Option<String> {
    let consumers = &seen.story.catalog(&intent.policy)?.consumers.subscriptions;
    let unreadable = seen.estate.subscriptions.iter().filter(|it| !it.readable);
    let mut named = unreadable.filter(|it| consumers.contains(&it.id));
    named.next().map(|it| format!("subscription {} cannot be read", it.id))
}

/// A child that is being built from it, or whose newest release was.
fn by_child(seen: &Seen<'_>, image: &str, number: &str, intent: &Intent) -> Option<String> {
    let from_it = Some((image.to_owned(), number.to_owned()));
    let catalog = seen.story.catalog(&intent.policy)?;
    for (child, told) in &seen.story.images {
        if !catalog.images.iter().any(|it| it.name.as_str() == child) {
            continue;
        }
        for run in told.building.iter().chain(&told.releasing) {
            let run = told.versions.get(run)?;
            let before = run.opened_at.is_some_and(|it| it < began(intent));
            if run.base == from_it && before {
                return Some(format!("{child} is being built from it"));
            }
        }
        let offered = told.versions.iter().filter(|(number, it)| {
            let there = Seen::version(seen.gallery, child, number).is_some();
            let is_over = it.condemned.is_some() || it.deprecated;
            let before = it.rings.values().any(|at| *at < began(intent));
            it.opened.is_some() && there && before && !is_over
        });
        let newest = offered.max_by_key(|(number, _)| parts(number));
        if newest.is_some_and(|(_, it)| it.base == from_it) {
            return Some(format!("the newest release of {child} is built from it"));
        }
    }
    None
}

fn by_resource(seen: &Seen<'_>, path: &str, intent: &Intent) -> Option<String> {
    let definition = path.rsplit_once("/versions/").map_or("", |(definition, _)| definition);
    let resources = seen.azure.resources("/subscriptions").unwrap_or_default();
    let lag = chrono::TimeDelta::minutes(i64::from(seen.estate.cloud.graph_lag_minutes));
    let found = resources.iter().find(|it| {
        let created = it.record["properties"]["timeCreated"].as_str();
        let created = created.and_then(|it| it.parse::<DateTime<Utc>>().ok());
        // What Resource Graph did not know yet, nobody could.
        created.is_none_or(|at| at < began(intent) - lag) && refers(it, definition, path)
    });
    found.map(|it| format!("{} is made from it", it.id))
}

/// Whether a resource refers to the version at `path` of `definition`.
fn refers(resource: &SeenResource, definition: &str, path: &str) -> bool {
    let properties = &resource.record["properties"];
    let names = |it: &Value| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(path));
    let image = |profile: &Value| {
        let reference = &profile["imageReference"];
        let of_it = reference["id"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(definition));
        let number = path.rsplit('/').next();
        names(&reference["id"]) || of_it && reference["exactVersion"].as_str() == number
    };
    match resource.kind.as_str() {
        "microsoft.compute/virtualmachines"
        | "microsoft.compute/virtualmachinescalesets/virtualmachines" => {
            image(&properties["storageProfile"])
        }
        "microsoft.compute/virtualmachinescalesets" => {
            image(&properties["virtualMachineProfile"]["storageProfile"])
        }
        "microsoft.virtualmachineimages/imagetemplates" => {
            // One that is going refers to nothing any more.
            names(&properties["source"]["imageVersionId"]) && resource.record["state"] != "Deleting"
        }
        _ => false,
    }
}
