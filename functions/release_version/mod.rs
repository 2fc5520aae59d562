//! Releases one ring: its regions' exclusion is lifted, when they are Completed, baked, not held,
//! approved where that is wanted, and when the gate still passes the version. A region that is gone,
//! or whose replication has failed since, is asked for again first.

use arm::{Provisioning, Version};
use chrono::TimeDelta;
use rules::event::{Event, Operation, Outcome};
use rules::rings::{self, RingFacts, Verdict};
use rules::standing::Standing;
use rules::state::{Claim, RegionFailures, Run, Stage};
use rules::{Region, VersionNumber};

use crate::step::Settled;
use crate::{
    Context, Done, Failure, Intent, Step, Visit, follow_version, judge_image, replicate_version,
    tags, version_body,
};

/// A change of flags takes 150 to 420 seconds (recorded), most often 150.
const LOOK_AFTER: TimeDelta = TimeDelta::seconds(430);

/// How long to wait for a version that something else is being done to.
const WAIT_FOR_OTHERS: TimeDelta = TimeDelta::minutes(2);

/// How long to wait for what time alone does not bring.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Judges the ring by what was just read, and lifts its regions.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let image = visit.policy()?.clone();
    let run = visit.run()?.clone();
    let Stage::Replicated { ring, since } = run.stage else {
        return Err(Failure::never("no ring waits to be released"));
    };
    let Some(planned) = run.plan.get(ring) else {
        return Err(Failure::never(format!("the plan has no ring {ring}")));
    };
    let id = cx.definition(&visit.image).version(run.version);
    let target = run.version.to_string();

    let version = cx.arm.version(&id).await?;
    let gone = gone(&version, &planned.regions);
    let mut completed = version_body::completed(&version);
    completed.retain(|it| !gone.iter().any(|(region, _)| region == it));
    let gate = judge_image::judge(cx, &image, &run).await?;
    let held = visit.state().hold.as_ref().filter(|it| it.until.is_none_or(|until| cx.now < until));
    let verdict = rings::may_release(
        &run.plan,
        &RingFacts {
            now: cx.now,
            ring,
            previous_released_at: (ring > 0).then_some(since),
            completed: &completed,
            approved_by: run.approvals.get(&ring).map(String::as_str),
            held: held.map(|it| it.why.as_str()),
            revoked: None,
            gate: &gate,
        },
    );
    if let (Verdict::NotYet { .. }, Some(open)) = (&verdict, visit.state().intents.get(&target)) {
        let asked = version_body::released(&version, &run.plan, ring, version.tags.clone());
        // Its regions may have been asked for again instead, and offered by somebody else meanwhile.
        let approved = !planned.approval || run.approvals.contains_key(&ring);
        let is_released = version_body::carries(&version, &asked)
            && planned.regions.iter().all(|it| completed.contains(it))
            && approved;
        let operation = open.operation;
        return Ok(unanswered(cx, visit, &version, ring, operation, is_released, &gone));
    }
    let never = matches!(verdict, Verdict::Never { .. });
    if version.provisioning == Provisioning::Failed && !never && gone.is_empty() {
        return Ok(Done::Record(follow_version::version_failed(cx, &run)));
    }
    let reasons = match verdict {
        Verdict::Go { reasons } => reasons,
        Verdict::NotYet { until: Some(until), .. } => return Ok(Done::LookAgain(until)),
        Verdict::NotYet { until: None, because } => {
            let given_up = gone.iter().find_map(|(region, why)| {
                let failures = run.region_failures.get(region)?;
                let tries = follow_version::REPLICATION_TRIES;
                (failures.times >= tries).then(|| given_up(region, why, failures))
            });
            let (because, until) = match (given_up, held) {
                (Some(given_up), None) => (format!("{because}: {given_up}"), None),
                (None, None) if !gone.is_empty() => {
                    return bring_back(cx, visit, &run, &version, ring, gone).await;
                }
                _ if gone.is_empty()
                    && !planned.regions.iter().all(|it| completed.contains(it)) =>
                {
                    return Ok(Done::LookAgain(cx.now + LOOK_EVERY));
                }
                (_, held) => (because, held.and_then(|it| it.until)),
            };
            let notice = cx.notice(format!("{target} waits at ring `{}`: {because}", planned.name));
            let version = run.version;
            let paused = Event::ReleasePaused { version, ring, because, until };
            return Ok(Done::Record([paused].into_iter().chain(notice).collect()));
        }
        Verdict::Never { reasons } => {
            let notice = cx.notice(format!("{target} was taken out: {}", reasons.join("; ")));
            let rejected = Event::ImageRejected { version: run.version, reasons };
            return Ok(Done::Record([rejected].into_iter().chain(notice).collect()));
        }
    };

    let mut wanted_tags = version.tags.clone();
    wanted_tags.extend(tags::of_version(cx, &visit.image, &run, Standing::Released));
    if !wanted_tags.contains_key(tags::RELEASED_AT) {
        tags::set_time(&mut wanted_tags, tags::RELEASED_AT, cx.now);
    }
    let intent_body = version_body::released(&version, &run.plan, ring, wanted_tags);
    let requested =
        || Event::ReleaseRequested { version: run.version, ring, look_at: cx.now + LOOK_AFTER };

    if version_body::carries(&version, &intent_body) {
        let open = visit.state().intents.get(&target).map(|it| it.operation);
        let settled = open.map(|operation| Settled::seen(&target, operation));
        return Ok(Done::Record(settled.into_iter().chain([requested()]).collect()));
    }
    if version.provisioning != Provisioning::Succeeded {
        let why = format!("{target} is {}", version.provisioning);
        return Err(Failure::later_at(why, cx.now + WAIT_FOR_OTHERS));
    }

    let regions: Vec<&str> = planned.regions.iter().map(|it| it.as_str()).collect();
    let intent = Intent {
        target: target.clone(),
        operation: Operation::UpdateVersion,
        text: format!("release {target} in ring `{}`: {}", planned.name, regions.join(", ")),
        evidence: reasons,
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    match cx.settle(&target, Operation::UpdateVersion, answer)? {
        Settled::Accepted(_, settled) => Ok(Done::Record(vec![settled, requested()])),
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

/// Those of `regions` from which a version that was Completed there has gone since, and why.
fn gone(version: &Version, regions: &[Region]) -> Vec<(Region, String)> {
    let taken_out = version_body::taken_out(version, regions);
    let failed = version_body::failed(version);
    let why = |region: &Region| {
        if taken_out.contains(region) {
            return Some("somebody else has taken it out there".to_owned());
        }
        let details = failed.get(region).filter(|_| version_body::is_settled(version))?;
        Some(format!("its replication there has failed since: {details}"))
    };
    regions.iter().filter_map(|it| Some((it.clone(), why(it)?))).collect()
}

/// What people are told of a `region` that was asked for again in vain, and is gone now since `why`.
fn given_up(region: &Region, why: &str, failures: &RegionFailures) -> String {
    let last = match &failures.why {
        last if last == why => String::new(),
        last => format!(", the last time: {last}"),
    };
    let times = failures.times;
    let again = "approve the ring to have it asked for again";
    format!("{region}: {why}; it was asked for again {times} times{last}; {again}")
}

/// That the regions which are `gone` were asked for again, or why Azure refused it.
fn asked_again<'a>(
    version: VersionNumber,
    gone: &'a [(Region, String)],
    refusal: Option<&'a str>,
) -> impl Iterator<Item = Event> + 'a {
    gone.iter().map(move |(region, why)| {
        let details = refusal.unwrap_or(why).to_owned();
        Event::RegionFailed { version, region: region.clone(), details }
    })
}

/// Asks again for the regions of a ring that are `gone`, hidden as before: nobody else does.
async fn bring_back(
    cx: &Context,
    visit: &mut Visit,
    run: &Run,
    version: &Version,
    ring: usize,
    gone: Vec<(Region, String)>,
) -> Step {
    let (number, target) = (run.version, run.version.to_string());
    let standing = if ring == 0 { Standing::Passed } else { Standing::Released };
    let mut wanted_tags = version.tags.clone();
    wanted_tags.extend(tags::of_version(cx, &visit.image, run, standing));
    let intent_body = version_body::waiting(version, &run.plan, ring, wanted_tags);

    let regions: Vec<&str> = gone.iter().map(|(region, _)| region.as_str()).collect();
    let intent = Intent {
        target: target.clone(),
        operation: Operation::UpdateVersion,
        text: format!("replicate {target} to {} again, excluded from latest", regions.join(", ")),
        evidence: gone.iter().map(|(region, why)| format!("{region}: {why}")).collect(),
    };
    let permit = cx.intend(visit, intent).await?;
    let id = cx.definition(&visit.image).version(number);
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    let (settled, refusal, after) = match cx.settle(&target, Operation::UpdateVersion, answer)? {
        Settled::Accepted(_, settled) => (settled, None, replicate_version::LOOK_AFTER),
        // What Azure, a policy or a lock does not want there is no reason to end the run.
        Settled::Refused(error @ arm::Error::NotAllowed { .. }, settled) => {
            (settled, Some(error.to_string()), LOOK_EVERY)
        }
        Settled::Refused(error, settled) => match Failure::from(error) {
            Failure::Never { why, .. } => (settled, Some(why), LOOK_EVERY),
            later => return Err(later.with(vec![settled])),
        },
    };
    let again = asked_again(number, &gone, refusal.as_deref());
    let events = [settled].into_iter().chain(again).collect();
    Ok(Done::RecordAndLookAgain { events, at: cx.now + after })
}

/// What came of a write that was sent and not answered is known before anything keeps the ring back:
/// it has perhaps been released, and nobody else would find out.
fn unanswered(
    cx: &Context,
    visit: &Visit,
    version: &Version,
    ring: usize,
    operation: Operation,
    is_released: bool,
    gone: &[(Region, String)],
) -> Done {
    let target = version.number.to_string();
    if is_released {
        let settled = Settled::seen(&target, operation);
        let look_at = cx.now + LOOK_AFTER;
        let requested = Event::ReleaseRequested { version: version.number, ring, look_at };
        return Done::Record(vec![settled, requested]);
    }
    if let Claim::NotBefore(at) = visit.state().claim(&target, cx.now) {
        return Done::LookAgain(at);
    }
    if !version_body::is_settled(version) {
        return Done::LookAgain(cx.now + WAIT_FOR_OTHERS);
    }
    let because = "the version was read again, and its ring is not released".to_owned();
    let outcome = Outcome::Unknown { because };
    let settled = Event::EffectSettled { target, operation, outcome };
    let events = [settled].into_iter().chain(asked_again(version.number, gone, None)).collect();
    Done::RecordAndLookAgain { events, at: cx.now }
}
