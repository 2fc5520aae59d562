//! Gives up every region of one deprecated version but its home. Two writes: a version must allow
//! the removal of regions before any can be left out.

use chrono::TimeDelta;
use rules::event::{Operation, Retirement};
use rules::retention::StillHolds;
use rules::standing::Standing;

use crate::deprecate_version::{
    gone, is_so, is_unanswered, refused, rejudge, requested, wait_for_others,
};
use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit, tags, version_body};

/// A change of the safety profile or of regions takes 150 to 420 seconds (recorded).
const LOOK_AFTER: TimeDelta = TimeDelta::seconds(430);

/// Reads the world again; lifts the safety profile, or removes the regions once it is lifted.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let number = visit.version()?;
    let id = cx.definition(&visit.image).version(number);
    let target = number.to_string();
    let version = match cx.arm.version(&id).await {
        Ok(version) => version,
        Err(arm::Error::NotFound { .. }) => return Ok(gone(cx, visit)),
        Err(error) => return Err(error.into()),
    };
    wait_for_others(cx, visit, &version)?;
    let only_home = version.target_regions.iter().all(|it| it.region == version.location);
    let reasons = match rejudge(cx, visit, Retirement::Trim).await? {
        StillHolds::Yes { reasons } => reasons,
        StillHolds::No { .. } if only_home && is_unanswered(visit) => {
            return Ok(Done::Record(is_so(cx, visit, Retirement::Trim, LOOK_AFTER)?));
        }
        StillHolds::No { because } => return Ok(refused(visit, Retirement::Trim, because)),
    };
    if only_home {
        return Ok(Done::Record(is_so(cx, visit, Retirement::Trim, LOOK_AFTER)?));
    }
    let mut wanted_tags = version.tags.clone();
    let mut text = format!("allow the removal of regions of {target}");
    if version.allow_deletion_of_replicated_locations {
        if version.tags.get(tags::STANDING).map(String::as_str)
            == Some(Standing::Deprecated.as_str())
        {
            tags::set(&mut wanted_tags, tags::STANDING, Standing::Trimmed.as_str());
        }
        text = format!("keep {target} in its home region {} only", version.location);
    }
    let mut intent_body = version_body::hidden(&version, wanted_tags);
    intent_body.allow_deletion_of_replicated_locations = true;
    if version.allow_deletion_of_replicated_locations {
        intent_body.regions.retain(|it| it.region == version.location);
    }

    let operation = Operation::UpdateVersion;
    let intent = Intent { target: target.clone(), operation, text, evidence: reasons };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    match cx.settle(&target, operation, answer)? {
        Settled::Accepted(_, settled) => {
            let requested = requested(cx, visit, Retirement::Trim, LOOK_AFTER)?;
            Ok(Done::Record(vec![settled, requested]))
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}
