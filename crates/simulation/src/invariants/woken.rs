//! Where nothing goes wrong, nobody has to be woken: each step sends what comes after it, and a look
//! that has found nothing schedules the next one under an id of its own.

use super::{Fact, Invariant, Seen};

/// Looks at worlds without a fault alone: a lost message is found by waking.
#[derive(Debug)]
pub(super) struct Woken;

impl Invariant for Woken {
    fn name(&self) -> &'static str {
        "nobody is woken where nothing goes wrong"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        // Looks that find nothing leave no entry: who waits long for Azure is woken beside them.
        let waits = !seen.estate.outages.is_empty() || seen.estate.budgets_percent < 100;
        if waits || seen.faults.have_struck() {
            return Ok(());
        }
        // A hint from outside wakes a look that would have come later.
        let by_time = |it: &Fact<'_>| it.entry.value["by"] == "look_again";
        match seen.facts().find(|it| it.name == "runWoken" && by_time(it)) {
            Some(fact) => Err(format!("{}: {} was woken", fact.stream, fact.text("function"))),
            None => Ok(()),
        }
    }
}
