//! Keeps a build's logs, and deletes its template with the staging group.

use arm::{Deletion, GroupId, Provisioning};
use chrono::TimeDelta;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use rules::event::{Event, Operation};
use rules::state::Tidying;
use tracing::warn;

use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit};

/// A template takes 139 seconds to delete (recorded).
const LOOK_AFTER: TimeDelta = TimeDelta::seconds(150);

/// A template that Azure does not delete is asked for again after this long: runs have been seen to
/// be Canceling for days, and each time costs two entries.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::hours(3);

/// Image Builder's container of logs (MicrosoftDocs, image-builder-troubleshoot.md).
const LOGS: &str = "packerlogs";

/// The largest log that is kept whole; nobody reads more.
const LARGEST_LOG: u64 = 8 << 20;

/// The most logs that are kept of one build.
const MOST_LOGS: usize = 8;

/// Asks for the deletion, or looks whether it has ended.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let number = visit.version()?;
    let tidying = visit.state().tidying.iter().find(|it| it.version == number).cloned();
    let Some(tidying) = tidying else { return Ok(Done::Nothing) };
    let id = cx.template(&tidying.template);
    let target = tidying.template.clone();

    let open = visit.state().intents.get(&target).map(|it| it.operation);
    if tidying.requested || open == Some(Operation::DeleteTemplate) {
        match cx.arm.template(&id).await {
            Err(arm::Error::NotFound { .. }) => {
                let settled = open.map(|operation| Settled::seen(&target, operation));
                let tidied = Event::BuildTidied { version: number };
                return Ok(Done::Record(settled.into_iter().chain([tidied]).collect()));
            }
            Ok(template)
                if template.provisioning == Provisioning::Deleting
                    && tidying.requested
                    && open.is_none() =>
            {
                return Ok(Done::LookAgain(cx.now + LOOK_AFTER));
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }

    let logs = logs(cx, &tidying).await;
    let intent = Intent {
        target: target.clone(),
        operation: Operation::DeleteTemplate,
        text: format!("delete template `{target}` and its staging group"),
        evidence: vec![format!("the build of {number} has ended and {} logs are kept", logs.len())],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.delete_template(&permit, &id).await;
    match cx.settle(&target, Operation::DeleteTemplate, answer)? {
        Settled::Accepted(Deletion::Gone, settled) => {
            Ok(Done::Record(vec![settled, Event::BuildTidied { version: number }]))
        }
        Settled::Accepted(Deletion::Accepted, settled) => {
            let wait = if tidying.requested { ASK_AGAIN_AFTER } else { LOOK_AFTER };
            let look_at = cx.now + wait;
            let requested = Event::TidyRequested { version: number, logs, look_at };
            Ok(Done::Record(vec![settled, requested]))
        }
        Settled::Refused(arm::Error::NotAllowed { .. }, settled) => {
            let look_at = cx.now + ASK_AGAIN_AFTER;
            let requested = Event::TidyRequested { version: number, logs, look_at };
            Ok(Done::Record(vec![settled, requested]))
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

/// The digests of the build's logs among the blobs. Logs are worth no failure: a build whose logs
/// cannot be read is tidied all the same.
async fn logs(cx: &Context, tidying: &Tidying) -> Vec<String> {
    let Some(group) = tidying.staging_group.as_deref().and_then(|it| it.parse().ok()) else {
        return Vec::new();
    };
    match kept_logs(cx, &group).await {
        Ok(logs) => logs,
        Err(why) => {
            warn!(template = %tidying.template, "The logs of {} are lost: {why}", tidying.template);
            Vec::new()
        }
    }
}

async fn kept_logs(cx: &Context, group: &GroupId) -> Result<Vec<String>, String> {
    let accounts = cx.arm.storage_accounts(group).await.map_err(|error| error.to_string())?;
    let Some(account) = accounts.first() else {
        return Err("the staging group has no storage account".to_owned());
    };
    let store = cx.store_of(account, LOGS)?;

    let mut found: Vec<_> =
        store.list(None).try_collect().await.map_err(|error| error.to_string())?;
    found.sort_by(|one, other| one.location.cmp(&other.location));
    let mut logs = Vec::new();
    for log in found.iter().filter(|it| it.size <= LARGEST_LOG).take(MOST_LOGS) {
        let got = store.get(&log.location).await.map_err(|error| error.to_string())?;
        let bytes = got.bytes().await.map_err(|error| error.to_string())?;
        logs.push(cx.ledger.put_blob(bytes).await.map_err(|error| error.to_string())?);
    }
    Ok(logs)
}
