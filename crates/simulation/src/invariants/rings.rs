//! A release is visible only in regions whose replication is Completed, ring by ring, in order, after
//! its bake time, with its approval, and while nobody holds the image; a condemned version never
//! comes back by a late or duplicated write. Every body says a flag for every region.

use std::collections::BTreeSet;

use sandbox::azure::SeenVersion;
use sandbox::estate::UnsetFlag;
use serde_json::Value;

use super::story::{CLOCKS, Intent, Target, Version, target};
use super::{Fact, Invariant, Seen, may_be_offered};

/// The condemned versions that were hidden since.
#[derive(Debug, Default)]
pub(super) struct Rings {
    hidden: BTreeSet<(String, String)>,
}

impl Invariant for Rings {
    fn name(&self) -> &'static str {
        "rings are released in order, and what is taken back stays away"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts().filter(|it| it.name == "gatePassed") {
            if !is_planned(seen, &fact) {
                return Err(format!("{} plans other rings than its catalog", fact.stream));
            }
        }
        for fact in seen.facts().filter(|it| it.name == "ringReleased") {
            is_so(seen, &fact)?;
        }
        let looked = look_at_write(seen);
        for (image, versions) in seen.gallery {
            for version in versions {
                let Some(told) = seen.story.version(image, &version.number) else { continue };
                if told.condemned.is_none() {
                    continue;
                }
                let named = (image.clone(), version.number.clone());
                if !may_be_offered(version) {
                    self.hidden.insert(named);
                } else if self.hidden.remove(&named)
                    && !seen.is_written_by_others(image, &version.number)
                    && !was_under_way(seen, told)
                {
                    let number = &version.number;
                    return Err(format!("{image} {number} was condemned and hidden, and is back"));
                }
            }
        }
        looked
    }
}

/// Whether our new write was on its way when the version was condemned, and nothing came between: who
/// hides the version waits for it.
fn was_under_way(seen: &Seen<'_>, told: &Version) -> bool {
    let intended = seen.our_write().and_then(|it| seen.story.intent_of(it));
    let (Some((image, intent)), Some((condemned, _))) = (intended, told.condemned) else {
        return false;
    };
    let mut later = seen.story.images[image].intents.iter().filter(|it| it.seq > intent.seq);
    intent.seq < condemned && !later.any(|it| it.target == intent.target && it.taken)
}

/// Whether a ring that is called released has the release, unless somebody else has changed it since the
/// step began.
fn is_so(seen: &Seen<'_>, fact: &Fact<'_>) -> Result<(), String> {
    let (image, number) = (fact.stream, fact.version());
    let path = format!("/images/{image}/versions/{number}");
    let writes = seen.written.writes.iter().rev();
    let mut lately = writes.take_while(|it| it.at >= fact.said_at() - CLOCKS);
    let changed = lately.any(|it| !it.ours && it.has_happened() && it.path.ends_with(&path));
    let Some(version) = Seen::version(seen.gallery, image, number).filter(|_| !changed) else {
        return Ok(());
    };
    let regions = fact.body["regions"].as_array().into_iter().flatten();
    let mut regions = regions.filter_map(Value::as_str);
    // Somebody else may have offered it in their own way, with the global flag alone; and where Azure
    // calls a flag false that was never sent, a step cannot tell that from one that was.
    let whole = version.excluded && seen.estate.variants.unset_flag != UnsetFlag::False;
    let shown = |it: &str| version.regions.get(it).is_some_and(|it| !it.excluded.unwrap_or(whole));
    match regions.find(|it| !shown(it)) {
        Some(region) => Err(format!("{image} {number} is called released in {region}, and is not")),
        None => Ok(()),
    }
}

/// Whether the plan has the rings of the catalog, each region in the first of its rings alone.
fn is_planned(seen: &Seen<'_>, fact: &Fact<'_>) -> bool {
    let policy = fact.entry.value["policy"].as_str().unwrap_or_default();
    let images = seen.story.catalog(policy).into_iter().flat_map(|it| &it.images);
    let Some(image) = images.into_iter().find(|it| it.name.as_str() == fact.stream) else {
        return false;
    };
    let mut placed = BTreeSet::new();
    let mut wanted = Vec::new();
    for ring in &image.rings {
        let regions: BTreeSet<&str> =
            ring.regions.iter().map(|it| it.as_str()).filter(|it| placed.insert(*it)).collect();
        if !regions.is_empty() {
            wanted.push((regions, ring.bake_hours, ring.approval));
        }
    }
    let told = seen.story.version(fact.stream, fact.version());
    let planned = told.into_iter().flat_map(|it| &it.plan).map(|it| {
        let hours = u32::try_from(it.bake.num_hours()).unwrap_or_default();
        (it.regions.iter().map(String::as_str).collect(), hours, it.approval)
    });
    planned.eq(wanted)
}

fn look_at_write(seen: &Seen<'_>) -> Result<(), String> {
    let Some(write) = seen.our_write().filter(|it| it.method == http::Method::PUT) else {
        return Ok(());
    };
    let Target::Version { image, number } = target(&write.path) else { return Ok(()) };
    let profile = &write.body["properties"]["publishingProfile"];
    let of_regions = profile["targetRegions"].as_array().into_iter().flatten();
    let mut flags = of_regions.chain([profile]).map(|it| &it["excludeFromLatest"]);
    if !flags.all(Value::is_boolean) {
        return Err(format!("{image} {number} is written without a flag for every region"));
    }
    let (Some(before), Some(after)) =
        (Seen::version(seen.before, &image, &number), Seen::version(seen.gallery, &image, &number))
    else {
        return Ok(());
    };
    let (Some(told), Some((_, intent))) =
        (seen.story.version(&image, &number), seen.story.intent_of(write))
    else {
        return Ok(());
    };
    let wrong = wrong(seen, &image, told, intent, before, after);
    wrong.map_or(Ok(()), |why| Err(format!("{image} {number} is offered {why}")))
}

/// What is wrong with what became visible, if anything did.
fn wrong(
    seen: &Seen<'_>,
    image: &str,
    told: &Version,
    intent: &Intent,
    before: &SeenVersion,
    after: &SeenVersion,
) -> Option<String> {
    let is_shown = |version: &SeenVersion, region: &str| {
        version.regions.get(region).is_some_and(|it| it.excluded == Some(false))
    };
    let completed = |region: &str| {
        before.regions.get(region).is_some_and(|it| it.completed)
            || is_just_taken_out(seen, image, &before.number, region, intent)
    };
    let grown: Vec<&String> =
        after.regions.keys().filter(|it| is_shown(after, it) && !is_shown(before, it)).collect();
    let lifted = before.excluded && !after.excluded;
    if grown.is_empty() && !lifted {
        return None;
    }
    if told.condemned.is_some_and(|(seq, _)| seq < intent.seq) {
        return Some("though it was condemned before".to_owned());
    }
    if told.passed.is_none_or(|seq| seq > intent.seq) {
        return Some("though it has not passed".to_owned());
    }
    let hold = seen.story.images.get(image).and_then(|it| it.hold);
    let holds = |until: Option<_>| until.is_none_or(|it| it > intent.said_at);
    if hold.is_some_and(|it| it.seq < intent.seq && holds(it.until)) {
        return Some("though the image is held".to_owned());
    }
    for region in grown {
        if !completed(region) || is_called_unfinished(seen, region, intent) {
            return Some(format!("in {region}, where it is not Completed"));
        }
        let Some(ring) = told.plan.iter().position(|it| it.regions.contains(region)) else {
            return Some(format!("in {region}, which is in no ring"));
        };
        if let Some(why) = too_early(told, ring, intent) {
            return Some(format!("in {region} {why}"));
        }
    }
    let mut planned = told.plan.iter().flat_map(|it| &it.regions);
    let unready = planned.find(|it| !is_shown(after, it) || !completed(it));
    unready.filter(|_| lifted).map(|it| format!("everywhere, and {it} has no release"))
}

/// Whether somebody else has taken the version out of `region` since our step began: what we had read
/// then comes back offered.
fn is_just_taken_out(
    seen: &Seen<'_>,
    image: &str,
    number: &str,
    region: &str,
    intent: &Intent,
) -> bool {
    let path = format!("/images/{image}/versions/{number}");
    let writes = seen.written.writes.iter().rev();
    let lately = writes.take_while(|it| it.at >= intent.began());
    let mut others = lately.filter(|it| !it.ours && it.has_happened() && it.path.ends_with(&path));
    others.any(|it| {
        let targets = it.body["properties"]["publishingProfile"]["targetRegions"].as_array();
        targets.is_some_and(|it| it.iter().all(|it| it["name"] != *region))
    })
}

/// Whether Azure calls the replication to `region` unfinished, and has not said otherwise since our step
/// began.
fn is_called_unfinished(seen: &Seen<'_>, region: &str, intent: &Intent) -> bool {
    let of = seen.our_write().and_then(|it| seen.written.replication.get(&it.path));
    let told = of.and_then(|it| it.get(region)).copied().unwrap_or_default();
    told.is_unfinished && told.completed.is_none_or(|it| it < intent.began())
}

fn too_early(told: &Version, ring: usize, intent: &Intent) -> Option<String> {
    let planned = &told.plan[ring];
    if planned.approval && told.approvals.get(&ring).is_none_or(|seq| *seq > intent.seq) {
        return Some(format!("and nobody has approved ring {ring}"));
    }
    let before = ring.checked_sub(1)?;
    let Some(released_at) = told.rings.get(&before) else {
        return Some(format!("before ring {before} has it"));
    };
    let had = intent.said_at - *released_at;
    (had < planned.bake).then(|| format!("{} s after ring {before}", had.num_seconds()))
}
