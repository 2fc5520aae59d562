//! Hears of things: a version reached the moment that its children wait for; Event Grid says that
//! a resource changed; a pipeline asks for a rebuild. What comes from outside is a hint: a look at
//! the resource follows, never a belief.

mod hint;
mod look;
mod newcomer;

use std::collections::BTreeMap;

use bytes::Bytes;
use ledger::Stream;
use rules::catalog::{Image, Moment};
use rules::event::Event;
use rules::trigger::{Admission, Trigger, admit};
use rules::{ImageName, VersionNumber};
use tracing::{error, warn};

use crate::{Context, Done, Failure, Record, Step, Visit, record};
use hint::Hint;

/// The event that lets the children of `image` be rebuilt from `version`, when `moment` is theirs.
pub fn children_due(
    cx: &Context,
    image: &Image,
    version: VersionNumber,
    moment: Moment,
) -> Option<Event> {
    if image.children_build_when != moment {
        return None;
    }
    let children: Vec<ImageName> =
        cx.catalog.children(&image.name).map(|it| it.name.clone()).collect();
    (!children.is_empty()).then_some(Event::ChildrenDue { version, children })
}

/// Accepts a version as a trigger of each of its children.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let version = visit.version()?;
    let due = visit.state().children.iter().find(|it| it.version == version);
    let Some(due) = due.cloned() else { return Ok(Done::Nothing) };

    let mut records = Vec::new();
    let mut broken = false;
    for child in &due.children {
        if cx.catalog.image(child).is_none() {
            continue;
        }
        let trigger = Trigger::Parent { image: visit.image.clone(), version };
        match accept(cx, child, trigger).await {
            Ok(record) => records.extend(record),
            // Its siblings are told all the same, and it is told once it is mended.
            Err(Failure::Broken(why)) => {
                error!(image = %child, "{child} cannot be told of {version}: {why}");
                broken = true;
            }
            Err(failure) => return Err(failure),
        }
    }
    if broken {
        return Ok(Done::RecordElsewhere { records, events: Vec::new() });
    }
    let events = vec![Event::ChildrenTold { version }];
    Ok(Done::RecordElsewhere { records, events })
}

/// What a message from outside comes to.
pub struct Heard {
    pub records: Vec<Record>,
    /// Why some of it could not be verified now: the message must come again.
    pub missed: Option<String>,
}

/// What a hint from outside comes to. However many events a message has, Azure is asked at most once
/// for each image that it names, and about nothing outside our gallery.
///
/// # Errors
/// [`Failure::Never`] when the body is no event; else what the ledger says.
pub async fn hear(cx: &Context, body: &Bytes) -> Result<Heard, Failure> {
    let hints = hint::read(body).map_err(Failure::never)?;
    let mut records: Vec<Record> = Vec::new();
    let mut changed: BTreeMap<String, bool> = BTreeMap::new();
    for hint in hints {
        match hint {
            Hint::Rebuild { image, request, by } => {
                let known = image.parse::<ImageName>().ok();
                if let Some(image) = known.filter(|it| cx.catalog.image(it).is_some()) {
                    let why = "a pipeline asked for it".to_owned();
                    let trigger = Trigger::Person { request, by, why };
                    record::merge(&mut records, accept(cx, &image, trigger).await?);
                }
            }
            // Of many events about one thing one is enough.
            Hint::Changed { resource, written } => {
                *changed.entry(resource.to_ascii_lowercase()).or_default() |= written;
            }
            Hint::Other => {}
        }
    }
    record::merge(&mut records, look::now(cx, &changed).await?);
    let missed = match newcomer::triggers(cx, &changed).await {
        Ok(found) => {
            record::merge(&mut records, found);
            None
        }
        Err(Failure::Later { why, .. }) => Some(why),
        // The rest of the message is no less true for it; the sweep finds what is new.
        Err(Failure::Never { why, .. }) => {
            warn!("What an event told of could not be verified: {why}");
            None
        }
        Err(failure) => return Err(failure),
    };
    Ok(Heard { records, missed })
}

async fn accept(
    cx: &Context,
    image: &ImageName,
    trigger: Trigger,
) -> Result<Option<Record>, Failure> {
    Ok(admitted(cx.stream(image).await?, trigger))
}

/// What is recorded of `trigger` in the stream of its image; nothing when it is known there.
pub fn admitted(stream: Stream, trigger: Trigger) -> Option<Record> {
    let events = match admit(&stream.state, &trigger) {
        Admission::Accept => vec![Event::TriggerAccepted { trigger }],
        Admission::Refuse { because } => vec![Event::TriggerRefused { trigger, because }],
        Admission::Known => return None,
    };
    Some((stream, vec![events]))
}
