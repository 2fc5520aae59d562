//! Deletions per sweep never exceed the blast-radius cap without an approval of that very plan, and
//! nothing is deleted that no sweep found.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::story::{Target, target};
use super::{Invariant, Seen};

/// By invocation: what its sweep made due for deletion, and under which policy.
#[derive(Debug, Default)]
pub(super) struct Cap {
    sweeps: BTreeMap<String, Sweep>,
    due: BTreeSet<(String, String)>,
}

#[derive(Debug, Default)]
struct Sweep {
    policy: String,
    deletions: BTreeSet<(String, String)>,
    approved: BTreeSet<String>,
}

impl Invariant for Cap {
    fn name(&self) -> &'static str {
        "a sweep deletes no more than it may"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            let deletes = fact.name == "retirementDue" && fact.text("stage") == "delete";
            if !deletes {
                continue;
            }
            let named = (fact.stream.to_owned(), fact.version().to_owned());
            let text = |member: &str| fact.entry.value[member].as_str().unwrap_or_default();
            // Whoever follows a version wants again what a sweep has found.
            if text("by") != "find_expired_versions" {
                if !self.due.contains(&named) {
                    return Err(format!("{named:?} is due for deletion, and no sweep found it"));
                }
                continue;
            }
            self.due.insert(named.clone());
            let invocation = text("id").rsplit_once('.').map_or("", |(invocation, _)| invocation);
            let sweep = self.sweeps.entry(invocation.to_owned()).or_default();
            sweep.policy = text("policy").to_owned();
            sweep.deletions.insert(named);
            sweep.approved.clone_from(&seen.story.approved);
            let Some(catalog) = seen.story.catalog(&sweep.policy) else { continue };
            let (found, most) = (sweep.deletions.len(), catalog.deletions_per_sweep as usize);
            if found > most && sweep.approved.is_empty() {
                return Err(format!("a sweep deletes {found} versions, and may delete {most}"));
            }
        }
        let deletes = seen.our_write().filter(|it| it.method == http::Method::DELETE);
        let Some(write) = deletes else { return Ok(()) };
        match target(&write.path) {
            Target::Version { image, number }
                if !self.due.contains(&(image.clone(), number.clone())) =>
            {
                Err(format!("{image} {number} is deleted, and no sweep found it"))
            }
            _ => Ok(()),
        }
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        for sweep in self.sweeps.values() {
            let Some(catalog) = seen.story.catalog(&sweep.policy) else { continue };
            let (found, most) = (sweep.deletions.len(), catalog.deletions_per_sweep as usize);
            // The very plan: what of it was under way before the sweep is not due again.
            if found > most && !sweep.is_part_of_a_plan(&self.due) {
                return Err(format!(
                    "a sweep deleted {found} versions under another one's approval"
                ));
            }
        }
        Ok(())
    }

    fn rest(&mut self, seen: &Seen<'_>) {
        self.sweeps.clear();
        self.due.retain(|(image, number)| seen.story.version(image, number).is_some());
    }
}

impl Sweep {
    /// Whether an approved plan is this sweep's deletions, with others that were due before.
    fn is_part_of_a_plan(&self, due: &BTreeSet<(String, String)>) -> bool {
        let others: Vec<&(String, String)> = due.difference(&self.deletions).collect();
        // Few: a seed has a dozen versions.
        let subsets = 1_u32.checked_shl(u32::try_from(others.len()).unwrap_or(u32::MAX));
        let subsets = subsets.unwrap_or(u32::MAX).min(1 << 14);
        (0..subsets).any(|subset| {
            let with = others.iter().enumerate().filter(|(place, _)| subset >> place & 1 == 1);
            let plan = self.deletions.iter().chain(with.map(|(_, it)| *it));
            self.approved.contains(&digest(plan))
        })
    }
}

/// The digest that names a plan: SHA-256 of its sorted lines.
fn digest<'a>(plan: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut lines: Vec<String> = plan.map(|(image, it)| format!("{image}/{it}\n")).collect();
    lines.sort();
    let digest = Sha256::digest(lines.concat());
    HEXLOWER.encode(&digest)
}
