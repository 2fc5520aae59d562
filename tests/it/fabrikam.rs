//! A second catalog and estate, whose outcomes were derived by hand from the files in `fabrikam/`.
//!
//! Tuesday 10 March: the gallery is empty, so the base itself is the first reason to build. The
//! patch step cures one of two high findings and the gate allows one: 1.0.0 is released. Its child
//! follows, and waits for a person. Wednesday 03:00 in Stockholm (02:00 UTC): 1.1.0. Thursday's base
//! has a critical finding: 1.2.0 is rejected. Saturday's has none: 1.3.0. Wednesday the 18th: 1.4.0.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bus::Pointer;
use chrono::{DateTime, Utc};
use cli::load;
use rules::VersionNumber;
use rules::event::{Event, PinnedBase};
use rules::standing::Standing;
use rules::state::Stage;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::{Deliveries, How, Spoil};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-03-{text}:00Z").parse().unwrap()
}

fn version(text: &str) -> VersionNumber {
    text.parse().unwrap()
}

/// Remembers under which request id ARM was asked.
#[derive(Debug)]
struct Asked {
    wire: Arc<dyn Wire>,
    ids: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Wire for Asked {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if let Some(id) = request.headers().get("x-ms-client-request-id") {
            self.ids.lock().unwrap().push(id.to_str().unwrap().to_owned());
        }
        self.wire.send(request).await
    }
}

async fn fabrikam(spoil: Spoil) -> Desk {
    let folder = root().join("tests/it/fabrikam");
    let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
    let estate = load::estate(&folder.join("estate.yaml")).unwrap();
    Desk::of(loaded, &estate, spoil).await
}

/// The versions of `image` that events of one kind name.
async fn versions(
    desk: &Desk,
    image: &str,
    of: fn(&Event) -> Option<VersionNumber>,
) -> Vec<String> {
    let events = desk.events(image).await;
    events.iter().filter_map(of).map(|it| it.to_string()).collect()
}

fn released(event: &Event) -> Option<VersionNumber> {
    if let Event::RunReleased { version } = event { Some(*version) } else { None }
}

fn rejected(event: &Event) -> Option<VersionNumber> {
    if let Event::ImageRejected { version, .. } = event { Some(*version) } else { None }
}

fn superseded(event: &Event) -> Option<VersionNumber> {
    if let Event::RunSuperseded { version, .. } = event { Some(*version) } else { None }
}

fn deprecated(event: &Event) -> Option<VersionNumber> {
    if let Event::VersionDeprecated { version, .. } = event { Some(*version) } else { None }
}

fn trimmed(event: &Event) -> Option<VersionNumber> {
    if let Event::VersionTrimmed { version } = event { Some(*version) } else { None }
}

fn deleted(event: &Event) -> Option<VersionNumber> {
    if let Event::VersionDeleted { version, .. } = event { Some(*version) } else { None }
}

#[tokio::test(start_paused = true)]
async fn another_company_gets_the_outcomes_that_follow_from_its_files() {
    let mut desk = fabrikam(Spoil::default()).await;

    desk.run_to(at("10T20:00")).await;
    assert_eq!(versions(&desk, "sles-15", released).await, ["1.0.0"], "{}", desk.story().await);
    let child = desk.state(&"sles-15-db".parse().unwrap()).await;
    let run = child.releasing.as_ref().unwrap();
    assert!(matches!(run.stage, Stage::Paused { ring: 0, .. }), "{:?}", run.stage);
    let base = PinnedBase::Image { image: "sles-15".parse().unwrap(), version: version("1.0.0") };
    assert_eq!(run.base, base);

    let answer = desk.ask("images/sles-15-db/approve", r#"{"why":"checked"}"#).await;
    assert_eq!(answer, 202);
    desk.run_to(at("11T01:00")).await;
    assert_eq!(versions(&desk, "sles-15-db", released).await, ["1.0.0"]);

    desk.run_to(at("21T12:00")).await;
    let story = desk.story().await;
    assert_eq!(versions(&desk, "sles-15", released).await, ["1.0.0", "1.1.0", "1.3.0", "1.4.0"]);
    assert_eq!(versions(&desk, "sles-15", rejected).await, ["1.2.0"]);
    // Each child waits at its ring until the next one has passed its gate.
    assert_eq!(versions(&desk, "sles-15-db", released).await, ["1.0.0"]);
    assert_eq!(versions(&desk, "sles-15-db", superseded).await, ["1.1.0", "1.2.0"]);
    // The rejected one is hidden at once; the others two days after their successors.
    assert_eq!(
        versions(&desk, "sles-15", deprecated).await,
        ["1.2.0", "1.0.0", "1.1.0", "1.3.0"],
        "{story}"
    );
    // 1.0.0 is what the database image that machines get was built from: it stays.
    assert_eq!(versions(&desk, "sles-15", trimmed).await, ["1.1.0"], "{story}");
    assert_eq!(versions(&desk, "sles-15", deleted).await, ["1.1.0"], "{story}");
    let state = desk.state(&"sles-15".parse().unwrap()).await;
    let kept = state.kept[&version("1.0.0")].join("; ");
    assert!(kept.contains("sles-15-db"), "{kept}");
    assert_eq!(state.versions[&version("1.2.0")].standing, Standing::Rejected);
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_rejection_names_the_finding_and_the_gate() {
    let mut desk = fabrikam(Spoil::default()).await;
    desk.run_to(at("12T12:00")).await;

    let events = desk.events("sles-15").await;
    let reasons = events.iter().find_map(|it| match it {
        Event::ImageRejected { reasons, .. } => Some(reasons.join("; ")),
        _ => None,
    });
    let reasons = reasons.unwrap();
    assert!(reasons.contains("1 critical finding, and the gate allows 0"), "{reasons}");
    assert!(reasons.contains("CVE-2026-1003 in glibc"), "{reasons}");
}

/// DESIGN's number: 15 calls of the control plane per release in one ring of three regions.
#[tokio::test(start_paused = true)]
async fn a_release_in_one_ring_of_three_regions_takes_at_most_15_calls_of_azure() {
    let ids: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::default();
    let (asked, deliveries) = (Arc::clone(&ids), Arc::clone(&seen));
    let mut desk = fabrikam(Spoil {
        world: Box::new(move |wire| Arc::new(Asked { wire, ids: asked })),
        handler: Box::new(move |wires| Arc::new(Deliveries::new(wires, How::Once, deliveries))),
        ..Spoil::default()
    })
    .await;
    desk.run_to(at("14T07:59")).await;
    ids.lock().unwrap().clear();

    desk.run_to(at("14T10:00")).await;

    assert_eq!(versions(&desk, "sles-15", released).await.last().unwrap(), "1.3.0");
    let image = "sles-15".parse().unwrap();
    let of_the_run: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .filter(|it: &&crate::spoiled::Delivered| {
            Pointer::from_body(&it.message()).is_ok_and(|it| it.image == image)
        })
        .map(|it| it.invocation())
        .collect();
    let calls = ids.lock().unwrap().iter().filter(|id| of_the_run.contains(id)).count();
    println!("calls per release: {calls}");
    assert!((10..=15).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_run_leaves_at_most_60_entries() {
    let mut desk = fabrikam(Spoil::default()).await;
    desk.run_to(at("21T12:00")).await;

    let entries = desk.entries(&"sles-15".parse().unwrap()).await.len();
    let runs = versions(&desk, "sles-15", |it| match it {
        Event::RunOpened { version, .. } => Some(*version),
        _ => None,
    })
    .await
    .len();
    println!("{entries} entries for {runs} runs");
    assert!(entries <= 60 * runs, "{entries} entries for {runs} runs");
}
