//! Finds the occurrences of each image's schedule since the last look, and accepts them as
//! triggers.

use chrono::{DateTime, Utc};
use rules::event::Event;
use rules::schedule::{due, patch_tuesday_of};
use rules::trigger::{Admission, Trigger, admit};
use tracing::warn;

use crate::{Context, Failure, Record};

/// Judges every image's occurrences in (last judged, now]. Several at once, after a long
/// standstill, are one reason to build: the newest.
pub async fn handle(cx: &Context) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();

    for image in &cx.catalog.images {
        let Some(stream) = cx.readable(&image.name).await? else { continue };
        let state = &stream.state;
        let Some(cursor) = state.schedule_cursor else {
            records.push((stream, vec![vec![Event::ImageAdopted {}]]));
            continue;
        };
        let Some(schedule) = &image.schedule else { continue };
        let due = match due(schedule, cursor, cx.now) {
            Ok(due) => due,
            Err(error) => {
                warn!(image = %image.name, "The schedule of {} is wrong: {error}", image.name);
                continue;
            }
        };
        let Some((newest, older)) = due.split_last() else { continue };

        let of = |occurrence: DateTime<Utc>| {
            let patch_tuesday = patch_tuesday_of(schedule, occurrence);
            Trigger::Schedule { occurrence, patch_tuesday }
        };
        let trigger = of(*newest);
        let into = trigger.id();
        let mut events: Vec<Event> = older
            .iter()
            .map(|occurrence| of(*occurrence).id())
            .map(|trigger| Event::TriggerCoalesced { trigger, into: into.clone() })
            .collect();
        match admit(state, &trigger) {
            Admission::Accept => events.push(Event::TriggerAccepted { trigger }),
            Admission::Refuse { because } => {
                events.push(Event::TriggerRefused { trigger, because });
            }
            Admission::Known => {}
        }
        events.push(Event::ScheduleJudged { through: *newest });
        records.push((stream, vec![events]));
    }

    Ok(records)
}
