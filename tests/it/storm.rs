//! Too many requests: many images due in one moment against budgets that are far too small, waits
//! that Azure asks for, and a bus that accepts nothing for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response as Answer;
use chrono::{DateTime, TimeDelta, Utc};
use cli::load::{self, Loaded};
use http::{Method, StatusCode};
use rules::event::Event;
use sandbox::estate::Estate;
use seam::{Clock, Fault, Request, Response, Wire};

use crate::desk::Desk;
use crate::spoiled::Spoil;

const SUBSCRIPTION: &str = "8d1a5c3e-6f40-4b27-9e58-1c7b3d0a2f96";

/// A catalog of so many images from one base, and an estate whose budgets are so many percent.
fn many(images: usize, budgets_percent: u32) -> (Loaded, Estate) {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = format!(
        "catalog: many
gallery: {{ subscription: {SUBSCRIPTION}, resourceGroup: images, name: many, location: westeurope }}
build:
  resourceGroup: builds
  identity: /subscriptions/{SUBSCRIPTION}/resourceGroups/builds/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder
  atOnce: {images}
consumers: {{ subscriptions: [{SUBSCRIPTION}] }}
images:
"
    );
    for image in 0..images {
        catalog.push_str(&format!(
            "  - name: image-{image}
    identifier: {{ publisher: many, offer: ubuntu, sku: sku-{image} }}
    os: linux
    base: {{ platform: {{ publisher: Canonical, offer: jammy, sku: gen2 }} }}
    customize: [{{ shell: {{ name: configure, inline: [sudo true] }} }}]
    rings: [{{ name: all, regions: [westeurope, northeurope] }}]
    retention: {{ keep: 1 }}
"
        ));
    }
    let estate = format!(
        "start: 2026-06-01T00:10:00Z
tenant: 5b0b6b7e-2d3c-4f8a-9e1d-7a6c5b4d3e2f
budgetsPercent: {budgets_percent}
subscriptions:
  - id: {SUBSCRIPTION}
    name: many
    resourceGroups: [{{ name: images, location: westeurope }}, {{ name: builds, location: westeurope }}]
marketplace:
  - {{ publisher: Canonical, offer: jammy, sku: gen2, os: ubuntu/22.04,
      versions: [{{ version: 22.4.1, released: 2026-05-01T00:00:00Z, packages: {{ openssl: 3.0.2-17 }} }}] }}
steps: [{{ name: configure }}]
galleries: [{{ subscription: {SUBSCRIPTION}, resourceGroup: images, name: many, location: westeurope }}]
"
    );
    let (catalog_path, estate_path) =
        (folder.path().join("catalog.yaml"), folder.path().join("estate.yaml"));
    std::fs::write(&catalog_path, catalog).unwrap();
    std::fs::write(&estate_path, estate).unwrap();
    let loaded = load::catalog(&catalog_path).unwrap_or_else(|error| panic!("{error}"));
    (loaded, load::estate(&estate_path).unwrap_or_else(|error| panic!("{error}")))
}

/// One request that ARM saw.
#[derive(Clone, Debug)]
struct Seen {
    at: DateTime<Utc>,
    method: Method,
    path: String,
    status: StatusCode,
}

type Requests = Arc<Mutex<Vec<Seen>>>;

/// What is answered in ARM's or the bus's place; none: they answer themselves.
type Instead = Box<dyn Fn(&Request, DateTime<Utc>) -> Option<Answer> + Send + Sync>;

/// A wire that remembers what is asked, and answers some of it itself.
struct Listening {
    wire: Arc<dyn Wire>,
    clock: Arc<Mutex<Option<Arc<dyn Clock>>>>,
    seen: Requests,
    instead: Instead,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listening")
    }
}

#[async_trait]
impl Wire for Listening {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let clock = self.clock.lock().unwrap().clone();
        let at = clock.map_or(DateTime::UNIX_EPOCH, |it| it.now());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = match (self.instead)(&request, at) {
            Some(answer) => {
                let (parts, body) = answer.into_parts();
                let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let (status, headers) = (parts.status, parts.headers);
                Response { status, headers, body: seam::Body::full(bytes) }
            }
            None => self.wire.send(request).await?,
        };
        self.seen.lock().unwrap().push(Seen { at, method, path, status: answer.status });
        Ok(answer)
    }
}

async fn listening_desk(loaded: Loaded, estate: &Estate, instead: Instead) -> (Desk, Requests) {
    let (seen, clock) = (Requests::default(), Arc::default());
    let (noted, told) = (Arc::clone(&seen), Arc::clone(&clock));
    let world = move |wire| -> Arc<dyn Wire> {
        Arc::new(Listening { wire, clock: told, seen: noted, instead })
    };
    let desk = Desk::of(loaded, estate, Spoil { world: Box::new(world), ..Spoil::default() }).await;
    *clock.lock().unwrap() = Some(Arc::clone(&desk.sandbox.clock));
    (desk, seen)
}

fn as_it_is() -> Instead {
    Box::new(|_, _| None)
}

/// Every run was asked for once, or its template was read before it was asked for again.
fn no_run_is_asked_for_blindly(seen: &[Seen]) -> usize {
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut runs = 0;
    for request in seen {
        if let Some(template) = request.path.strip_suffix("/run") {
            assert!(asked.insert(template), "{template} was run again without a look");
            runs += 1;
        } else if request.method == Method::GET {
            asked.remove(request.path.as_str());
        }
    }
    runs
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_refusals_delays_and_loses_nothing() {
    let (loaded, estate) = many(10, 3);
    let (mut desk, seen) = listening_desk(loaded, &estate, as_it_is()).await;

    desk.run_to(estate.start + TimeDelta::days(3)).await;

    for image in desk.images() {
        let events = desk.events(image.as_str()).await;
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|it| wanted(it)).count();
        let opened = count(|it| matches!(it, Event::RunOpened { .. }));
        let started = count(|it| matches!(it, Event::BuildStarted { .. }));
        let released = count(|it| matches!(it, Event::RunReleased { .. }));
        let failed = count(|it| matches!(it, Event::StepFailed { .. } | Event::RunFailed { .. }));
        let story = desk.story().await;
        assert_eq!((opened, started, released, failed), (1, 1, 1, 0), "{image}\n{story}");
        // A sweep sees three of the ten until its requests are used up, each one others.
        let judged =
            matches!(events.last(), Some(Event::VersionsJudged { kept }) if kept.len() == 1);
        assert!(judged, "{image} was not judged since its release\n{story}");
    }
    assert_eq!(desk.templates_left().await, 0);
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());

    let calls = desk.sandbox.azure.calls();
    let all = calls.read + calls.write + calls.delete;
    println!("{} of {all} calls were refused as too many", calls.throttled);
    assert!(calls.throttled >= 5, "no storm: {calls:?}");
    assert!(calls.throttled * 5 < all, "{calls:?}");
    assert!(no_run_is_asked_for_blindly(&seen.lock().unwrap()) >= 10);
}

fn throttled(retry_after: Option<u64>, text: &str) -> Answer {
    let body = format!(r#"{{"error":{{"code":"ResourceRequestsThrottled","message":"{text}"}}}}"#);
    let mut answer = Answer::new(Body::from(body));
    *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// When the templates were asked for: the path, refused or not.
fn template_puts(seen: &Requests) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let mut puts: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for request in seen.lock().unwrap().iter() {
        if request.method == Method::PUT && request.path.contains("/imageTemplates/") {
            puts.entry(request.path.clone()).or_default().push(request.at);
        }
    }
    puts
}

async fn refused_for_a_while(retry_after: Option<u64>, text: &'static str) -> Vec<TimeDelta> {
    let (loaded, estate) = many(3, 100);
    // Whoever is left alone for two minutes after the first is refused asks later, and is refused too.
    let until = estate.start + TimeDelta::hours(3);
    let instead: Instead = Box::new(move |request, at| {
        let of_template = request.uri().path().contains("/imageTemplates/");
        (of_template && *request.method() == Method::PUT && at < until)
            .then(|| throttled(retry_after, text))
    });
    let (mut desk, seen) = listening_desk(loaded, &estate, instead).await;
    desk.run_until_over(3).await;

    let puts = template_puts(&seen);
    assert_eq!(puts.len(), 3);
    puts.values().map(|times| times[1] - times[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_before_the_wait_that_azure_asks_for_nor_all_together() {
    let waits = refused_for_a_while(Some(2000), "Too many requests.").await;

    for wait in &waits {
        assert!((2000..3100).contains(&wait.num_seconds()), "{waits:?}");
    }
    let different: BTreeSet<i64> = waits.iter().map(|it| it.num_seconds()).collect();
    assert_eq!(different.len(), 3, "they come back together: {waits:?}");
}

/// errors.json, i=1: a refusal without the header, the seconds in its text.
#[tokio::test(start_paused = true)]
async fn a_wait_that_only_the_text_tells_is_kept_too() {
    let text = "Number of requests for action 'x' exceeded the limit of '150' for time interval \
                '01:00:00'. Please try again after '324' seconds.";
    let waits = refused_for_a_while(None, text).await;

    for wait in &waits {
        assert!((324..600).contains(&wait.num_seconds()), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_refused_is_asked_for_again_after_a_look() {
    let (loaded, estate) = many(2, 100);
    let until = estate.start + TimeDelta::minutes(80);
    let instead: Instead = Box::new(move |request, at| {
        let path = request.uri().path();
        // The look is refused too: it cannot be told whether the run was taken up.
        let of_run = path.ends_with("/run")
            || path.contains("/imageTemplates/") && *request.method() == Method::GET;
        (of_run && at < until).then(|| throttled(Some(60), "Too many requests."))
    });
    let (mut desk, seen) = listening_desk(loaded, &estate, instead).await;

    desk.run_until_over(3).await;

    let seen: Vec<Seen> = seen.lock().unwrap().clone();
    let refused = |it: &&Seen| it.status == StatusCode::TOO_MANY_REQUESTS;
    let good: Vec<Seen> =
        seen.iter().filter(|it| it.path.ends_with("/run") || !refused(it)).cloned().collect();
    let runs = no_run_is_asked_for_blindly(&good);
    // The other one is left alone meanwhile, or is refused itself.
    assert!(runs >= 3, "{runs} runs were asked for, of which the first was refused");
}

/// A fan-out is spaced from the start: not everything that became due in one moment asks in it.
#[tokio::test(start_paused = true)]
async fn what_becomes_due_in_one_moment_is_spread() {
    let (loaded, estate) = many(10, 100);
    let (mut desk, seen) = listening_desk(loaded, &estate, as_it_is()).await;

    desk.run_until_over(3).await;

    let puts = template_puts(&seen);
    let times: BTreeSet<i64> = puts.values().map(|it| it[0].timestamp()).collect();
    assert!(times.len() >= 4, "10 templates within {} instants: {puts:?}", times.len());
    assert_eq!(desk.sandbox.azure.calls().throttled, 0);
}

/// The walk of three images while the bus answers every send with `status` for two hours.
async fn with_a_bus_that_says(status: u16) -> Desk {
    let (loaded, estate) = many(3, 100);
    let (from, until) = (estate.start + TimeDelta::hours(1), estate.start + TimeDelta::hours(3));
    let instead: Instead = Box::new(move |request, at| {
        let of_bus = request.uri().port_u16() == Some(4002);
        let mut answer = Answer::new(Body::from("<Error><Detail>no</Detail></Error>"));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        (of_bus && from <= at && at < until).then_some(answer)
    });
    let (mut desk, _) = listening_desk(loaded, &estate, instead).await;
    desk.run_until_over(5).await;
    desk
}

/// open-questions.md: a missing queue, throttling, a missing role. Whichever of two statuses the
/// service has for each, the same happens, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn each_pair_of_statuses_that_the_bus_may_have_is_treated_alike() {
    for (one, other) in [(404, 410), (429, 503), (401, 403)] {
        let (one_desk, other_desk) =
            (with_a_bus_that_says(one).await, with_a_bus_that_says(other).await);

        let (events, others) = (one_desk.all_events().await, other_desk.all_events().await);
        assert_eq!(events, others, "{one} and {other}");
        let released = events.iter().filter(|it| matches!(it.1, Event::RunReleased { .. })).count();
        assert_eq!(released, 3, "{one}: {}", one_desk.story().await);
    }
}
