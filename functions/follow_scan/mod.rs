//! Looks once whether the evidence has arrived or is overdue.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use ledger::LedgerError;
use rules::event::Event;
use rules::state::Stage;

use crate::{Context, Done, Failure, Step, Visit, candidate};

/// How long to wait between two looks for a report.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(2);

/// Keeps the report by its content; one that cannot be read is as good as none.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let run = visit.run()?;
    let version = run.version;
    let Stage::ScanRequested { report, due_by } = run.stage.clone() else {
        return Err(Failure::never("no report is waited for"));
    };

    let arrived = match cx.ledger.inbox(&report).await {
        Ok(arrived) => arrived,
        Err(error @ LedgerError::TooLong { .. }) => {
            let because = format!("the scan report cannot be read: {error}");
            return Ok(Done::Record(vec![Event::ScanMissing { version, because }]));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(bytes) = arrived else {
        if cx.now < due_by {
            let events = candidate::hide(cx, visit).await?;
            return Ok(Done::RecordAndLookAgain { events, at: (cx.now + LOOK_EVERY).min(due_by) });
        }
        let because = format!("no scan report arrived until {}", due_by.format("%F %T UTC"));
        return Ok(Done::Record(vec![Event::ScanMissing { version, because }]));
    };
    let read = match reports::read(&bytes) {
        Ok(read) => read,
        Err(error) => {
            let because = format!("the scan report cannot be read: {error}");
            return Ok(Done::Record(vec![Event::ScanMissing { version, because }]));
        }
    };

    let mut findings = BTreeMap::new();
    for finding in &read.findings {
        *findings.entry(finding.severity).or_insert(0) += 1;
    }
    let report = cx.ledger.put_blob(bytes).await?;
    let scanner = read.scanner;
    Ok(Done::Record(vec![Event::ImageScanned { version, report, scanner, findings }]))
}
