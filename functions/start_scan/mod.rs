//! Asks for the evidence of a built image. Image Builder's validation has booted it on a second
//! machine, scanned it there and uploaded the report, so what is left is to say by when the
//! report must be here.

use chrono::TimeDelta;
use rules::event::Event;

use crate::create_template::report_key;
use crate::{Context, Done, Step, Visit};

/// Says where the report is expected, and by when.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let minutes = visit.policy()?.gate.report_within_minutes;
    let version = visit.run()?.version;

    let report = report_key(&cx.settings.catalog, &visit.image, version);
    let due_by = cx.now + TimeDelta::minutes(i64::from(minutes));
    Ok(Done::Record(vec![Event::ScanRequested { version, report, due_by }]))
}
