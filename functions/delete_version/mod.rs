//! Deletes one version, after the world was read again: never what is in use, pinned, a base, or
//! among the last good ones.

use arm::{Deletion, Provisioning};
use chrono::TimeDelta;
use rules::event::{Event, Operation, Retirement};
use rules::retention::StillHolds;

use crate::deprecate_version::{gone, refused, rejudge, requested, wait_for_others};
use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit};

/// A version takes 90 to 180 seconds to delete (recorded).
const LOOK_AFTER: TimeDelta = TimeDelta::seconds(190);

/// Reads the world again and deletes, when everything that was judged still holds.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let number = visit.version()?;
    let id = cx.definition(&visit.image).version(number);
    let target = number.to_string();
    let version = match cx.arm.version(&id).await {
        Ok(version) => version,
        Err(arm::Error::NotFound { .. }) => return Ok(gone(cx, visit)),
        Err(error) => return Err(error.into()),
    };
    let open = visit.state().intents.get(&target).map(|it| it.operation);
    if open == Some(Operation::DeleteVersion) && version.provisioning == Provisioning::Deleting {
        // Our own request, whose answer was lost.
        let settled = Settled::seen(&target, Operation::DeleteVersion);
        let requested = requested(cx, visit, Retirement::Delete, LOOK_AFTER)?;
        return Ok(Done::Record(vec![settled, requested]));
    }
    wait_for_others(cx, visit, &version)?;
    let reasons = match rejudge(cx, visit, Retirement::Delete).await? {
        StillHolds::Yes { reasons } => reasons,
        StillHolds::No { because } => return Ok(refused(visit, Retirement::Delete, because)),
    };

    let operation = Operation::DeleteVersion;
    let text = format!("delete {target}");
    let evidence = reasons.clone();
    let intent = Intent { target: target.clone(), operation, text, evidence };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.delete_version(&permit, &id).await;
    match cx.settle(&target, operation, answer)? {
        Settled::Accepted(Deletion::Gone, settled) => {
            Ok(Done::Record(vec![settled, Event::VersionDeleted { version: number, reasons }]))
        }
        Settled::Accepted(Deletion::Accepted, settled) => {
            let requested = requested(cx, visit, Retirement::Delete, LOOK_AFTER)?;
            Ok(Done::Record(vec![settled, requested]))
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}
