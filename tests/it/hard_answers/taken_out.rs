//! A region that somebody else, Terraform say, takes a version out of while it is on its way there.

use super::*;

/// A desk of Northwind's, with the version whose first ring has just been released.
async fn baking() -> (Desk, VersionNumber) {
    baking_in(&["westeurope"], &["northeurope", "uksouth"]).await
}

/// The same, with these regions in the first ring and in the second one.
async fn baking_in(first: &[&str], second: &[&str]) -> (Desk, VersionNumber) {
    let folder = root().join("tests/it/northwind");
    let mut loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
    for (ring, regions) in loaded.catalog.images[0].rings.iter_mut().zip([first, second]) {
        ring.regions = regions.iter().map(|it| it.parse().unwrap()).collect();
    }
    let estate = load::estate(&folder.join("estate.yaml")).unwrap();
    let mut desk = Desk::of(loaded, &estate, Spoil::default()).await;
    for _ in 0..400 {
        desk.run_to(desk.now() + TimeDelta::minutes(10)).await;
        for event in desk.events("web").await {
            if let Event::RingReleased { version, .. } = event {
                return (desk, version);
            }
        }
    }
    panic!("no ring was ever released:\n{}", desk.story().await);
}

/// Somebody wants the version in `regions`, offered in the first of them, and it comes to that.
async fn wanted_in(desk: &mut Desk, version: VersionNumber, regions: &[&str]) {
    offered_in(desk, version, regions, 1).await;
}

/// The same, offered in the first `offered` of them.
async fn offered_in(desk: &mut Desk, version: VersionNumber, regions: &[&str], offered: usize) {
    let regions: Vec<Value> = regions
        .iter()
        .enumerate()
        .map(|(index, it)| {
            json!({"name": it, "regionalReplicaCount": 1, "excludeFromLatest": index >= offered})
        })
        .collect();
    let body = json!({
        "location": "westeurope",
        "properties": {
            "publishingProfile": {"targetRegions": regions, "excludeFromLatest": true},
            "storageProfile": {},
            "safetyProfile": {"allowDeletionOfReplicatedLocations": true},
        },
    });
    let id = arm::GalleryId::from(&desk.catalog.gallery).definition("web").version(version);
    let answer = desk.arm_put(&id.to_string(), &body).await;
    assert!(answer < 300, "{answer}");
    desk.run_to(desk.now() + TimeDelta::minutes(20)).await;
}

async fn happened(desk: &mut Desk, what: impl Fn(&Event) -> bool) -> Event {
    for _ in 0..2000 {
        if let Some(event) = desk.events("web").await.into_iter().find(&what) {
            return event;
        }
        desk.run_to(desk.now() + TimeDelta::minutes(1)).await;
    }
    panic!("it never happened:\n{}", desk.story().await);
}

/// Its next ring hides it there again, whoever has come to rely on it.
#[tokio::test(start_paused = true)]
async fn what_somebody_else_offers_before_its_ring_makes_no_other_version_needless() {
    let (mut desk, version) = baking().await;
    assert_eq!(desk.ask("images/web/hold", r#"{"why":"a freeze"}"#).await, 202);
    offered_in(&mut desk, version, &["westeurope", "northeurope", "uksouth"], 3).await;

    desk.run_to(desk.now() + TimeDelta::days(3)).await;

    let state = desk.state(&"web".parse().unwrap()).await;
    let kept = state.kept[&"1.1.0".parse().unwrap()].join("; ");
    assert!(kept.contains("2 newest good versions in northeurope, uksouth"), "{kept}");
}

/// Where the version is offered, and where it is hidden.
fn offers(desk: &Desk, version: VersionNumber) -> BTreeMap<String, bool> {
    let definition = arm::GalleryId::from(&desk.catalog.gallery).definition("web");
    let versions = desk.sandbox.azure.versions(&definition.to_string()).unwrap();
    let there = versions.into_iter().find(|it| it.number == version.to_string()).unwrap();
    let regions = there.regions.into_iter();
    regions.map(|(region, it)| (region, it.excluded == Some(false))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_ring_whose_region_the_version_was_taken_out_of_brings_it_back_hidden_first() {
    let (mut desk, version) = baking().await;
    wanted_in(&mut desk, version, &["westeurope", "northeurope", "uksouth"]).await;
    wanted_in(&mut desk, version, &["westeurope", "northeurope"]).await;

    let failed = happened(&mut desk, |it| matches!(it, Event::RegionFailed { .. })).await;
    let Event::RegionFailed { region, details, .. } = failed else { panic!() };
    let why = "somebody else has taken it out there";
    assert_eq!((region.as_str(), details.as_str()), ("uksouth", why));
    let wanted = [("northeurope", false), ("uksouth", false), ("westeurope", true)];
    let wanted = wanted.map(|(region, offered)| (region.to_owned(), offered));
    assert_eq!(offers(&desk, version), wanted.into());

    happened(&mut desk, |it| *it == Event::RunReleased { version }).await;
    assert!(offers(&desk, version).into_values().all(|it| it));
    let events = desk.events("web").await;
    assert!(!events.iter().any(|it| matches!(it, Event::ReleasePaused { .. })), "{events:?}");
}

/// It comes back with the next ring, hidden: what is not Completed is offered to nobody.
#[tokio::test(start_paused = true)]
async fn a_released_region_that_the_version_was_taken_out_of_is_offered_only_when_it_is_there() {
    let (mut desk, version) = baking_in(&["westeurope", "uksouth"], &["northeurope"]).await;
    wanted_in(&mut desk, version, &["westeurope", "northeurope", "uksouth"]).await;
    wanted_in(&mut desk, version, &["westeurope", "northeurope"]).await;

    happened(&mut desk, |it| matches!(it, Event::ReleaseRequested { ring: 1, .. })).await;
    let offers = offers(&desk, version);
    assert_eq!((offers["uksouth"], offers["westeurope"]), (false, true), "{offers:?}");
}

/// Leaves `region` out of the answer to a GET of a version.
fn leave_out(body: &mut Value, region: &str) {
    let properties = &mut body["properties"];
    let regions = properties["publishingProfile"]["targetRegions"].as_array_mut();
    regions.into_iter().for_each(|it| it.retain(|it| !names(&it["name"], region)));
    let status = properties["replicationStatus"]["summary"].as_array_mut();
    status.into_iter().for_each(|it| it.retain(|it| !names(&it["region"], region)));
}

/// Has the answer say this of the version, and of its replication in each region.
fn say(body: &mut Value, provisioning: &str, replication: &str) {
    body["properties"]["provisioningState"] = json!(provisioning);
    let status = body["properties"]["replicationStatus"]["summary"].as_array_mut();
    for region in status.into_iter().flatten() {
        region["state"] = json!(replication);
        region["details"] = json!("There is no capacity.");
    }
}

/// Whether Azure's `display` name is that of `region`.
fn names(display: &Value, region: &str) -> bool {
    display.as_str().is_some_and(|it| it.replace(' ', "").eq_ignore_ascii_case(region))
}

#[tokio::test(start_paused = true)]
async fn a_region_that_a_version_was_taken_out_of_while_it_replicates_is_asked_for_again() {
    let region = "norwayeast";
    let asked_for: Mutex<u32> = Mutex::default();
    let change: Change = Box::new(move |asked, body| {
        let mut asked_for = asked_for.lock().unwrap();
        if asked.is("PUT", "/versions/") && asked.body.to_string().contains(region) {
            *asked_for += 1;
        }
        if asked.is("GET", &format!("/images/{IMAGE}/versions/")) && *asked_for == 1 {
            leave_out(body, region);
        }
        None
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    let failed = until(&mut desk, |it| matches!(it, Event::RegionFailed { .. })).await;
    let Event::RegionFailed { version, region: failed, details } = failed else { panic!() };
    assert_eq!((failed.as_str(), details.as_str()), (region, "somebody else has taken it out"));
    until(&mut desk, |it| *it == Event::RunReleased { version }).await;
}

/// What Azure answers to a PUT: the status and the code.
type Answer = Option<(u16, &'static str)>;

/// A desk whose version is held at a ring, and what spoils the answers to GETs of it while it is true;
/// a PUT of it has this `answer` then.
async fn held_at_a_ring(
    spoil: impl Fn(&mut Value) + Send + Sync + 'static,
    answer: Answer,
) -> (Desk, VersionNumber, Arc<AtomicBool>) {
    let spoils = Arc::<AtomicBool>::default();
    let spoilt = Arc::clone(&spoils);
    let change: Change = Box::new(move |asked, body| {
        let of_ours = |method| asked.is(method, &format!("/images/{IMAGE}/versions/"));
        let is_spoilt = spoilt.load(Ordering::Relaxed);
        if of_ours("GET") && is_spoilt {
            spoil(body);
        }
        let (status, code) = answer.filter(|_| of_ours("PUT") && is_spoilt)?;
        *body = json!({"error": {"code": code, "message": "Not in norwayeast."}});
        Some(status)
    });
    let (mut desk, _) = desk(|_| {}, change).await;
    until(&mut desk, |it| matches!(it, Event::BuildStarted { .. })).await;
    assert_eq!(desk.ask(&of_ours("hold"), r#"{"why":"a freeze"}"#).await, 202);
    let paused = until(&mut desk, |it| matches!(it, Event::ReleasePaused { .. })).await;
    let Event::ReleasePaused { version, .. } = paused else { panic!() };
    (desk, version, spoils)
}

fn of_ours(verb: &str) -> String {
    format!("images/{IMAGE}/{verb}")
}

#[tokio::test(start_paused = true)]
async fn a_version_that_becomes_failed_while_its_ring_waits_ends_its_run() {
    for replication in ["Completed", "Replicating"] {
        let (mut desk, version, spoils) =
            held_at_a_ring(move |it| say(it, "Failed", replication), None).await;
        spoils.store(true, Ordering::Relaxed);
        assert_eq!(desk.ask(&of_ours("resume"), r#"{"why":"it is over"}"#).await, 202);

        let ended = until(&mut desk, |it| matches!(it, Event::RunFailed { .. })).await;
        let reason = "Azure says that the version is Failed".to_owned();
        assert_eq!(ended, Event::RunFailed { version, reason });
    }
}

async fn is_tried_three_times_and_waits(
    spoil: impl Fn(&mut Value) + Send + Sync + 'static,
    answer: Answer,
    why: &str,
) {
    let (mut desk, version, spoils) = held_at_a_ring(spoil, answer).await;
    spoils.store(true, Ordering::Relaxed);
    assert_eq!(desk.ask(&of_ours("hold"), r#"{"why":"another freeze"}"#).await, 202);
    desk.run_to(desk.now() + TimeDelta::hours(1)).await;
    let held = desk.events(IMAGE).await;
    assert!(!held.iter().any(|it| matches!(it, Event::RegionFailed { .. })), "{held:?}");

    assert_eq!(desk.ask(&of_ours("resume"), r#"{"why":"it is over"}"#).await, 202);
    let refused = answer.filter(|(status, _)| *status < 500).map(|(_, code)| code);
    let waits = |it: &Event| {
        let tried = format!("{why}; it was asked for again 3 times");
        let next = "; approve the ring to have it asked for again";
        let told = |it: &str| match (it.split_once(&tried), refused) {
            (Some((_, after)), None) => after == next,
            (Some((_, after)), Some(code)) => after.contains(code) && after.ends_with(next),
            (None, _) => false,
        };
        matches!(it, Event::ReleasePaused { because, until: None, .. } if told(because))
    };
    desk.run_to(desk.now() + TimeDelta::hours(6)).await;
    let events = desk.events(IMAGE).await;
    assert!(events.iter().any(waits), "{}", desk.story().await);
    let mut tries = BTreeMap::<_, u32>::new();
    for event in events {
        if let Event::RegionFailed { region, details, .. } = event {
            match refused {
                None => assert_eq!(details, why),
                Some(code) => assert!(details.contains(code), "{details}"),
            }
            *tries.entry(region).or_default() += 1;
        }
    }
    assert!(!tries.is_empty() && tries.values().all(|it| *it == 3), "{tries:?}");

    spoils.store(false, Ordering::Relaxed);
    assert_eq!(desk.ask(&of_ours("approve"), r#"{"why":"it is there"}"#).await, 202);
    until(&mut desk, |it| *it == Event::RunReleased { version }).await;
}

#[tokio::test(start_paused = true)]
async fn a_ring_whose_replication_fails_again_and_again_while_it_waits_waits_for_a_person() {
    for provisioning in ["Succeeded", "Failed"] {
        let spoil = |it: &mut Value| say(it, provisioning, "Failed");
        let why = "its replication there has failed since: There is no capacity.";
        is_tried_three_times_and_waits(spoil, None, why).await;
    }
}

/// Terraform does it each time that it runs; or a policy does not want it there; or the answer is lost.
#[tokio::test(start_paused = true)]
async fn a_ring_that_the_version_is_taken_out_of_again_and_again_waits_for_a_person() {
    let wrong = (400, "InvalidParameter");
    let forbidden = (403, "RequestDisallowedByPolicy");
    let lost = (504, "GatewayTimeout");
    for answer in [None, Some(wrong), Some(forbidden), Some(lost)] {
        let spoil = |it: &mut Value| leave_out(it, "norwayeast");
        let why = "somebody else has taken it out there";
        is_tried_three_times_and_waits(spoil, answer, why).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_fails_while_a_ring_is_released_ends_its_run() {
    let asked_for = AtomicBool::default();
    let change: Change = Box::new(move |asked, body| {
        let released = |it: &Value| it["excludeFromLatest"] == json!(false);
        let regions = asked.body["properties"]["publishingProfile"]["targetRegions"].as_array();
        if asked.is("PUT", "/versions/") && regions.into_iter().flatten().any(released) {
            asked_for.store(true, Ordering::Relaxed);
        }
        let looks = asked.is("GET", &format!("/images/{IMAGE}/versions/"));
        if looks && asked_for.load(Ordering::Relaxed) {
            body["properties"]["provisioningState"] = json!("Failed");
        }
        None
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    let ended = until(&mut desk, |it| matches!(it, Event::RunFailed { .. })).await;
    let Event::RunFailed { reason, .. } = ended else { panic!() };
    assert_eq!(reason, "Azure says that the version is Failed");
    let events = desk.events(IMAGE).await;
    assert!(!events.iter().any(|it| matches!(it, Event::RingReleased { .. })), "{events:?}");
}
