//! A version that did not pass its gate is never *latest* in any region, however Azure resolves the
//! flags.

use super::{Invariant, Seen, may_be_offered};

/// Looks at the flags themselves, and at what is offered.
#[derive(Debug, Default)]
pub(super) struct Latest;

impl Invariant for Latest {
    fn name(&self) -> &'static str {
        "an unproven version is never latest"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            for version in versions.iter().filter(|it| may_be_offered(it)) {
                let number = &version.number;
                let told = seen.story.version(image, number);
                if told.is_some_and(|it| it.opened.is_some() && it.passed.is_none()) {
                    return Err(format!("{image} {number} has not passed, and may be offered"));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, versions) in seen.gallery {
            for version in versions.iter().filter(|it| may_be_offered(it)) {
                let number = &version.number;
                let told = seen.story.version(image, number);
                let condemned = told.and_then(|it| it.condemned);
                if condemned.is_some_and(|(_, at)| seen.now - at > super::PATIENCE) {
                    return Err(format!("{image} {number} was condemned, and is offered for ever"));
                }
            }
        }
        Ok(())
    }
}
