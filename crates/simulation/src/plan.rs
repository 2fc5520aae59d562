//! What a seed decides before anything happens: the catalog, the estate with what the world around
//! it will do, and for how long things go wrong.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use cli::load::Loaded;
use rules::catalog::Catalog;
use sandbox::estate::{Estate, Variants};
use serde_json::{Value, json};

use crate::chance::Chance;

/// The subscription of the gallery and the builds.
pub const SUBSCRIPTION: &str = "4a6c1f0e-3b52-4d8e-9f61-7c0d2e5b8a94";
/// A subscription of people who use the images.
pub const CONSUMER: &str = "b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70";
/// A subscription of consumers that our identity may not read.
pub const UNREADABLE: &str = "d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19";
pub const TENANT: &str = "5b0b6b7e-2d3c-4f8a-9e1d-7a6c5b4d3e2f";
/// The gallery's name.
pub const GALLERY: &str = "gallery";
/// The home region, and the others.
pub const REGIONS: [&str; 3] = ["westeurope", "northeurope", "uksouth"];

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    pub catalog: Catalog,
    pub estate: Estate,
    /// For how long things go wrong; then the world calms down.
    pub troubled: TimeDelta,
    /// How many handlers there are.
    pub processes: usize,
    /// For how long the bus remembers ids: seven days as `infra` says, or much less.
    pub duplicates_seconds: u32,
    /// How many minutes lie between two ticks of a timer that is more frequent than that.
    pub ticks_every: u32,
}

/// An image before it is written down.
struct Sketch {
    name: String,
    parent: Option<usize>,
    existing: Vec<Existing>,
}

/// A version that is there at the start.
struct Existing {
    number: String,
    days_old: i64,
    regions: usize,
    ours: bool,
    hidden: bool,
    failed: bool,
    standing: Standing,
}

/// What the tags of a version say that was there at the start.
#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Released,
    /// Nobody is offered it, so that it is due for trimming and deletion at once.
    Deprecated,
    Rejected,
}

impl Plan {
    /// What `chance` decides.
    ///
    /// # Panics
    /// When what was drawn is no legal catalog or estate, which is a fault of this file.
    pub fn drawn(chance: &Chance) -> Plan {
        let start = start(chance);
        // Most are small, since what is found is mostly found in a small one, and many are lived.
        let hours = if chance.happens(0.15) { chance.within(30..80) } else { chance.within(6..24) };
        let troubled = TimeDelta::hours(i64::try_from(hours).unwrap_or(20));
        let sketches = sketches(chance);
        let unreadable = chance.happens(0.1);
        let catalog = catalog(chance, &sketches, unreadable);
        let estate = estate(chance, &sketches, start, unreadable);

        let (catalog, estate) = legal(catalog, estate);
        Plan {
            catalog,
            estate,
            troubled,
            duplicates_seconds: *chance.pick(&[604_800, 604_800, 604_800, 7_200, 600]),
            processes: 1 + chance.place(2),
            ticks_every: *chance.pick(&[120, 240]),
        }
    }

    /// What is there at the start, for whoever reads a story.
    pub fn told(&self) -> Vec<String> {
        let (catalog, estate) = (json!(self.catalog), json!(self.estate));
        let images = catalog["images"].as_array().into_iter().flatten();
        let versions = estate["galleries"][0]["definitions"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|it| it["versions"].as_array().into_iter().flatten())
            .map(|it| format!("version   {it}"));
        images
            .map(|it| format!("image     {it}"))
            .chain(versions)
            .chain(
                ["marketplace", "outages", "variants", "machines", "scaleSets", "templates"]
                    .map(|it| format!("{it:9} {}", estate[it])),
            )
            .collect()
    }

    /// The catalog as it is published.
    pub fn loaded(&self) -> Loaded {
        loaded(self.catalog.clone())
    }
}

/// A catalog and an estate as they were written down.
///
/// # Panics
/// When they are not legal, which is a fault of whoever wrote them.
pub fn legal(catalog: Value, estate: Value) -> (Catalog, Estate) {
    let catalog: Catalog = match serde_json::from_value(catalog) {
        Ok(catalog) => catalog,
        Err(error) => panic!("the plan draws a catalog that is none: {error}"),
    };
    let problems = rules::catalog::check(&catalog);
    assert!(problems.is_empty(), "the plan draws an illegal catalog: {problems:?}");
    let estate: Estate = match serde_json::from_value(estate) {
        Ok(estate) => estate,
        Err(error) => panic!("the plan draws an estate that is none: {error}"),
    };
    let problems = estate.check();
    assert!(problems.is_empty(), "the plan draws an illegal estate: {problems:?}");
    (catalog, estate)
}

/// A catalog that names no file, ready to be published.
pub fn loaded(catalog: Catalog) -> Loaded {
    Loaded { catalog, files: BTreeMap::new(), warnings: Vec::new() }
}

/// Mostly any day; sometimes the eve of a Patch Tuesday, or of a change of the clocks.
fn start(chance: &Chance) -> DateTime<Utc> {
    let eves = ["2026-03-28T18:00:00Z", "2026-10-24T18:00:00Z", "2026-09-07T06:00:00Z"];
    let eve = eves[chance.place(eves.len())];
    if chance.happens(0.3)
        && let Ok(eve) = eve.parse()
    {
        return eve;
    }
    let first = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().unwrap_or_default();
    first + chance.sometime(TimeDelta::days(365))
}

fn sketches(chance: &Chance) -> Vec<Sketch> {
    let count = *chance.pick(&[1, 1, 1, 2, 2, 3]);
    let mut sketches: Vec<Sketch> = Vec::new();
    for place in 0..count {
        let parent = (place > 0 && chance.happens(0.7)).then(|| chance.place(place));
        let versions = chance.place(6);
        let mut existing = Vec::new();
        let mut minor = 0;
        for index in 0..versions {
            minor += 1 + chance.within(0..9);
            let is_newest = index + 1 == versions;
            let standing = match chance.within(0..100) {
                _ if is_newest => Standing::Released,
                0..35 => Standing::Deprecated,
                35..42 => Standing::Rejected,
                _ => Standing::Released,
            };
            let days_old = i64::try_from((versions - index) * 9).unwrap_or(9);
            existing.push(Existing {
                number: format!("1.{minor}.0"),
                days_old: days_old - i64::try_from(chance.place(6)).unwrap_or(0),
                regions: 1 + chance.place(REGIONS.len()),
                ours: standing != Standing::Released || chance.happens(0.8),
                hidden: standing != Standing::Released || chance.happens(0.1),
                failed: chance.happens(0.08),
                standing,
            });
        }
        sketches.push(Sketch { name: format!("image-{}", place + 1), parent, existing });
    }
    sketches
}

fn catalog(chance: &Chance, sketches: &[Sketch], unreadable: bool) -> Value {
    let images: Vec<Value> = sketches.iter().map(|it| image(chance, sketches, it)).collect();
    let mut consumers = vec![SUBSCRIPTION, CONSUMER];
    if unreadable {
        consumers.push(UNREADABLE);
    }
    json!({
        "catalog": "simulated",
        "gallery": {
            "subscription": SUBSCRIPTION, "resourceGroup": "images", "name": GALLERY,
            "location": REGIONS[0],
        },
        "build": {
            "resourceGroup": "builds",
            "identity": identity(),
            "atOnce": 1 + chance.place(3),
            "timeoutMinutes": chance.pick(&[120, 240]),
        },
        "consumers": { "subscriptions": consumers },
        "tags": { "owner": "platform" },
        "notify": { "webhook": chance.happens(0.3) },
        "deletionsPerSweep": chance.pick(&[1, 1, 1, 2, 10]),
        "images": images,
    })
}

pub(crate) fn identity() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/builds/providers/\
         Microsoft.ManagedIdentity/userAssignedIdentities/builder"
    )
}

/// One image of the catalog.
fn image(chance: &Chance, sketches: &[Sketch], sketch: &Sketch) -> Value {
    let base = match sketch.parent {
        Some(parent) => json!({ "image": sketches[parent].name }),
        None => {
            json!({ "platform": { "publisher": "Canonical", "offer": "jammy", "sku": "gen2" } })
        }
    };
    let mut regions = REGIONS[..1 + chance.place(REGIONS.len())].to_vec();
    chance.shuffle(&mut regions);
    let mut rings = Vec::new();
    while !regions.is_empty() {
        let share: Vec<&str> = regions.drain(..1 + chance.place(regions.len())).collect();
        rings.push(json!({
            "name": format!("ring-{}", rings.len()),
            "regions": share,
            "bakeHours": if rings.is_empty() { 0 } else { chance.within(0..8) },
            "replicas": 1 + chance.place(2),
            "approval": chance.happens(0.1),
        }));
    }
    let mut image = json!({
        "name": sketch.name,
        "identifier": { "publisher": "simulated", "offer": "image", "sku": sketch.name },
        "os": "linux",
        "base": base,
        "customize": [
            { "shell": { "name": "update", "inline": ["sudo apt-get upgrade"] } },
            { "shell": { "name": "configure", "inline": ["sudo true"] } },
        ],
        "gate": gate(chance),
        "rings": rings,
        "childrenBuildWhen": chance.pick(&["passed", "firstRing", "released"]),
        "retention": {
            "keep": 1 + chance.place(3),
            "deprecateAfterDays": chance.place(3),
            "trimAfterDays": chance.place(2),
            "deleteAfterDays": 1 + chance.place(2),
            "quarantineDays": 1 + chance.place(2),
            "adopt": chance.happens(0.2),
        },
    });
    if chance.happens(0.6) {
        image["schedule"] = schedule(chance);
    }
    image
}

fn gate(chance: &Chance) -> Value {
    let mut gate = json!({ "reportWithinMinutes": chance.pick(&[15, 60]) });
    if chance.happens(0.3) {
        let severity = *chance.pick(&["high", "medium", "low"]);
        gate["most"] = json!({ "critical": 0, severity: chance.place(3) });
    }
    gate
}

fn schedule(chance: &Chance) -> Value {
    let zone = chance.pick(&["Europe/Amsterdam", "UTC", "America/New_York", "Asia/Kolkata"]);
    let hour = chance.place(24);
    if chance.happens(0.3) {
        let at = format!("{hour:02}:30");
        return json!({ "patchTuesday": { "daysAfter": chance.place(3), "at": at, "zone": zone } });
    }
    // Several at once are one reason to build.
    let minutes = chance.pick(&["30", "30", "0,20,40"]);
    let expression = format!("0 {minutes} {hour} * * *");
    json!({ "cron": { "expression": expression, "zone": zone } })
}

fn estate(chance: &Chance, sketches: &[Sketch], start: DateTime<Utc>, unreadable: bool) -> Value {
    let group = |name: &str| json!({ "name": name, "location": REGIONS[0] });
    let mut subscriptions = vec![
        json!({ "id": SUBSCRIPTION, "name": "platform",
            "resourceGroups": [group("images"), group("builds"), group("fleet")] }),
        json!({ "id": CONSUMER, "name": "shop", "resourceGroups": [group("fleet")] }),
    ];
    if unreadable {
        subscriptions.push(json!({ "id": UNREADABLE, "name": "legal", "readable": false }));
    }
    let releases = releases(chance, start);
    let mut estate = json!({
        "start": start,
        "tenant": TENANT,
        "subscriptions": subscriptions,
        "eventGrid": chance.pick(&[json!(false), json!("cloudEvents"), json!("eventGrid")]),
        "marketplace": [{
            "publisher": "Canonical", "offer": "jammy", "sku": "gen2", "os": "ubuntu/22.04",
            "versions": releases,
        }],
        "advisories": advisories(chance, start),
        "steps": [{ "name": "update", "upgradesAll": chance.happens(0.5) }, configure(chance, start)],
        "outages": outages(chance, start),
        "cloud": cloud(chance),
        "variants": variants(chance),
        "budgetsPercent": if chance.happens(0.1) { chance.within(10..100) } else { 100 },
    });
    let definitions: Vec<Value> = sketches
        .iter()
        .filter(|it| !it.existing.is_empty() || chance.happens(0.5))
        .map(|it| definition(it, it.parent.map(|parent| &sketches[parent]), start))
        .collect();
    let mut gallery = json!({
        "subscription": SUBSCRIPTION, "resourceGroup": "images", "name": GALLERY,
        "location": REGIONS[0], "definitions": definitions,
    });
    if chance.happens(0.2) {
        gallery["softDelete"] = json!({ "retentionDays": 1, "graceDays": 1 });
    }
    estate["galleries"] = json!([gallery]);
    users(chance, sketches, start, &mut estate);
    estate
}

/// The Marketplace's versions: one before the start, and some to come.
fn releases(chance: &Chance, start: DateTime<Utc>) -> Vec<Value> {
    let mut at = start - TimeDelta::days(40);
    let mut releases = Vec::new();
    for number in 1..=2 + chance.place(3) {
        let package = format!("3.0.2-{}", 16 + number);
        releases.push(json!({
            "version": format!("22.4.{number}"),
            "released": at,
            "packages": { "openssl": package },
        }));
        at = at.max(start) + TimeDelta::hours(2) + chance.sometime(TimeDelta::hours(40));
    }
    releases
}

/// What scanners come to know: some of it about the newest version of all.
fn advisories(chance: &Chance, start: DateTime<Utc>) -> Vec<Value> {
    (0..chance.place(4))
        .map(|number| {
            let published = start - TimeDelta::days(2) + chance.sometime(TimeDelta::days(3));
            let introduced = 16 + chance.place(5);
            let mut advisory = json!({
                "id": format!("CVE-2026-{}", 1000 + number),
                "os": "ubuntu/22.04", "package": "openssl", "title": "a hole",
                "severity": chance.pick(&["critical", "high", "low", "low", "low"]),
                "published": published,
                "introduced": format!("3.0.2-{introduced}"),
            });
            if chance.happens(0.8) {
                let version = format!("3.0.2-{}", introduced + 1 + chance.place(2));
                advisory["fixed"] = json!({ "version": version, "published": published });
            }
            advisory
        })
        .collect()
}

fn configure(chance: &Chance, start: DateTime<Utc>) -> Value {
    let mut step = json!({ "name": "configure" });
    if chance.happens(0.2) {
        let from = start + chance.sometime(TimeDelta::days(2));
        let until = from + TimeDelta::hours(1) + chance.sometime(TimeDelta::hours(20));
        step["fails"] = json!({ "reason": "exit code 100", "from": from, "until": until });
    }
    step
}

fn outages(chance: &Chance, start: DateTime<Utc>) -> Vec<Value> {
    (0..chance.place(3))
        .map(|_| {
            let from = start + chance.sometime(TimeDelta::hours(20));
            let until = from + TimeDelta::minutes(10) + chance.sometime(TimeDelta::hours(4));
            json!({
                "region": REGIONS[1 + chance.place(2)], "from": from, "until": until,
                "versionSucceeds": chance.happens(0.5),
            })
        })
        .collect()
}

fn cloud(chance: &Chance) -> Value {
    let mut cloud = json!({});
    if chance.happens(0.2) {
        cloud["itemsPerPage"] = json!(1 + chance.place(4));
    }
    if chance.happens(0.3) {
        cloud["graphLagMinutes"] = json!(chance.within(1..40));
    }
    if chance.happens(0.1) {
        cloud["lacksApiVersions"] = json!(["2026-03-03", "2025-10-01"]);
    }
    cloud
}

/// Every variant that there is, half of the time, at any of its answers.
fn variants(chance: &Chance) -> Value {
    let schema = schemars::schema_for!(Variants);
    let schema = schema.as_value();
    let mut variants = json!({});
    let Some(properties) = schema["properties"].as_object() else { return variants };
    for (name, property) in properties {
        let named = property["$ref"].as_str().and_then(|it| it.rsplit('/').next());
        let Some(named) = named else { continue };
        let answers: Vec<&str> = answers(&schema["$defs"][named])
            .into_iter()
            // There is no defence against it (`docs/live.md`): a candidate is offered at home.
            .filter(|it| !(name == "exclusion" && *it == "regionalOnly"))
            .collect();
        if chance.happens(0.5) && !answers.is_empty() {
            variants[name] = json!(chance.pick(&answers));
        }
    }
    variants
}

fn answers(schema: &Value) -> Vec<&str> {
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    let described = one_of.flat_map(|it| it["const"].as_str().into_iter().chain(answers(it)));
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    described.chain(plain).collect()
}

/// The body of a template that somebody else builds from `version` and distributes to `definition`.
pub fn template_from(version: &str, definition: &str) -> Value {
    json!({
        "location": REGIONS[0],
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity(): {} } },
        "properties": {
            "source": { "type": "SharedImageVersion", "imageVersionId": version },
            "customize": [],
            "distribute": [{
                "type": "SharedImage", "galleryImageId": definition, "runOutputName": "other",
                "targetRegions": [{ "name": REGIONS[0] }],
            }],
        },
    })
}

fn definition(sketch: &Sketch, parent: Option<&Sketch>, start: DateTime<Utc>) -> Value {
    // The oldest: it is the first to go.
    let base = parent.and_then(|it| it.existing.first()).map_or("22.4.1", |it| &it.number);
    let versions: Vec<Value> = sketch
        .existing
        .iter()
        .map(|it| {
            let published = start - TimeDelta::days(it.days_old);
            let regions = &REGIONS[..it.regions];
            let mut tags = json!({ "made-by": "hand" });
            if it.ours {
                tags = json!({
                    "owner": "platform",
                    "goldsmith-image": sketch.name,
                    "goldsmith-version-state": "released",
                    "goldsmith-base": base,
                    "goldsmith-gate": "passed",
                    "goldsmith-released-at": published + TimeDelta::hours(2),
                });
                match it.standing {
                    Standing::Released => {}
                    Standing::Deprecated => {
                        tags["goldsmith-version-state"] = json!("deprecated");
                        let at = published + TimeDelta::hours(it.days_old * 12);
                        tags["goldsmith-deprecated-at"] = json!(at);
                    }
                    Standing::Rejected => {
                        tags["goldsmith-version-state"] = json!("rejected");
                        tags["goldsmith-gate"] = json!("rejected");
                        if let Some(tags) = tags.as_object_mut() {
                            tags.remove("goldsmith-released-at");
                        }
                    }
                }
            }
            json!({
                "number": it.number, "published": published, "regions": regions,
                "base": "Canonical:jammy:gen2:22.4.1", "tags": tags,
                "excludeFromLatest": it.hidden,
                "state": if it.failed { "Failed" } else { "Succeeded" },
            })
        })
        .collect();
    json!({
        "name": sketch.name, "publisher": "simulated", "offer": "image", "sku": sketch.name,
        "versions": versions,
    })
}

/// Machines, scale sets and templates that use what is there.
fn users(chance: &Chance, sketches: &[Sketch], start: DateTime<Utc>, estate: &mut Value) {
    let (mut machines, mut sets, mut templates) = (Vec::new(), Vec::new(), Vec::new());
    let created = start - TimeDelta::days(i64::from(start.day() % 5) + 1);
    for sketch in sketches {
        for (place, version) in sketch.existing.iter().enumerate() {
            let id = format!("{GALLERY}/{}/{}", sketch.name, version.number);
            let name = format!("{}-{place}", sketch.name);
            if chance.happens(0.15) {
                machines.push(json!({
                    "subscription": CONSUMER, "resourceGroup": "fleet", "name": name,
                    "location": REGIONS[0], "image": id, "created": created,
                }));
            }
            if chance.happens(0.1) {
                machines.push(json!({
                    "subscription": SUBSCRIPTION, "resourceGroup": "fleet",
                    "name": format!("{name}-latest"), "location": REGIONS[0],
                    "image": format!("{GALLERY}/{}", sketch.name),
                    "exactVersion": version.number, "created": created,
                }));
            }
            if chance.happens(0.1) {
                sets.push(json!({
                    "subscription": CONSUMER, "resourceGroup": "fleet", "name": name,
                    "location": REGIONS[0], "image": id, "size": chance.place(3),
                    "created": created,
                }));
            }
            if chance.happens(0.05) {
                templates.push(json!({
                    "subscription": SUBSCRIPTION, "resourceGroup": "fleet", "name": name,
                    "location": REGIONS[0], "identity": identity(), "source": id,
                    "distribute": format!("{GALLERY}/{}", sketch.name),
                }));
            }
        }
    }
    estate["machines"] = json!(machines);
    estate["scaleSets"] = json!(sets);
    estate["templates"] = json!(templates);
}
