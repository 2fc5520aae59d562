//! A sweep that Azure breaks off: it asks no further, and proposes nothing that half of the evidence
//! would make another plan of each time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use cli::load::{self, Loaded};
use http::{HeaderMap, StatusCode};
use ledger::StreamName;
use rules::catalog::Image;
use rules::event::Event;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

/// What is said to the list of versions at a path; nothing where Azure is asked.
type Says = Box<dyn Fn(&str) -> Option<StatusCode> + Send + Sync>;

/// Says so to lists of versions, and remembers all lists.
struct Busy {
    wire: Arc<dyn Wire>,
    says: Says,
    lists: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

#[async_trait]
impl Wire for Busy {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.uri().path().to_owned();
        if !path.contains("/galleries/") || !path.ends_with("/versions") {
            return self.wire.send(request).await;
        }
        let said = (self.says)(&path);
        self.lists.lock().unwrap().push(path);
        let Some(status) = said else { return self.wire.send(request).await };
        let mut headers = HeaderMap::new();
        let body = if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(http::header::RETRY_AFTER, 300.into());
            r#"{"error":{"code":"OperationNotAllowed","message":"Too many requests."}}"#
        } else {
            r#"{"error":{"code":"ResourceNotFound","message":"It was not found."}}"#
        };
        let body = seam::Body::full(body.into());
        Ok(Response { status, headers, body })
    }
}

/// The example, where a sweep may delete nothing without an approval, and its lists.
async fn desk(
    refuses: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (Desk, Arc<Mutex<Vec<String>>>) {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.deletions_per_sweep = 0;
    let says = move |path: &str| refuses(path).then_some(StatusCode::TOO_MANY_REQUESTS);
    desk_of(loaded, Box::new(says)).await
}

async fn desk_of(loaded: Loaded, says: Says) -> (Desk, Arc<Mutex<Vec<String>>>) {
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let lists = Arc::default();
    let kept = Arc::clone(&lists);
    let spoil = Spoil {
        world: Box::new(move |wire| Arc::new(Busy { wire, says, lists: kept })),
        ..Spoil::default()
    };
    (Desk::of(loaded, &estate, spoil).await, lists)
}

async fn plans(desk: &Desk) -> usize {
    let entries = desk.ledger.entries(&StreamName::Catalog).await.unwrap();
    let events = entries.iter().flat_map(|(_, entry)| &entry.events);
    events.filter(|it| matches!(it, Event::DeletionPlanProposed { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_told_to_wait_asks_no_further() {
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let kept = Arc::clone(&left);
    let (mut desk, lists) = desk(move |_| {
        kept.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_err()
    })
    .await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;

    for answered in 0..3 {
        left.store(answered, Ordering::SeqCst);
        lists.lock().unwrap().clear();
        assert_eq!(desk.tick("find_expired_versions").await, 200);

        let lists = lists.lock().unwrap();
        assert_eq!(lists.len(), answered + 1, "{answered} were answered: {lists:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_broke_off_proposes_no_plan_and_the_next_whole_one_does() {
    let ill = Arc::new(AtomicBool::new(true));
    let kept = Arc::clone(&ill);
    let (mut desk, lists) =
        desk(move |path| kept.load(Ordering::SeqCst) && path.contains("/windows-2022-base/")).await;

    desk.run_to(desk.now() + TimeDelta::days(12)).await;
    assert!(lists.lock().unwrap().len() > 100, "no sweep came far");
    assert_eq!(plans(&desk).await, 0, "{}", desk.story().await);

    ill.store(false, Ordering::SeqCst);
    desk.run_to(desk.now() + TimeDelta::days(1)).await;

    assert!(plans(&desk).await >= 1, "{}", desk.story().await);
}

/// A step has to end, and Azure allows so many images that reading all would take it a quarter of an
/// hour.
#[tokio::test(start_paused = true)]
async fn a_sweep_of_very_many_images_reads_some_and_judges_those() {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    let images = &mut loaded.catalog.images;
    let one = images.iter().find(|it| it.name.as_str() == "debian-12-base").unwrap().clone();
    images.extend((0..600).map(|number| {
        let name = format!("image-{number}").parse().unwrap();
        Image { name, ..one.clone() }
    }));
    // They have no version yet. Azure's budgets, which fill with time, are not what is looked at.
    let says = |path: &str| path.contains("/image-").then_some(StatusCode::NOT_FOUND);
    let (desk, lists) = desk_of(loaded, Box::new(says)).await;
    assert_eq!(desk.tick("find_expired_versions").await, 200);

    let lists: BTreeSet<String> = lists.lock().unwrap().drain(..).collect();
    assert!((450..=500).contains(&lists.len()), "{}", lists.len());
    let mut judged = 0;
    for image in desk.ledger.streams().await.unwrap() {
        let stream = desk.ledger.read(&StreamName::Image(image)).await.unwrap();
        judged += usize::from(stream.state.judged_at.is_some());
    }
    let with_versions = lists.iter().filter(|it| !it.contains("/image-")).count();
    assert!(with_versions > 0);
    assert_eq!(judged, with_versions);
}
