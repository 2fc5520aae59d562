//! A version that did not pass its gate is never *latest* in any region, however Azure resolves the
//! flags.

use std::collections::BTreeSet;

use super::{Invariant, Seen, may_be_offered};

/// Looks at the flags themselves, and at what is offered.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// What somebody else has offered; it is hidden again by a sweep.
    by_others: BTreeSet<(String, String)>,
}

impl Invariant for Latest {
    fn name(&self) -> &'static str {
        "an unproven version is never latest"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            for version in versions {
                let number = &version.number;
                let named = (image.clone(), number.clone());
                if !may_be_offered(version) {
                    self.by_others.remove(&named);
                    continue;
                }
                if seen.is_written_by_others(image, number) {
                    self.by_others.insert(named.clone());
                }
                let told = seen.story.version(image, number);
                let unproven = told.is_some_and(|it| it.opened.is_some() && it.passed.is_none());
                if unproven && !self.by_others.contains(&named) {
                    return Err(format!("{image} {number} has not passed, and may be offered"));
                }
            }
        }
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            for version in versions.iter().filter(|it| may_be_offered(it)) {
                let number = &version.number;
                let told = seen.story.version(image, number);
                let condemned = told.and_then(|it| it.condemned);
                // What is no longer in the catalog no sweep looks at.
                let swept = seen.catalog.images.iter().any(|it| it.name.as_str() == image);
                if !swept && self.by_others.contains(&(image.clone(), number.clone())) {
                    continue;
                }
                if condemned.is_some_and(|(_, at)| !seen.is_young(at)) {
                    return Err(format!("{image} {number} was condemned, and is offered for ever"));
                }
            }
        }
        Ok(())
    }
}
