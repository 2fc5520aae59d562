//! A version that did not pass its gate is never *latest* in any region.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Seen};

/// By image: the versions of runs, and those that have passed.
#[derive(Debug, Default)]
pub(super) struct Latest {
    runs: BTreeMap<String, BTreeSet<String>>,
    passed: BTreeMap<String, BTreeSet<String>>,
}

impl Invariant for Latest {
    fn name(&self) -> &'static str {
        "an unproven version is never latest"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            let of = match fact.name {
                "runOpened" => &mut self.runs,
                "gatePassed" => &mut self.passed,
                _ => continue,
            };
            of.entry(fact.stream.to_owned()).or_default().insert(fact.version().to_owned());
        }
        for (image, offers) in seen.offers {
            for offer in offers.iter().filter(|it| it.offered) {
                let is_ours = self.runs.get(image).is_some_and(|it| it.contains(&offer.number));
                let passed = self.passed.get(image).is_some_and(|it| it.contains(&offer.number));
                if is_ours && !passed {
                    let (number, region) = (&offer.number, &offer.region);
                    return Err(format!(
                        "{image} {number} has not passed, and is offered in {region}"
                    ));
                }
            }
        }
        Ok(())
    }
}
