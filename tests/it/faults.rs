//! Lost requests and lost answers, by a seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use http::Method;
use rules::event::{Event, Operation, Outcome};
use seam::{Fault, Request, Response, Wire};

use cli::load;

use crate::desk::{Desk, root};
use crate::spoiled::{Losses, Lossy, Spoil};

/// The walk over a wire that loses one request in `one_in`, and one answer, for six days; and how
/// many it lost.
async fn walk(seed: u64, one_in: u64) -> (Desk, u32) {
    let losses = Arc::new(Losses::default());
    let counted = Arc::clone(&losses);
    let world = move |wire| Arc::new(Lossy::new(wire, seed, one_in, counted)) as _;
    let mut desk = Desk::spoiled(Spoil { world: Box::new(world), ..Spoil::default() }).await;
    desk.run_to(desk.now() + TimeDelta::days(6)).await;
    losses.over.store(true, Ordering::Relaxed);
    desk.run_until_over(30).await;
    (desk, losses.count.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_answers_delay_the_walk_and_do_no_harm() {
    let (desk, lost) = walk(20_260_908, 40).await;

    assert!(lost > 50, "only {lost} were lost");
    for image in desk.images() {
        let events = desk.events(image.as_str()).await;
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|it| wanted(it)).count();
        let mut open = BTreeSet::new();
        for event in &events {
            match event {
                Event::IntentRecorded { target, .. } => {
                    assert!(open.insert(target), "{image}: an intent for {target} has no outcome");
                }
                Event::EffectSettled { target, .. } => assert!(open.remove(target)),
                _ => {}
            }
        }
        let opened = count(|it| matches!(it, Event::RunOpened { .. }));
        let started = count(|it| matches!(it, Event::BuildStarted { .. }));
        assert_eq!(started, opened, "{image}: every run is built once\n{}", desk.story().await);
        assert!(count(|it| matches!(it, Event::RunReleased { .. })) >= 1, "{image}");
    }
    assert_eq!(desk.templates_left().await, 0, "templates are left behind");
}

/// Breaks off over the first start of a build, before anything of it has arrived.
#[derive(Debug)]
struct BreaksOff {
    wire: Arc<dyn Wire>,
    whole: AtomicBool,
}

#[async_trait]
impl Wire for BreaksOff {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let starts = request.method() == Method::POST && request.uri().path().ends_with("/run");
        if starts && !self.whole.swap(true, Ordering::Relaxed) {
            return Err(Fault::PerhapsDone("the connection broke".to_owned()));
        }
        self.wire.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_came_to_nothing_is_told_so_before_the_next_one() {
    let world = |wire| Arc::new(BreaksOff { wire, whole: AtomicBool::new(false) }) as _;
    let mut desk = Desk::spoiled(Spoil { world: Box::new(world), ..Spoil::default() }).await;

    desk.run_to(desk.now() + TimeDelta::days(3)).await;

    let mut came_to_nothing = 0;
    for image in desk.images() {
        let events = desk.events(image.as_str()).await;
        let of_runs = events.iter().filter(|it| {
            matches!(
                it,
                Event::IntentRecorded { operation: Operation::RunTemplate, .. }
                    | Event::EffectSettled { operation: Operation::RunTemplate, .. }
            )
        });
        let of_runs: Vec<&Event> = of_runs.collect();
        let in_turn = of_runs.iter().enumerate().all(|(index, it)| {
            matches!(it, Event::IntentRecorded { .. }) == index.is_multiple_of(2)
        });
        assert!(in_turn, "{image}: {of_runs:?}");
        came_to_nothing += of_runs
            .iter()
            .filter(|it| {
                matches!(it, Event::EffectSettled { outcome: Outcome::Unknown { .. }, .. })
            })
            .count();
    }
    assert_eq!(came_to_nothing, 1, "{}", desk.story().await);
}

/// Loses the answer to the first definition that is published.
#[derive(Debug)]
struct Forgets {
    wire: Arc<dyn Wire>,
    over: AtomicBool,
}

#[async_trait]
impl Wire for Forgets {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.uri().path();
        let publishes = request.method() == Method::PUT
            && path.contains("/images/")
            && !path.contains("/versions/");
        let answer = self.wire.send(request).await?;
        if publishes && !self.over.swap(true, Ordering::Relaxed) {
            return Err(Fault::PerhapsDone("the answer was lost".to_owned()));
        }
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_whose_step_found_nothing_left_to_do_gets_an_outcome_too() {
    let folder = root().join("tests/it/fabrikam");
    let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
    let estate = load::estate(&folder.join("estate.yaml")).unwrap();
    let world = |wire| Arc::new(Forgets { wire, over: AtomicBool::new(false) }) as _;
    let spoil = Spoil { world: Box::new(world), ..Spoil::default() };
    let mut desk = Desk::of(loaded, &estate, spoil).await;

    desk.run_to(desk.now() + TimeDelta::days(3)).await;

    let mut unknown = 0;
    for (_, event) in desk.all_events().await {
        unknown += u32::from(matches!(
            event,
            Event::EffectSettled {
                operation: Operation::CreateDefinition,
                outcome: Outcome::Unknown { .. },
                ..
            }
        ));
    }
    assert_eq!(unknown, 1, "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let (one, lost) = walk(7, 60).await;
    let one = (one.story().await, lost);
    let (other, lost) = walk(7, 60).await;

    assert_eq!((other.story().await, lost), one);
}
