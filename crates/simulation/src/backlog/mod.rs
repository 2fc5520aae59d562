//! A backlog: the function app was away while a gallery was retired, people were to be told, and
//! somebody tagged every version of it. Now it is back, and everything is due at once.

mod plan;
mod progress;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bus::Pointer;
use chrono::{DateTime, TimeDelta, Utc};
use ledger::{Draft, StreamName};
use rules::event::{Event, Retirement};
use rules::standing::Standing;
use rules::wake::Function;
use rules::{ImageName, VersionNumber};
use serde_json::json;

use crate::chance::Chance;
use crate::fault::Faults;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::traffic::Traffic;
use crate::watch::Looks;
use crate::world::World;
use progress::{Message, Progress};

/// What each image is owed. In Azure's limits a subscription has a thousand definitions a region.
const MESSAGES_OF_AN_IMAGE: usize = 100;
/// Of these: looks at a version that is being retired, the first half of which were woken once
/// already, so that a message of the older generation is still there, too.
const LOOKS: usize = 40;
const WOKEN: usize = LOOKS / 2;
/// Notices to people.
const NOTICES: usize = 10;
/// Events of Azure, which tell of a version that somebody has written: the rest.
const HINTS: usize = MESSAGES_OF_AN_IMAGE - LOOKS - WOKEN - NOTICES;

/// `maxConcurrentCalls` of `host.json`.
const AT_ONCE: usize = 4;

/// Whoever works as fast as Azure allows finds out by being refused now and then: 2 to 4 percent of the
/// calls where it allows a tenth; who did not leave it alone then, 56.
const MOST_REFUSED_PERCENT: u64 = 6;

/// Everything must be done within this.
const WITHIN: TimeDelta = TimeDelta::hours(48);

/// What came of a backlog.
#[derive(Clone, Debug, Default)]
pub struct Drained {
    pub messages: usize,
    pub images: usize,
    /// From the first to the last of them, in the world's time.
    pub took: TimeDelta,
    /// When the image that waited longest had its first look, since the beginning.
    pub longest_wait: TimeDelta,
    /// How many younger messages of its queue were given before a message, at most.
    pub overtaken: usize,
    pub traffic: Traffic,
    pub events: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

/// Lets a world catch up with about so many messages, with so many percent of Azure's budgets. The
/// trace is kept when `keeps`.
///
/// # Panics
/// When the world cannot be put together.
#[expect(clippy::expect_used, reason = "without a runtime there is nothing to report")]
pub fn backlog(messages: usize, budgets_percent: u32, keeps: bool) -> Drained {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no resources");
    let drained = runtime.block_on(async {
        let (chance, trace) = (Chance::of(messages as u64), Trace::new(keeps));
        let faults = Faults::at(BTreeMap::new(), &chance, &trace);
        let images = messages.div_ceil(MESSAGES_OF_AN_IMAGE).max(2);
        let progress = Arc::new(Mutex::new(Progress::default()));
        let looks_on = Box::new(progress::Onlooker(Arc::clone(&progress)));
        let plan = Plan::with_many(images, LOOKS, budgets_percent);
        let looks = Looks { invariants: vec![looks_on], images: Vec::new() };
        let world = World::seen_by(plan, faults, &trace, looks, |azure| azure).await;
        let queued = world.owe().await;
        let began = world.clock.now();
        progress.lock().unwrap_or_else(PoisonError::into_inner).expect(
            &queued,
            images * LOOKS,
            began,
        );
        let left = world.catch_up(began).await;
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut drained = Drained {
            messages: queued.len(),
            images,
            took: progress.last - began,
            longest_wait: progress.longest_wait(),
            overtaken: progress.overtaken,
            traffic: world.traffic(),
            events: world.counts().0,
            violations: world.broken(),
            trace: trace.lines(),
        };
        drained.violations.extend(left);
        drained.violations.extend(progress.wrong(images, LOOKS));
        drained.violations.extend(drained.wrong());
        drained
    });
    runtime.shutdown_background();
    drained
}

impl World {
    /// Writes into the ledger what had been done when the app went away, and sends what became due
    /// since: of every image one message after another, so that no image is served at the end alone.
    async fn owe(&self) -> Vec<Message> {
        let due = self.clock.now() - TimeDelta::hours(1);
        let mut owed = Vec::new();
        for image in self.images() {
            let Ok(image) = image.parse::<ImageName>() else { continue };
            match self.owe_to(&image, due).await {
                Ok(messages) => owed.push(messages),
                Err(why) => self.watch.breaks(&format!("{image} cannot be owed anything: {why}")),
            }
            self.watch.rest();
        }
        let mut sent = Vec::new();
        let longest = owed.iter().map(Vec::len).max().unwrap_or_default();
        for place in 0..longest {
            for (queue, id, body) in owed.iter().filter_map(|it| it.get(place)) {
                match self.sandbox.bus.deliver(queue, id, body, self.clock.now()) {
                    Ok(()) => sent.push((queue.clone(), id.clone())),
                    Err(error) => self.watch.breaks(&format!("{id} is not sent: {error}")),
                }
            }
        }
        sent
    }

    /// The stream of an image, and its messages: queue, id and body.
    async fn owe_to(
        &self,
        image: &ImageName,
        due: DateTime<Utc>,
    ) -> Result<Vec<(String, String, String)>, String> {
        let ledger = self.ledger();
        let stream = ledger.read(&StreamName::Image(image.clone())).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let mut messages = Vec::new();
        let pointer = |seq, function, generation| {
            let (image, ordinal, failures) = (image.clone(), 0, 0);
            let pointer = Pointer { image, seq, function, generation, ordinal, failures };
            (function.queue().to_owned(), pointer.to_string(), pointer.to_body())
        };
        let mut entries = vec![vec![Event::ImageAdopted {}]];
        for look in 0..LOOKS {
            let seq = entries.len() as u64 + 1;
            entries.push(look_at(look, seq, due)?);
            if look < WOKEN {
                messages.push(pointer(seq, Function::FollowVersion, 0));
            }
            messages.push(pointer(seq, Function::FollowVersion, u32::from(look < WOKEN)));
            if look < HINTS {
                messages.push(self.hint(image, look));
            }
            if look < NOTICES {
                let text = format!("the quarantine of 1.{look}.0 is over");
                messages.push(pointer(seq + 1, Function::Notify, 0));
                entries.push(vec![Event::NoticeDue { text }]);
            }
        }
        for (place, events) in entries.into_iter().enumerate() {
            let draft = Draft {
                id: format!("before-{place}"),
                cause: "find_expired_versions".to_owned(),
                by: "find_expired_versions".to_owned(),
                at: due,
                policy: "before".to_owned(),
                events,
            };
            ledger.append(&mut stream, draft).await.map_err(|error| error.to_string())?;
        }
        Ok(messages)
    }

    /// Event Grid's event of a version that somebody has tagged.
    fn hint(&self, image: &ImageName, number: usize) -> (String, String, String) {
        let id = format!("tagged-{image}-{number}");
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/subscriptions/simulated",
            "type": "Microsoft.Resources.ResourceWriteSuccess",
            "subject": format!("{}/versions/1.{number}.0", self.definition(image.as_str())),
            "time": self.clock.now(), "data": {},
        });
        ("ingress".to_owned(), id, event.to_string())
    }

    /// Goes on until nothing is left; says what is left all the same.
    async fn catch_up(&self, began: DateTime<Utc>) -> Vec<String> {
        let mut left = vec!["nothing was tried".to_owned()];
        while !left.is_empty() && self.clock.now() - began < WITHIN {
            self.live_until(self.clock.now() + TimeDelta::minutes(10)).await;
            self.watch.rest();
            let counts = self.sandbox.bus.counts().unwrap_or_default();
            left = counts
                .iter()
                .filter(|(_, it)| it.active + it.locked + it.scheduled + it.dead > 0)
                .map(|(queue, it)| format!("{queue}: {it:?}"))
                .collect();
        }
        for image in self.images() {
            let wants = self.state(&image).await.map(|it| it.wants());
            if wants.is_none_or(|it| !it.is_empty()) {
                left.push(format!("{image} is still owed something"));
            }
        }
        left
    }
}

/// What had been done about one version.
fn look_at(look: usize, seq: u64, due: DateTime<Utc>) -> Result<Vec<Event>, String> {
    let version: VersionNumber = format!("1.{look}.0").parse().map_err(|_| "no number")?;
    let (stage, reasons) = (Retirement::Deprecate, vec!["superseded".to_owned()]);
    let standing = Standing::Released;
    let mut events = vec![
        Event::RetirementDue { version, stage, standing, reasons },
        Event::RetirementRequested { version, stage, look_at: due },
    ];
    if look < WOKEN {
        events.push(Event::RunWoken { seq, function: Function::FollowVersion, generation: 1 });
    }
    Ok(events)
}

impl Drained {
    /// What is not as it should be.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.overtaken > AT_ONCE {
            wrong.push(format!("{} younger messages were given before an older", self.overtaken));
        }
        // A look that was served owes nothing more; some are put off, or woken when they are late.
        if self.traffic.sent > self.messages as u64 * 2 {
            let (sent, messages) = (self.traffic.sent, self.messages);
            wrong.push(format!("{sent} messages were sent to get {messages} done"));
        }
        if self.traffic.refused * 100 > self.traffic.calls * MOST_REFUSED_PERCENT {
            let Traffic { calls, refused, .. } = self.traffic;
            wrong.push(format!("Azure has refused {refused} of {calls} calls"));
        }
        wrong
    }
}
