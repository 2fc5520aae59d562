//! Sends a passed version to every region of every ring, still excluded from latest: all rings
//! first, so that a later change of a flag is rarely blocked by a replication.

use arm::Provisioning;
use chrono::TimeDelta;
use rules::event::{Event, Operation};
use rules::rings;
use rules::standing::Standing;

use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit, tags, version_body};

/// A new region takes 420 to 510 seconds (recorded).
pub(crate) const LOOK_AFTER: TimeDelta = TimeDelta::seconds(525);

/// How long to wait for a version that something else is being done to.
const WAIT_FOR_OTHERS: TimeDelta = TimeDelta::minutes(2);

/// Reads the version back, hides it whatever it says, and adds the regions of the plan.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let run = visit.run()?.clone();
    let id = cx.definition(&visit.image).version(run.version);
    let target = run.version.to_string();

    let version = cx.arm.version(&id).await?;
    match &version.provisioning {
        Provisioning::Succeeded => {}
        Provisioning::Failed if !run.region_failures.is_empty() => {}
        Provisioning::Failed => {
            return Err(Failure::never(format!("{target} is Failed in the gallery")));
        }
        other => {
            let why = format!("{target} is {other}");
            return Err(Failure::later_at(why, cx.now + WAIT_FOR_OTHERS));
        }
    }

    let flags = rings::flags(&run.plan, None, &version.location);
    let mut wanted_tags = version.tags.clone();
    wanted_tags.extend(tags::of_version(cx, &visit.image, &run, Standing::Passed));
    let intent_body = version_body::with_flags(&version, &flags, wanted_tags);
    let requested =
        || Event::ReplicationRequested { version: run.version, look_at: cx.now + LOOK_AFTER };

    let open = visit.state().intents.get(&target).map(|it| it.operation);
    let standing = version.tags.get(tags::STANDING).map(String::as_str);
    let done = version_body::carries(&version, &intent_body)
        && standing == Some(Standing::Passed.as_str())
        && run.region_failures.is_empty();
    if done {
        let settled = open.map(|operation| Settled::seen(&target, operation));
        return Ok(Done::Record(settled.into_iter().chain([requested()]).collect()));
    }

    let hidden = if version_body::is_hidden(&version) {
        "it is excluded from latest, read back".to_owned()
    } else {
        "it was NOT excluded from latest when it was read back".to_owned()
    };
    let regions: Vec<&str> = flags.regions.keys().map(|it| it.as_str()).collect();
    let intent = Intent {
        target: target.clone(),
        operation: Operation::UpdateVersion,
        text: format!("replicate {target} to {}, excluded from latest", regions.join(", ")),
        evidence: vec!["the gate has passed it".to_owned(), hidden],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    match cx.settle(&target, Operation::UpdateVersion, answer)? {
        Settled::Accepted(_, settled) => Ok(Done::Record(vec![settled, requested()])),
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}
