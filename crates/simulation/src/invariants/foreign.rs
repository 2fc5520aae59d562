//! What others have written on a version stays: our writes keep every tag that is not ours.
//!
//! Galleries have no ETags, so what somebody writes between our read and our write is lost, and
//! nobody can help it: that does not count.

use super::story::{Target, target};
use super::{Invariant, Seen};

/// Compares the tags before and after a write of ours.
#[derive(Debug)]
pub(super) struct Foreign;

impl Invariant for Foreign {
    fn name(&self) -> &'static str {
        "the tags of others stay"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(write) = seen.our_write().filter(|it| it.method == http::Method::PUT) else {
            return Ok(());
        };
        let Target::Version { image, number } = target(&write.path) else { return Ok(()) };
        let (Some(before), Some(after), Some((_, intent))) = (
            Seen::version(seen.before, &image, &number),
            Seen::version(seen.gallery, &image, &number),
            seen.story.intent_of(write),
        ) else {
            return Ok(());
        };
        let writes = seen.written.writes.iter().rev();
        let mut lately = writes.take_while(|it| it.at >= intent.began());
        if lately.any(|it| !it.ours && it.path == write.path) {
            return Ok(());
        }
        let ours =
            |name: &str| name.starts_with("goldsmith-") || seen.catalog.tags.contains_key(name);
        let mut foreign = before.tags.iter().filter(|(name, _)| !ours(name));
        match foreign.find(|(name, value)| after.tags.get(*name) != Some(value)) {
            Some((name, _)) => Err(format!("{image} {number} loses the tag `{name}` of others")),
            None => Ok(()),
        }
    }
}
