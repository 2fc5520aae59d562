//! Stops offering one version: excluded from latest everywhere, an end-of-life date, and the
//! reason in its tags. Rejected and revoked versions come here too, to be hidden at once.

use arm::{Provisioning, Version};
use chrono::TimeDelta;
use rules::VersionNumber;
use rules::event::{Event, Operation, Retirement};
use rules::retention::{StillHolds, still_holds};
use rules::standing::Standing;
use rules::state::Claim;

use crate::evidence::Evidence;
use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit, tags, version_body};

/// Azure refuses an end of life that is not ahead, so "now" is a little later.
const END_OF_LIFE_AFTER: TimeDelta = TimeDelta::hours(1);

/// A change of flags takes 150 to 420 seconds (recorded).
const LOOK_AFTER: TimeDelta = TimeDelta::seconds(430);

/// How long to wait for a version that something else is being done to.
const WAIT_FOR_OTHERS: TimeDelta = TimeDelta::minutes(2);

/// How long to wait for a version that is perhaps still being built.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Reads the world again, and hides the version when what was judged still holds.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let number = visit.version()?;
    let Some(known) = visit.state().versions.get(&number).cloned() else {
        return Ok(Done::Nothing);
    };
    let Some(retiring) = &known.retiring else { return Ok(Done::Nothing) };
    let id = cx.definition(&visit.image).version(number);
    let target = number.to_string();

    let version = match cx.arm.version(&id).await {
        Ok(version) => version,
        // As long as its template is there, a build that was given up may still publish it.
        Err(arm::Error::NotFound { .. })
            if known.is_condemned()
                && visit.state().tidying.iter().any(|it| it.version == number) =>
        {
            return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
        }
        Err(arm::Error::NotFound { .. }) if known.is_condemned() => {
            let because = vec!["it is not in the gallery".to_owned()];
            return Ok(refused(visit, Retirement::Deprecate, because));
        }
        Err(arm::Error::NotFound { .. }) => return Ok(gone(cx, visit)),
        Err(error) => return Err(error.into()),
    };
    wait_for_others(cx, visit, &version)?;

    // Nobody is spared an image that was rejected or taken back.
    let condemned = known.is_condemned();
    let standing = if condemned { known.standing } else { Standing::Deprecated };
    let tagged = version.tags.get(tags::STANDING).map(String::as_str) == Some(standing.as_str());
    let hidden = version_body::is_hidden(&version);
    let end_of_life = cx.now + END_OF_LIFE_AFTER;
    let ends = version.end_of_life.is_some_and(|it| it <= end_of_life);
    // Others may hide it too, and write over our tags.
    let is_ours = hidden && (tagged || ends);
    let reasons = if condemned {
        retiring.reasons.clone()
    } else {
        match rejudge(cx, visit, Retirement::Deprecate).await? {
            StillHolds::Yes { reasons } => reasons,
            StillHolds::No { .. } if is_ours && is_unanswered(visit) => {
                return Ok(Done::Record(is_so(cx, visit, Retirement::Deprecate, LOOK_AFTER)?));
            }
            StillHolds::No { because } => {
                return Ok(refused(visit, Retirement::Deprecate, because));
            }
        }
    };

    if hidden && tagged {
        return Ok(Done::Record(is_so(cx, visit, Retirement::Deprecate, LOOK_AFTER)?));
    }
    let mut wanted_tags = version.tags.clone();
    tags::set(&mut wanted_tags, tags::STANDING, standing.as_str());
    tags::set(&mut wanted_tags, tags::WHY, &reasons.join("; "));
    if !wanted_tags.contains_key(tags::DEPRECATED_AT) {
        tags::set_time(&mut wanted_tags, tags::DEPRECATED_AT, cx.now);
    }
    let mut intent_body = version_body::hidden(&version, wanted_tags);
    if !ends {
        intent_body.end_of_life = Some(end_of_life);
    }

    let intent = Intent {
        target: target.clone(),
        operation: Operation::UpdateVersion,
        text: format!("stop offering {target}: {standing}"),
        evidence: reasons,
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    match cx.settle(&target, Operation::UpdateVersion, answer)? {
        Settled::Accepted(_, settled) => {
            let requested = requested(cx, visit, Retirement::Deprecate, LOOK_AFTER)?;
            Ok(Done::Record(vec![settled, requested]))
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

/// Whether `stage` of the visited version still holds, by a world that is read now.
pub(crate) async fn rejudge(
    cx: &Context,
    visit: &Visit,
    stage: Retirement,
) -> Result<StillHolds, Failure> {
    let image = visit.policy()?;
    let mut evidence = Evidence::read(cx, &[image]).await?;
    // A sweep makes do with a part; here the answer would be that it is in use.
    if let Some(failure) = evidence.take_broke_off() {
        return Err(failure);
    }
    if !evidence.is_there(&image.name) {
        return Err(Failure::later(format!("the versions of {} could not be read", image.name)));
    }
    Ok(still_holds(stage, visit.version()?, &image.retention, &evidence.facts(cx, image)))
}

/// Whether a change of the visited version was asked for, and nobody knows what became of it: where
/// the version is as it was to be, it was done, and what the world says since comes too late.
pub(crate) fn is_unanswered(visit: &Visit) -> bool {
    let target = visit.version().map(|it| it.to_string()).unwrap_or_default();
    let open = visit.state().intents.get(&target);
    open.is_some_and(|it| it.operation == Operation::UpdateVersion)
}

/// The version is already as `stage` wants it: there is nothing left to write.
pub(crate) fn is_so(
    cx: &Context,
    visit: &Visit,
    stage: Retirement,
    look_after: TimeDelta,
) -> Result<Vec<Event>, Failure> {
    let target = visit.version()?.to_string();
    let settled = is_unanswered(visit).then(|| Settled::seen(&target, Operation::UpdateVersion));
    let requested = requested(cx, visit, stage, look_after)?;
    Ok(settled.into_iter().chain([requested]).collect())
}

/// The world spoke against it.
pub(crate) fn refused(visit: &Visit, stage: Retirement, reasons: Vec<String>) -> Done {
    match visit.version() {
        Ok(version) => Done::Record(vec![Event::RetirementRefused { version, stage, reasons }]),
        Err(_) => Done::Nothing,
    }
}

/// It is gone: by our own request whose answer was lost, or somebody else has deleted it. What became
/// of any other request nobody knows then.
pub(crate) fn gone(cx: &Context, visit: &Visit) -> Done {
    let Ok(version) = visit.version() else { return Done::Nothing };
    let target = version.to_string();
    let open = visit.state().intents.get(&target).map(|it| it.operation);
    let is_ours = open == Some(Operation::DeleteVersion);
    let retiring = visit.state().versions.get(&version).and_then(|it| it.retiring.as_ref());
    let reasons = match retiring.filter(|_| is_ours) {
        Some(retiring) => retiring.reasons.clone(),
        None => vec!["it was gone from the gallery".to_owned()],
    };
    let settled = is_ours.then(|| Settled::seen(&target, Operation::DeleteVersion));
    let deleted = Event::VersionDeleted { version, reasons };
    let notice = came_too_late(cx, visit, version, "deleted");
    Done::Record(settled.into_iter().chain([deleted]).chain(notice).collect())
}

/// Whoever has pinned `version` while it was being retired was told that it stays.
pub(crate) fn came_too_late(
    cx: &Context,
    visit: &Visit,
    version: VersionNumber,
    done: &str,
) -> Option<Event> {
    let condemned = visit.state().versions.get(&version).is_some_and(|it| it.is_condemned());
    let pin = visit.state().pins.get(&version).filter(|_| !condemned);
    let pin = pin.filter(|it| it.until.is_none_or(|until| cx.now < until))?;
    cx.notice(format!("{version} was {done}, though {} has pinned it: {}", pin.by, pin.why))
}

pub(crate) fn requested(
    cx: &Context,
    visit: &Visit,
    stage: Retirement,
    look_after: TimeDelta,
) -> Result<Event, Failure> {
    let (version, look_at) = (visit.version()?, cx.now + look_after);
    Ok(Event::RetirementRequested { version, stage, look_at })
}

/// Nothing is asked of a version while something else is being done to it, and nothing is said of it
/// while a request may still arrive.
pub(crate) fn wait_for_others(
    cx: &Context,
    visit: &Visit,
    version: &Version,
) -> Result<(), Failure> {
    let target = version.number.to_string();
    if let Claim::NotBefore(at) = visit.state().claim(&target, cx.now) {
        return Err(Failure::later_at(format!("{target} may still be written"), at));
    }
    match &version.provisioning {
        Provisioning::Succeeded | Provisioning::Failed => Ok(()),
        other => {
            let why = format!("{target} is {other}");
            Err(Failure::later_at(why, cx.now + WAIT_FOR_OTHERS))
        }
    }
}
