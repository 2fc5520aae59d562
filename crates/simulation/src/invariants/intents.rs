//! Every effect on Azure has its intent in the ledger before and its outcome after, with who, what,
//! when and why; none is sent when its time is over.

use chrono::TimeDelta;

use super::{Fact, Invariant, Seen};
use crate::delivery::MOST_SKEWED;

/// How long a request may be under way (`seam::internet::REQUEST_TIMEOUT`).
const UNDER_WAY: TimeDelta = TimeDelta::seconds(30);

/// Compares what Azure has taken with what was intended.
#[derive(Debug)]
pub(super) struct Intents;

impl Invariant for Intents {
    fn name(&self) -> &'static str {
        "every write was intended, and what became of it is known"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts().filter(|it| it.name == "effectSettled") {
            let told = seen.story.images.get(fact.stream).into_iter().flat_map(|it| &it.intents);
            let mut of = told.filter(|it| it.target == fact.text("target"));
            let wrong = of.find(|it| it.taken && it.outcome.as_deref().is_some_and(is_nothing));
            if let Some(intent) = wrong {
                let (stream, seq) = (fact.stream, intent.seq);
                return Err(format!("{stream}: intent {seq} was carried out, and is told as not"));
            }
            if fact.body["outcome"]["kind"] == "unknown" {
                not_too_early(seen, &fact)?;
            }
        }
        let Some(write) = seen.our_write() else { return Ok(()) };
        let what = format!("{} {}", write.method, write.path);
        let Some((image, intent)) = seen.story.intent_of(write) else {
            return Err(format!("{what} was never intended"));
        };
        if !intent.is_explained {
            let seq = intent.seq;
            return Err(format!("{image}: entry {seq} does not say who intends {what}, and why"));
        }
        let over = intent.send_before + UNDER_WAY + MOST_SKEWED;
        if write.at > over {
            let late = (write.at - intent.send_before).num_seconds();
            return Err(format!("{what} came {late} s after it was to be sent"));
        }
        // A twin whose claim did not hold writes beside the one that came after it.
        let overtaken = seen.story.images[image].intents.iter().any(|it| {
            it.target == intent.target && it.seq > intent.seq && it.stored_at + UNDER_WAY < write.at
        });
        if overtaken && intent.outcome.is_none() {
            return Err(format!("{image}: {what} came beside a later intent"));
        }
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        for (image, told) in &seen.story.images {
            for (place, intent) in told.intents.iter().enumerate() {
                // Its time over, the next one for the same thing takes its place.
                let later = told.intents[place + 1..].iter().any(|it| it.target == intent.target);
                let old = !seen.is_young(intent.stored_at);
                if intent.outcome.is_none() && !later && old {
                    let (seq, target) = (intent.seq, &intent.target);
                    return Err(format!("{image}: intent {seq} for {target} is open for ever"));
                }
            }
        }
        Ok(())
    }
}

/// Nobody gives up an intent while its write may still be under way: who does is about to write beside it.
fn not_too_early(seen: &Seen<'_>, fact: &Fact<'_>) -> Result<(), String> {
    let told = seen.story.images.get(fact.stream).into_iter().flat_map(|it| &it.intents);
    let mut of = told.filter(|it| it.target == fact.text("target") && it.seq < fact.entry.seq);
    match of.next_back().filter(|it| fact.said_at() < it.send_before + UNDER_WAY) {
        Some(it) => Err(format!("{}: intent {} is given up too early", fact.stream, it.seq)),
        None => Ok(()),
    }
}

fn is_nothing(outcome: &str) -> bool {
    matches!(outcome, "refused" | "notSent")
}
