//! What people ask for, at the worst moments.

use chrono::TimeDelta;
use cli::load;
use http::Method;
use ledger::{Draft, StreamName};
use rules::VersionNumber;
use rules::event::Event;
use rules::standing::Standing;
use rules::state::Stage;
use sandbox::estate::SoftDelete;
use serde_json::{Value, json};

use crate::desk::{Desk, root};
use crate::events::version_id;
use crate::spoiled::Spoil;

async fn until(desk: &mut Desk, image: &str, what: impl Fn(&Event) -> bool) {
    for _ in 0..20_000 {
        if desk.events(image).await.iter().any(&what) {
            return;
        }
        desk.run_to(desk.now() + TimeDelta::minutes(2)).await;
    }
    panic!("it never happened to {image}:\n{}", desk.story().await);
}

/// Whether Azure hides the version, whichever of its flags wins.
async fn is_hidden(desk: &Desk, image: &str, version: VersionNumber) -> bool {
    let id = arm::GalleryId::from(&desk.catalog.gallery).definition(image).version(version);
    let version = desk.arm().version(&id).await.unwrap();
    let regions = version.target_regions.iter();
    version.exclude_from_latest && regions.clone().all(|it| it.exclude_from_latest == Some(true))
}

#[tokio::test(start_paused = true)]
async fn a_version_revoked_while_its_ring_is_being_released_ends_hidden_everywhere() {
    let mut desk = Desk::example().await;
    let image = "rhel-9-base";
    until(&mut desk, image, |it| matches!(it, Event::ReleaseRequested { .. })).await;
    let state = desk.state(&image.parse().unwrap()).await;
    let version = state.releasing.as_ref().unwrap().version;

    let body = format!(r#"{{"version":"{version}","why":"a key leaked"}}"#);
    assert_eq!(desk.ask(&format!("images/{image}/revoke"), &body).await, 202);
    until(
        &mut desk,
        image,
        |it| matches!(it, Event::VersionDeprecated { version: v, .. } if *v == version),
    )
    .await;

    assert!(is_hidden(&desk, image, version).await);
    let state = desk.state(&image.parse().unwrap()).await;
    assert_eq!(state.versions[&version].standing, Standing::Revoked);
    assert!(state.releasing.is_none());
    assert_eq!(desk.ask(&format!("images/{image}/revoke"), &body).await, 409);
}

#[tokio::test(start_paused = true)]
async fn a_held_image_is_not_released_until_the_hold_ends_by_itself() {
    let mut desk = Desk::example().await;
    let image = "rhel-9-base";
    until(&mut desk, image, |it| matches!(it, Event::RunOpened { .. })).await;
    let end = desk.now() + TimeDelta::hours(9);
    let body = format!(r#"{{"why":"audit","until":"{}"}}"#, end.to_rfc3339());
    assert_eq!(desk.ask(&format!("images/{image}/hold"), &body).await, 202);

    desk.run_to(end - TimeDelta::minutes(10)).await;
    let events = desk.events(image).await;
    assert!(!events.iter().any(|it| matches!(it, Event::ReleaseRequested { .. })));

    until(&mut desk, image, |it| matches!(it, Event::RunReleased { .. })).await;
    assert!(desk.now() >= end);
}

#[tokio::test(start_paused = true)]
async fn a_hold_with_an_end_is_lifted_early() {
    let mut desk = Desk::example().await;
    let image = "rhel-9-base";
    let end = desk.now() + TimeDelta::days(30);
    let body = format!(r#"{{"why":"audit","until":"{}"}}"#, end.to_rfc3339());
    assert_eq!(desk.ask(&format!("images/{image}/hold"), &body).await, 202);
    until(&mut desk, image, |it| matches!(it, Event::ReleasePaused { .. })).await;

    assert_eq!(desk.ask(&format!("images/{image}/resume"), "").await, 202);
    until(&mut desk, image, |it| matches!(it, Event::ReleaseRequested { .. })).await;

    let entries = desk.entries(&image.parse().unwrap()).await;
    let when = |of: fn(&Event) -> bool| entries.iter().find(|it| it.events.iter().any(of));
    let resumed = when(|it| matches!(it, Event::ImageResumed { .. })).unwrap().at;
    let released = when(|it| matches!(it, Event::ReleaseRequested { .. })).unwrap().at;
    assert!(released - resumed < TimeDelta::minutes(1), "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_held_image_waits_for_a_person_when_the_hold_has_no_end() {
    let mut desk = Desk::example().await;
    let image = "rhel-9-base";
    assert_eq!(desk.ask(&format!("images/{image}/hold"), r#"{"why":"audit"}"#).await, 202);

    until(&mut desk, image, |it| matches!(it, Event::ReleasePaused { .. })).await;
    let state = desk.state(&image.parse().unwrap()).await;
    assert!(matches!(state.releasing.unwrap().stage, Stage::Paused { .. }));

    assert_eq!(desk.ask(&format!("images/{image}/resume"), "").await, 202);
    until(&mut desk, image, |it| matches!(it, Event::RunReleased { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_pinned_version_is_not_deleted_until_it_is_unpinned() {
    let mut desk = Desk::example().await;
    let image = "ubuntu-2204-base";
    // The first sweep of the example would delete it; the sweep before it has to know it.
    let pin = r#"{"version":"1.6.0","why":"an audit needs it"}"#;
    assert_eq!(desk.ask(&format!("images/{image}/pin"), pin).await, 409, "nobody knows it yet");
    until(&mut desk, image, |it| matches!(it, Event::VersionsJudged { .. })).await;
    assert_eq!(desk.ask(&format!("images/{image}/pin"), pin).await, 202);

    desk.run_to(desk.now() + TimeDelta::days(4)).await;

    let version = "1.6.0".parse().unwrap();
    let deprecated = desk
        .events(image)
        .await
        .iter()
        .any(|it| matches!(it, Event::VersionDeprecated { version: v, .. } if *v == version));
    assert!(!deprecated, "{}", desk.story().await);
    assert_eq!(desk.ask(&format!("images/{image}/unpin"), pin).await, 202);
    until(
        &mut desk,
        image,
        |it| matches!(it, Event::VersionDeprecated { version: v, .. } if *v == version),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_is_asked_for_and_gets_a_patch_number() {
    let mut desk = Desk::example().await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    let body = r#"{"why":"a script on the server changed"}"#;

    assert_eq!(desk.ask("images/windows-2022-base/rebuild", body).await, 202);
    until(&mut desk, "windows-2022-base", |it| matches!(it, Event::RunReleased { .. })).await;

    let state = desk.state(&"windows-2022-base".parse().unwrap()).await;
    let (number, version) = state.versions.iter().find(|(_, it)| it.opened_at.is_some()).unwrap();
    assert_eq!(number.to_string(), "1.8.1");
    assert!(version.why.as_ref().unwrap().contains("a script on the server changed"));
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_get_a_reason() {
    let mut desk = Desk::example().await;
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    let cases = [
        ("images/no-such-image/rebuild", "", 404),
        ("images/rhel-9-base/explode", "", 404),
        ("images/rhel-9-base/approve", "", 409),
        ("images/rhel-9-base/resume", "", 409),
        ("images/rhel-9-base/rollback", "", 409),
        ("images/rhel-9-base/revoke", r#"{"version":"77.0.0"}"#, 409),
        ("images/rhel-9-base/revoke", r#"{"version":"one"}"#, 400),
        ("images/rhel-9-base/hold", r#"{"becuase":"x"}"#, 400),
        ("images/rhel-9-base/hold", r#"{"until":"+262142-12-31T23:59:59Z"}"#, 400),
        ("images/rhel-9-base/hold", r#"{"until":"9999-01-01T00:00:00Z"}"#, 400),
        ("images/rhel-9-base/hold", r#"{"until":"9998-12-31T23:59:59Z"}"#, 202),
        (
            "images/ubuntu-2204-base/pin",
            r#"{"version":"1.7.0","until":"+10000-01-01T00:00:00Z"}"#,
            400,
        ),
        ("plans/0000/approve", "", 404),
        ("nothing/x/y", "", 404),
    ];
    for (path, body, expected) in cases {
        assert_eq!(desk.ask(path, body).await, expected, "{path} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_deleted_and_is_back_can_be_taken_back() {
    let mut desk = Desk::example().await;
    let image = "ubuntu-2204-base";
    let name = StreamName::Image(image.parse().unwrap());
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    // A sweep has missed it, while somebody had deleted it and not restored it yet.
    let version = "1.7.0".parse().unwrap();
    let mut stream = desk.ledger.read(&name).await.unwrap();
    let reasons = vec!["it was gone from the gallery".to_owned()];
    let draft = Draft {
        id: "sweep".to_owned(),
        cause: "sweep".to_owned(),
        by: "find_expired_versions".to_owned(),
        at: desk.now(),
        policy: String::new(),
        events: vec![Event::VersionDeleted { version, reasons }],
    };
    desk.ledger.append(&mut stream, draft).await.unwrap();
    assert!(!is_hidden(&desk, image, version).await);
    let pin = format!(r#"{{"version":"{version}"}}"#);
    assert_eq!(desk.ask(&format!("images/{image}/pin"), &pin).await, 202, "no sweep has met it");

    let body = format!(r#"{{"version":"{version}","why":"a key leaked"}}"#);
    assert_eq!(desk.ask(&format!("images/{image}/revoke"), &body).await, 202);
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;

    assert!(is_hidden(&desk, image, version).await, "{}", desk.story().await);
    let state = desk.state(&image.parse().unwrap()).await;
    assert_eq!(state.versions[&version].standing, Standing::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_taken_back_is_hidden_again_whichever_flag_offers_it() {
    for as_a_whole in [true, false] {
        let mut back = TakenBack::on_a_desk().await;

        back.is_offered(as_a_whole, json!({})).await;
        back.desk.run_to(back.desk.now() + TimeDelta::hours(7)).await;

        assert!(back.is_hidden().await, "{}", back.desk.story().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_taken_back_is_hidden_again_when_somebody_restores_it_and_offers_it() {
    let mut back = TakenBack::on_a_desk().await;
    let (image, version) = (back.image, back.version);
    let gone = |it: &Event| matches!(it, Event::VersionDeleted { version: v, .. } if *v == version);
    until(&mut back.desk, image, gone).await;

    let body = json!({ "location": "westeurope", "properties": {} });
    assert_eq!(back.desk.arm_write(Method::PUT, &back.id(), &body).await, 200);
    back.desk.run_to(back.desk.now() + TimeDelta::minutes(20)).await;
    back.is_offered(true, json!({ "owner": "another" })).await;
    back.desk.run_to(back.desk.now() + TimeDelta::hours(7)).await;

    assert!(back.is_hidden().await, "{}", back.desk.story().await);
    let state = back.desk.state(&image.parse().unwrap()).await;
    assert_eq!(state.versions[&version].standing, Standing::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_ring_whose_regions_somebody_left_without_a_flag_gets_one_before_it_counts_as_released() {
    let image = "ubuntu-2204-base";
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.images.retain(|it| it.name.as_str() == image);
    // A ring in the middle: with the last one the flag of the whole changes too.
    let rings = &mut loaded.catalog.images[0].rings;
    let mut last = rings[1].clone();
    (last.name, last.regions) = ("last".to_owned(), vec![rings[1].regions.pop().unwrap()]);
    rings.push(last);
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;
    until(&mut desk, image, |it| matches!(it, Event::RingReleased { ring: 0, .. })).await;
    let state = desk.state(&image.parse().unwrap()).await;
    let run = state.releasing.as_ref().unwrap();
    let (number, ring) = (run.version, run.plan[1].regions.clone());
    let id = arm::GalleryId::from(&desk.catalog.gallery).definition(image).version(number);
    let version = desk.arm().version(&id).await.unwrap();
    let regions = version.target_regions.iter();
    let regions: Vec<Value> = regions
        .map(|it| {
            let (name, replicas) = (&it.region, it.replicas);
            let mut region = json!({ "name": name, "regionalReplicaCount": replicas });
            if !ring.contains(name) {
                region["excludeFromLatest"] = json!(it.exclude_from_latest);
            }
            region
        })
        .collect();
    let profile = json!({ "targetRegions": regions, "excludeFromLatest": true });
    let body = json!({ "properties": { "publishingProfile": profile } });
    let status = desk.arm_write(Method::PATCH, &id.to_string(), &body).await;
    assert!([200, 202].contains(&status), "{status}");
    desk.run_to(desk.now() + TimeDelta::minutes(10)).await;
    let version = desk.arm().version(&id).await.unwrap();
    let of_ring = |it: &&arm::TargetRegion| ring.contains(&it.region);
    let mut left = version.target_regions.iter().filter(of_ring);
    assert!(left.all(|it| it.exclude_from_latest.is_none()));

    until(&mut desk, image, |it| matches!(it, Event::RingReleased { ring: 1, .. })).await;

    let version = desk.arm().version(&id).await.unwrap();
    let mut released = version.target_regions.iter().filter(of_ring);
    assert!(released.all(|it| it.exclude_from_latest == Some(false)), "{version:?}");
}

/// A version that somebody has taken back, and that is hidden.
struct TakenBack {
    desk: Desk,
    image: &'static str,
    version: VersionNumber,
}

impl TakenBack {
    async fn on_a_desk() -> TakenBack {
        let image = "ubuntu-2204-base";
        let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
        loaded.catalog.images.retain(|it| it.name.as_str() == image);
        loaded.catalog.images[0].retention.delete_after_days = 1;
        let mut estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
        let kept = SoftDelete { retention_days: 7, grace_days: 1 };
        estate.galleries[0].soft_delete = Some(kept);
        let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;
        until(&mut desk, image, |it| matches!(it, Event::RunReleased { .. })).await;
        let state = desk.state(&image.parse().unwrap()).await;
        let version = *state.newest_run().unwrap().0;
        let body = format!(r#"{{"version":"{version}","why":"a key leaked"}}"#);
        assert_eq!(desk.ask(&format!("images/{image}/revoke"), &body).await, 202);
        desk.run_to(desk.now() + TimeDelta::hours(1)).await;
        let back = TakenBack { desk, image, version };
        assert!(back.is_hidden().await);
        back
    }

    /// Somebody offers it, as a whole or in every region, and writes `tags` over its own.
    async fn is_offered(&mut self, as_a_whole: bool, tags: Value) {
        let id = arm::GalleryId::from(&self.desk.catalog.gallery).definition(self.image);
        let before = self.desk.arm().version(&id.version(self.version)).await.unwrap();
        let regions = before.target_regions.iter().map(|it| {
            let (name, replicas) = (&it.region, it.replicas);
            json!({ "name": name, "regionalReplicaCount": replicas, "excludeFromLatest": as_a_whole })
        });
        let regions: Vec<Value> = regions.collect();
        let profile = json!({ "targetRegions": regions, "excludeFromLatest": !as_a_whole });
        let mut body = json!({ "properties": { "publishingProfile": profile } });
        if tags != json!({}) {
            body["tags"] = tags;
        }
        let status = self.desk.arm_write(Method::PATCH, &self.id(), &body).await;
        assert!([200, 202].contains(&status), "{status}");
        self.desk.run_to(self.desk.now() + TimeDelta::minutes(10)).await;
        assert!(!self.is_hidden().await);
    }

    async fn is_hidden(&self) -> bool {
        is_hidden(&self.desk, self.image, self.version).await
    }

    fn id(&self) -> String {
        version_id(&self.desk, self.image, &self.version.to_string())
    }
}
