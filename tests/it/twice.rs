//! Any step may run twice, late, or beside itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rules::event::Event;
use rules::wake::Function;

use crate::desk::Desk;
use crate::spoiled::{Deliveries, How, Spoil};

type Seen = Arc<Mutex<Vec<crate::spoiled::Delivered>>>;

async fn desk_with(how: How) -> (Desk, Seen) {
    let seen: Seen = Arc::default();
    let kept = Arc::clone(&seen);
    let desk = Desk::spoiled(Spoil {
        handler: Box::new(move |wires| Arc::new(Deliveries::new(wires, how, kept))),
        handlers: 2,
        ..Spoil::default()
    })
    .await;
    (desk, seen)
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_delivered_twice_leave_the_same_ledger() {
    let mut once = Desk::example().await;
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
    let (mut desk, seen) = desk_with(How::Once).await;
    desk.run_until_over(60).await;
    let (events, calls) = (desk.all_events().await, desk.sandbox.azure.calls());

    let deliveries = seen.lock().unwrap().clone();
    for delivered in &deliveries {
        let answer = desk.handler_once(delivered.again()).await;
        assert_eq!(answer, 200, "{delivered:?}");
    }

    assert_eq!(desk.all_events().await, events);
    assert_eq!(desk.sandbox.azure.calls(), calls);
    let functions: BTreeSet<&str> = deliveries.iter().map(|it| it.function.as_str()).collect();
    let woken_by_the_example =
        Function::ALL.into_iter().filter(|it| !matches!(it, Function::Notify | Function::TrimVersion));
    let missing: Vec<&str> =
        woken_by_the_example.map(Function::as_str).filter(|it| !functions.contains(it)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "nobody woke these, so they were not tried");
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
