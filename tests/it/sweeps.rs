//! A sweep that Azure breaks off: it asks no further, and proposes nothing that half of the evidence
//! would make another plan of each time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use cli::load;
use http::{HeaderMap, StatusCode};
use ledger::StreamName;
use rules::event::Event;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

/// Says 429 to lists of versions that `refuses` names by their path, and remembers all lists.
struct Busy {
    wire: Arc<dyn Wire>,
    refuses: Box<dyn Fn(&str) -> bool + Send + Sync>,
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
        let refused = (self.refuses)(&path);
        self.lists.lock().unwrap().push(path);
        if !refused {
            return self.wire.send(request).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, 300.into());
        let body = r#"{"error":{"code":"OperationNotAllowed","message":"Too many requests."}}"#;
        let (status, body) = (StatusCode::TOO_MANY_REQUESTS, seam::Body::full(body.into()));
        Ok(Response { status, headers, body })
    }
}

/// The example, where a sweep may delete nothing without an approval, and its lists.
async fn desk(
    refuses: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (Desk, Arc<Mutex<Vec<String>>>) {
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.deletions_per_sweep = 0;
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let lists = Arc::default();
    let (kept, refuses) = (Arc::clone(&lists), Box::new(refuses));
    let spoil = Spoil {
        world: Box::new(move |wire| Arc::new(Busy { wire, refuses, lists: kept })),
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
