//! Looks once whether a gallery version has become what the intent says.

use arm::{Provisioning, Version};
use chrono::TimeDelta;
use rules::catalog::Moment;
use rules::event::{Event, Retirement};
use rules::rings;
use rules::state::{Retiring, Run, Stage};
use rules::wake::Subject;

use crate::deprecate_version::came_too_late;
use crate::version_body::is_settled;
use crate::{Context, Done, Failure, Step, Visit, receive_events, version_body};

/// How long to wait between two looks.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(2);

/// How often a region is asked for before the run fails; and how often once more, where it was there
/// and is gone, before its ring waits for a person. Azure's own advice on a failed region is to ask
/// again.
pub(crate) const REPLICATION_TRIES: u32 = 3;

/// Looks at a run's version, or at one that is being retired.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    match visit.wake.subject {
        Subject::Retirement(_) => retirement(cx, visit).await,
        _ => run(cx, visit).await,
    }
}

async fn run(cx: &Context, visit: &Visit) -> Step {
    let run = visit.run()?;
    let id = cx.definition(&visit.image).version(run.version);
    let version = match cx.arm.version(&id).await {
        Ok(version) => version,
        Err(arm::Error::NotFound { .. }) => {
            return Err(Failure::never(format!("{} is gone from the gallery", run.version)));
        }
        Err(error) => return Err(error.into()),
    };

    match run.stage {
        Stage::Replicating => replication(cx, run, &version),
        Stage::Releasing { ring } => release(cx, visit, run, ring, &version),
        _ => Err(Failure::never("nothing was asked of the version")),
    }
}

/// Succeeded is not ready: what counts is Completed, region by region.
fn replication(cx: &Context, run: &Run, version: &Version) -> Step {
    let wanted = rings::flags(&run.plan, None, &version.location).regions;
    let completed = version_body::completed(version);
    let failed =
        version_body::failed(version).into_iter().find(|(region, _)| wanted.contains_key(region));
    // What somebody else has taken it out of would never be Completed.
    let taken_out = version_body::taken_out(version, wanted.keys()).into_iter().next();
    let taken_out = taken_out.map(|it| (it, "somebody else has taken it out".to_owned()));

    if is_settled(version)
        && let Some((region, details)) = failed.or(taken_out)
    {
        let tries = 1 + run.region_failures.get(&region).map_or(0, |it| it.times);
        if tries < REPLICATION_TRIES {
            let version = run.version;
            return Ok(Done::Record(vec![Event::RegionFailed { version, region, details }]));
        }
        let reason = format!("its replication to {region} failed {tries} times: {details}");
        return Ok(Done::Record(run_failed(cx, run, reason)));
    }
    if version.provisioning == Provisioning::Failed {
        return Ok(Done::Record(version_failed(cx, run)));
    }
    if !is_settled(version) || !wanted.keys().all(|region| completed.contains(region)) {
        return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
    }

    let regions = wanted.into_keys().collect();
    Ok(Done::Record(vec![Event::VersionReplicated { version: run.version, regions }]))
}

/// The run whose version Azure calls Failed has failed too.
pub(crate) fn version_failed(cx: &Context, run: &Run) -> Vec<Event> {
    run_failed(cx, run, "Azure says that the version is Failed".to_owned())
}

fn run_failed(cx: &Context, run: &Run, reason: String) -> Vec<Event> {
    let version = run.version;
    let notice = cx.notice(format!("{version} was not released: {reason}"));
    [Event::RunFailed { version, reason }].into_iter().chain(notice).collect()
}

fn release(cx: &Context, visit: &Visit, run: &Run, ring: usize, version: &Version) -> Step {
    if !is_settled(version) {
        return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
    }
    let Some(planned) = run.plan.get(ring) else {
        return Err(Failure::never(format!("the plan has no ring {ring}")));
    };
    let number = run.version;

    if version.provisioning == Provisioning::Failed {
        return Ok(Done::Record(version_failed(cx, run)));
    }
    let wanted = version_body::released(version, &run.plan, ring, version.tags.clone());
    if !version_body::carries(version, &wanted) {
        let because = "its flags are not as they were asked for: somebody else changed the \
                       version; approve the ring to release it again"
            .to_owned();
        let notice = cx.notice(format!("{number} waits at ring `{}`: {because}", planned.name));
        let paused = Event::ReleasePaused { version: number, ring, because, until: None };
        return Ok(Done::Record([paused].into_iter().chain(notice).collect()));
    }

    let (name, regions) = (planned.name.clone(), planned.regions.clone());
    let mut events = vec![Event::RingReleased { version: number, ring, name, regions }];
    let last = ring + 1 == run.plan.len();
    if last {
        events.push(Event::RunReleased { version: number });
        events.extend(cx.notice(format!("{number} is released everywhere ({})", run.why)));
    }
    if let Ok(image) = visit.policy() {
        let mut moments = Vec::new();
        if ring == 0 {
            moments.push(Moment::FirstRing);
        }
        if last {
            moments.push(Moment::Released);
        }
        let due = |moment| receive_events::children_due(cx, image, number, moment);
        events.extend(moments.into_iter().filter_map(due));
    }
    Ok(Done::Record(events))
}

fn is_at_home_only(version: &Version) -> bool {
    version.target_regions.iter().all(|it| it.region == version.location)
}

async fn retirement(cx: &Context, visit: &Visit) -> Step {
    let number = visit.version()?;
    let Some(known) = visit.state().versions.get(&number) else { return Ok(Done::Nothing) };
    let Some(Retiring { stage, reasons, .. }) = &known.retiring else { return Ok(Done::Nothing) };
    let (standing, reasons) = (known.standing, reasons.clone());
    let id = cx.definition(&visit.image).version(number);

    let version = match cx.arm.version(&id).await {
        Ok(version) => version,
        Err(arm::Error::NotFound { .. }) => {
            let deleted = Event::VersionDeleted { version: number, reasons };
            let notice = came_too_late(cx, visit, number, "deleted");
            return Ok(Done::Record([deleted].into_iter().chain(notice).collect()));
        }
        Err(error) => return Err(error.into()),
    };
    if !is_settled(&version) {
        return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
    }

    let done = version.provisioning == Provisioning::Succeeded;
    // What is not as it was asked for becomes due again: the next visit reads the world first.
    let due_again = |stage: Retirement| Event::RetirementDue {
        version: number,
        stage,
        standing,
        reasons: reasons.clone(),
    };
    let (event, notice) = match stage {
        // Its flags are what counts: a version that is Failed may stay so for ever.
        Retirement::Deprecate if version_body::is_hidden(&version) => {
            let deprecated = Event::VersionDeprecated { version: number, reasons };
            (deprecated, came_too_late(cx, visit, number, "deprecated"))
        }
        Retirement::Trim if done && is_at_home_only(&version) => {
            let trimmed = Event::VersionTrimmed { version: number };
            (trimmed, came_too_late(cx, visit, number, "trimmed"))
        }
        stage => (due_again(*stage), None),
    };
    Ok(Done::Record([event].into_iter().chain(notice).collect()))
}
