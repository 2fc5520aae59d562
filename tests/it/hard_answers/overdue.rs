//! A build that does not end: it is cancelled when its own time-out is long over, once, and given up
//! when not even that ends it. A build of the simulated Azure always ends, so its answers are
//! changed here to those that were recorded (`ib_cancel.json`).

use sandbox::estate::StepFailure;

use super::*;

/// The year 1: what has not ended, has ended then.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Azure of which the first build does not end by itself.
struct Overdue {
    /// What it answers to a cancellation.
    cancel: fn() -> (u16, Value),
    /// Its state, by how long ago it was first cancelled.
    state: fn(Option<TimeDelta>) -> &'static str,
}

/// A desk with a build that goes on. The build behind it fails early, so that nothing is published.
async fn overdue(how: Overdue) -> (Desk, Heard) {
    let cancelled: Mutex<Option<DateTime<Utc>>> = Mutex::default();
    // What the simulated Azure has deleted although it is told as refused.
    let there: Mutex<Value> = Mutex::default();
    let change: Change = Box::new(move |asked, body| {
        if !asked.path.contains(&format!("/imageTemplates/{IMAGE}-1.0.0")) {
            return None;
        }
        let mut cancelled = cancelled.lock().unwrap();
        let state = (how.state)(cancelled.map(|then| asked.at - then));
        let ends = !matches!(state, "Running" | "Canceling");
        match asked.method.as_str() {
            "POST" if asked.path.contains("/cancel?") => {
                cancelled.get_or_insert(asked.at);
                let (status, answer) = (how.cancel)();
                *body = answer;
                Some(status)
            }
            "DELETE" if !ends => {
                let why = format!("delete is not allowed in run state: '{state}'.");
                *body = refusal("OperationNotAllowed", &why);
                Some(409)
            }
            "GET" if asked.status == 200 || !ends => {
                let mut there = there.lock().unwrap();
                match asked.status {
                    200 => *there = body.clone(),
                    _ => *body = there.clone(),
                }
                let run = body["properties"]["lastRunStatus"].as_object_mut()?;
                let has_ended = run["runState"] != "Running";
                run.remove("runSubState");
                run.insert("runState".to_owned(), json!(state));
                run.insert("endTime".to_owned(), json!(NEVER));
                let message = match state {
                    "Running" => "",
                    "Canceling" => "Canceling image build",
                    _ => "Image build was canceled",
                };
                run.insert("message".to_owned(), json!(message));
                if state == "Running" {
                    let phase = if has_ended { "Distributing" } else { "Building" };
                    run.insert("runSubState".to_owned(), json!(phase));
                }
                if ends {
                    run.insert("endTime".to_owned(), json!(asked.at));
                }
                Some(200)
            }
            _ => None,
        }
    });
    let fails = StepFailure { reason: "no mirror answers".to_owned(), from: None, until: None };
    desk(|estate| estate.steps[0].fails = Some(fails), change).await
}

/// When `what` first happened to the image.
async fn at_which(desk: &Desk, what: impl Fn(&Event) -> bool) -> DateTime<Utc> {
    let entries = desk.entries(&IMAGE.parse().unwrap()).await;
    entries.iter().find(|it| it.events.iter().any(&what)).map(|it| it.at).unwrap()
}

/// When the build began, and when the watch over it says that it must have ended.
async fn deadline(desk: &Desk) -> DateTime<Utc> {
    let began = at_which(desk, |it| matches!(it, Event::BuildStarted { .. })).await;
    began + TimeDelta::minutes(i64::from(desk.catalog.build.timeout_minutes) + 15)
}

/// When each cancellation was posted.
fn cancellations(heard: &Heard) -> Vec<DateTime<Utc>> {
    let heard = heard.lock().unwrap();
    heard.iter().filter(|it| it.is("POST", "/cancel?")).map(|it| it.at).collect()
}

fn failed(it: &Event) -> bool {
    matches!(it, Event::BuildFailed { .. })
}

/// The build failed for this reason, and nothing of it was published.
async fn failed_because(desk: &mut Desk, why: &str) {
    let Event::BuildFailed { published, reason, .. } = until(desk, failed).await else { panic!() };
    assert!(!published && reason.contains(why), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_build_that_outlasts_its_time_out_is_cancelled_once_and_waited_for_and_tidied() {
    let (mut desk, heard) = overdue(Overdue {
        cancel: || (204, Value::Null),
        state: |since| match since {
            None => "Running",
            Some(since) if since < TimeDelta::minutes(40) => "Canceling",
            Some(_) => "Canceled",
        },
    })
    .await;

    failed_because(&mut desk, "the build ended Canceled: Image build was canceled").await;
    until(&mut desk, |it| matches!(it, Event::BuildTidied { .. })).await;

    let (deadline, story) = (deadline(&desk).await, desk.story().await);
    let [cancelled] = cancellations(&heard)[..] else { panic!("{story}") };
    assert!(cancelled >= deadline, "{cancelled}, though it has until {deadline}\n{story}");
    assert!(cancelled <= deadline + TimeDelta::minutes(5), "{cancelled}, {deadline}\n{story}");
    let failed = at_which(&desk, failed).await;
    let waited = failed - cancelled;
    assert!((40..=45).contains(&waited.num_minutes()), "{waited}\n{story}");
    let intended = at_which(&desk, |it| {
        matches!(it, Event::IntentRecorded { operation: Operation::CancelTemplate, .. })
    });
    assert_eq!(intended.await, cancelled, "{story}");
    assert_eq!(count(&heard, "DELETE", &format!("/imageTemplates/{IMAGE}-1.0.0")), 1, "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_build_whose_cancelling_does_not_end_is_given_up_after_an_hour() {
    let (mut desk, heard) = overdue(Overdue {
        cancel: || (204, Value::Null),
        state: |since| match since {
            None => "Running",
            Some(since) if since < TimeDelta::hours(30) => "Canceling",
            Some(_) => "Canceled",
        },
    })
    .await;

    failed_because(&mut desk, "its cancelling did not end").await;

    let (deadline, story) = (deadline(&desk).await, desk.story().await);
    assert_eq!(cancellations(&heard).len(), 1, "{story}");
    let given_up = at_which(&desk, failed).await - deadline;
    assert!((60..=65).contains(&given_up.num_minutes()), "{given_up}\n{story}");
    // Azure keeps the template for as long as it is cancelled; it is tidied all the same.
    until(&mut desk, |it| matches!(it, Event::BuildTidied { .. })).await;
    let refused =
        heard.lock().unwrap().iter().filter(|it| it.method == "DELETE" && it.status == 409).count();
    assert!((2..15).contains(&refused), "{refused} times\n{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_can_not_be_cancelled_is_given_up_after_an_hour() {
    let (mut desk, heard) = overdue(Overdue {
        cancel: || {
            let why = "cancel is not allowed in run state: 'Running'.";
            (409, refusal("OperationNotAllowed", why))
        },
        state: |since| match since {
            Some(since) if since >= TimeDelta::hours(30) => "Failed",
            _ => "Running",
        },
    })
    .await;

    failed_because(&mut desk, "it ran far beyond its time-out and could not be cancelled").await;

    let (deadline, story) = (deadline(&desk).await, desk.story().await);
    let given_up = at_which(&desk, failed).await - deadline;
    assert!((60..=65).contains(&given_up.num_minutes()), "{given_up}\n{story}");
    let asked = cancellations(&heard);
    assert!((10..=21).contains(&asked.len()), "{asked:?}\n{story}");
    assert!(asked.iter().all(|it| *it >= deadline), "{asked:?}\n{story}");
    until(&mut desk, |it| matches!(it, Event::BuildTidied { .. })).await;
}
