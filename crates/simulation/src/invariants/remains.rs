//! Once nothing goes wrong any more, everything comes to its end: no template, no staging group and
//! no build machine is left behind, the queues drain, and what the ledger says is released is offered.

use chrono::TimeDelta;

use super::story::Intent;
use super::{Invariant, Seen};

/// A message is handled within minutes when nothing goes wrong.
const ON_ITS_WAY: TimeDelta = TimeDelta::minutes(10);

/// A change of a version is told when Azure says that it is done, which may take hours.
const UNDER_WAY: TimeDelta = TimeDelta::hours(4);

/// Looks when nothing has gone wrong for hours.
#[derive(Debug)]
pub(super) struct Remains;

impl Invariant for Remains {
    fn name(&self) -> &'static str {
        "nothing is left behind"
    }

    fn look(&mut self, _seen: &Seen<'_>) -> Result<(), String> {
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        resources(seen)?;
        queues(seen)?;
        releases(seen)
    }
}

/// A run that is young enough may have its template still.
fn resources(seen: &Seen<'_>) -> Result<(), String> {
    let resources = seen.azure.resources("/subscriptions").map_err(|error| error.to_string())?;
    let young: Vec<String> = seen
        .story
        .images
        .values()
        .flat_map(|it| it.versions.values())
        .filter(|it| it.opened_at.is_some_and(|at| seen.is_young(at)))
        .map(|it| it.template.to_ascii_lowercase())
        .collect();
    let is_young = |id: &str| young.iter().any(|it| id.contains(it));
    for resource in resources.iter().filter(|it| it.id.contains("/resourcegroups/")) {
        let ours = resource.id.contains("/resourcegroups/builds/")
            || resource.id.contains("/resourcegroups/it_builds_");
        if ours && !is_young(&resource.id) {
            return Err(format!("{} is left behind", resource.id));
        }
    }
    Ok(())
}

fn queues(seen: &Seen<'_>) -> Result<(), String> {
    let busy = seen.story.images.values().any(|it| {
        let runs = it.building.iter().chain(&it.releasing).filter_map(|run| it.versions.get(run));
        runs.filter_map(|it| it.opened_at).any(|at| seen.is_young(at))
    });
    // What was written just now is still on its way.
    let entries = seen.written.streams.values().filter_map(|it| it.last());
    let stirs = entries.map(|it| it.at).any(|at| seen.now - at < ON_ITS_WAY);
    if busy || stirs {
        return Ok(());
    }
    let counts = seen.bus.counts().map_err(|error| error.to_string())?;
    let full = counts.iter().find(|(_, it)| it.active > 0 || it.locked > 0);
    match full {
        Some((queue, count)) => {
            Err(format!("{} messages of {queue} were never handled", count.active + count.locked))
        }
        None => Ok(()),
    }
}

/// A version whose last ring has it is offered in all of them, unless something was done about it.
fn releases(seen: &Seen<'_>) -> Result<(), String> {
    for (image, told) in &seen.story.images {
        let stranger = |number: &str| {
            let path = format!("/images/{image}/versions/{number}");
            let writes = seen.written.writes.iter();
            writes.filter(|it| !it.ours && it.has_happened()).any(|it| it.path.ends_with(&path))
        };
        for (number, version) in &told.versions {
            let is_over = version.condemned.is_some() || version.deprecated || version.deleted;
            let changes = |it: &Intent| it.target == *number && seen.now - it.stored_at < UNDER_WAY;
            let changes = told.intents.iter().any(changes);
            if version.everywhere.is_none() || is_over || changes || stranger(number) {
                continue;
            }
            let Some(there) = Seen::version(seen.gallery, image, number) else {
                return Err(format!("{image} {number} is released, and the gallery has it not"));
            };
            // A change takes minutes, and a region may fail.
            if there.state != "Succeeded" {
                continue;
            }
            let regions = version.plan.iter().flat_map(|it| &it.regions);
            for region in regions {
                let seen_there = there.regions.get(region);
                if seen_there.is_none_or(|it| it.completed && !it.offered) {
                    return Err(format!("{image} {number} is released, not offered in {region}"));
                }
            }
        }
    }
    Ok(())
}
