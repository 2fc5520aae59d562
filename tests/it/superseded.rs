//! A newer run takes the place of one that is in its rings, but not while nobody knows what became
//! of a ring: what machines are offered must be known to whoever asks for *latest*'s history.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use cli::load;
use http::{HeaderMap, Method, StatusCode};
use rules::VersionNumber;
use rules::event::Event;
use seam::{Fault, Request, Response, Wire};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

/// Takes the release of the second ring of 1.4.0 and loses the answer; nobody can read the version
/// from then on, while `ill` says so.
struct Unanswered {
    wire: Arc<dyn Wire>,
    ill: Arc<AtomicBool>,
    puts: AtomicUsize,
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unanswered")
    }
}

#[async_trait]
impl Wire for Unanswered {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if !request.uri().path().ends_with("/images/web/versions/1.4.0") {
            return self.wire.send(request).await;
        }
        let put = request.method() == Method::PUT;
        let puts = self.puts.fetch_add(usize::from(put), Ordering::SeqCst);
        if put && puts == 2 {
            self.wire.send(request).await?.collect(1 << 20).await?;
            return Err(Fault::PerhapsDone("the answer was lost".to_owned()));
        }
        if puts < 3 || !self.ill.load(Ordering::SeqCst) {
            return self.wire.send(request).await;
        }
        let (status, headers) = (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new());
        Ok(Response { status, headers, body: seam::Body::full(Default::default()) })
    }
}

/// A desk of Northwind's, minutes after the answer was lost, and what it is ill by.
async fn unanswered() -> (Desk, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(true));
    let kept = Arc::clone(&ill);
    let world = move |wire| -> Arc<dyn Wire> {
        Arc::new(Unanswered { wire, ill: kept, puts: AtomicUsize::new(0) })
    };
    let folder = root().join("tests/it/northwind");
    let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
    let estate = load::estate(&folder.join("estate.yaml")).unwrap();
    let spoil = Spoil { world: Box::new(world), ..Spoil::default() };
    let mut desk = Desk::of(loaded, &estate, spoil).await;
    desk.run_to("2026-06-02T06:50:00Z".parse::<DateTime<Utc>>().unwrap()).await;
    let state = desk.state(&"web".parse().unwrap()).await;
    assert_eq!(state.intents.len(), 1, "{}", desk.story().await);
    (desk, ill)
}

async fn run_for(desk: &mut Desk, minutes: i64) {
    desk.run_to(desk.now() + TimeDelta::minutes(minutes)).await;
}

/// Where `what` stands among what happened to the image.
async fn place(desk: &Desk, what: impl Fn(&Event) -> bool) -> usize {
    let events = desk.events("web").await;
    let story = desk.story().await;
    events.iter().position(what).unwrap_or_else(|| panic!("it never happened\n{story}"))
}

fn version(text: &str) -> VersionNumber {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_superseded_while_nobody_knows_whether_its_ring_was_released() {
    let (mut desk, ill) = unanswered().await;
    assert_eq!(desk.ask("images/web/rebuild", r#"{"why":"now"}"#).await, 202);
    run_for(&mut desk, 60).await;
    ill.store(false, Ordering::SeqCst);
    run_for(&mut desk, 120).await;

    let (older, newer) = (version("1.4.0"), version("1.4.1"));
    let released = place(&desk, |it| *it == Event::RunReleased { version: older }).await;
    let passed = |it: &Event| matches!(it, Event::GatePassed { version, .. } if *version == newer);
    assert!(released < place(&desk, passed).await, "{}", desk.story().await);
    let state = desk.state(&"web".parse().unwrap()).await;
    assert_eq!(state.versions[&older].released_at.len(), 3, "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_hold_does_not_hide_that_a_ring_was_released_before_it() {
    let (mut desk, ill) = unanswered().await;
    assert_eq!(desk.ask("images/web/hold", r#"{"why":"audit"}"#).await, 202);
    ill.store(false, Ordering::SeqCst);
    run_for(&mut desk, 60).await;

    place(&desk, |it| *it == Event::RunReleased { version: version("1.4.0") }).await;
}
