//! The versions from before the ledger whose tags say that nobody is to be offered them. Somebody else
//! may write others: whoever has read the first ones hides the version, and once it is in the ledger
//! that stays so.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{PATIENCE, Seen};

/// What the tags say of such a version.
const STANDINGS: [&str; 3] = ["rejected", "revoked", "failed"];

/// Images and versions.
#[derive(Debug, Default)]
pub(super) struct Condemned {
    /// When the tags last said so.
    tagged: BTreeMap<(String, String), DateTime<Utc>>,
    /// Those of which the ledger says so.
    recorded: BTreeSet<(String, String)>,
}

impl Condemned {
    pub(super) fn remember(&mut self, seen: &Seen<'_>) {
        for fact in seen.facts().filter(|it| it.name == "retirementDue") {
            if STANDINGS.contains(&fact.text("standing")) {
                self.recorded.insert((fact.stream.to_owned(), fact.version().to_owned()));
            }
        }
        for (image, versions) in seen.before {
            for version in versions {
                let standing = version.tags.get("goldsmith-version-state");
                let told = seen.story.version(image, &version.number);
                if standing.is_some_and(|it| STANDINGS.contains(&it.as_str()))
                    && told.is_none_or(|it| it.opened.is_none())
                {
                    self.tagged.insert((image.clone(), version.number.clone()), seen.now);
                }
            }
        }
    }

    /// Whether nobody is to get it, or was to when a step may have read it that is still under way.
    pub(super) fn contains(&self, named: &(String, String), now: DateTime<Utc>) -> bool {
        self.recorded.contains(named)
            || self.tagged.get(named).is_some_and(|at| now - *at < PATIENCE)
    }
}
