//! Looks once at the build: built, failed, or look again.

use arm::{RunState, Template};
use chrono::{DateTime, TimeDelta, Utc};
use rules::event::{Event, Operation};
use rules::state::Run;

use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit};

/// How long to wait between two looks at a build that takes longer than the one before.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(3);

/// After its own time-out a build has this long to end by itself, before it is cancelled.
const GRACE: TimeDelta = TimeDelta::minutes(15);

/// Runs have been seen to be Canceling for days; after this long the template is given up.
const CANCEL_WITHIN: TimeDelta = TimeDelta::hours(1);

/// Looks at the template's last run. That it says Failed does not mean that there is no version.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let run = visit.run()?.clone();
    let started_at = run.build_started_at.unwrap_or(run.opened_at);
    let deadline =
        started_at + TimeDelta::minutes(i64::from(cx.catalog.build.timeout_minutes)) + GRACE;

    let template = match cx.arm.template(&cx.template(&run.template)).await {
        Ok(template) => template,
        Err(arm::Error::NotFound { .. }) => {
            return failed(
                cx,
                visit,
                &run,
                None,
                format!("its template `{}` is gone", run.template),
            )
            .await;
        }
        Err(error) => return Err(error.into()),
    };
    let Some(last) = &template.last_run else {
        if cx.now < deadline {
            return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
        }
        let why = "the run was accepted and never began".to_owned();
        return failed(cx, visit, &run, Some(&template), why).await;
    };

    match &last.state {
        RunState::Running | RunState::Other(_) if cx.now < deadline => {
            Ok(Done::LookAgain(next_look(cx, visit, started_at)))
        }
        RunState::Running | RunState::Other(_) if cx.now >= deadline + CANCEL_WITHIN => {
            let why = "it ran far beyond its time-out and could not be cancelled".to_owned();
            failed(cx, visit, &run, Some(&template), why).await
        }
        RunState::Running | RunState::Other(_) => cancel(cx, visit, &run).await,
        RunState::Canceling if cx.now < deadline + CANCEL_WITHIN => {
            Ok(Done::LookAgain(cx.now + LOOK_EVERY))
        }
        RunState::Canceling => {
            failed(cx, visit, &run, Some(&template), "its cancelling did not end".to_owned()).await
        }
        RunState::Succeeded => {
            let ended = last.ended.unwrap_or(cx.now);
            let minutes = (ended - last.started.unwrap_or(started_at)).num_minutes();
            let version = run.version;
            let staging_group = template.staging_group.as_ref().map(ToString::to_string);
            let minutes = minutes.clamp(1, 960);
            Ok(Done::Record(vec![Event::ImageBuilt { version, minutes, staging_group }]))
        }
        RunState::PartiallySucceeded | RunState::Failed | RunState::Canceled => {
            let said = if last.message.is_empty() {
                "Image Builder does not say why"
            } else {
                &last.message
            };
            let why = format!("the build ended {}: {said}", last.state);
            failed(cx, visit, &run, Some(&template), why).await
        }
    }
}

/// At the time the build before took, and from then on every few minutes.
fn next_look(cx: &Context, visit: &Visit, started_at: DateTime<Utc>) -> DateTime<Utc> {
    let usual = visit.state().build_minutes.unwrap_or_default();
    (started_at + TimeDelta::minutes(usual)).max(cx.now + LOOK_EVERY)
}

async fn cancel(cx: &Context, visit: &mut Visit, run: &Run) -> Step {
    let target = run.template.clone();
    let intent = Intent {
        target: target.clone(),
        operation: Operation::CancelTemplate,
        text: format!("cancel the run of template `{target}`"),
        evidence: vec!["it runs beyond its time-out".to_owned()],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.cancel_template(&permit, &cx.template(&target)).await;
    match cx.settle(&target, Operation::CancelTemplate, answer)? {
        Settled::Accepted((), settled)
        | Settled::Refused(arm::Error::NotAllowed { .. }, settled) => {
            let at = cx.now + LOOK_EVERY;
            Ok(Done::RecordAndLookAgain { events: vec![settled], at })
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

/// A failed run may have published its version all the same; it is hidden, and is deleted when its
/// quarantine ends.
async fn failed(
    cx: &Context,
    visit: &Visit,
    run: &Run,
    template: Option<&Template>,
    reason: String,
) -> Step {
    let version = run.version;
    let id = cx.definition(&visit.image).version(version);
    let published = match cx.arm.version(&id).await {
        Ok(_) => true,
        Err(arm::Error::NotFound { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let staging_group = template.and_then(|it| it.staging_group.as_ref()).map(ToString::to_string);
    let notice = cx.notice(format!("{version} was not built: {reason}"));
    let failed = Event::BuildFailed { version, reason, published, staging_group };
    Ok(Done::Record([failed].into_iter().chain(notice).collect()))
}
