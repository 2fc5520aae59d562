//! Opens a run (its base is pinned to an exact version and its number is taken), and then makes
//! the image template that builds it.

mod base;
mod template;

use arm::Written;
use chrono::TimeDelta;
use rules::event::{Event, Operation, PinnedBase};
use rules::number::{Bump, next_number, spec_digest};
use rules::state::{Run, Stage};
use rules::trigger::Trigger;
use rules::wake::Subject;
use rules::{CatalogName, ImageName, VersionNumber};

use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit};

/// A template is ready 11 to 46 seconds after its PUT (recorded).
const READY_AFTER: TimeDelta = TimeDelta::seconds(60);

/// How long to wait for a place among the builds.
const WAIT_FOR_A_PLACE: TimeDelta = TimeDelta::minutes(5);

/// Where the scan report of `version` is uploaded to, below the store's `inbox/`.
pub fn report_key(catalog: &CatalogName, image: &ImageName, version: VersionNumber) -> String {
    format!("{catalog}/{image}/{version}/report.json")
}

/// Opens a run for the triggers that wait, or makes the template of the run that was opened.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    match visit.wake.subject {
        Subject::Opening => open_run(cx, visit).await,
        _ => make_template(cx, visit).await,
    }
}

async fn open_run(cx: &Context, visit: &mut Visit) -> Step {
    let image = visit.policy()?.clone();
    let served = served_already(visit);
    if served.len() == visit.state().pending.len() {
        return Ok(Done::Record(served));
    }
    if !served.is_empty() {
        // The wish is the same for those that are left, so nobody else sends it again.
        return Ok(Done::RecordAndLookAgain { events: served, at: cx.now });
    }

    // Every number that the gallery has ever had, as far as anybody knows.
    let definition = cx.definition(&image.name);
    let in_gallery = match cx.arm.versions(&definition).await {
        Ok(versions) => versions,
        Err(arm::Error::NotFound { .. }) => return template::create_definition(cx, visit).await,
        Err(error) => return Err(error.into()),
    };
    let state = visit.state();
    let mut taken: Vec<VersionNumber> = in_gallery.iter().map(|it| it.number).collect();
    taken.extend(state.versions.keys());
    taken.extend(state.highest_met);
    match cx.arm.soft_deleted(&definition).await {
        Ok(deleted) => taken.extend(deleted.iter().map(|it| it.number)),
        Err(arm::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }

    let base = match base::pin(cx, &image, &state.pending).await? {
        base::Found::Pinned(base) => base,
        base::Found::None { because } => {
            let refuse = |trigger: &Trigger| Event::TriggerRefused {
                trigger: trigger.clone(),
                because: because.clone(),
            };
            return Ok(Done::Record(state.pending.iter().map(refuse).collect()));
        }
    };

    let spec = spec_digest(&image);
    let tagged = in_gallery.iter().rev().find_map(|it| it.tags.get("goldsmith-spec"));
    let previous = state.newest_run().and_then(|(_, it)| it.spec.as_ref()).or(tagged);
    let bump = Bump::of(previous.map(String::as_str), &spec, &state.pending);
    let version = next_number(bump, &taken).map_err(|error| Failure::never(error.to_string()))?;

    let why: Vec<String> = state.pending.iter().map(Trigger::to_string).collect();
    Ok(Done::Record(vec![Event::RunOpened {
        version,
        triggers: state.pending.iter().map(Trigger::id).collect(),
        why: why.join("; "),
        base,
        spec,
        template: template::name(&image.name, version),
    }]))
}

/// Triggers that the run in its rings serves already: it was built from the very base.
fn served_already(visit: &Visit) -> Vec<Event> {
    let state = visit.state();
    let Some(run) = &state.releasing else { return Vec::new() };
    let serves = |trigger: &Trigger| match trigger {
        Trigger::Base { version } => run.base == PinnedBase::Platform { version: version.clone() },
        Trigger::Parent { image, version } => {
            run.base == PinnedBase::Image { image: image.clone(), version: *version }
        }
        Trigger::Schedule { .. } | Trigger::Advisory { .. } | Trigger::Person { .. } => false,
    };
    let coalesced = |trigger: &Trigger| Event::TriggerCoalesced {
        trigger: trigger.id(),
        into: format!("run {}", run.version),
    };
    state.pending.iter().filter(|it| serves(it)).map(coalesced).collect()
}

async fn make_template(cx: &Context, visit: &mut Visit) -> Step {
    let image = visit.policy()?.clone();
    let run = visit.run()?.clone();
    let target = run.template.clone();
    let id = cx.template(&target);

    // An intent without an outcome: somebody may have made the template already.
    if visit.state().intents.contains_key(&target) {
        match cx.arm.template(&id).await {
            Ok(_) => {
                let settled = Settled::seen(&target, Operation::CreateTemplate);
                return Ok(Done::Record(vec![settled, requested(cx, &run)]));
            }
            Err(arm::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    } else if builds_before(cx, &image.name, &run).await? >= cx.catalog.build.at_once {
        return Ok(Done::LookAgain(cx.now + WAIT_FOR_A_PLACE));
    }

    let template = template::intent(cx, &image, &run)?;
    let intent = Intent {
        target: target.clone(),
        operation: Operation::CreateTemplate,
        text: format!("build {} {} from {}", image.name, run.version, run.base.version()),
        evidence: vec![format!("opened because: {}", run.why)],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.create_template(&permit, &id, &template).await;
    match cx.settle(&target, Operation::CreateTemplate, answer)? {
        Settled::Accepted(Written::Created | Written::Updated, settled) => {
            Ok(Done::Record(vec![settled, requested(cx, &run)]))
        }
        // The name is this run's own, so what is there is what an earlier delivery made.
        Settled::Refused(arm::Error::Conflict { .. }, settled) => {
            Ok(Done::Record(vec![settled, requested(cx, &run)]))
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

fn requested(cx: &Context, run: &Run) -> Event {
    Event::TemplateRequested { version: run.version, look_at: cx.now + READY_AFTER }
}

/// How many other images are building, or wait for a place and were there first. The order is
/// total, so that of several at once as many go on as there are places.
async fn builds_before(cx: &Context, image: &ImageName, run: &Run) -> Result<u32, Failure> {
    let mut builds = 0;
    for other in cx.catalog.images.iter().filter(|it| it.name != *image) {
        let stream = cx.readable(&other.name).await?;
        let Some(other_run) = stream.and_then(|it| it.state.building) else { continue };
        let was_first = (other_run.opened_at, &other.name) < (run.opened_at, image);
        let before = match other_run.stage {
            Stage::TemplateRequested | Stage::Building => true,
            Stage::Opened => was_first,
            _ => false,
        };
        builds += u32::from(before);
    }
    Ok(builds)
}
