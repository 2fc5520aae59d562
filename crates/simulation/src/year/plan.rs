//! The world of a soak: a small platform team's catalog with every kind of schedule, and a Marketplace
//! that goes on for as long as it is lived.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};

use crate::plan::{CONSUMER, GALLERY, Plan, REGIONS, SUBSCRIPTION, TENANT, identity, legal};

/// The Marketplace has a new version every so many days.
const RELEASED_EVERY: i64 = 9;

impl Plan {
    /// A world that lasts `days`.
    pub fn lasting(days: u32) -> Plan {
        let start = Utc.with_ymd_and_hms(2026, 1, 5, 0, 0, 0).single().unwrap_or_default();
        let (catalog, estate) = legal(catalog(), estate(start, i64::from(days)));
        Plan {
            catalog,
            estate,
            troubled: TimeDelta::zero(),
            processes: 2,
            duplicates_seconds: 604_800,
            ticks_every: 120,
        }
    }
}

/// A nightly build in three rings; one for Patch Tuesday, with a child that is built weekly too and
/// has a child of its own.
fn catalog() -> Value {
    let platform =
        json!({ "platform": { "publisher": "Canonical", "offer": "jammy", "sku": "gen2" } });
    let cron = |expression: &str| json!({ "cron": { "expression": expression, "zone": "Europe/Amsterdam" } });
    let patched =
        json!({ "patchTuesday": { "daysAfter": 1, "at": "03:30", "zone": "America/New_York" } });
    let mut nightly = image("nightly", &platform, 3);
    nightly["schedule"] = cron("0 30 1 * * *");
    let mut hardened = image("hardened", &platform, 2);
    hardened["schedule"] = patched;
    hardened["rings"][1]["approval"] = json!(true);
    let mut web = image("web", &json!({ "image": "hardened" }), 2);
    web["schedule"] = cron("0 0 4 * * SUN");
    web["childrenBuildWhen"] = json!("firstRing");
    let shop = image("shop", &json!({ "image": "web" }), 1);
    json!({
        "catalog": "lasting",
        "gallery": {
            "subscription": SUBSCRIPTION, "resourceGroup": "images", "name": GALLERY,
            "location": REGIONS[0],
        },
        "build": { "resourceGroup": "builds", "identity": identity(), "atOnce": 3,
            "timeoutMinutes": 120 },
        "consumers": { "subscriptions": [SUBSCRIPTION, CONSUMER] },
        "notify": { "webhook": true },
        "deletionsPerSweep": 3,
        "images": [nightly, hardened, web, shop],
    })
}

fn image(name: &str, base: &Value, rings: usize) -> Value {
    let rings: Vec<Value> = REGIONS[..rings]
        .iter()
        .enumerate()
        .map(|(place, region)| {
            json!({ "name": format!("ring-{place}"), "regions": [region],
                "bakeHours": 5 * place, "replicas": 1 })
        })
        .collect();
    json!({
        "name": name,
        "identifier": { "publisher": "lasting", "offer": "image", "sku": name },
        "os": "linux",
        "base": base,
        "customize": [{ "shell": { "name": "update", "inline": ["sudo apt-get upgrade"] } }],
        "gate": { "reportWithinMinutes": 60 },
        "rings": rings,
        "retention": { "keep": 3, "deprecateAfterDays": 2, "trimAfterDays": 2,
            "deleteAfterDays": 4, "quarantineDays": 3, "adopt": false },
    })
}

fn estate(start: DateTime<Utc>, days: i64) -> Value {
    let group = |name: &str| json!({ "name": name, "location": REGIONS[0] });
    let versions: Vec<Value> = (0..=days / RELEASED_EVERY + 1)
        .map(|number| {
            let released =
                start + TimeDelta::days(number * RELEASED_EVERY - 10) + TimeDelta::hours(7);
            json!({ "version": format!("22.4.{}", 1 + number), "released": released,
                "packages": { "openssl": format!("3.0.2-{}", 17 + number) } })
        })
        .collect();
    // Every third version has a hole that the next one mends: what is built from it is rejected.
    let advisories: Vec<Value> = (0..=days / RELEASED_EVERY)
        .filter(|number| number % 3 == 1)
        .map(|number| {
            let published = start + TimeDelta::days(number * RELEASED_EVERY - 9);
            json!({
                "id": format!("CVE-2026-{}", 1000 + number), "os": "ubuntu/22.04",
                "package": "openssl", "title": "a hole", "severity": "critical",
                "published": published,
                "introduced": format!("3.0.2-{}", 17 + number),
                "fixed": { "version": format!("3.0.2-{}", 18 + number),
                    "published": published + TimeDelta::days(5) },
            })
        })
        .collect();
    let gallery = json!({
        "subscription": SUBSCRIPTION, "resourceGroup": "images", "name": GALLERY,
        "location": REGIONS[0], "definitions": [],
        "softDelete": { "retentionDays": 7, "graceDays": 1 },
    });
    json!({
        "start": start,
        "tenant": TENANT,
        "subscriptions": [
            { "id": SUBSCRIPTION, "name": "platform",
                "resourceGroups": [group("images"), group("builds"), group("fleet")] },
            { "id": CONSUMER, "name": "shop", "resourceGroups": [group("fleet")] },
        ],
        "eventGrid": "cloudEvents",
        "marketplace": [{ "publisher": "Canonical", "offer": "jammy", "sku": "gen2",
            "os": "ubuntu/22.04", "versions": versions }],
        "advisories": advisories,
        "steps": [{ "name": "update", "upgradesAll": false }],
        "galleries": [gallery],
    })
}
