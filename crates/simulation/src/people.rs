//! People and strangers: somebody approves, holds, revokes and pins at the worst moment; somebody
//! else writes to the gallery; the catalog is changed. When nothing goes wrong any more, somebody
//! gives every approval that is waited for.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use rules::Region;
use rules::catalog::{Catalog, Image, Severity};
use serde_json::json;
use tokio::sync::Notify;

use crate::fault::Kind;
use crate::plan::{self, CONSUMER, REGIONS, SUBSCRIPTION};
use crate::world::World;

/// How often somebody may act.
const EVERY: TimeDelta = TimeDelta::minutes(40);

/// The moment at which a write of ours is on its way, or a message that will cause one.
#[derive(Debug, Default)]
pub struct WorstMoment {
    told: Notify,
    /// The path of that write, or the id of that message.
    of: Mutex<String>,
}

impl WorstMoment {
    /// It is here: `of` is the path of the write, or the message's id.
    pub fn comes(&self, of: &str) {
        of.clone_into(&mut self.of.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.notify_one();
    }

    fn of(&self) -> String {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl World {
    /// Lets people act, for ever.
    pub(crate) async fn live_with_people(&self) {
        loop {
            let wait = EVERY / 2 + self.faults.chance().sometime(EVERY);
            let worst = tokio::select! {
                biased;
                () = self.worst_moment.told.notified() => true,
                () = self.clock.sleep_until(self.clock.now() + wait) => false,
            };
            if worst {
                // The very version that is being written, most often.
                let of = self.threatened().filter(|_| self.faults.chance().happens(0.7));
                match self.faults.chance().place(4) {
                    0 => self.stranger_writes(of).await,
                    1 => self.user_appears(of).await,
                    _ => self.person_acts(of).await,
                }
                continue;
            }
            let now = self.clock.now();
            if self.faults.strikes(Kind::PersonActs, now, "somebody asks for something") {
                self.person_acts(None).await;
            }
            if self.faults.strikes(Kind::StrangerWrites, now, "somebody else is at the gallery") {
                self.stranger_writes(None).await;
            }
            if self.faults.strikes(Kind::UserAppears, now, "somebody comes to use a version") {
                self.user_appears(None).await;
            }
            if self.faults.strikes(Kind::CatalogChanges, now, "the catalog") {
                self.change_catalog().await;
            }
            if self.faults.strikes(Kind::Resubmitted, now, "dead letters") {
                self.resubmit();
            }
        }
    }

    /// The version that the worst moment is about, when it is about one: its image and its number.
    fn threatened(&self) -> Option<(String, String)> {
        let of = self.worst_moment.of();
        if let Some((definition, number)) = of.rsplit_once("/versions/") {
            let (_, image) = definition.rsplit_once('/')?;
            return Some((image.to_owned(), number.to_owned()));
        }
        // A message names the entry that made the version due.
        let (image, rest) = of.split_once(':')?;
        let seq: u64 = rest.split(':').next()?.parse().ok()?;
        let written = self.record.read();
        let entry = written.streams.get(image)?.iter().find(|it| it.seq == seq)?;
        let mut events = entry.value["events"].as_array().into_iter().flatten();
        let number = events.find_map(|it| it["version"].as_str())?;
        Some((image.to_owned(), number.to_owned()))
    }

    /// One of the versions that are there, if not `of` itself.
    fn any_version(&self, of: Option<(String, String)>) -> Option<(String, String)> {
        if of.is_some() {
            return of;
        }
        let chance = self.faults.chance();
        let images = self.images();
        let image = images.get(chance.place(images.len()))?;
        let numbers = self.numbers(image);
        let number = numbers.get(chance.place(numbers.len()))?;
        Some((image.clone(), number.clone()))
    }

    /// The oldest of some image.
    fn oldest_version(&self) -> Option<(String, String)> {
        let images = self.images();
        let image = images.get(self.faults.chance().place(images.len()))?;
        let number = self.numbers(image).into_iter().next()?;
        Some((image.clone(), number))
    }

    /// The version that was pinned last.
    fn pinned(&self) -> Option<(String, String)> {
        let written = self.record.read();
        let mut pins = written.streams.iter().rev().filter_map(|(image, entries)| {
            let events = entries.iter().rev().flat_map(|it| it.value["events"].as_array());
            let pin = events.flatten().find(|it| it["event"] == "versionPinned")?;
            Some((image.clone(), pin["version"].as_str()?.to_owned()))
        });
        pins.next()
    }

    /// Somebody asks for something, of this version when there is one.
    async fn person_acts(&self, of: Option<(String, String)>) {
        let chance = self.faults.chance();
        if of.is_none() && chance.happens(0.5) && self.approve_plan().await {
            return;
        }
        let verbs = match of {
            Some(_) => &["revoke", "pin", "pin", "hold", "approve"][..],
            None => &[
                "rebuild", "approve", "revoke", "hold", "resume", "revoke", "rollback", "pin",
                "pin", "pin", "unpin", "unpin",
            ],
        };
        let verb = chance.pick(verbs);
        let mut body = json!({ "why": "because" });
        let named = matches!(*verb, "revoke" | "pin" | "unpin") || chance.happens(0.3);
        let images: Vec<String> = self.images();
        let image = images.get(chance.place(images.len())).cloned();
        let version = match (*verb, of) {
            ("unpin", None) => self.pinned(),
            // What is old is about to go.
            ("pin", None) if chance.happens(0.7) => self.oldest_version(),
            (_, of) if named || of.is_some() => self.any_version(of),
            _ => None,
        };
        let Some(image) = version.as_ref().map(|it| it.0.clone()).or(image) else { return };
        match version {
            Some((_, number)) => body["version"] = json!(number),
            None if named => return,
            None => {}
        }
        if matches!(*verb, "hold" | "pin") && chance.happens(0.7) {
            let until = self.clock.now() + chance.sometime(TimeDelta::hours(12));
            body["until"] = json!(until);
        }
        self.ask(&format!("images/{image}/{verb}"), &body).await;
    }

    /// Somebody approves the newest plan of deletions. False: there is none that waits for it.
    async fn approve_plan(&self) -> bool {
        let plan = self.record.read().streams.get("_catalog").and_then(|entries| {
            let events = entries.iter().rev().flat_map(|it| it.value["events"].as_array());
            let mut events = events.flatten();
            let newest = events.find(|it| it["plan"].is_string())?;
            let waits = newest["event"] == "deletionPlanProposed";
            newest["plan"].as_str().filter(|_| waits).map(str::to_owned)
        });
        let Some(plan) = plan else { return false };
        self.ask(&format!("plans/{plan}/approve"), &json!({ "why": "because" })).await;
        true
    }

    /// Somebody comes to use `of`, or any version, old and new alike: a machine of it or of latest, a
    /// scale set, or a template of their own.
    async fn user_appears(&self, of: Option<(String, String)>) {
        let Some((image, number)) = self.any_version(of) else { return };
        let (chance, definition) = (self.faults.chance(), self.definition(&image));
        let version = format!("{definition}/versions/{number}");
        let name = format!("late-{}", self.clock.now().timestamp_millis());
        let group = |subscription: &str, provider: &str| {
            format!(
                "/subscriptions/{subscription}/resourceGroups/fleet/providers/Microsoft.{provider}/{name}"
            )
        };
        let machine = |reference: &str| {
            let storage = json!({ "imageReference": { "id": reference } });
            json!({ "location": REGIONS[0], "properties": { "storageProfile": storage } })
        };
        match chance.place(4) {
            0 => {
                let id = group(SUBSCRIPTION, "Compute/virtualMachines");
                self.stranger("PUT", &id, Some(machine(&definition))).await;
            }
            1 => {
                let id = group(CONSUMER, "Compute/virtualMachines");
                self.stranger("PUT", &id, Some(machine(&version))).await;
            }
            2 => {
                let id = group(CONSUMER, "Compute/virtualMachineScaleSets");
                let size = u32::try_from(chance.place(3)).unwrap_or(0);
                self.scale_set(&id, &version, size);
            }
            _ => {
                let id = group(SUBSCRIPTION, "VirtualMachineImages/imageTemplates");
                self.stranger("PUT", &id, Some(plan::template_from(&version, &definition))).await;
            }
        }
    }

    /// Somebody writes a version as Terraform would: what it thinks is there, whole.
    async fn stranger_writes(&self, of: Option<(String, String)>) {
        let chance = self.faults.chance();
        if chance.happens(0.1) {
            return self.restore().await;
        }
        let Some((image, number)) = self.any_version(of) else { return };
        let id = format!("{}/versions/{number}", self.definition(&image));
        match chance.place(5) {
            0 => self.stranger("DELETE", &id, None).await,
            1 => {
                let tags = json!({ "somebody": "else" });
                self.stranger("PATCH", &id, Some(json!({ "tags": tags }))).await;
            }
            // The flag of the version as a whole alone.
            2 => {
                let profile = json!({ "excludeFromLatest": chance.happens(0.3) });
                let body = json!({ "properties": { "publishingProfile": profile } });
                self.stranger("PATCH", &id, Some(body)).await;
            }
            _ => {
                let regions = &REGIONS[..1 + chance.place(REGIONS.len())];
                let regions: Vec<_> = regions
                    .iter()
                    .map(|it| {
                        let mut region = json!({ "name": it, "regionalReplicaCount": 1 });
                        if chance.happens(0.5) {
                            region["excludeFromLatest"] = json!(chance.happens(0.5));
                        }
                        region
                    })
                    .collect();
                // Whoever offers an unproven version by hand, or takes a region away, has done it,
                // not we.
                let body = json!({
                    "location": REGIONS[0],
                    "tags": { "somebody": "else" },
                    "properties": {
                        "publishingProfile": {
                            "targetRegions": regions,
                            "excludeFromLatest": chance.happens(0.7),
                        },
                        "safetyProfile": {
                            "allowDeletionOfReplicatedLocations": chance.happens(0.5),
                        },
                        "storageProfile": {},
                    },
                });
                self.stranger("PUT", &id, Some(body)).await;
            }
        }
    }

    /// Somebody restores a version that was deleted, as the portal does.
    async fn restore(&self) {
        let gone: Vec<String> = {
            let written = self.record.read();
            let deleted = written
                .writes
                .iter()
                .filter(|it| it.method == http::Method::DELETE && it.path.contains("/versions/"));
            deleted.map(|it| it.path.clone()).collect()
        };
        let Some(id) = gone.get(self.faults.chance().place(gone.len())) else { return };
        let body = json!({ "location": REGIONS[0], "properties": {} });
        self.stranger("PUT", id, Some(body)).await;
    }

    /// An image goes, comes back, or is treated in another way.
    async fn change_catalog(&self) {
        let chance = self.faults.chance();
        let mut catalog: Catalog = self.plan.catalog.clone();
        let childless = |it: &Image| catalog.children(&it.name).next().is_none();
        let leaves: Vec<usize> =
            (0..catalog.images.len()).filter(|it| childless(&catalog.images[*it])).collect();
        let some = chance.place(catalog.images.len());
        match chance.place(13) {
            0 if catalog.images.len() > 1 => {
                catalog.images.remove(*chance.pick(&leaves));
            }
            1 => {
                for image in &mut catalog.images {
                    image.retention.keep = 1 + u32::try_from(chance.place(3)).unwrap_or(0);
                }
            }
            2 => {
                for ring in catalog.images.iter_mut().flat_map(|it| &mut it.rings) {
                    ring.bake_hours = u32::try_from(chance.place(6)).unwrap_or(0);
                }
            }
            3 => catalog.deletions_per_sweep = 1,
            4 | 5 => {
                // Stricter than before, and a version that has passed may not pass any more.
                for image in &mut catalog.images {
                    image.gate.most.insert(Severity::Low, 0);
                    image.gate.ignore_unfixed = chance.happens(0.5);
                }
            }
            6 => {
                for ring in &mut catalog.images[some].rings {
                    ring.approval = !ring.approval;
                }
            }
            // A region goes, with its ring where it is the last one of it.
            7 => {
                let rings = &mut catalog.images[some].rings;
                if let Some(ring) = rings.last_mut() {
                    ring.regions.pop();
                }
                rings.retain(|it| !it.regions.is_empty());
                if rings.is_empty() {
                    return;
                }
            }
            // A region more, in a ring of its own.
            8 => {
                let image = &mut catalog.images[some];
                let mut regions = REGIONS.iter().filter_map(|it| it.parse::<Region>().ok());
                let more = regions.find(|it| !image.regions().contains(&it));
                let Some((mut ring, region)) = image.rings.last().cloned().zip(more) else {
                    return;
                };
                (ring.name, ring.regions) = ("one-more".to_owned(), vec![region]);
                image.rings.push(ring);
            }
            9 => catalog.images[some].rings.reverse(),
            10 => catalog.images[some].schedule = None,
            11 => {
                let other = catalog.images.iter().find_map(|it| it.schedule.clone());
                catalog.images[some].schedule = other;
            }
            12 => {
                catalog.images[some].customize.pop();
            }
            // As it was at first.
            _ => {}
        }
        self.publish(plan::loaded(catalog)).await;
    }

    /// Gives every approval that is waited for, and ends every hold.
    pub(crate) async fn approve_all(&self) {
        for image in self.images() {
            let body = json!({ "why": "in the end" });
            self.ask(&format!("images/{image}/resume"), &body).await;
            self.ask(&format!("images/{image}/approve"), &body).await;
        }
    }
}
