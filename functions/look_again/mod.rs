//! Sends again what is owed and overdue, and reports what is stuck: the cure for every lost
//! message, broken chain of looks and dead letter.

use rules::event::{Event, Outcome};

use crate::{Context, Failure, Record};

/// People are told when a wish has been woken so often, and again each time after as many more.
const REPORT_EVERY: u32 = 3;

/// Raises the generation of every overdue wish, of images that left the catalog too; messages of
/// the older chain are dropped when they arrive. What is not overdue yet is sent again as it was,
/// which costs nothing where it had been sent: the queue drops an id that it has had. And an intent that
/// nobody will come back to gets its outcome, which is that nobody knows it.
pub async fn handle(cx: &Context) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();

    for image in cx.ledger.streams().await? {
        let Some(stream) = cx.readable(&image).await? else { continue };

        let mut events = Vec::new();
        let mut stuck = Vec::new();
        for wish in stream.state.overdue(cx.now) {
            let (seq, function) = (wish.task.seq, wish.task.function);
            let generation = wish.task.generation + 1;
            events.push(Event::RunWoken { seq, function, generation });
            let waits = stream.state.waits_until(&wish).is_some_and(|it| cx.now < it);
            if generation % REPORT_EVERY == 0 && !waits {
                stuck.push(format!("`{function}` of {image} was woken {generation} times"));
            }
        }
        for (target, operation) in stream.state.forgotten_intents(cx.now) {
            let because = "its step has not come back, and nothing is owed any more".to_owned();
            let outcome = Outcome::Unknown { because };
            events.push(Event::EffectSettled { target, operation, outcome });
        }
        if events.is_empty() {
            if !stream.state.unanswered(cx.now).is_empty() {
                records.push((stream, Vec::new()));
            }
            continue;
        }
        let mut entries = vec![events];
        if cx.catalog.notify.webhook && !stuck.is_empty() {
            entries.push(vec![Event::NoticeDue { text: stuck.join("; ") }]);
        }
        records.push((stream, entries));
    }

    Ok(records)
}
