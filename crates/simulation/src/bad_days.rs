//! Azure on its bad days: what it says of a run, a version, a list, while the resource itself is
//! well. What is said once stays said, for hours or for ever: nobody sees through it by asking
//! twice.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The templates whose run was cancelled while it was said to go on.
    canceled: Mutex<BTreeSet<String>>,
}

/// The longest that something is said which is not for ever.
const LONGEST: TimeDelta = TimeDelta::hours(3);
const FOR_EVER: TimeDelta = TimeDelta::days(365);
/// The longest that a run is said to go on: beyond its time-out.
const OVERDUE: TimeDelta = TimeDelta::hours(12);
/// The longest that somebody forgets a lock, or a role that is missing: longer than a step is tried.
const FORGOTTEN: TimeDelta = TimeDelta::days(2);

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
        let says = |kind, of: &str, longest| self.says(kind, of, longest, faults, now);
        match (method, parts.as_slice()) {
            (&Method::GET, [_, "imagetemplates"]) if self.is_canceled(&path) => {
                body["properties"]["lastRunStatus"]["runState"] = json!("Canceled");
                true
            }
            (&Method::GET, [_, "imagetemplates"]) => run(&path, body, says),
            (&Method::GET, [_, "versions"]) => version(&path, body, says),
            (&Method::POST, ["resources", "microsoft.resourcegraph"]) => truncated(body, says),
            _ => false,
        }
    }

    /// Whether whatever would change the resource at `path` is forbidden: by a lock, a policy, or a
    /// role that is missing.
    pub fn forbid(&self, path: &str, faults: &Faults, now: DateTime<Utc>) -> bool {
        let resource = path.to_ascii_lowercase();
        let resource = resource.trim_end_matches("/run").trim_end_matches("/cancel");
        !resource.ends_with("/microsoft.resourcegraph/resources")
            && self.says(Kind::Forbidden, resource, FORGOTTEN, faults, now)
            && !faults.are_over()
    }

    /// Cancels the run of the template whose `cancel` is asked for at `path`, when it is said to go on
    /// though it has long ended. Its version is there all the same.
    pub fn cancel(&self, path: &str, now: DateTime<Utc>) -> bool {
        let path = path.to_ascii_lowercase();
        let Some(template) = path.strip_suffix("/cancel") else { return false };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let until = said.get(&(template.to_owned(), Kind::RunStuckRunning));
        let goes_on = until.copied().flatten().is_some_and(|it| now < it);
        if goes_on {
            let mut canceled = self.canceled.lock().unwrap_or_else(PoisonError::into_inner);
            canceled.insert(template.to_owned());
        }
        goes_on
    }

    fn is_canceled(&self, template: &str) -> bool {
        self.canceled.lock().unwrap_or_else(PoisonError::into_inner).contains(template)
    }

    /// Whether `kind` is said of `of`, for up to `longest`. It is drawn once; what is not said then
    /// never is.
    fn says(
        &self,
        kind: Kind,
        of: &str,
        longest: TimeDelta,
        faults: &Faults,
        now: DateTime<Utc>,
    ) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let until = said.entry((of.to_owned(), kind)).or_insert_with(|| {
            let lasts = |longest| match longest == FOR_EVER {
                true => longest,
                false => faults.chance().sometime(longest),
            };
            faults.strikes(kind, now, of).then(|| now + lasts(longest))
        });
        until.is_some_and(|it| now < it)
    }
}

/// A run that hangs while it is cancelled; one that has published and failed all the same.
fn run(path: &str, body: &mut Value, says: impl Fn(Kind, &str, TimeDelta) -> bool) -> bool {
    let run = &mut body["properties"]["lastRunStatus"];
    let state = run["runState"].as_str().unwrap_or_default().to_owned();
    let other = match state.as_str() {
        "Running" | "Succeeded" if says(Kind::RunStuckCanceling, path, LONGEST) => "Canceling",
        "Succeeded" if says(Kind::RunStuckRunning, path, OVERDUE) => "Running",
        "Succeeded" if says(Kind::RunFailedThoughPublished, path, FOR_EVER) => "Failed",
        "Succeeded" if says(Kind::RunPartlySucceeded, path, FOR_EVER) => "PartiallySucceeded",
        _ => return false,
    };
    run["runState"] = json!(other);
    if !matches!(other, "Canceling" | "Running") {
        run["message"] = json!("a validator failed after the distribution");
    }
    true
}

/// A version that is Updating for hours; a region whose replication stands still.
fn version(path: &str, body: &mut Value, says: impl Fn(Kind, &str, TimeDelta) -> bool) -> bool {
    let properties = &mut body["properties"];
    // What is said of it begins anew with every change that was asked for.
    let asked = properties["publishingProfile"].to_string();
    let of = format!("{path} {}", asked.len());
    if properties["provisioningState"] == "Succeeded" && says(Kind::VersionStuck, &of, LONGEST) {
        properties["provisioningState"] = json!("Updating");
        return true;
    }
    let mut changed = false;
    let regions = properties["replicationStatus"]["summary"].as_array_mut();
    for region in regions.into_iter().flatten() {
        let of = format!("{of} {}", region["region"]);
        if region["state"] == "Completed" && says(Kind::RegionStuck, &of, LONGEST) {
            region["state"] = json!("Replicating");
            region["progress"] = json!(99);
            changed = true;
        }
    }
    changed
}

/// Half of the rows, and no way to the others.
fn truncated(body: &mut Value, says: impl Fn(Kind, &str, TimeDelta) -> bool) -> bool {
    let Some(rows) = body["data"].as_array_mut().filter(|it| !it.is_empty()) else { return false };
    let of = rows.iter().map(|it| it["id"].to_string()).collect::<String>();
    if !says(Kind::GraphTruncated, &of, LONGEST) {
        return false;
    }
    rows.truncate(rows.len() / 2);
    body["resultTruncated"] = json!("true");
    true
}
