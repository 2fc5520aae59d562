//! Runs the template once it is ready.

use arm::Provisioning;
use chrono::TimeDelta;
use rules::event::{Event, Operation};
use rules::state::Run;

use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit};

/// Builds take 14 to 17 minutes when nothing is known of the image (recorded).
const USUAL_MINUTES: i64 = 16;

/// How long to wait before a template that is not ready is looked at again.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(30);

/// A template is ready within a minute (recorded); one that is not after so long never will be.
const READY_WITHIN: TimeDelta = TimeDelta::hours(3);

/// Asks for the run at once: a template that is not ready refuses it, and nothing has happened.
/// But a run has no name by which Azure would know it again, so it is never asked for a second time
/// before the template was read.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let run = visit.run()?.clone();
    let target = run.template.clone();
    let id = cx.template(&target);

    let open = visit.state().intents.contains_key(&target);
    if open || visit.again {
        match look(cx, visit, &run).await? {
            Seen::Ran => {
                let settled = open.then(|| Settled::seen(&target, Operation::RunTemplate));
                let started = started(cx, visit, &run);
                return Ok(Done::Record(settled.into_iter().chain([started]).collect()));
            }
            Seen::Ready => {}
            Seen::NotReady => return Ok(Done::LookAgain(cx.now + LOOK_EVERY)),
            Seen::Failed(reason) => return failed(cx, visit, &run, reason, Vec::new()),
        }
    }

    let intent = Intent {
        target: target.clone(),
        operation: Operation::RunTemplate,
        text: format!("run template `{target}`"),
        evidence: vec![format!("the template was made for {}", run.version)],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.run_template(&permit, &id).await;
    let (error, settled) = match cx.settle(&target, Operation::RunTemplate, answer)? {
        Settled::Accepted((), settled) => {
            return Ok(Done::Record(vec![settled, started(cx, visit, &run)]));
        }
        Settled::Refused(error, settled) => (error, settled),
    };
    match look(cx, visit, &run).await {
        Ok(Seen::Ran) => Ok(Done::Record(vec![settled, started(cx, visit, &run)])),
        Ok(Seen::Ready) => {
            let wait = error.retry_after().and_then(|it| TimeDelta::from_std(it).ok());
            let (why, events) = (error.to_string(), vec![settled]);
            Err(Failure::Later { why, at: None, wait, events })
        }
        Ok(Seen::NotReady) => {
            let at = cx.now + LOOK_EVERY;
            Ok(Done::RecordAndLookAgain { events: vec![settled], at })
        }
        Ok(Seen::Failed(reason)) => failed(cx, visit, &run, reason, vec![settled]),
        Err(failure) => Err(failure.with(vec![settled])),
    }
}

enum Seen {
    /// A run is under way, or has been.
    Ran,
    Ready,
    NotReady,
    Failed(String),
}

async fn look(cx: &Context, visit: &Visit, run: &Run) -> Result<Seen, Failure> {
    let template = match cx.arm.template(&cx.template(&run.template)).await {
        Ok(template) => template,
        Err(arm::Error::NotFound { .. }) => {
            return Ok(Seen::Failed(format!("its template `{}` is gone", run.template)));
        }
        Err(error) => return Err(error.into()),
    };
    if template.last_run.is_some() {
        return Ok(Seen::Ran);
    }
    let deadline = run.template_requested_at.unwrap_or(run.opened_at) + READY_WITHIN;
    Ok(match template.provisioning {
        Provisioning::Succeeded => Seen::Ready,
        Provisioning::Failed | Provisioning::Canceled => {
            let why = template.error.unwrap_or_else(|| "Image Builder does not say why".to_owned());
            Seen::Failed(format!("the template of {} could not be made: {why}", visit.image))
        }
        ref state @ (Provisioning::Creating
        | Provisioning::Updating
        | Provisioning::Deleting
        | Provisioning::Migrating
        | Provisioning::Other(_)) => {
            if cx.now < deadline {
                return Ok(Seen::NotReady);
            }
            let (template, hours) = (&run.template, READY_WITHIN.num_hours());
            Seen::Failed(format!("its template `{template}` is still {state} after {hours} hours"))
        }
    })
}

fn started(cx: &Context, visit: &Visit, run: &Run) -> Event {
    let minutes = visit.state().build_minutes.unwrap_or(USUAL_MINUTES);
    let look_at = cx.now + TimeDelta::minutes(minutes) + TimeDelta::seconds(90);
    Event::BuildStarted { version: run.version, look_at }
}

/// A run that was asked for and never answered may have begun, and publish a version.
fn failed(cx: &Context, visit: &Visit, run: &Run, reason: String, answered: Vec<Event>) -> Step {
    let version = run.version;
    let published = answered.is_empty() && visit.state().may_have_published(run);
    let failed =
        Event::BuildFailed { version, reason: reason.clone(), published, staging_group: None };
    let notice = cx.notice(format!("{version} was not built: {reason}"));
    Ok(Done::Record(answered.into_iter().chain(notice).chain([failed]).collect()))
}
