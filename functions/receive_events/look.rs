//! When a run waits for a resource that has changed, its look is due now. The look reads the
//! resource, so a forged event does no harm; and one wish is woken a few times at most, so many do
//! none either.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rules::ImageName;
use rules::event::Event;
use rules::state::{Run, Stage};
use rules::wake::{Function, Task};

use crate::{Context, Failure, Record};

/// A look that has begun is woken so often: for the end of what it waits for, though Azure has told of
/// the template's own write and of the run's acceptance before. Far from where a wish is given up.
const MOST_HINTS: u32 = 3;

/// So long after it was woken a look is not woken again: what many events say at once is one thing.
const LEFT_ALONE: TimeDelta = TimeDelta::minutes(1);

/// The looks that are due now. `changed` are the ids of resources, in lower case.
pub(super) async fn now(
    cx: &Context,
    changed: &BTreeMap<String, bool>,
) -> Result<Vec<Record>, Failure> {
    let templates = cx.template("").to_string().to_ascii_lowercase();
    let template_changed = changed.keys().any(|it| it.starts_with(&templates));

    let mut records = Vec::new();
    for image in &cx.catalog.images {
        let versions = format!("{}/versions/", cx.definition(&image.name)).to_ascii_lowercase();
        if !template_changed && !changed.keys().any(|it| it.starts_with(&versions)) {
            continue;
        }
        let Some(stream) = cx.readable(&image.name).await? else { continue };
        let waits = stream
            .state
            .runs()
            .find(|run| awaited(cx, &image.name, run).is_some_and(|it| changed.contains_key(&it)));
        let task = waits.and_then(|run| run.task.clone());
        let Some(task) = task.filter(|it| is_to_be_woken(it, cx.now)) else { continue };
        let (seq, function, generation) = (task.seq, task.function, task.generation + 1);
        let woken = Event::RunWoken { seq, function, generation };
        records.push((stream, vec![vec![woken]]));
    }
    Ok(records)
}

/// The id of the resource that `run` waits for, in lower case.
fn awaited(cx: &Context, image: &ImageName, run: &Run) -> Option<String> {
    let id = match run.stage {
        Stage::Building => cx.template(&run.template).to_string(),
        Stage::Replicating | Stage::Releasing { .. } => {
            cx.definition(image).version(run.version).to_string()
        }
        _ => return None,
    };
    Some(id.to_ascii_lowercase())
}

/// True for a look that is still to come, and for one that has begun: it would look again in minutes,
/// and what it waits for may be there now.
fn is_to_be_woken(task: &Task, now: DateTime<Utc>) -> bool {
    let is_a_look = matches!(task.function, Function::FollowBuild | Function::FollowVersion);
    let again = match task.generation {
        0 => true,
        woken => woken < MOST_HINTS && now >= task.due + LEFT_ALONE,
    };
    is_a_look && (task.due > now || again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_has_begun_is_woken_a_few_times_and_what_is_no_look_never() {
        let now: DateTime<Utc> = "2026-09-08T00:00:00Z".parse().unwrap();
        let task = |function, generation, minutes| {
            let due = now + TimeDelta::minutes(minutes);
            Task { seq: 1, function, generation, due }
        };

        for function in [Function::FollowBuild, Function::FollowVersion] {
            assert!(is_to_be_woken(&task(function, 0, 5), now));
            assert!(is_to_be_woken(&task(function, 7, 5), now));
            assert!(is_to_be_woken(&task(function, 0, -5), now), "it looks again and again");
            assert!(!is_to_be_woken(&task(function, 1, 0), now), "it was woken just now");
            assert!(is_to_be_woken(&task(function, 2, -5), now), "the run's acceptance was told");
            assert!(!is_to_be_woken(&task(function, 3, -5), now), "it was woken enough");
        }
        assert!(!is_to_be_woken(&task(Function::ReleaseVersion, 0, 5), now));
    }
}
