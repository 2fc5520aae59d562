//! One seed's world, put together: the sandbox's Azure, bus and host, the real handlers, and
//! everything that can go wrong between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use cli::load::Loaded;
use functions::{App, Settings};
use http::Method;
use ledger::Ledger;
use rules::catalog::Catalog;
use sandbox::bus::Queue;
use sandbox::host::{Activity, Host, HostOptions, Package};
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Local, PausedClock, Request, Tokens, Wire};
use serde_json::Value;

use crate::delivery::Processes;
use crate::door::Door;
use crate::fault::Faults;
use crate::invariants;
use crate::network::{AGAIN_WITHIN, Network};
use crate::people::WorstMoment;
use crate::plan::{GALLERY, Plan, REGIONS, SUBSCRIPTION};
use crate::record::{Entry, Record};
use crate::skew::Skewed;
use crate::store::{ACCOUNT, CONTAINER, Store};
use crate::trace::Trace;
use crate::traffic::Traffic;
use crate::watch::{self, Looks, Watch};

pub(crate) const ARM: &str = "127.0.0.1:4001";
pub(crate) const BUS: &str = "127.0.0.1:4002";
const BLOB: &str = "127.0.0.1:4003";
pub(crate) const HANDLER: &str = "127.0.0.1:4004";
pub(crate) const PEOPLE: &str = "127.0.0.1:4005";
/// The token that every request to Azure carries; nobody may write it down.
pub(crate) const TOKEN: &str = "a-token-that-is-secret";
/// The end of the address at which people are told, which lets whoever knows it tell them anything.
pub(crate) const HOOK: &str = "a-hook-that-is-secret";
/// How somebody else names the program that they write with.
pub(crate) const STRANGER: &str = "somebody-else/1.0";

/// Everything of one seed.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) faults: Faults,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) record: Record,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) worst_moment: Arc<WorstMoment>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) store: Store,
    trace: Trace,
    host: Arc<Host>,
    door: Arc<Door>,
}

impl World {
    /// The world of `plan`, in which `faults` strike, with `around` put around Azure's Resource
    /// Manager. Must be called in a runtime whose time is paused.
    ///
    /// # Panics
    /// When the world cannot be put together, which is a fault of the simulation.
    pub async fn of(
        plan: Plan,
        faults: Faults,
        trace: &Trace,
        around: impl FnOnce(Router) -> Router,
    ) -> World {
        let images = plan.catalog.images.iter().map(|it| it.name.to_string()).collect();
        let looks = Looks { invariants: invariants::all(), images };
        World::seen_by(plan, faults, trace, looks, around).await
    }

    /// The same, in which only `invariants` are looked at, and of the gallery only `images`.
    ///
    /// # Panics
    /// As [`World::of`].
    #[expect(clippy::expect_used, reason = "there is no seed to go on with")]
    pub(crate) async fn seen_by(
        plan: Plan,
        faults: Faults,
        trace: &Trace,
        looks: Looks,
        around: impl FnOnce(Router) -> Router,
    ) -> World {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::starting_at(plan.estate.start));
        let record = Record::default();
        let package = package(plan.ticks_every);
        let remembers = plan.duplicates_seconds;
        let queue = |name: &str| format!("{name}:duplicates={remembers}s").parse().ok();
        let queues: Vec<Queue> = package.queues().iter().filter_map(|it| queue(it)).collect();
        let options = SandboxOptions::new(format!("http://{BLOB}"), queues, "unused".to_owned());
        let time = Time::Told(Arc::clone(&clock));
        let sandbox = Sandbox::open(&plan.estate, &Place::Memory, time, options);
        let sandbox = Arc::new(sandbox.expect("a sandbox in memory opens"));
        let routers = sandbox.routers();
        let people = Router::new().fallback(|| async { "told" });
        let services = [
            (ARM, around(routers.arm)),
            (BUS, routers.bus),
            (BLOB, routers.blob),
            (PEOPLE, people),
        ];
        let world = Local::to(services.map(|(host, router)| (host.to_owned(), router)));
        let seen_by = (&*sandbox, &clock, &faults, &record, trace);
        let watch = Arc::new(Watch::over(&plan, seen_by, looks));
        let door = Arc::new(Door::to(world, &record, &clock, trace, &watch));
        let worst_moment = Arc::<WorstMoment>::default();
        let network: Arc<dyn Wire> = Arc::new(Network::new(
            Arc::clone(&door) as _,
            faults.clone(),
            Arc::clone(&clock),
            Arc::clone(&worst_moment),
            record.clone(),
        ));
        let (uploads, faulty) = (Arc::clone(&sandbox.blobs), faults.clone());
        let store = Store::new(uploads, faulty, record.clone(), Arc::clone(&clock));

        let settings = settings(&plan.catalog);
        let tokens = Arc::new(Tokens::fixed(TOKEN.to_owned()));
        let start = {
            let store = store.clone();
            Box::new(move |machine: Skewed| {
                let (wire, clock) = (Arc::clone(&network), Arc::new(machine));
                let app = App::new(settings.clone(), wire, clock, Arc::clone(&tokens));
                let app = app.expect("the settings are right").storing_in(Arc::new(store.clone()));
                Arc::new(app).router()
            })
        };
        let processes = Processes::new(plan.processes, start, faults.clone(), Arc::clone(&clock));

        let options = HostOptions {
            handler: format!("http://{HANDLER}"),
            namespace: "simulated".to_owned(),
            azure: Some(Arc::clone(&sandbox.azure)),
            observer: Some(watch::observer(trace, &watch)),
            ..HostOptions::default()
        };
        let host = Host::new(
            package,
            Arc::clone(&sandbox.bus),
            Arc::clone(&sandbox.database),
            Arc::clone(&clock),
            sandbox.holds.clone(),
            Arc::new(processes),
            options,
        );
        let host = host.expect("the package fits the bus");
        let trace = trace.clone();
        let world = World {
            plan,
            faults,
            clock,
            record,
            sandbox,
            worst_moment,
            trace,
            host,
            store,
            door,
            watch,
        };
        world.publish(world.plan.loaded()).await;
        world
    }

    /// Lives through the seed: trouble, then calm until everything has ended.
    pub async fn live(&self) {
        let over = self.clock.now() + self.plan.troubled;
        tokio::select! {
            biased;
            () = self.live_until(over) => {}
            () = self.live_with_people() => {}
        }
        self.faults.stop();
        self.watch.calms_down();
        self.say("calm", format_args!("from here on nothing goes wrong"));
        // Nothing that was sent before the calm is on its way after this.
        let longest = self.clock.now() + AGAIN_WITHIN + TimeDelta::hours(1);
        let latest = self.clock.now() + TimeDelta::days(9);
        let mut owing: BTreeMap<String, Option<BTreeSet<String>>> =
            self.images().into_iter().map(|it| (it, None)).collect();
        for slice in 0_u32.. {
            let is_over = owing.is_empty() && self.watch.open().is_none();
            if self.clock.now() >= latest || is_over {
                break;
            }
            if slice.is_multiple_of(3) {
                self.approve_all().await;
            }
            self.live_until(self.clock.now() + TimeDelta::hours(2)).await;
            if self.clock.now() >= longest {
                for image in self.images() {
                    let Some(owed) = owing.get_mut(&image) else { continue };
                    let open = self.open(&image).await;
                    // What is begun later by a schedule does not keep a seed alive.
                    let owed = owed.get_or_insert_with(|| open.clone());
                    owed.retain(|it| open.contains(it));
                    if owed.is_empty() {
                        owing.remove(&image);
                    }
                }
            }
            if self.is_broken() {
                return;
            }
        }
        // Somebody finds the dead letters days later.
        if owing.is_empty() && self.has_dead_letters() {
            for _ in 0..8 {
                self.approve_all().await;
                self.live_until(self.clock.now() + TimeDelta::hours(6)).await;
            }
            self.resubmit();
            self.live_until(self.clock.now() + TimeDelta::hours(3)).await;
        }
        for (image, owed) in owing {
            self.watch
                .breaks(&format!("liveness: after nine calm days {image} still has {owed:?}"));
        }
        self.watch.end();
    }

    pub(crate) async fn live_until(&self, at: DateTime<Utc>) {
        let over = |activity: &Activity| {
            let (Activity::Started { at: then, .. }
            | Activity::Ended { at: then, .. }
            | Activity::DeadLettered { at: then, .. }) = activity;
            *then >= at
        };
        if let Err(error) = self.host.run_until(over).await {
            self.watch.breaks(&format!("the host: {error}"));
        }
    }

    /// What of an image is under way or owed: triggers, runs, messages by what they are about.
    async fn open(&self, image: &str) -> BTreeSet<String> {
        let Some(state) = self.state(image).await else {
            return BTreeSet::from(["a stream that cannot be read".to_owned()]);
        };
        let pending = state.pending.iter().map(|it| format!("trigger {it:?}"));
        let runs = state.runs().map(|it| format!("run {}", it.version));
        let wants = state.wants().into_iter().map(|it| format!("{:?}", it.subject));
        pending.chain(runs).chain(wants).collect()
    }

    pub(crate) async fn state(&self, image: &str) -> Option<rules::state::State> {
        let name = ledger::StreamName::Image(image.parse().ok()?);
        Some(self.ledger().read(&name).await.ok()?.state)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(Arc::new(self.store.sound()), self.plan.catalog.catalog.clone())
    }

    /// Puts a catalog in force.
    pub(crate) async fn publish(&self, loaded: Loaded) {
        let published =
            cli::publish::publish(&self.ledger(), &loaded, self.clock.now(), "somebody").await;
        self.say("catalog", format_args!("{:?}", published.map(|it| it.changed)));
        self.watch.publishes(loaded.catalog);
    }

    /// Asks the app for something, as a person does.
    pub(crate) async fn ask(&self, path: &str, body: &Value) {
        let host = Local::to([("host".to_owned(), self.host.router())]);
        let body = body.to_string();
        let length = body.len().into();
        let mut request = Request::new(body.clone().into());
        *request.method_mut() = Method::POST;
        let Ok(uri) = format!("http://host/api/{path}").parse() else { return };
        *request.uri_mut() = uri;
        let recorded = self.asked_of(path);
        request.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        let answer = match host.send(request).await {
            Ok(answer) => answer.collect(usize::MAX).await,
            Err(fault) => Err(fault),
        };
        if let Ok((_, headers, body)) = &answer {
            let said = format!("{headers:?} {}", String::from_utf8_lossy(body));
            self.watch.says("an answer to a person", &said);
        }
        let status = answer.map(|it| it.0.as_u16());
        if status == Ok(202) && self.asked_of(path) == recorded {
            self.watch.breaks(&format!("what is accepted is recorded: {path} is not"));
        }
        self.say("person", format_args!("{path} {body}: {status:?}"));
    }

    /// How many entries people have caused in the stream that `path` of the app is about.
    fn asked_of(&self, path: &str) -> usize {
        let stream = path.strip_prefix("images/").and_then(|it| it.split('/').next());
        let written = self.record.read();
        let entries = written.streams.get(stream.unwrap_or("_catalog")).into_iter().flatten();
        let by_people = |it: &&Entry| it.value["cause"].as_str().is_some_and(is_of_people);
        entries.filter(by_people).count()
    }

    /// Writes on Azure as somebody else.
    pub(crate) async fn stranger(&self, method: &str, id: &str, body: Option<Value>) {
        let mut request = Request::new(body.map(|it| it.to_string()).unwrap_or_default().into());
        let version = match id.split('/').rev().nth(1) {
            Some("virtualMachines") => "2024-07-01",
            Some("imageTemplates") => "2024-02-01",
            _ => "2024-03-03",
        };
        let Ok(uri) = format!("http://{ARM}{id}?api-version={version}").parse() else { return };
        *request.uri_mut() = uri;
        *request.method_mut() = method.parse().unwrap_or(Method::GET);
        for (name, value) in [
            ("authorization", format!("Bearer {TOKEN}")),
            ("content-type", "application/json".to_owned()),
            ("user-agent", STRANGER.to_owned()),
        ] {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(name, value);
            }
        }
        let status = self.door.send(request).await.map(|it| it.status.as_u16());
        self.say("stranger", format_args!("{method} {id}: {status:?}"));
    }

    /// Makes a scale set from a version, as somebody else.
    pub(crate) fn scale_set(&self, id: &str, version: &str, size: u32) {
        let made = self.sandbox.azure.make_scale_set(id, version, REGIONS[0], size);
        self.say("stranger", format_args!("scale set {id} of {size}: {made:?}"));
    }

    fn has_dead_letters(&self) -> bool {
        let counts = self.sandbox.bus.counts().unwrap_or_default();
        counts.values().any(|it| it.dead > 0)
    }

    /// Sends every dead letter again.
    pub(crate) fn resubmit(&self) {
        let bus = &self.sandbox.bus;
        let queues: Vec<String> = bus.queues().map(str::to_owned).collect();
        for queue in queues {
            while let Ok(Some(dead)) = bus.take(&format!("{queue}/$deadletterqueue")) {
                let now = self.clock.now();
                let body = String::from_utf8_lossy(&dead.body).into_owned();
                let sent = bus.deliver(&queue, &dead.message_id, &body, now);
                self.say("resubmit", format_args!("{queue} {}: {}", dead.message_id, sent.is_ok()));
            }
        }
    }

    /// The images of the catalog that the seed began with.
    pub(crate) fn images(&self) -> Vec<String> {
        self.plan.catalog.images.iter().map(|it| it.name.to_string()).collect()
    }

    /// The numbers of an image's versions that are there.
    pub(crate) fn numbers(&self, image: &str) -> Vec<String> {
        let offers = self.sandbox.azure.offers(&self.definition(image)).unwrap_or_default();
        let numbers: BTreeSet<String> = offers.into_iter().map(|it| it.number).collect();
        numbers.into_iter().collect()
    }

    /// The resource id of an image's definition.
    pub(crate) fn definition(&self, image: &str) -> String {
        definition(image)
    }

    pub(crate) fn say(&self, kind: &str, what: std::fmt::Arguments<'_>) {
        self.trace.say(self.clock.now(), kind, what);
    }

    /// What did not hold.
    pub fn broken(&self) -> Vec<String> {
        self.watch.broken()
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.watch.broken().is_empty()
    }

    /// What Azure and the bus were asked.
    pub(crate) fn traffic(&self) -> Traffic {
        self.door.traffic().clone()
    }

    /// How often each event happened, by its name in the ledger.
    pub fn happened(&self) -> BTreeMap<String, u64> {
        self.record.read().happened.clone()
    }

    /// How many events there were: entries and writes, and how many calls of Azure.
    pub fn counts(&self) -> (u64, u64) {
        let calls = self.sandbox.azure.calls();
        (self.record.changes(), calls.read + calls.write + calls.delete)
    }
}

fn is_of_people(cause: &str) -> bool {
    cause.starts_with("api:")
}

pub(crate) fn definition(image: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/galleries/\
         {GALLERY}/images/{image}"
    )
}

/// What ships, its timers rarer: what they find is the same, and a seed is shorter.
#[expect(clippy::expect_used, reason = "there is no seed to go on without the package")]
fn package(ticks_every: u32) -> Package {
    let functions = functions::package::functions();
    let owned: Vec<(String, String)> = functions
        .iter()
        .map(|(name, json)| ((*name).to_owned(), rarer(json, ticks_every)))
        .collect();
    let package = Package::of(functions::package::HOST_JSON, owned, &BTreeMap::new());
    package.expect("what ships can be hosted")
}

/// The text of a function, whose timer ticks at most once in so many minutes.
fn rarer(json: &str, minutes: u32) -> String {
    let Ok(mut function) = serde_json::from_str::<Value>(json) else { return json.to_owned() };
    let hours = minutes / 60;
    for binding in function["bindings"].as_array_mut().into_iter().flatten() {
        let Some(schedule) = binding["schedule"].as_str() else { continue };
        let mut fields: Vec<String> = schedule.split(' ').map(str::to_owned).collect();
        if let [_, minute, hour, ..] = &mut fields[..]
            && hour == "*"
        {
            if minute.starts_with('*') {
                "0".clone_into(minute);
            }
            *hour = format!("*/{hours}");
        }
        binding["schedule"] = Value::String(fields.join(" "));
    }
    function.to_string()
}

#[expect(clippy::expect_used, reason = "constants of this file")]
fn settings(catalog: &Catalog) -> Settings {
    let address = |host: &str| format!("http://{host}").parse().expect("an address");
    Settings {
        catalog: catalog.catalog.clone(),
        arm: address(ARM),
        bus: address(BUS),
        store: address(&format!("{BLOB}/{ACCOUNT}/{CONTAINER}")),
        blobs: format!("http://{BLOB}/{{account}}"),
        client_id: None,
        deleting_client_id: None,
        developer: false,
        webhook: Some(address(&format!("{PEOPLE}/{HOOK}"))),
        desk_time: false,
    }
}
