//! How a backlog goes down: in which order its messages are given, and how far each image is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::host::Activity;

use crate::invariants::{Invariant, Seen};

/// A message of the backlog: its queue and its id.
pub(super) type Message = (String, String);

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The messages that were not given yet, each with its place in its queue.
    waiting: BTreeMap<Message, usize>,
    /// By queue: how many were given.
    given: BTreeMap<String, usize>,
    /// How many younger messages of its queue were given before a message, at most.
    pub(super) overtaken: usize,
    pub(super) began: DateTime<Utc>,
    /// When the last of them was given, or told what it had seen.
    pub(super) last: DateTime<Utc>,
    /// By image: when the first look ended, and how many have.
    looks: BTreeMap<String, (DateTime<Utc>, usize)>,
    /// How many looks have ended.
    total: usize,
    /// By image: how many had ended when half of all had.
    at_half: BTreeMap<String, usize>,
    /// How many looks there are.
    expected: usize,
}

/// Writes down what is seen.
pub(super) struct Onlooker(pub(super) Arc<Mutex<Progress>>);

impl Invariant for Onlooker {
    fn name(&self) -> &'static str {
        "the backlog goes down"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fact in seen.facts().filter(|it| it.name == "versionDeprecated") {
            progress.looked(fact.stream, fact.entry.at);
        }
        Ok(())
    }

    fn hears(&mut self, activity: &Activity) {
        let Activity::Started { message_id: Some(id), function, at, .. } = activity else { return };
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.given(function, id, *at);
    }
}

impl Progress {
    /// Expects `messages`, in this order in their queues, of which so many are `looks`.
    pub(super) fn expect(&mut self, messages: &[Message], looks: usize, began: DateTime<Utc>) {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (queue, id) in messages {
            let place = places.entry(queue).or_default();
            self.waiting.insert((queue.clone(), id.clone()), *place);
            *place += 1;
        }
        (self.expected, self.began, self.last) = (looks, began, began);
    }

    fn given(&mut self, function: &str, id: &str, at: DateTime<Utc>) {
        let queue = if function == "receive_events" { "ingress" } else { function };
        let Some(place) = self.waiting.remove(&(queue.to_owned(), id.to_owned())) else { return };
        let given = self.given.entry(queue.to_owned()).or_default();
        self.overtaken = self.overtaken.max(given.saturating_sub(place));
        *given += 1;
        self.last = at;
    }

    fn looked(&mut self, image: &str, at: DateTime<Utc>) {
        self.looks.entry(image.to_owned()).or_insert((at, 0)).1 += 1;
        self.total += 1;
        self.last = self.last.max(at);
        if self.total == self.expected / 2 {
            let counts = self.looks.iter().map(|(image, (_, count))| (image.clone(), *count));
            self.at_half = counts.collect();
        }
    }

    /// How long the image that waited longest waited for its first look.
    pub(super) fn longest_wait(&self) -> TimeDelta {
        let waits = self.looks.values().map(|(first, _)| *first - self.began);
        waits.max().unwrap_or_default()
    }

    /// What is not as it should be with `images` images of so many `looks` each.
    pub(super) fn wrong(&self, images: usize, looks: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some((queue, id)) = self.waiting.keys().next() {
            let count = self.waiting.len();
            wrong.push(format!("{count} messages were never given, {id} of {queue} among them"));
        }
        let done = self.looks.values().filter(|(_, count)| *count == looks).count();
        if done < images {
            wrong.push(format!("{done} of {images} images were served"));
        }
        let took = self.last - self.began;
        if self.longest_wait() * 4 > took {
            let (waited, took) = (self.longest_wait().num_minutes(), took.num_minutes());
            wrong.push(format!("an image waited {waited} of {took} min for its first look"));
        }
        let least = self.at_half.values().min().copied().unwrap_or_default();
        if self.at_half.len() < images || least < looks / 4 {
            wrong.push(format!("with half of all done, an image has {least} of {looks}"));
        }
        wrong
    }
}
