//! No image is built from a version of its parent that was taken back, rejected or has failed.

use super::story::CLOCKS;
use super::{Invariant, Seen};

/// Compares what a run is built from with what was known of it when the step began that opened it.
#[derive(Debug)]
pub(super) struct Bases;

impl Invariant for Bases {
    fn name(&self) -> &'static str {
        "nothing is built from what was taken back"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts().filter(|it| it.name == "runOpened") {
            let told = seen.story.version(fact.stream, fact.version());
            let Some((parent, number)) = told.and_then(|it| it.base.as_ref()) else { continue };
            let condemned = seen.story.version(parent, number).and_then(|it| it.condemned);
            if condemned.is_some_and(|(_, at)| at < fact.said_at() - CLOCKS) {
                let (image, version) = (fact.stream, fact.version());
                return Err(format!(
                    "{image} {version} is built from {parent} {number}, which was condemned before"
                ));
            }
        }
        Ok(())
    }
}
