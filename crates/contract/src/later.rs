//! What is known to have come with a newer API version than one that is let through without a document
//! of its own. Such a request is held against the newest document, which would let these pass.
//! What else was added between them is not known here, and passes.

use serde_json::Value;

use crate::exception::ends_with;
use crate::finding::{Finding, What};
use crate::operation::Operation;

/// What one older API version does not have.
struct Later {
    /// A part of the operation's template, in lower case.
    of: &'static str,
    lacking: &'static str,
    /// The ends of the places of members, in requests and answers alike.
    members: &'static [&'static str],
    queries: &'static [&'static str],
}

/// The notes on Azure name them (arm.md 0 and 3), from Microsoft's documents. Of the other older
/// versions nothing of what we send or read is known to be missing.
const LATER: &[Later] = &[
    Later {
        of: "/microsoft.virtualmachineimages/",
        lacking: "2024-02-01",
        members: &["distribute/*/replicationMode", "additionalDataDisks", "optimize/workload"],
        queries: &[],
    },
    Later {
        of: "/microsoft.compute/galleries/",
        lacking: "2025-03-03",
        members: &["softDeletePolicy/retentionPeriodInDays", "softDeletePolicy/gracePeriodInDays"],
        queries: &["bypassSoftDelete"],
    },
];

const TEXT: &str = "came with a newer api-version";

fn of<'a>(operation: &Operation, version: &str) -> impl Iterator<Item = &'a Later> {
    let template = operation.template.to_ascii_lowercase();
    let older = version != operation.api_version;
    LATER.iter().filter(move |it| older && it.lacking == version && template.contains(it.of))
}

/// The members of a body sent or answered in `version` that it does not have yet.
pub(crate) fn members(operation: &Operation, version: &str, body: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for later in of(operation, version) {
        // What is no JSON is told by whoever reads it.
        let Ok(body) = serde_json::from_slice::<Value>(body) else { continue };
        search(&body, String::new(), later, &mut findings);
    }
    findings
}

/// The parameters of a query that `version` does not have yet.
pub(crate) fn queries(
    operation: &Operation,
    version: &str,
    query: &[(String, String)],
) -> Vec<Finding> {
    let of = of(operation, version).flat_map(|it| it.queries);
    of.filter(|later| query.iter().any(|(name, _)| name.eq_ignore_ascii_case(later)))
        .map(|later| Finding::new(What::Query, format!("query {later}"), TEXT))
        .collect()
}

/// Tags are the user's: what they are called says nothing.
fn search(value: &Value, place: String, later: &Later, findings: &mut Vec<Finding>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "tags") {
                let place = format!("{place}/{name}");
                if later.members.iter().any(|it| ends_with(&place, it)) {
                    findings.push(Finding::new(What::Undeclared, place.clone(), TEXT));
                }
                search(value, place, later, findings);
            }
        }
        Value::Array(items) => {
            for item in items {
                search(item, format!("{place}/*"), later, findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
