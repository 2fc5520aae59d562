//! The world of a backlog: a large catalog, every version of which was asked to be retired when the
//! function app went away.

use chrono::{TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};

use crate::plan::{GALLERY, Plan, REGIONS, SUBSCRIPTION, TENANT, identity, legal};

impl Plan {
    /// A catalog of `images` images, each with `versions` hidden versions. No build is due. Of
    /// Azure's budgets there are so many percent.
    pub fn with_many(images: usize, versions: usize, budgets_percent: u32) -> Plan {
        let start = Utc.with_ymd_and_hms(2026, 9, 8, 10, 45, 0).single().unwrap_or_default();
        let names: Vec<String> = (0..images).map(|it| format!("image-{it:04}")).collect();
        let image = |name: &String| {
            let base = match *name == names[0] {
                true => json!({ "platform": { "publisher": "Canonical", "offer": "jammy",
                    "sku": "gen2" } }),
                false => json!({ "image": names[0] }),
            };
            json!({
                "name": name,
                "identifier": { "publisher": "many", "offer": "image", "sku": name },
                "os": "linux",
                "base": base,
                "customize": [{ "shell": { "name": "update", "inline": ["sudo apt-get upgrade"] } }],
                "gate": { "reportWithinMinutes": 60 },
                "rings": [{ "name": "all", "regions": [REGIONS[0]], "bakeHours": 0, "replicas": 1 }],
                "retention": { "keep": 1, "deprecateAfterDays": 900, "trimAfterDays": 900,
                    "deleteAfterDays": 900, "quarantineDays": 900, "adopt": false },
            })
        };
        let definition = |name: &String| {
            let versions: Vec<Value> = (0..versions)
                .map(|number| {
                    json!({
                        "number": format!("1.{number}.0"),
                        "published": start - TimeDelta::days(90), "regions": [REGIONS[0]],
                        "base": "Canonical:jammy:gen2:22.4.1", "excludeFromLatest": true,
                        "tags": { "goldsmith-image": name, "goldsmith-base": "22.4.1",
                            "goldsmith-version-state": "released" },
                        "state": "Succeeded",
                    })
                })
                .collect();
            json!({ "name": name, "publisher": "many", "offer": "image", "sku": name,
                "versions": versions })
        };
        let group = |name: &str| json!({ "name": name, "location": REGIONS[0] });
        let gallery = json!({
            "subscription": SUBSCRIPTION, "resourceGroup": "images", "name": GALLERY,
            "location": REGIONS[0],
        });
        let mut galleries = gallery.clone();
        galleries["definitions"] = names.iter().map(definition).collect();
        let catalog = json!({
            "catalog": "many",
            "gallery": gallery,
            "build": { "resourceGroup": "builds", "identity": identity(), "atOnce": 3,
                "timeoutMinutes": 120 },
            "consumers": { "subscriptions": [SUBSCRIPTION] },
            "notify": { "webhook": true },
            "deletionsPerSweep": 3,
            "images": names.iter().map(image).collect::<Vec<Value>>(),
        });
        let estate = json!({
            "start": start,
            "tenant": TENANT,
            "subscriptions": [{ "id": SUBSCRIPTION, "name": "platform",
                "resourceGroups": [group("images"), group("builds")] }],
            "eventGrid": "cloudEvents",
            "budgetsPercent": budgets_percent,
            "marketplace": [{ "publisher": "Canonical", "offer": "jammy", "sku": "gen2",
                "os": "ubuntu/22.04", "versions": [{ "version": "22.4.1",
                    "released": start - TimeDelta::days(100),
                    "packages": { "openssl": "3.0.2-16" } }] }],
            "galleries": [galleries],
        });
        let (catalog, estate) = legal(catalog, estate);
        Plan {
            catalog,
            estate,
            troubled: TimeDelta::zero(),
            processes: 2,
            duplicates_seconds: 604_800,
            ticks_every: 60,
        }
    }
}
