//! A desk in one process: the sandbox, its Functions host and the handler, over routers, under
//! tokio's paused clock. Time is the test's to move.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use chrono::{DateTime, Utc};
use cli::load::{self, Loaded};
use contract::{Checked, Verified};
use functions::{App, Settings};
use futures::StreamExt;
use ledger::{Entry, Ledger, StreamName};
use object_store::{ObjectStore, ObjectStoreExt};
use rules::ImageName;
use rules::catalog::Catalog;
use rules::event::Event;
use rules::state::State;
use sandbox::estate::Estate;
use sandbox::host::{Activity, Host, HostOptions, Outcome, Package};
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Local, PausedClock, Tokens, Wire};

use crate::spoiled::Spoil;

pub(crate) const ARM: &str = "127.0.0.1:4001";
const BUS: &str = "127.0.0.1:4002";
const BLOB: &str = "127.0.0.1:4003";
const PEOPLE: &str = "127.0.0.1:4005";
pub(crate) const HANDLER: &str = "127.0.0.1:4004";

/// Everything on one desk.
pub(crate) struct Desk {
    pub(crate) catalog: Catalog,
    pub(crate) ledger: Ledger,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) host: Arc<Host>,
    /// A wire to the first handler that spoils nothing.
    direct: Arc<dyn Wire>,
    world: Arc<dyn Wire>,
    clock: Arc<dyn Clock>,
    /// What did not go well on the way: failed invocations and dead letters.
    pub(crate) ailments: Arc<Mutex<Vec<String>>>,
    /// Holds all that crosses against Microsoft's documents; a violation fails the test.
    _verified: Verified,
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Desk {
    /// The example that a newcomer runs.
    pub(crate) async fn example() -> Desk {
        let examples = root().join("examples");
        Desk::with(&examples.join("catalog"), &examples.join("estate.yaml")).await
    }

    /// A desk with another catalog and estate.
    pub(crate) async fn with(catalog: &Path, estate: &Path) -> Desk {
        let loaded = load::catalog(catalog).unwrap();
        let estate = load::estate(estate).unwrap();
        Desk::of(loaded, &estate, Spoil::default()).await
    }

    /// The example, with a spoiled wire.
    pub(crate) async fn spoiled(spoil: Spoil) -> Desk {
        let examples = root().join("examples");
        let loaded = load::catalog(&examples.join("catalog")).unwrap();
        let estate = load::estate(&examples.join("estate.yaml")).unwrap();
        Desk::of(loaded, &estate, spoil).await
    }

    /// A desk whose wires are spoiled: the handler's to the world, the host's to the handler.
    pub(crate) async fn of(mut loaded: Loaded, estate: &Estate, spoil: Spoil) -> Desk {
        loaded.catalog.notify.webhook = spoil.people;
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::starting_at(estate.start));
        let package =
            Package::of(functions::package::HOST_JSON, owned(), &BTreeMap::new()).unwrap();
        assert!(package.refused.is_empty(), "{:?}", package.refused);
        let queues = package.queues().into_iter().map(|it| it.parse().unwrap());
        let options = SandboxOptions::new(format!("http://{BLOB}"), queues, "secret");
        let time = Time::Told(Arc::clone(&clock));
        let sandbox = Arc::new(Sandbox::open(estate, &Place::Memory, time, options).unwrap());
        let routers = sandbox.routers();
        let verified = Verified::new(Checked::Both);

        let settings = settings(&loaded.catalog);
        let people = Router::new().fallback(|| async { "told" });
        let services = [
            (ARM, verified.around(routers.arm)),
            (BUS, routers.bus),
            (BLOB, routers.blob),
            (PEOPLE, people),
        ];
        let world = Local::to(services.map(|(host, router)| (host.to_owned(), router)));
        let tokens = Arc::new(Tokens::fixed("a-token".to_owned()));
        let plain: Arc<dyn Wire> = Arc::new(world);
        let wire = (spoil.world)(Arc::clone(&plain));
        let mut apps: Vec<Arc<dyn Wire>> = Vec::new();
        for _ in 0..spoil.handlers {
            let (wire, clock) = (Arc::clone(&wire), Arc::clone(&clock));
            let app = App::new(settings.clone(), wire, clock, Arc::clone(&tokens)).unwrap();
            apps.push(Arc::new(Local::to([(HANDLER.to_owned(), Arc::new(app).router())])));
        }
        let direct = Arc::clone(&apps[0]);
        let handler = (spoil.handler)(apps);

        let ailments = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ailments);
        let options = HostOptions {
            handler: format!("http://{HANDLER}"),
            namespace: "desk".to_owned(),
            azure: Some(Arc::clone(&sandbox.azure)),
            observer: Some(Arc::new(move |activity| {
                seen.lock().unwrap().extend(ailment(activity));
            })),
            ..HostOptions::default()
        };
        let host = Host::new(
            package,
            Arc::clone(&sandbox.bus),
            Arc::clone(&sandbox.database),
            Arc::clone(&clock),
            sandbox.holds.clone(),
            Arc::clone(&handler),
            options,
        )
        .unwrap();

        let ledger = ledger_of(&loaded.catalog, &plain, &clock);
        cli::publish::publish(&ledger, &loaded, clock.now(), "test").await.unwrap();
        let catalog = loaded.catalog;
        Desk {
            catalog,
            ledger,
            sandbox,
            host,
            direct,
            world: plain,
            clock,
            ailments,
            _verified: verified,
        }
    }

    /// The desk's time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Lets everything happen that happens until `at`.
    pub(crate) async fn run_to(&mut self, at: DateTime<Utc>) {
        self.run_to_or(at, || false).await;
    }

    /// The same, or until something has begun or ended and it `is_over`.
    pub(crate) async fn run_to_or(&mut self, at: DateTime<Utc>, is_over: impl Fn() -> bool) {
        let over = |activity: &Activity| is_over() || time_of(activity) >= at;
        self.host.run_until(over).await.unwrap();
    }

    /// The same, and calls `look` whenever a function has ended that may have asked Azure for
    /// something.
    pub(crate) async fn run_watched(&mut self, at: DateTime<Utc>, look: &mut impl FnMut()) {
        let over = |activity: &Activity| {
            if let Activity::Ended { function, .. } = activity
                && !matches!(function.as_str(), "find_due_images" | "look_again" | "notify")
            {
                look();
            }
            time_of(activity) >= at
        };
        self.host.run_until(over).await.unwrap();
    }

    /// Runs until every image has a release of its own run, owes nothing and has been judged since.
    /// At most `days`.
    pub(crate) async fn run_until_over(&mut self, days: i64) {
        let end = self.now() + chrono::TimeDelta::days(days);
        while self.now() < end {
            self.run_to(self.now() + chrono::TimeDelta::hours(1)).await;
            if self.is_over().await {
                return;
            }
        }
        panic!("not over after {days} days:\n{}", self.story().await);
    }

    async fn is_over(&self) -> bool {
        for image in self.images() {
            let entries = self.entries(&image).await;
            let state = self.state(&image).await;
            let released = entries.iter().rev().find(|entry| {
                entry.events.iter().any(|it| matches!(it, Event::RunReleased { .. }))
            });
            let Some(released) = released else { return false };
            if !state.is_quiet() || state.judged_at.is_none_or(|at| at <= released.at) {
                return false;
            }
        }
        true
    }

    /// Lets a timer function run, past the host.
    pub(crate) async fn tick(&self, timer: &str) -> u16 {
        let body = r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#;
        let mut request = seam::Request::new(body.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://{HANDLER}/{timer}").parse().unwrap();
        let id = format!("tick-{timer}-{}", self.now().timestamp_micros());
        let name = "x-azure-functions-invocationid";
        request.headers_mut().insert(name, id.parse().unwrap());
        self.handler_once(request).await
    }

    /// A person's request under a given id, past the host; the status that the person gets.
    pub(crate) async fn request_with_id(&self, path: &str, id: &str) -> u64 {
        let mut parts = path.split('/');
        let mut part = || parts.next().unwrap();
        let params = serde_json::json!({ "kind": part(), "name": part(), "verb": part() });
        let req = serde_json::json!({ "Method": "POST", "Params": params });
        let body = serde_json::json!({ "Data": { "req": req }, "Metadata": {} }).to_string();
        let mut request = seam::Request::new(body.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://{HANDLER}/api").parse().unwrap();
        let name = "x-azure-functions-invocationid";
        request.headers_mut().insert(name, id.parse().unwrap());
        let (_, _, answer) =
            self.direct.send(request).await.unwrap().collect(1 << 20).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        answer["Outputs"]["res"]["statusCode"].as_u64().unwrap()
    }

    /// Asks the app for something, as a person does; returns the status of its answer.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> u16 {
        let host = Local::to([("host".to_owned(), self.host.router())]);
        let mut request = seam::Request::new(body.to_owned().into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://host/api/{path}").parse().unwrap();
        let length = body.len().into();
        request.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        host.send(request).await.unwrap().status.as_u16()
    }

    /// The store below the ledger.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        let tokens = Arc::new(Tokens::fixed("a-token".to_owned()));
        let (wire, clock) = (Arc::clone(&self.world), Arc::clone(&self.clock));
        let outbound = seam::Outbound::new(wire, clock, tokens, [BLOB.to_owned()]);
        seam::store::open(&format!("http://{BLOB}/goldsmith/goldsmith"), &outbound).unwrap()
    }

    /// The bytes of one object of the store.
    pub(crate) async fn blob(&self, key: &str) -> Vec<u8> {
        let got = self.store().get(&object_store::path::Path::from(key)).await.unwrap();
        got.bytes().await.unwrap().to_vec()
    }

    /// The keys of the store under `prefix`.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let store = self.store();
        let mut objects = store.list(Some(&object_store::path::Path::from(prefix)));
        let mut keys = Vec::new();
        while let Some(object) = objects.next().await {
            keys.push(object.unwrap().location.to_string());
        }
        keys
    }

    /// Writes a resource as somebody else, past the product's own client; the status of the answer.
    pub(crate) async fn arm_put(&self, id: &str, body: &serde_json::Value) -> u16 {
        self.arm_write(http::Method::PUT, id, body).await
    }

    /// The same, by any method.
    pub(crate) async fn arm_write(
        &self,
        method: http::Method,
        id: &str,
        body: &serde_json::Value,
    ) -> u16 {
        let mut request = seam::Request::new(body.to_string().into());
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{ARM}{id}?api-version=2024-03-03").parse().unwrap();
        for (name, value) in [
            ("authorization", "Bearer a-token"),
            ("content-type", "application/json"),
            ("user-agent", "somebody-else/1.0"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        self.world.send(request).await.unwrap().status.as_u16()
    }

    /// How many templates are in the build group.
    pub(crate) async fn templates_left(&self) -> usize {
        let group = arm::GroupId::new(
            &self.catalog.gallery.subscription,
            &self.catalog.build.resource_group,
        );
        self.arm().templates(&group).await.unwrap().len()
    }

    /// A client of the simulated ARM.
    pub(crate) fn arm(&self) -> arm::Arm {
        let tokens = Arc::new(Tokens::fixed("a-token".to_owned()));
        let (wire, clock) = (Arc::clone(&self.world), Arc::clone(&self.clock));
        let outbound = seam::Outbound::new(wire, clock, tokens, [ARM.to_owned()]);
        arm::Arm::new(format!("http://{ARM}").parse().unwrap(), outbound)
    }

    /// Hands a request to the handler, past the host, and returns the status of its answer.
    pub(crate) async fn handler_once(&self, request: seam::Request) -> u16 {
        self.direct.send(request).await.unwrap().status.as_u16()
    }

    /// The images of the catalog.
    pub(crate) fn images(&self) -> Vec<ImageName> {
        self.catalog.images.iter().map(|it| it.name.clone()).collect()
    }

    /// The state of an image.
    pub(crate) async fn state(&self, image: &ImageName) -> State {
        self.ledger.read(&StreamName::Image(image.clone())).await.unwrap().state
    }

    /// The entries of an image, oldest first.
    pub(crate) async fn entries(&self, image: &ImageName) -> Vec<Entry> {
        let entries = self.ledger.entries(&StreamName::Image(image.clone())).await.unwrap();
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The events of an image, oldest first.
    pub(crate) async fn events(&self, image: &str) -> Vec<Event> {
        let image = image.parse().unwrap();
        self.entries(&image).await.into_iter().flat_map(|entry| entry.events).collect()
    }

    /// The events of every image, each with the image it happened to.
    pub(crate) async fn all_events(&self) -> Vec<(String, Event)> {
        let mut all = Vec::new();
        for image in self.images() {
            let events = self.events(image.as_str()).await;
            all.extend(events.into_iter().map(|event| (image.to_string(), event)));
        }
        all
    }

    /// What happened, for a person who looks at a failed test.
    pub(crate) async fn story(&self) -> String {
        let mut lines = Vec::new();
        for image in self.images() {
            for (seq, entry) in self.entries(&image).await.iter().enumerate() {
                for event in &entry.events {
                    let at = entry.at.format("%m-%d %H:%M:%S");
                    lines.push(format!("{at} {image} {} {}: {event:?}", seq + 1, entry.by));
                }
            }
            lines.push(format!("{image} wants {:?}", self.state(&image).await.wants()));
        }
        lines.extend(self.ailments.lock().unwrap().iter().cloned());
        lines.join("\n")
    }
}

/// The ledger of `catalog`, reached as the handler reaches it.
pub(crate) fn ledger_of(catalog: &Catalog, wire: &Arc<dyn Wire>, clock: &Arc<dyn Clock>) -> Ledger {
    let tokens = Arc::new(Tokens::fixed("a-token".to_owned()));
    let (wire, clock) = (Arc::clone(wire), Arc::clone(clock));
    let outbound = seam::Outbound::new(wire, clock, tokens, [BLOB.to_owned()]);
    let store = seam::store::open(&format!("http://{BLOB}/goldsmith/goldsmith"), &outbound);
    Ledger::new(store.unwrap(), catalog.catalog.clone())
}

fn settings(catalog: &Catalog) -> Settings {
    let address = |host: &str| format!("http://{host}").parse().unwrap();
    Settings {
        catalog: catalog.catalog.clone(),
        arm: address(ARM),
        bus: address(BUS),
        store: format!("http://{BLOB}/goldsmith/goldsmith").parse().unwrap(),
        blobs: format!("http://{BLOB}/{{account}}"),
        client_id: None,
        deleting_client_id: None,
        developer: false,
        webhook: Some(address(PEOPLE)),
        desk_time: false,
    }
}

fn owned() -> Vec<(String, String)> {
    let functions = functions::package::functions();
    functions.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect()
}

fn time_of(activity: &Activity) -> DateTime<Utc> {
    match activity {
        Activity::Started { at, .. }
        | Activity::Ended { at, .. }
        | Activity::DeadLettered { at, .. } => *at,
    }
}

fn ailment(activity: &Activity) -> Option<String> {
    match activity {
        Activity::Started { .. } => None,
        Activity::Ended { outcome: Outcome::Succeeded, .. } => None,
        Activity::Ended { function, outcome, at, .. } => {
            Some(format!("{at} {function} ended {outcome:?}"))
        }
        Activity::DeadLettered { queue, message_id, reason, at } => {
            Some(format!("{at} {queue} gave up {message_id}: {reason}"))
        }
    }
}
