//! The ledger as an onlooker tells it: what was said of each version, in which order, without a
//! line of the fold that the product lives by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use serde_json::Value;

use super::Fact;
use crate::record::{Entry, Write};

/// How far a machine's clock may be off, twice: an entry says the time of the machine that wrote it.
pub const CLOCKS: TimeDelta = TimeDelta::seconds(20);

/// More wishes to follow the version of a run are never open at once.
const MOST_FOLLOWED: usize = 50;

/// Everything that was said.
#[derive(Debug, Default)]
pub struct Story {
    pub images: BTreeMap<String, Image>,
    /// The plans of deletions that somebody has approved.
    pub approved: BTreeSet<String>,
    /// By the digest that entries name.
    catalogs: BTreeMap<String, Arc<Catalog>>,
    blobs: BTreeMap<String, Bytes>,
}

/// What was said of one image.
#[derive(Debug, Default)]
pub struct Image {
    pub versions: BTreeMap<String, Version>,
    pub building: Option<String>,
    pub releasing: Option<String>,
    pub hold: Option<Hold>,
    /// The pins, each with the number of its entry.
    pub pins: BTreeMap<String, Hold>,
    pub intents: Vec<Intent>,
    /// The entries that wanted a run's version followed.
    followed: BTreeSet<u64>,
}

/// Something that holds until it is taken away, or until then.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    pub seq: u64,
    pub until: Option<DateTime<Utc>>,
}

/// What was said of one version.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// The entry that opened its run; a version without one is not ours.
    pub opened: Option<u64>,
    /// When, by the store.
    pub opened_at: Option<DateTime<Utc>>,
    pub template: String,
    /// The version of another image that it is built from.
    pub base: Option<(String, String)>,
    /// Its newest scan report, among the blobs.
    pub report: Option<String>,
    /// The entry by which the gate has passed it.
    pub passed: Option<u64>,
    pub plan: Vec<Ring>,
    /// The entry by which it was rejected, failed or taken back, and when that was.
    pub condemned: Option<(u64, DateTime<Utc>)>,
    /// When each ring was released, by the clock of whoever said so.
    pub rings: BTreeMap<usize, DateTime<Utc>>,
    /// The entry by which each ring was first approved.
    pub approvals: BTreeMap<usize, u64>,
    /// The last ring has it.
    pub everywhere: Option<DateTime<Utc>>,
    pub deprecated: bool,
    pub deleted: bool,
}

/// A ring of a plan.
#[derive(Clone, Debug)]
pub struct Ring {
    pub regions: BTreeSet<String>,
    pub bake: TimeDelta,
    pub approval: bool,
}

/// A write that was intended.
#[derive(Clone, Debug)]
pub struct Intent {
    pub seq: u64,
    /// Whether it is said who, why and by what evidence.
    pub is_explained: bool,
    /// The name of the entry: the invocation, and a counter.
    pub id: String,
    pub policy: String,
    pub target: String,
    pub operation: String,
    /// When the store took it.
    pub stored_at: DateTime<Utc>,
    /// When the step began that intends it, by its own clock.
    pub said_at: DateTime<Utc>,
    pub send_before: DateTime<Utc>,
    /// What became of it, as the ledger says.
    pub outcome: Option<String>,
    /// Whether Azure has taken a write of it.
    pub taken: bool,
}

impl Intent {
    /// When the step began, at the earliest: what came later it could not know.
    pub fn began(&self) -> DateTime<Utc> {
        self.said_at.min(self.stored_at) - CLOCKS
    }
}

/// What a write is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Version { image: String, number: String },
    Definition { image: String },
    Template { name: String },
    Other,
}

impl Story {
    /// The catalog of this digest.
    pub fn catalog(&self, digest: &str) -> Option<&Arc<Catalog>> {
        self.catalogs.get(digest)
    }

    /// The blob of this digest.
    pub fn blob(&self, digest: &str) -> Option<&Bytes> {
        self.blobs.get(digest)
    }

    /// What was said of a version.
    pub fn version(&self, image: &str, number: &str) -> Option<&Version> {
        self.images.get(image)?.versions.get(number)
    }

    /// The intent that `write` carries out, by the invocation that sent it: its image's name, too.
    pub fn intent_of(&self, write: &Write) -> Option<(&str, &Intent)> {
        let (image, place) = self.place_of(write)?;
        Some((image, &self.images[image].intents[place]))
    }

    fn place_of(&self, write: &Write) -> Option<(&str, usize)> {
        let operation = operation(write)?;
        let (within, target) = match target(&write.path) {
            Target::Version { image, number } => (Some(image), number),
            Target::Definition { image } => (Some(image.clone()), image),
            Target::Template { name } => (None, name),
            Target::Other => return None,
        };
        let is_its = |it: &Intent| {
            let invocation = it.id.rsplit_once('.').map_or("", |(invocation, _)| invocation);
            it.operation == operation && it.target == target && invocation == write.invocation
        };
        self.images
            .iter()
            .filter(|(image, _)| within.as_ref().is_none_or(|it| it == *image))
            .find_map(|(image, it)| Some((image.as_str(), it.intents.iter().rposition(is_its)?)))
    }

    /// Azure has taken `write`.
    pub fn wrote(&mut self, write: &Write) {
        let Some((image, place)) = self.place_of(write) else { return };
        let image = image.to_owned();
        if let Some(image) = self.images.get_mut(&image) {
            image.intents[place].taken |= write.has_happened();
        }
    }

    /// Something else than an entry was put into the store.
    pub fn stored(&mut self, key: &str, bytes: &Bytes) {
        if let Some(digest) = key.strip_prefix("blobs/") {
            self.blobs.insert(digest.to_owned(), bytes.clone());
        }
    }

    /// Forgets what is over for days: versions that are deleted, intents whose outcome is known, and
    /// the reports of neither.
    pub fn rest(&mut self, now: DateTime<Utc>) {
        let long_ago = now - TimeDelta::days(2);
        for image in self.images.values_mut() {
            image
                .versions
                .retain(|_, it| !it.deleted || it.opened_at.is_some_and(|at| at > long_ago));
            image.intents.retain(|it| it.outcome.is_none() || it.stored_at > long_ago);
            while image.followed.len() > MOST_FOLLOWED {
                image.followed.pop_first();
            }
        }
        let versions = self.images.values().flat_map(|it| it.versions.values());
        let reports: BTreeSet<&String> = versions.filter_map(|it| it.report.as_ref()).collect();
        self.blobs.retain(|digest, _| reports.contains(digest));
    }

    /// An entry was written.
    pub fn entered(&mut self, entry: &Entry) {
        let digest = entry.value["policy"].as_str().unwrap_or_default();
        if !self.catalogs.contains_key(digest)
            && let Some(bytes) = self.blobs.get(digest)
            && let Ok(catalog) = serde_json::from_slice(bytes)
        {
            self.catalogs.insert(digest.to_owned(), Arc::new(catalog));
        }
    }

    /// A fact was written.
    pub fn tell(&mut self, fact: &Fact<'_>) {
        if fact.name == "deletionPlanApproved" {
            self.approved.insert(fact.text("plan").to_owned());
        }
        self.images.entry(fact.stream.to_owned()).or_default().tell(fact);
    }
}

impl Image {
    fn tell(&mut self, fact: &Fact<'_>) {
        let (seq, number) = (fact.entry.seq, fact.version().to_owned());
        let ring = fact.body["ring"].as_u64().and_then(|it| usize::try_from(it).ok());
        let ring = ring.unwrap_or_default();
        match fact.name {
            "intentRecorded" => self.intents.push(intent(fact)),
            "effectSettled" => self.settle(fact),
            "imageHeld" => self.hold = Some(Hold { seq, until: fact.time("until") }),
            "imageResumed" => self.hold = None,
            "versionPinned" => {
                self.pins.insert(number, Hold { seq, until: fact.time("until") });
            }
            "versionUnpinned" => {
                self.pins.remove(&number);
            }
            "replicationRequested" | "releaseRequested" => {
                self.followed.insert(seq);
            }
            "stepFailed" => self.give_up(fact),
            "runOpened" => {
                self.building = Some(number.clone());
                let version = self.version(&number);
                version.opened = Some(seq);
                version.opened_at = Some(fact.entry.at);
                version.template = fact.text("template").to_owned();
                let base = &fact.body["base"];
                let text = |member: &str| base[member].as_str().unwrap_or_default().to_owned();
                version.base = (text("kind") == "image").then(|| (text("image"), text("version")));
            }
            "imageScanned" => self.version(&number).report = Some(fact.text("report").to_owned()),
            "gatePassed" => {
                self.building = None;
                self.releasing = Some(number.clone());
                let version = self.version(&number);
                version.passed = Some(seq);
                version.plan =
                    fact.body["plan"].as_array().into_iter().flatten().map(read).collect();
            }
            "imageRejected" | "buildFailed" | "versionRevoked" => {
                self.condemn(&number, fact, true);
            }
            "runFailed" => self.condemn(&number, fact, false),
            "runSuperseded" => self.end(&number),
            "runReleased" => {
                self.version(&number).everywhere = Some(fact.entry.at);
                self.end(&number);
            }
            "ringReleased" => {
                let said_at = fact.said_at();
                self.version(&number).rings.insert(ring, said_at);
            }
            "approvalGranted" => {
                self.version(&number).approvals.entry(ring).or_insert(seq);
            }
            "versionDeprecated" => self.version(&number).deprecated = true,
            "versionDeleted" => self.version(&number).deleted = true,
            _ => {}
        }
    }

    fn version(&mut self, number: &str) -> &mut Version {
        self.versions.entry(number.to_owned()).or_default()
    }

    fn end(&mut self, number: &str) {
        for slot in [&mut self.building, &mut self.releasing] {
            slot.take_if(|it| it == number);
        }
    }

    /// What a ring has stays offered when the run fails later, unless `always`.
    fn condemn(&mut self, number: &str, fact: &Fact<'_>, always: bool) {
        self.end(number);
        let (seq, at) = (fact.entry.seq, fact.entry.at);
        let version = self.version(number);
        if always || version.rings.is_empty() {
            version.condemned.get_or_insert((seq, at));
        }
    }

    /// A step that can never succeed ends the run that it is a step of.
    fn give_up(&mut self, fact: &Fact<'_>) {
        let of = match fact.text("function") {
            "create_template" | "start_build" | "follow_build" | "start_scan" | "follow_scan"
            | "judge_image" => &self.building,
            "replicate_version" | "release_version" => &self.releasing,
            "follow_version" if self.followed.contains(&fact.body["seq"].as_u64().unwrap_or(0)) => {
                &self.releasing
            }
            _ => &None,
        };
        if let Some(number) = of.clone() {
            self.condemn(&number, fact, false);
        }
    }

    fn settle(&mut self, fact: &Fact<'_>) {
        let (target, operation) = (fact.text("target"), fact.text("operation"));
        let open = self.intents.iter_mut().rev();
        let mut open = open.filter(|it| it.target == target && it.operation == operation);
        if let Some(intent) = open.next() {
            let outcome = fact.body["outcome"]["kind"].as_str().unwrap_or_default();
            intent.outcome = Some(outcome.to_owned());
        }
    }
}

fn intent(fact: &Fact<'_>) -> Intent {
    let entry = &fact.entry.value;
    let said = |member: &str| entry[member].as_str().is_some_and(|it| !it.is_empty());
    let evidence = fact.body["evidence"].as_array().is_some_and(|it| !it.is_empty());
    let is_explained = evidence
        && !fact.text("intent").is_empty()
        && ["id", "cause", "by", "at", "policy"].into_iter().all(said);
    let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
    Intent {
        seq: fact.entry.seq,
        is_explained,
        id: text("id"),
        policy: text("policy"),
        target: fact.text("target").to_owned(),
        operation: fact.text("operation").to_owned(),
        stored_at: fact.entry.at,
        said_at: fact.said_at(),
        send_before: fact.time("sendBefore").unwrap_or_default(),
        outcome: None,
        taken: false,
    }
}

fn read(ring: &Value) -> Ring {
    let regions = ring["regions"].as_array().into_iter().flatten();
    Ring {
        regions: regions.filter_map(Value::as_str).map(str::to_owned).collect(),
        bake: TimeDelta::hours(ring["bakeHours"].as_i64().unwrap_or(0)),
        approval: ring["approval"] == true,
    }
}

/// What a path is about; it is in lower case.
pub fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.split('/').collect();
    let after = |name: &str| {
        let place = parts.iter().position(|it| *it == name)?;
        Some(&parts[place + 1..])
    };
    match (after("galleries"), after("imagetemplates")) {
        (Some([_, "images", image, "versions", number]), _) => {
            Target::Version { image: (*image).to_owned(), number: (*number).to_owned() }
        }
        (Some([_, "images", image]), _) => Target::Definition { image: (*image).to_owned() },
        (None, Some([name, ..])) => Target::Template { name: (*name).to_owned() },
        _ => Target::Other,
    }
}

/// The word of the ledger for what a write does.
fn operation(write: &Write) -> Option<&'static str> {
    let last = write.path.rsplit('/').next().unwrap_or_default();
    Some(match (target(&write.path), write.method.as_str()) {
        (Target::Version { .. }, "PUT") => "updateVersion",
        (Target::Version { .. }, "DELETE") => "deleteVersion",
        (Target::Definition { .. }, "PUT") => "createDefinition",
        (Target::Template { .. }, "PUT") => "createTemplate",
        (Target::Template { .. }, "DELETE") => "deleteTemplate",
        (Target::Template { .. }, "POST") if last == "run" => "runTemplate",
        (Target::Template { .. }, "POST") if last == "cancel" => "cancelTemplate",
        _ => return None,
    })
}
