//! Any step may run twice, late, or beside itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rules::event::Event;
use rules::wake::Function;

use crate::desk::Desk;
use crate::spoiled::{Deliveries, How, Spoil};

type Seen = Arc<Mutex<Vec<crate::spoiled::Delivered>>>;

/// A desk that tells people too, so that nobody is left out.
async fn desk_with(how: How) -> (Desk, Seen) {
    let seen: Seen = Arc::default();
    let kept = Arc::clone(&seen);
    let desk = Desk::spoiled(Spoil {
        handler: Box::new(move |wires| Arc::new(Deliveries::new(wires, how, kept))),
        handlers: 2,
        people: true,
        ..Spoil::default()
    })
    .await;
    (desk, seen)
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_delivered_twice_leave_the_same_ledger() {
    let (mut once, _) = desk_with(How::Once).await;
    once.run_until_over(30).await;

    let (mut twice, _) = desk_with(How::Twice).await;
    twice.run_until_over(30).await;

    assert_eq!(twice.all_events().await, once.all_events().await);
    // A look that finds nothing new leaves no entry, so a second one looks too; nothing is written.
    let (twice_calls, once_calls) = (twice.sandbox.azure.calls(), once.sandbox.azure.calls());
    assert_eq!(twice_calls.write, once_calls.write);
    assert_eq!(twice_calls.delete, once_calls.delete);
    assert_eq!(*twice.ailments.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn every_message_that_comes_again_when_all_is_over_does_nothing() {
    // Long enough for every function to be woken: trimming is the last to come.
    let (mut desk, seen) = desk_with(How::Once).await;
    desk.run_to(desk.now() + chrono::TimeDelta::days(19)).await;
    let (events, calls) = (desk.all_events().await, desk.sandbox.azure.calls());

    let deliveries = seen.lock().unwrap().clone();
    for delivered in &deliveries {
        let answer = desk.handler_once(delivered.again()).await;
        assert_eq!(answer, 200, "{delivered:?}");
    }

    assert_eq!(desk.all_events().await, events);
    assert_eq!(desk.sandbox.azure.calls(), calls);
    let functions: BTreeSet<&str> = deliveries.iter().map(|it| it.function.as_str()).collect();
    let missing: Vec<&str> = Function::ALL
        .into_iter()
        .map(Function::as_str)
        .filter(|it| !functions.contains(it))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "nobody woke these, so they were not tried");
}

#[tokio::test(start_paused = true)]
async fn ticks_that_come_twice_find_nothing_new() {
    let (mut desk, _) = desk_with(How::Once).await;
    desk.run_to(desk.now() + chrono::TimeDelta::hours(2)).await;
    let timers = ["find_due_images", "watch_base_images", "find_expired_versions", "look_again"];
    for timer in timers {
        assert_eq!(desk.tick(timer).await, 200);
    }
    let events = desk.all_events().await;

    for timer in timers {
        assert_eq!(desk.tick(timer).await, 200);
    }

    assert_eq!(desk.all_events().await, events);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_twice_is_recorded_once() {
    let (mut desk, _) = desk_with(How::Once).await;
    desk.run_to(desk.now() + chrono::TimeDelta::hours(2)).await;

    let first = desk.request_with_id("images/rhel-9-base/rebuild", "request-1").await;
    let second = desk.request_with_id("images/rhel-9-base/rebuild", "request-1").await;

    assert_eq!((first, second), (202, 409));
    let events = desk.events("rhel-9-base").await;
    let asked = events.iter().filter(|it| matches!(it, Event::TriggerAccepted { .. })).count();
    assert_eq!(asked, 1);
}

#[tokio::test(start_paused = true)]
async fn two_handlers_on_the_same_messages_build_and_release_everything_once() {
    let (mut desk, _) = desk_with(How::ToBoth).await;

    desk.run_until_over(30).await;

    let events = desk.all_events().await;
    let mut numbers = BTreeSet::new();
    let mut builds = BTreeSet::new();
    let mut releases = BTreeSet::new();
    for (image, event) in events {
        let first = match event {
            Event::RunOpened { version, .. } => numbers.insert((image.clone(), version)),
            Event::BuildStarted { version, .. } => builds.insert((image.clone(), version)),
            Event::RunReleased { version } => releases.insert((image.clone(), version)),
            _ => true,
        };
        assert!(first, "{image}: twice");
    }
    assert!(releases.len() >= 6, "{releases:?}");
}
