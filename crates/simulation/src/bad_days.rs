//! Azure on its bad days: what it says of a run, a version, a list, while the resource itself is
//! well. What is said once stays said, for hours or for ever: nobody sees through it by asking
//! twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};

use crate::fault::{Faults, Kind};

/// Until when each thing is said of each resource; never, when it is None.
type Said = BTreeMap<(String, Kind), Option<DateTime<Utc>>>;

/// What is said of which resource, and until when. A resource is spared, too, once it was drawn so.
#[derive(Debug, Default)]
pub struct BadDays {
    said: Mutex<Said>,
}

/// The longest that something is said which is not for ever.
const LONGEST: TimeDelta = TimeDelta::hours(3);

impl BadDays {
    /// Changes the body of Azure's answer to `method` of `path`; true when it did.
    pub fn change(
        &self,
        method: &Method,
        path: &str,
        body: &mut Value,
        faults: &Faults,
        now: DateTime<Utc>,
    ) -> bool {
        let path = path.to_ascii_lowercase();
        let parts: Vec<&str> = path.split('/').rev().take(2).collect();
        let says = |kind, of: &str, for_ever| self.says(kind, of, for_ever, faults, now);
        match (method, parts.as_slice()) {
            (&Method::GET, [_, "imagetemplates"]) => run(&path, body, says),
            (&Method::GET, [_, "versions"]) => version(&path, body, says),
            (&Method::POST, ["resources", "microsoft.resourcegraph"]) => truncated(body, says),
            _ => false,
        }
    }

    /// Whether `kind` is said of `of`. It is drawn once; what is not said then never is.
    fn says(
        &self,
        kind: Kind,
        of: &str,
        for_ever: bool,
        faults: &Faults,
        now: DateTime<Utc>,
    ) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let until = said.entry((of.to_owned(), kind)).or_insert_with(|| {
            let longest = if for_ever { TimeDelta::days(365) } else { LONGEST };
            faults
                .strikes(kind, now, of)
                .then(|| now + if for_ever { longest } else { faults.chance().sometime(longest) })
        });
        until.is_some_and(|it| now < it)
    }
}

/// A run that hangs while it is cancelled; one that has published and failed all the same.
fn run(path: &str, body: &mut Value, says: impl Fn(Kind, &str, bool) -> bool) -> bool {
    let run = &mut body["properties"]["lastRunStatus"];
    let state = run["runState"].as_str().unwrap_or_default().to_owned();
    let other = match state.as_str() {
        "Running" | "Succeeded" if says(Kind::RunStuckCanceling, path, false) => "Canceling",
        "Succeeded" if says(Kind::RunFailedThoughPublished, path, true) => "Failed",
        "Succeeded" if says(Kind::RunPartlySucceeded, path, true) => "PartiallySucceeded",
        _ => return false,
    };
    run["runState"] = json!(other);
    if other != "Canceling" {
        run["message"] = json!("a validator failed after the distribution");
    }
    true
}

/// A version that is Updating for hours; a region whose replication stands still.
fn version(path: &str, body: &mut Value, says: impl Fn(Kind, &str, bool) -> bool) -> bool {
    let properties = &mut body["properties"];
    // What is said of it begins anew with every change that was asked for.
    let asked = properties["publishingProfile"].to_string();
    let of = format!("{path} {}", asked.len());
    if properties["provisioningState"] == "Succeeded" && says(Kind::VersionStuck, &of, false) {
        properties["provisioningState"] = json!("Updating");
        return true;
    }
    let mut changed = false;
    let regions = properties["replicationStatus"]["summary"].as_array_mut();
    for region in regions.into_iter().flatten() {
        let of = format!("{of} {}", region["region"]);
        if region["state"] == "Completed" && says(Kind::RegionStuck, &of, false) {
            region["state"] = json!("Replicating");
            region["progress"] = json!(99);
            changed = true;
        }
    }
    changed
}

/// Half of the rows, and no way to the others.
fn truncated(body: &mut Value, says: impl Fn(Kind, &str, bool) -> bool) -> bool {
    let Some(rows) = body["data"].as_array_mut().filter(|it| !it.is_empty()) else { return false };
    let of = rows.iter().map(|it| it["id"].to_string()).collect::<String>();
    if !says(Kind::GraphTruncated, &of, false) {
        return false;
    }
    rows.truncate(rows.len() / 2);
    body["resultTruncated"] = json!("true");
    true
}
