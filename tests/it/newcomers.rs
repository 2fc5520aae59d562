//! A version of somebody else of which no event came through: Event Grid may not tell of gallery
//! versions at all, may lose an event, or give it up. The sweep, which lists every version anyway,
//! makes it good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use http::StatusCode;
use rules::event::{Event, PinnedBase};
use rules::trigger::Trigger;
use sandbox::estate::VersionEvents;
use seam::{Fault, Request, Response, Wire};
use serde_json::json;

use crate::desk::Desk;
use crate::events::{
    CHILD, PARENT, desk_of, hear, publish, put_version, triggers, version_id, written,
};
use crate::spoiled::Spoil;

/// The versions of the parent that runs of the child were opened from.
async fn bases(desk: &Desk) -> Vec<String> {
    let events = desk.events(CHILD).await;
    let opened = events.iter().filter_map(|it| match it {
        Event::RunOpened { base: PinnedBase::Image { image, version }, .. } => {
            assert_eq!(image.as_str(), PARENT);
            Some(version.to_string())
        }
        _ => None,
    });
    opened.collect()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_event_grid_does_not_tell_of_is_found_within_a_day_and_told_once() {
    let (mut desk, _) = desk_of(|it| it.variants.version_events = VersionEvents::NotTold).await;
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;

    desk.run_to(desk.now() + TimeDelta::days(1)).await;
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
    let late = written(&version_id(&desk, PARENT, "9.0.0"));
    assert_eq!(hear(&desk, "late", &late).await, 200);
    desk.run_to(desk.now() + TimeDelta::days(2)).await;

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
    let from = bases(&desk).await;
    assert_eq!(from.iter().filter(|it| *it == "9.0.0").count(), 1, "{from:?}");
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
}

/// The order that loses nothing the other way round: what an event has told, the sweep does not.
#[tokio::test(start_paused = true)]
async fn a_version_that_an_event_told_of_is_not_told_again_by_the_sweep() {
    let (mut desk, _) = desk_of(|_| {}).await;
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);

    desk.run_to(desk.now() + TimeDelta::days(1)).await;

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
}

/// Hidden, unsaid, still being judged: what an event would not make a trigger, a sweep does not.
#[tokio::test(start_paused = true)]
async fn the_sweep_tells_of_no_version_that_is_not_on_offer_or_was_there_before() {
    let (mut desk, _) = desk_of(|it| it.variants.version_events = VersionEvents::NotTold).await;
    publish(&desk, PARENT, "9.0.1", Some("released"), true).await;
    publish(&desk, PARENT, "9.0.2", None, false).await;
    publish(&desk, PARENT, "9.0.3", Some("candidate"), false).await;

    desk.run_to(desk.now() + TimeDelta::days(1)).await;

    for number in ["9.0.1", "9.0.2", "9.0.3", "1.7.0"] {
        assert_eq!(triggers(&desk, CHILD, number).await, 0, "{number}");
    }
}

/// What a sweep costs is what it cost before: each list is read once.
#[tokio::test(start_paused = true)]
async fn the_sweep_asks_for_no_list_twice_and_is_the_only_one_who_asks() {
    let (mut desk, asked) = desk_of(|it| it.variants.version_events = VersionEvents::NotTold).await;
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    asked.lock().unwrap().clear();

    assert_eq!(desk.tick("find_expired_versions").await, 200);

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
    let mut lists: BTreeMap<String, usize> = BTreeMap::new();
    for (what, _) in asked.lock().unwrap().iter().filter(|it| it.0.contains("/versions?")) {
        *lists.entry(what.clone()).or_default() += 1;
    }
    assert_eq!(lists.len(), desk.images().len(), "{lists:?}");
    assert!(lists.values().all(|it| *it == 1), "{lists:?}");
}

/// While set, lists of versions are refused as if Azure were ill.
#[derive(Debug)]
struct NoLists {
    wire: Arc<dyn Wire>,
    ill: Arc<AtomicBool>,
    says: (StatusCode, &'static str),
}

#[async_trait]
impl Wire for NoLists {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if self.ill.load(Ordering::SeqCst) && request.uri().path().ends_with("/versions") {
            let (status, code) = self.says;
            let body = format!(r#"{{"error":{{"code":"{code}","message":"ill"}}}}"#);
            let (headers, body) = (http::HeaderMap::new(), seam::Body::full(body.into()));
            return Ok(Response { status, headers, body });
        }
        self.wire.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_azure_was_too_ill_to_verify_is_made_good_by_the_sweep() {
    let ill = Arc::new(AtomicBool::new(false));
    let spoiled = Arc::clone(&ill);
    let mut desk = Desk::spoiled(Spoil {
        world: Box::new(move |wire| {
            let says = (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
            Arc::new(NoLists { wire, ill: spoiled, says })
        }),
        ..Spoil::default()
    })
    .await;
    desk.run_to(desk.now() + TimeDelta::hours(2)).await;
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    ill.store(true, Ordering::SeqCst);
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    let given_up = |it: &String| it.contains("ingress gave up");
    assert!(desk.ailments.lock().unwrap().iter().any(given_up), "the hint was not lost");
    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 0);

    ill.store(false, Ordering::SeqCst);
    desk.run_to(desk.now() + TimeDelta::days(1)).await;

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 1, "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_may_not_be_verified_keeps_nobody_from_asking_for_a_rebuild() {
    let ill = Arc::new(AtomicBool::new(false));
    let spoiled = Arc::clone(&ill);
    let mut desk = Desk::spoiled(Spoil {
        world: Box::new(move |wire| {
            let says = (StatusCode::FORBIDDEN, "AuthorizationFailed");
            Arc::new(NoLists { wire, ill: spoiled, says })
        }),
        ..Spoil::default()
    })
    .await;
    desk.run_to(desk.now() + TimeDelta::hours(2)).await;
    ill.store(true, Ordering::SeqCst);
    let rebuild = json!({ "specversion": "1.0", "id": "build-7", "source": "ci/pipelines/3",
        "subject": CHILD, "type": "Goldsmith.RebuildRequested" });
    let parent = written(&version_id(&desk, PARENT, "9.0.0"));

    assert_eq!(hear(&desk, "both", &json!([rebuild, parent])).await, 200);

    let asked = |it: &Event| matches!(it, Event::TriggerAccepted { trigger: Trigger::Person { by, .. } } if by == "ci/pipelines/3");
    assert!(desk.events(CHILD).await.iter().any(asked), "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn children_are_built_from_the_newcomer_though_we_have_released_versions_of_our_own() {
    let (mut desk, _) = desk_of(|_| {}).await;
    desk.run_until_over(30).await;
    assert_eq!(bases(&desk).await, ["1.8.0"], "{}", desk.story().await);

    publish(&desk, PARENT, "9.1.0", Some("released"), false).await;
    desk.run_to(desk.now() + TimeDelta::hours(3)).await;
    assert_eq!(bases(&desk).await, ["1.8.0", "9.1.0"], "{}", desk.story().await);
    // An older one that comes late, by event and by sweep, sends nobody back.
    publish(&desk, PARENT, "9.0.0", Some("released"), false).await;
    desk.run_to(desk.now() + TimeDelta::days(1)).await;
    assert_eq!(bases(&desk).await, ["1.8.0", "9.1.0"], "{}", desk.story().await);
    // Not even while the newer one is being changed, and the older is the newest on offer.
    assert_eq!(put_version(&desk, PARENT, "9.1.0", Some("released"), false).await, 200);
    assert_eq!(desk.tick("find_expired_versions").await, 200);

    assert_eq!(triggers(&desk, CHILD, "9.0.0").await, 0, "{}", desk.story().await);
}
