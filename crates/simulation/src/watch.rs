//! Looks after every event whether the invariants hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use sandbox::Sandbox;
use sandbox::bus::Bus;
use sandbox::estate::Estate;
use sandbox::host::{Activity, Outcome};
use seam::Clock;

use crate::fault::Faults;
use crate::invariants::secrets::secret;
use crate::invariants::story::Story;
use crate::invariants::{self, DeadLetter, Gallery, Invariant, Seen};
use crate::plan::Plan;
use crate::record::{Record, Written};
use crate::trace::Trace;
use crate::world::definition;

/// What is looked at.
pub(crate) struct Looks {
    pub(crate) invariants: Vec<Box<dyn Invariant>>,
    /// The images whose versions are looked at.
    pub(crate) images: Vec<String>,
}

/// What of a world is looked at.
type World<'a> = (&'a Sandbox, &'a Arc<dyn Clock>, &'a Faults, &'a Record, &'a Trace);

/// Looks after every event whether the invariants hold.
pub(crate) struct Watch(Mutex<Watching>);

struct Watching {
    invariants: Vec<Box<dyn Invariant>>,
    /// How many entries of each stream, and how many writes, were seen.
    entries: BTreeMap<String, usize>,
    writes: usize,
    objects: usize,
    changes: u64,
    catalog: Catalog,
    /// The images whose versions are looked at: those that the seed began with, whatever the catalog
    /// says of them now.
    images: Vec<String>,
    estate: Estate,
    azure: Arc<sandbox::azure::Azure>,
    bus: Arc<Bus>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    record: Record,
    trace: Trace,
    /// Since when nothing goes wrong any more.
    calm: Option<DateTime<Utc>>,
    /// The dead letters that no invariant has seen yet.
    dead: Vec<DeadLetter>,
    /// What did not hold, the first of each.
    broken: Vec<String>,
    story: Story,
    /// What the gallery was just before the newest write.
    before: Gallery,
    looks: u64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Hears of every invocation of the host.
pub(crate) fn observer(trace: &Trace, watch: &Arc<Watch>) -> sandbox::host::Observer {
    let (trace, watch) = (trace.clone(), Arc::clone(watch));
    Arc::new(move |activity: &Activity| {
        match activity {
            Activity::Started { function, message_id, at, .. } => {
                let message = message_id.as_deref().unwrap_or_default();
                trace.say(*at, "began", format_args!("{function} {message}"));
            }
            Activity::Ended { function, message_id, outcome, at, .. } => {
                let message = message_id.as_deref().unwrap_or_default();
                match outcome {
                    Outcome::Succeeded => {
                        trace.say(*at, "ended", format_args!("{function} {message}"));
                    }
                    other => {
                        trace.say(*at, "failed", format_args!("{function} {message} {other:?}"));
                    }
                }
            }
            Activity::DeadLettered { queue, message_id, reason, at } => {
                trace.say(*at, "dead", format_args!("{queue} {message_id}: {reason}"));
                let (queue, id, reason) = (queue.clone(), message_id.clone(), reason.clone());
                watch.watching().dead.push(DeadLetter { at: *at, queue, id, reason });
            }
        }
        watch.hear(activity);
        watch.look();
    })
}

impl Watch {
    /// Looks on at a world that begins as `plan` says.
    pub(crate) fn over(plan: &Plan, world: World<'_>, looks: Looks) -> Watch {
        let (sandbox, clock, faults, record, trace) = world;
        Watch(Mutex::new(Watching {
            invariants: looks.invariants,
            entries: BTreeMap::new(),
            writes: 0,
            objects: 0,
            changes: u64::MAX,
            catalog: plan.catalog.clone(),
            images: looks.images,
            estate: plan.estate.clone(),
            azure: Arc::clone(&sandbox.azure),
            bus: Arc::clone(&sandbox.bus),
            clock: Arc::clone(clock),
            faults: faults.clone(),
            record: record.clone(),
            trace: trace.clone(),
            calm: None,
            dead: Vec::new(),
            broken: Vec::new(),
            story: Story::default(),
            before: Gallery::new(),
            looks: 0,
        }))
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calms_down(&self) {
        let mut watching = self.watching();
        watching.calm = Some(watching.clock.now());
    }

    /// A catalog comes into force.
    pub(crate) fn publishes(&self, catalog: Catalog) {
        self.watching().catalog = catalog;
    }

    /// What did not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.watching().broken.clone()
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is new.
    pub(crate) fn look(&self) {
        self.watching().look(false);
    }

    /// Tells whoever wants to know it what the host does.
    fn hear(&self, activity: &Activity) {
        self.watching().invariants.iter_mut().for_each(|it| it.hears(activity));
    }

    /// Looks before a write: what follows is compared with this.
    pub(crate) fn expect(&self) {
        let mut watching = self.watching();
        watching.before = watching.gallery();
    }

    /// What does not hold yet, though nothing goes wrong any more.
    pub(crate) fn open(&self) -> Option<String> {
        self.watching().open()
    }

    /// Looks for the last time.
    pub(crate) fn end(&self) {
        self.watching().look(true);
    }

    /// Looks as if it were the last time, and forgets what is over.
    pub(crate) fn rest(&self) {
        self.watching().rest();
    }

    /// Somebody says `text`: an answer, a message, a line.
    pub(crate) fn says(&self, whose: &str, text: &str) {
        if let Some(secret) = secret(text) {
            self.breaks(&format!("nothing secret leaves: {whose} has {secret}"));
        }
    }

    pub(crate) fn breaks(&self, what: &str) {
        self.watching().breaks(what.to_owned());
    }
}

impl Watching {
    fn breaks(&mut self, what: String) {
        self.trace.say(self.clock.now(), "BROKEN", format_args!("{what}"));
        if self.broken.len() < 5 {
            self.broken.push(what);
        }
    }

    fn gallery(&self) -> Gallery {
        let versions = |image: &String| self.azure.versions(&definition(image)).unwrap_or_default();
        self.images.iter().map(|it| (it.clone(), versions(it))).collect()
    }

    fn look(&mut self, last: bool) {
        let changes = self.record.changes();
        if changes == self.changes && self.dead.is_empty() && !last {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        self.changes = changes;
        self.looks += 1;
        let gallery = self.gallery();
        let written = self.record.read();
        let mut entries = Vec::new();
        for (stream, all) in &written.streams {
            let seen = self.entries.entry(stream.clone()).or_default();
            entries.extend(all[*seen..].iter().map(|it| (stream.as_str(), it)));
            *seen = all.len();
        }
        entries.sort_by_key(|(_, it)| it.at);
        for (stream, entry) in &entries {
            let events = entry.value["events"].as_array().into_iter().flatten();
            for event in events {
                let by = entry.value["by"].as_str().unwrap_or_default();
                let what = format_args!("{stream} {} by {by}: {event}", entry.seq);
                self.trace.say(entry.at, "entry", what);
            }
        }
        let objects = &written.objects[self.objects..];
        for (key, bytes) in objects {
            self.story.stored(key, bytes);
        }
        for (_, entry) in &entries {
            self.story.entered(entry);
        }
        for fact in invariants::facts(&entries) {
            self.story.tell(&fact);
        }
        let writes = &written.writes[self.writes..];
        for write in writes.iter().filter(|it| it.ours) {
            self.story.wrote(write);
        }
        let seen = Seen {
            now: self.clock.now(),
            catalog: &self.catalog,
            estate: &self.estate,
            written: &written,
            story: &self.story,
            entries,
            objects,
            writes,
            before: &self.before,
            gallery: &gallery,
            azure: &self.azure,
            bus: &self.bus,
            dead: &dead,
            faults: &self.faults,
            calm: self.calm,
        };
        let mut broken = Vec::new();
        for invariant in &mut self.invariants {
            let mut held = invariant.look(&seen);
            if held.is_ok() && last {
                held = invariant.end(&seen);
            }
            if let Err(why) = held {
                broken.push(format!("{}: {why}", invariant.name()));
            }
        }
        self.writes = written.writes.len();
        self.objects = written.objects.len();
        drop(written);
        for what in broken {
            self.breaks(what);
        }
    }

    /// What there is to see when nothing is new.
    fn seen<'a>(&'a self, written: &'a Written, gallery: &'a Gallery) -> Seen<'a> {
        Seen {
            now: self.clock.now(),
            catalog: &self.catalog,
            estate: &self.estate,
            written,
            story: &self.story,
            entries: Vec::new(),
            objects: &[],
            writes: &[],
            before: gallery,
            gallery,
            azure: &self.azure,
            bus: &self.bus,
            dead: &[],
            faults: &self.faults,
            calm: self.calm,
        }
    }

    fn open(&mut self) -> Option<String> {
        self.look(false);
        let (gallery, written) = (self.gallery(), self.record.read());
        let seen = self.seen(&written, &gallery);
        self.invariants.iter().find_map(|it| it.end(&seen).err())
    }

    fn rest(&mut self) {
        self.look(true);
        self.story.rest(self.clock.now());
        self.record.forget();
        let mut invariants = std::mem::take(&mut self.invariants);
        let (gallery, record) = (self.gallery(), self.record.clone());
        let written = record.read();
        let seen = self.seen(&written, &gallery);
        for invariant in &mut invariants {
            invariant.rest(&seen);
        }
        self.invariants = invariants;
        let kept = written.streams.iter().map(|(stream, all)| (stream.clone(), all.len()));
        self.entries = kept.collect();
        self.writes = written.writes.len();
        self.objects = written.objects.len();
    }
}
