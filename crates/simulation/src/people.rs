//! People and strangers: somebody approves, holds, revokes and pins at the worst moment; somebody
//! else writes to the gallery; the catalog is changed. When nothing goes wrong any more, somebody
//! gives every approval that is waited for.

use chrono::TimeDelta;
use rules::catalog::{Catalog, Severity};
use serde_json::json;

use crate::fault::Kind;
use crate::plan::{self, REGIONS};
use crate::world::World;

/// How often somebody may act.
const EVERY: TimeDelta = TimeDelta::minutes(40);

impl World {
    /// Lets people act, for ever.
    pub(crate) async fn live_with_people(&self) {
        loop {
            let wait = EVERY / 2 + self.faults.chance().sometime(EVERY);
            let worst = tokio::select! {
                biased;
                () = self.worst_moment.notified() => true,
                () = self.clock.sleep_until(self.clock.now() + wait) => false,
            };
            if worst {
                match self.faults.chance().place(3) {
                    0 => self.stranger_writes().await,
                    _ => self.person_acts().await,
                }
                continue;
            }
            let now = self.clock.now();
            if self.faults.strikes(Kind::PersonActs, now, "somebody asks for something") {
                self.person_acts().await;
            }
            if self.faults.strikes(Kind::StrangerWrites, now, "somebody else is at the gallery") {
                self.stranger_writes().await;
            }
            if self.faults.strikes(Kind::CatalogChanges, now, "the catalog") {
                self.change_catalog().await;
            }
            if self.faults.strikes(Kind::Resubmitted, now, "dead letters") {
                self.resubmit();
            }
        }
    }

    async fn person_acts(&self) {
        let chance = self.faults.chance();
        if chance.happens(0.2) {
            return self.approve_plan().await;
        }
        let images: Vec<String> = self.images();
        let Some(image) = images.get(chance.place(images.len())) else { return };
        let verbs = ["rebuild", "approve", "hold", "resume", "revoke", "rollback", "pin", "unpin"];
        let verb = chance.pick(&verbs);
        let mut body = json!({ "why": "because" });
        let numbers = self.numbers(image);
        if matches!(*verb, "revoke" | "pin" | "unpin") || chance.happens(0.3) {
            let Some(number) = numbers.get(chance.place(numbers.len())) else { return };
            body["version"] = json!(number);
        }
        if matches!(*verb, "hold" | "pin") && chance.happens(0.7) {
            let until = self.clock.now() + chance.sometime(TimeDelta::hours(12));
            body["until"] = json!(until);
        }
        self.ask(&format!("images/{image}/{verb}"), &body).await;
    }

    /// Somebody approves the newest plan of deletions.
    async fn approve_plan(&self) {
        let plan = self.record.read().streams.get("_catalog").and_then(|entries| {
            let events = entries.iter().rev().flat_map(|it| it.value["events"].as_array());
            let mut plans = events.flatten().filter(|it| it["event"] == "deletionPlanProposed");
            plans.next().and_then(|it| it["plan"].as_str().map(str::to_owned))
        });
        if let Some(plan) = plan {
            self.ask(&format!("plans/{plan}/approve"), &json!({ "why": "because" })).await;
        }
    }

    /// Somebody writes a version as Terraform would: what it thinks is there, whole.
    async fn stranger_writes(&self) {
        let chance = self.faults.chance();
        let images: Vec<String> = self.images();
        let Some(image) = images.get(chance.place(images.len())) else { return };
        if chance.happens(0.1) {
            return self.restore().await;
        }
        let numbers = self.numbers(image);
        let Some(number) = numbers.get(chance.place(numbers.len())) else { return };
        let id = format!("{}/versions/{number}", self.definition(image));
        match chance.place(4) {
            0 => self.stranger("DELETE", &id, None).await,
            1 => {
                let tags = json!({ "somebody": "else" });
                self.stranger("PATCH", &id, Some(json!({ "tags": tags }))).await;
            }
            _ => {
                let regions = &REGIONS[..1 + chance.place(REGIONS.len())];
                let regions: Vec<_> = regions
                    .iter()
                    .map(|it| json!({ "name": it, "regionalReplicaCount": 1 }))
                    .collect();
                // Whoever offers an unproven version by hand has done it, not we.
                let body = json!({
                    "location": REGIONS[0],
                    "tags": { "somebody": "else" },
                    "properties": {
                        "publishingProfile": {
                            "targetRegions": regions,
                            "excludeFromLatest": true,
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
        let last = catalog.images.len() - 1;
        let is_parent = catalog.children(&catalog.images[last].name).next().is_some();
        match chance.place(6) {
            0 if last > 0 && !is_parent => {
                catalog.images.remove(last);
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
            4 => {
                // Stricter than before, and a version that has passed may not pass any more.
                for image in &mut catalog.images {
                    image.gate.most.insert(Severity::Low, 0);
                    image.gate.ignore_unfixed = chance.happens(0.5);
                }
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
