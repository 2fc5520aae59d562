//! What is waited for for days: a wait is no failure, wakes nobody needlessly, and calls nothing stuck.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use cli::load;
use http::{HeaderMap, Method, StatusCode};
use ledger::{Draft, StreamName};
use rules::catalog::{CronSchedule, Schedule};
use rules::event::Event;
use rules::wake::Function;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

/// No report arrives.
#[derive(Debug)]
struct NoReport(Arc<dyn Wire>);

#[async_trait]
impl Wire for NoReport {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if request.method() != Method::GET || !request.uri().path().contains("/inbox/") {
            return self.0.send(request).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-error-code", "BlobNotFound".parse().unwrap());
        let body = seam::Body::full("<Error><Code>BlobNotFound</Code></Error>".into());
        Ok(Response { status: StatusCode::NOT_FOUND, headers, body })
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_may_take_a_week_is_waited_for_in_silence() {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.images.retain(|it| it.name.as_str() == "rhel-9-base");
    loaded.catalog.images[0].gate.report_within_minutes = 10_080;
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let world = Box::new(|wire| Arc::new(NoReport(wire)) as Arc<dyn Wire>);
    let spoil = Spoil { world, people: true, ..Spoil::default() };
    let mut desk = Desk::of(loaded, &estate, spoil).await;

    desk.run_to(desk.now() + TimeDelta::days(6)).await;

    let events = desk.events("rhel-9-base").await;
    let asked = events.iter().position(|it| matches!(it, Event::ScanRequested { .. }));
    let since = &events[asked.expect("no scan was asked for")..];
    let ended = |it: &Event| matches!(it, Event::ScanMissing { .. } | Event::RunFailed { .. });
    assert!(!since.iter().any(ended), "{}", desk.story().await);
    let scan = Function::FollowScan;
    let woken = |it: &&Event| matches!(it, Event::RunWoken { function, .. } if *function == scan);
    let woken = since.iter().filter(woken).count();
    assert!((3..=8).contains(&woken), "woken {woken} times: {}", desk.story().await);
    let stuck = |it: &Event| matches!(it, Event::NoticeDue { text } if text.contains("was woken"));
    assert!(!since.iter().any(stuck), "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_added_after_a_year_is_one_reason_to_build() {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.images.retain(|it| it.name.as_str() == "rhel-9-base");
    loaded.catalog.images[0].schedule = Some(Schedule::Cron(CronSchedule {
        expression: "0 0 * * * *".to_owned(),
        zone: "UTC".parse().unwrap(),
    }));
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let desk = Desk::of(loaded, &estate, Spoil::default()).await;
    let name = StreamName::Image("rhel-9-base".parse().unwrap());
    let mut stream = desk.ledger.read(&name).await.unwrap();
    let adopted = Draft {
        id: "adopted".to_owned(),
        cause: "adopted".to_owned(),
        by: "find_due_images".to_owned(),
        at: desk.now() - TimeDelta::days(365),
        policy: String::new(),
        events: vec![Event::ImageAdopted {}],
    };
    desk.ledger.append(&mut stream, adopted).await.unwrap();

    for _ in 0..3 {
        assert_eq!(desk.tick("find_due_images").await, 200);
    }

    let events = desk.events("rhel-9-base").await;
    let accepted = events.iter().filter(|it| matches!(it, Event::TriggerAccepted { .. })).count();
    let judged = events.iter().filter(|it| matches!(it, Event::ScheduleJudged { .. })).count();
    assert_eq!((accepted, judged), (1, 1), "of {} events", events.len());
}
