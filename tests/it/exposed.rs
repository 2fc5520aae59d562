//! The one Azure against which there is no whole defence: Image Builder sends a version's global
//! flag, and has none for a region (imagebuilder.json, TargetRegion). Were that to count as `false`
//! and to win, a version would be *latest* where it was built from its build's end to our first
//! write, which says every region's flag. Here it is held to that: nowhere else, no longer than the
//! first look takes to come, and never while a candidate waits for its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use cli::load;
use http::{HeaderMap, Method, StatusCode};
use rules::VersionNumber;
use rules::event::{Event, Operation, Outcome};
use sandbox::estate::{Estate, Exclusion, RunEvent};
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

/// What would be latest, or below it, though its gate had not passed it yet: by image and number,
/// where, and at which instants it was seen.
type Exposed = BTreeMap<(String, VersionNumber), (BTreeSet<String>, Vec<DateTime<Utc>>)>;

/// Every version that was offered, whenever a function had ended.
type Seen = Vec<(DateTime<Utc>, String, sandbox::azure::Offer)>;

async fn desk_of(folder: &str, spoil: Spoil, change: impl FnOnce(&mut Estate)) -> Desk {
    let folder = root().join(folder);
    let catalog = ["catalog", "catalog.yaml"].map(|it| folder.join(it));
    let catalog = catalog.iter().find(|it| it.exists()).unwrap();
    let mut estate = load::estate(&folder.join("estate.yaml")).unwrap();
    estate.variants.exclusion = Exclusion::RegionalOnly;
    change(&mut estate);
    Desk::of(load::catalog(catalog).unwrap(), &estate, spoil).await
}

async fn run_to(desk: &mut Desk, at: DateTime<Utc>, seen: &mut Seen) {
    let gallery = arm::GalleryId::from(&desk.catalog.gallery);
    let azure = Arc::clone(&desk.sandbox.azure);
    let clock = Arc::clone(&desk.sandbox.clock);
    let images: Vec<(String, String)> = desk
        .images()
        .iter()
        .map(|it| (it.to_string(), gallery.definition(it.as_str()).to_string()))
        .collect();
    let mut look = || {
        for (image, definition) in &images {
            let Ok(offers) = azure.offers(definition) else { continue };
            let offered = offers.into_iter().filter(|it| it.offered);
            seen.extend(offered.map(|it| (clock.now(), image.clone(), it)));
        }
    };
    desk.run_watched(at, &mut look).await;
}

/// What of `seen` was a candidate of ours at the time.
async fn exposed(desk: &Desk, seen: &Seen) -> Exposed {
    let mut unproven: BTreeMap<(String, VersionNumber), Option<DateTime<Utc>>> = BTreeMap::new();
    for image in desk.images() {
        for entry in desk.entries(&image).await {
            for event in &entry.events {
                match event {
                    Event::RunOpened { version, .. } => {
                        unproven.insert((image.to_string(), *version), None);
                    }
                    Event::GatePassed { version, .. } => {
                        unproven.insert((image.to_string(), *version), Some(entry.at));
                    }
                    _ => {}
                }
            }
        }
    }
    let mut exposed = Exposed::new();
    for (at, image, offer) in seen {
        let of = (image.clone(), offer.number.parse().unwrap());
        let Some(passed) = unproven.get(&of) else { continue };
        if passed.is_none_or(|passed| *at < passed) {
            let (regions, times) = exposed.entry(of).or_default();
            regions.insert(offer.region.clone());
            times.push(*at);
        }
    }
    exposed
}

/// How long each version was in the gallery before our first write of it had been accepted.
async fn before_the_first_write(desk: &Desk) -> BTreeMap<(String, VersionNumber), TimeDelta> {
    let mut waits = BTreeMap::new();
    for image in desk.images() {
        let definition = arm::GalleryId::from(&desk.catalog.gallery).definition(image.as_str());
        let there = desk.arm().versions(&definition).await.unwrap_or_default();
        let entries = desk.entries(&image).await;
        let first = |wanted: &dyn Fn(&Event) -> bool| {
            entries.iter().find(|it| it.events.iter().any(wanted)).map(|it| it.at)
        };
        for version in there {
            let number = version.number;
            let opened =
                first(&|it| matches!(it, Event::RunOpened { version, .. } if *version == number));
            let written = first(&|it| {
                matches!(it, Event::EffectSettled { target, operation: Operation::UpdateVersion, outcome: Outcome::Accepted }
                    if *target == number.to_string())
            });
            if let (Some(_), Some(written)) = (opened, written) {
                let published = version.published_at.unwrap();
                waits.insert((image.to_string(), number), written - published);
            }
        }
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn in_the_whole_example_a_candidate_is_exposed_at_home_for_seconds_and_nowhere_else() {
    let mut desk = desk_of("examples", Spoil::default(), |_| {}).await;
    let (mut seen, end) = (Seen::new(), desk.now() + TimeDelta::days(6));

    run_to(&mut desk, end, &mut seen).await;

    let (exposed, story) = (exposed(&desk, &seen).await, desk.story().await);
    let home = desk.catalog.gallery.location.to_string();
    for (of, (regions, _)) in &exposed {
        assert_eq!(*regions, BTreeSet::from([home.clone()]), "{of:?}\n{story}");
    }
    let waits = before_the_first_write(&desk).await;
    println!("before the first write: {waits:?}");
    assert!(waits.len() >= 6, "{waits:?}\n{story}");
    for (of, wait) in &waits {
        assert!(wait.num_seconds() <= 5, "{of:?}: {} s\n{story}", wait.num_seconds());
    }
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
}

/// An event of the end that never comes costs the time between two looks.
#[tokio::test(start_paused = true)]
async fn where_no_event_tells_of_a_builds_end_the_next_look_does_within_three_minutes() {
    let change = |it: &mut Estate| it.variants.run_event = RunEvent::AtAcceptance;
    let mut desk = desk_of("tests/it/northwind", Spoil::default(), change).await;
    let end = desk.now() + TimeDelta::days(4);

    desk.run_to(end).await;

    let waits = before_the_first_write(&desk).await;
    println!("before the first write: {waits:?}");
    assert!(waits.len() >= 2, "{waits:?}");
    for (of, wait) in &waits {
        assert!(*wait <= TimeDelta::seconds(185), "{of:?}: {} s", wait.num_seconds());
    }
}

/// With which status a request is refused; none: it is let through.
type Refusal = Box<dyn Fn(&Request) -> Option<StatusCode> + Send + Sync>;

/// Refuses what it is told to.
struct Refusing {
    wire: Arc<dyn Wire>,
    refuses: Refusal,
}

impl std::fmt::Debug for Refusing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusing")
    }
}

#[async_trait]
impl Wire for Refusing {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let Some(status) = (self.refuses)(&request) else { return self.wire.send(request).await };
        let (headers, body) = (HeaderMap::new(), seam::Body::full(Default::default()));
        Ok(Response { status, headers, body })
    }
}

fn refusing(refuses: impl Fn(&Request) -> Option<StatusCode> + Send + Sync + 'static) -> Spoil {
    let refuses = Box::new(refuses);
    let world = move |wire| -> Arc<dyn Wire> { Arc::new(Refusing { wire, refuses }) };
    Spoil { world: Box::new(world), ..Spoil::default() }
}

/// When something first happened to the image `web`, and how often.
async fn when(desk: &Desk, of: impl Fn(&Event) -> bool) -> (DateTime<Utc>, usize) {
    let entries = desk.entries(&"web".parse().unwrap()).await;
    let found: Vec<DateTime<Utc>> =
        entries.iter().filter(|it| it.events.iter().any(&of)).map(|it| it.at).collect();
    let story = desk.story().await;
    (*found.first().unwrap_or_else(|| panic!("it never happened\n{story}")), found.len())
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_report_is_late_is_hidden_in_every_region_meanwhile() {
    let none = Arc::new(AtomicBool::new(true));
    let kept = Arc::clone(&none);
    let spoil = refusing(move |request| {
        let of_report = request.method() == Method::GET && request.uri().path().contains("/inbox/");
        (of_report && kept.load(Ordering::SeqCst)).then_some(StatusCode::NOT_FOUND)
    });
    let mut desk = desk_of("tests/it/northwind", spoil, |_| {}).await;
    // The second base is a good one: 1.4.0. Its report comes half an hour late.
    let mut seen = Seen::new();
    run_to(&mut desk, at("2026-06-02T00:50:00Z"), &mut seen).await;
    none.store(false, Ordering::SeqCst);
    run_to(&mut desk, at("2026-06-02T23:00:00Z"), &mut seen).await;

    hidden_while_it_waits(&desk, &seen, "1.4.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_waits_for_a_ring_of_its_elder_is_hidden_meanwhile() {
    // Nobody can see what became of the last write of 1.4.0: the release of its second ring.
    let (puts, ill) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(true)));
    let kept = Arc::clone(&ill);
    let spoil = refusing(move |request| {
        if !request.uri().path().ends_with("/images/web/versions/1.4.0") {
            return None;
        }
        let put = usize::from(request.method() == Method::PUT);
        let released = puts.fetch_add(put, Ordering::SeqCst) == 3;
        (released && kept.load(Ordering::SeqCst)).then_some(StatusCode::SERVICE_UNAVAILABLE)
    });
    let mut desk = desk_of("tests/it/northwind", spoil, |_| {}).await;
    let mut seen = Seen::new();
    run_to(&mut desk, at("2026-06-02T06:45:00Z"), &mut seen).await;
    assert_eq!(desk.ask("images/web/rebuild", r#"{"why":"now"}"#).await, 202);
    run_to(&mut desk, at("2026-06-02T08:00:00Z"), &mut seen).await;
    ill.store(false, Ordering::SeqCst);
    run_to(&mut desk, at("2026-06-02T23:00:00Z"), &mut seen).await;

    hidden_while_it_waits(&desk, &seen, "1.4.1").await;
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The version was hidden once, seconds after its build, and offered nowhere from then until it had
/// passed its gate, long after; and it was released in the end.
async fn hidden_while_it_waits(desk: &Desk, seen: &Seen, number: &str) {
    let (number, story) = (number.parse().unwrap(), desk.story().await);
    let (hidden, times) = when(desk, |it| *it == Event::CandidateHidden { version: number }).await;
    assert_eq!(times, 1, "{story}");
    let is_built =
        |it: &Event| matches!(it, Event::ImageBuilt { version, .. } if *version == number);
    let (built, _) = when(desk, is_built).await;
    let has_passed =
        |it: &Event| matches!(it, Event::GatePassed { version, .. } if *version == number);
    let (passed, _) = when(desk, has_passed).await;

    assert!(hidden - built <= TimeDelta::seconds(5), "{built} to {hidden}\n{story}");
    assert!(passed - hidden >= TimeDelta::minutes(20), "{hidden} to {passed}\n{story}");
    let exposed = exposed(desk, seen).await;
    let (_, times) = exposed.get(&("web".to_owned(), number)).cloned().unwrap_or_default();
    assert!(times.iter().all(|it| *it <= hidden), "{times:?}, hidden at {hidden}\n{story}");
    let (_, released) = when(desk, |it| *it == Event::RunReleased { version: number }).await;
    assert_eq!(released, 1, "{story}");
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
}
