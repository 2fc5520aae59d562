//! A version that a machine, a scale set (model or instance, size 0 too), an image template, a child
//! image or a pin refers to is never deleted, and gives up no region; none is and does while a scope
//! cannot be read. One that is pinned goes on being offered, unless it is condemned.
//!
//! What came to use it after the step began, or so late that Resource Graph did not know of it yet,
//! the step could not know: against that there is no defence.

use chrono::{DateTime, Utc};
use rules::catalog::{Base, Catalog, Image};
use sandbox::azure::{SeenResource, SeenVersion};
use serde_json::Value;

use super::condemned::Condemned;
use super::story::{Intent, Target, target};
use super::{Invariant, Seen, may_be_offered, parts};
use crate::record::Write;

/// Looks at what there is in Azure when a version or a part of it goes, whatever was told of it.
#[derive(Debug, Default)]
pub(super) struct References {
    condemned: Condemned,
}

impl Invariant for References {
    fn name(&self) -> &'static str {
        "what is in use stays"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        self.condemned.remember(seen);
        let Some(write) = seen.our_write() else { return Ok(()) };
        let Target::Version { image, number } = target(&write.path) else { return Ok(()) };
        let Some(before) = Seen::version(seen.before, &image, &number) else { return Ok(()) };
        let after = Seen::version(seen.gallery, &image, &number);
        let Some((_, intent)) = seen.story.intent_of(write) else { return Ok(()) };
        let Some(loses) = loses(seen, &image, write, before, after) else { return Ok(()) };
        let named = (image, number);
        if loses == Loses::Offer && self.condemned.contains(&named, seen.now) {
            return Ok(());
        }
        let (image, number) = named;
        // What somebody else has just added, our step has never seen.
        let lately = seen.written.writes.iter().rev().take_while(|it| it.at >= intent.began());
        let mut others = lately.filter(|it| !it.ours && it.has_happened());
        let same = |it: &Write| target(&it.path) == target(&write.path);
        if loses == Loses::Regions && others.any(same) {
            return Ok(());
        }
        let user = by_pin(seen, &image, &number, intent);
        let user = if loses == Loses::Offer {
            user
        } else {
            user.or_else(|| by_scope(seen, intent))
                .or_else(|| by_child(seen, &image, &number, intent))
                .or_else(|| by_resource(seen, &write.path, intent))
        };
        user.map_or(Ok(()), |it| Err(format!("{image} {number} {loses}, and {it}")))
    }
}

/// What a write takes away from a version.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loses {
    Everything,
    Regions,
    Offer,
}

impl std::fmt::Display for Loses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loses::Everything => "is deleted",
            Loses::Regions => "gives up a region",
            Loses::Offer => "is not offered any more",
        })
    }
}

fn loses(
    seen: &Seen<'_>,
    image: &str,
    write: &Write,
    before: &SeenVersion,
    after: Option<&SeenVersion>,
) -> Option<Loses> {
    if write.method == http::Method::DELETE {
        return (before.state != "Deleting").then_some(Loses::Everything);
    }
    let after = after?;
    if before.regions.keys().any(|it| !after.regions.contains_key(it)) {
        return Some(Loses::Regions);
    }
    let told = seen.story.version(image, &before.number);
    // What was never released is offered to nobody, whatever speaks for it.
    let tagged = before.tags.get("goldsmith-version-state");
    let released = match told.filter(|it| it.opened.is_some()) {
        Some(told) => !told.rings.is_empty(),
        None => tagged.is_none_or(|it| it == "released"),
    };
    let released = released && told.is_none_or(|it| it.condemned.is_none());
    let slots = seen.story.images.get(image);
    let runs = slots.into_iter().flat_map(|it| it.building.iter().chain(&it.releasing));
    let has_run = runs.into_iter().any(|it| *it == before.number);
    let hidden = may_be_offered(before) && !may_be_offered(after);
    (released && !has_run && hidden).then_some(Loses::Offer)
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
            let before = run.opened_at.is_some_and(|it| it < intent.began());
            if run.base == from_it && before {
                return Some(format!("{child} is being built from it"));
            }
        }
        let offered = told.versions.iter().filter(|(number, it)| {
            let there = Seen::version(seen.gallery, child, number).is_some();
            let is_over = it.condemned.is_some() || it.deprecated;
            let before = it.rings.values().any(|at| *at < intent.began());
            it.opened.is_some() && there && before && !is_over
        });
        let newest = offered.max_by_key(|(number, _)| parts(number));
        if newest.is_some_and(|(_, it)| it.base == from_it) {
            return Some(format!("the newest release of {child} is built from it"));
        }
    }
    by_child_of_before(seen, image, number, catalog)
}

/// A child whose newest release was there before the ledger: its tags say what it is built from.
fn by_child_of_before(
    seen: &Seen<'_>,
    image: &str,
    number: &str,
    catalog: &Catalog,
) -> Option<String> {
    let is_child = |it: &&Image| matches!(&it.base, Base::Image(it) if it.as_str() == image);
    for child in catalog.images.iter().filter(is_child) {
        let told = seen.story.images.get(child.name.as_str());
        let is_known = |number: &str| told.is_some_and(|it| it.versions.contains_key(number));
        let newest = seen.gallery.get(child.name.as_str())?.last()?;
        let tag = |name: &str| newest.tags.get(name).map(String::as_str);
        let is_current = tag("goldsmith-version-state") == Some("released");
        // What the ledger speaks of is judged by the ledger.
        if is_current && !is_known(&newest.number) && tag("goldsmith-base") == Some(number) {
            return Some(format!("{} {} is built from it", child.name, newest.number));
        }
    }
    None
}

fn by_resource(seen: &Seen<'_>, path: &str, intent: &Intent) -> Option<String> {
    let definition = path.rsplit_once("/versions/").map_or("", |(definition, _)| definition);
    let resources = seen.azure.resources("/subscriptions").unwrap_or_default();
    let lag = chrono::TimeDelta::minutes(i64::from(seen.estate.cloud.graph_lag_minutes));
    // A template does not say when it was made.
    let written = |id: &str| {
        let writes = seen.written.writes.iter().filter(|it| !it.ours && it.has_happened());
        writes.filter(|it| it.path == id).map(|it| it.at).next()
    };
    let found = resources.iter().find(|it| {
        let created = it.record["properties"]["timeCreated"].as_str();
        let created = created.and_then(|it| it.parse::<DateTime<Utc>>().ok());
        let created = || created.or_else(|| written(&it.id));
        // What Resource Graph did not know yet, nobody could.
        refers(it, definition, path) && created().is_none_or(|at| at < intent.began() - lag)
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
