//! What passes its gate, and every ring that gets it, was scanned, and its report holds no more than
//! the policy in force allows.

use std::collections::{BTreeMap, BTreeSet};

use rules::catalog::Gate as Policy;
use serde_json::Value;

use super::story::{Story, Target, target};
use super::{Invariant, Seen};

/// Reads the reports as the scanner wrote them.
#[derive(Debug)]
pub(super) struct Gate;

impl Invariant for Gate {
    fn name(&self) -> &'static str {
        "what is released has passed under the policy in force"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts().filter(|it| it.name == "gatePassed") {
            let policy = fact.entry.value["policy"].as_str().unwrap_or_default();
            holds(seen.story, fact.stream, fact.version(), policy)?;
        }
        let Some(write) = seen.our_write() else { return Ok(()) };
        let Target::Version { image, number } = target(&write.path) else { return Ok(()) };
        let shown = |gallery| {
            let version = Seen::version(gallery, &image, &number)?;
            let regions = version.regions.values();
            Some(regions.filter(|it| it.excluded == Some(false)).count())
        };
        let more = shown(seen.gallery).unwrap_or(0) > shown(seen.before).unwrap_or(0);
        match seen.story.intent_of(write) {
            Some((_, intent)) if more => holds(seen.story, &image, &number, &intent.policy),
            _ => Ok(()),
        }
    }
}

fn holds(story: &Story, image: &str, number: &str, policy: &str) -> Result<(), String> {
    let Some(catalog) = story.catalog(policy) else { return Ok(()) };
    let Some(policy) = catalog.images.iter().find(|it| it.name.as_str() == image) else {
        return Err(format!("{image} {number} goes on, and its image is not in the catalog"));
    };
    let report = story.version(image, number).and_then(|it| it.report.as_ref());
    let Some(bytes) = report.and_then(|it| story.blob(it)) else {
        return Err(format!("{image} {number} goes on, and nobody has scanned it"));
    };
    let report: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    against(&policy.gate, &report)
        .map_or(Ok(()), |why| Err(format!("{image} {number} goes on although it has {why}")))
}

/// What the report holds too much of.
fn against(policy: &Policy, report: &Value) -> Option<String> {
    let results = report["Results"].as_array().into_iter().flatten();
    let found = results.flat_map(|it| it["Vulnerabilities"].as_array().into_iter().flatten());
    let mut counted: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for finding in found {
        let text = |member: &str| finding[member].as_str().unwrap_or_default();
        if policy.ignore_unfixed && text("FixedVersion").is_empty() {
            continue;
        }
        // No seed has exceptions.
        counted.entry(text("Severity").to_lowercase()).or_default().insert(text("VulnerabilityID"));
    }
    policy.most.iter().find_map(|(severity, most)| {
        let severity = format!("{severity:?}").to_lowercase();
        let found = counted.get(&severity).map_or(0, BTreeSet::len);
        (found as u64 > u64::from(*most)).then(|| format!("{found} {severity} findings"))
    })
}
