//! The versions from before the ledger whose tags have once said that nobody is to be offered them.
//! Somebody else may have written others since: whoever has read the first ones hides the version.

use std::collections::BTreeSet;

use super::Seen;

/// What the tags say of such a version.
const STANDINGS: [&str; 3] = ["rejected", "revoked", "failed"];

/// Images and versions.
#[derive(Debug, Default)]
pub(super) struct Condemned(BTreeSet<(String, String)>);

impl Condemned {
    pub(super) fn remember(&mut self, seen: &Seen<'_>) {
        for (image, versions) in seen.before {
            for version in versions {
                let standing = version.tags.get("goldsmith-version-state");
                let told = seen.story.version(image, &version.number);
                if standing.is_some_and(|it| STANDINGS.contains(&it.as_str()))
                    && told.is_none_or(|it| it.opened.is_none())
                {
                    self.0.insert((image.clone(), version.number.clone()));
                }
            }
        }
    }

    pub(super) fn contains(&self, named: &(String, String)) -> bool {
        self.0.contains(named)
    }
}
