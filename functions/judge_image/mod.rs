//! The gate: passed or rejected, with reasons.

use chrono::TimeDelta;
use rules::catalog::{Image, Moment};
use rules::event::Event;
use rules::gate::{self, Evidence, ReportEvidence, Verdict};
use rules::rings;
use rules::state::{Run, Stage};

use crate::{Context, Done, Failure, Step, Visit, candidate, receive_events};

/// How long to wait for a ring that is being released.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(2);

/// Judges the candidate by its report. One that passes takes the releasing slot, also from a
/// version that is still in its rings.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let image = visit.policy()?.clone();
    let run = visit.run()?;
    let version = run.version;

    let reasons = match judge(cx, &image, run).await? {
        Verdict::Passed { reasons } => reasons,
        Verdict::Rejected { reasons } => return Ok(Done::Record(rejected(cx, run, reasons))),
    };

    let mut events = Vec::new();
    if let Some(older) = &visit.state().releasing {
        if visit.state().is_releasing() {
            // What is being written now is known before the next one takes its place.
            let events = candidate::hide(cx, visit).await?;
            return Ok(Done::RecordAndLookAgain { events, at: cx.now + LOOK_EVERY });
        }
        events.push(Event::RunSuperseded { version: older.version, by: version });
    }
    events.push(Event::GatePassed { version, reasons, plan: rings::plan(&image) });
    events.extend(receive_events::children_due(cx, &image, version, Moment::Passed));
    Ok(Done::Record(events))
}

/// The gate's verdict on a run's version under the policy in force, by the report it was scanned
/// with. What is missing counts as failed.
pub async fn judge(cx: &Context, image: &Image, run: &Run) -> Result<Verdict, Failure> {
    let mut evidence = Evidence { booted: true, ..Evidence::default() };

    match (&run.report, &run.stage) {
        (Some(digest), _) => {
            let bytes = cx.ledger.blob(digest).await?;
            match reports::read(&bytes) {
                Ok(report) => {
                    let complete = report.is_complete();
                    let (digest, findings) = (digest.clone(), report.findings);
                    evidence.report = Some(ReportEvidence { digest, findings, complete });
                }
                Err(error) => evidence.missing_because = Some(error.to_string()),
            }
        }
        // The scan runs on a machine that was booted from the image: no report, no boot.
        (None, Stage::ScanMissing { because }) => {
            evidence.booted = false;
            evidence.missing_because = Some(because.clone());
        }
        (None, _) => evidence.missing_because = Some("it was not scanned".to_owned()),
    }
    if image.gate.max_disk_gb.is_some() {
        let id = cx.definition(&image.name).version(run.version);
        evidence.os_disk_gb = cx.arm.version(&id).await?.os_disk_gb;
    }

    Ok(gate::judge(&image.gate, &evidence, cx.now.date_naive()))
}

/// What follows from a rejection: quarantine, and people who know.
fn rejected(cx: &Context, run: &Run, reasons: Vec<String>) -> Vec<Event> {
    let version = run.version;
    let notice = cx.notice(format!("{version} was rejected: {}", reasons.join("; ")));
    [Event::ImageRejected { version, reasons }].into_iter().chain(notice).collect()
}
