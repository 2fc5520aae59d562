//! A write of a retirement whose answer is lost, and a person who pins the version before its step
//! comes back: what was done is told, whenever it reached Azure, and what was not is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use cli::load;
use http::Method;
use rules::VersionNumber;
use rules::event::{Event, Outcome};
use seam::{Fault, Request, Response, Wire};
use serde_json::{Value, json};

use crate::desk::{Desk, root};
use crate::events::version_id;
use crate::spoiled::Spoil;

/// When a write whose answer is lost reaches Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lands {
    AtOnce,
    /// After the version has been looked at again.
    AfterALook,
    Never,
}

/// Loses the answer to the first write that is the one.
struct Lost {
    wire: Arc<dyn Wire>,
    is_it: fn(&Request) -> bool,
    lands: Lands,
    late: Mutex<Option<Request>>,
    /// The path of what was written.
    path: Arc<Mutex<String>>,
    over: Arc<AtomicBool>,
}

impl std::fmt::Debug for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lost")
    }
}

#[async_trait]
impl Wire for Lost {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.uri().path().to_owned();
        if (self.is_it)(&request) && !self.over.swap(true, Ordering::Relaxed) {
            *self.path.lock().unwrap() = path;
            match self.lands {
                Lands::AtOnce => drop(self.wire.send(request).await?),
                Lands::AfterALook => *self.late.lock().unwrap() = Some(request),
                Lands::Never => {}
            }
            return Err(Fault::PerhapsDone("the answer was lost".to_owned()));
        }
        let looks = *request.method() == Method::GET && *self.path.lock().unwrap() == path;
        let answer = self.wire.send(request).await;
        let late = if looks { self.late.lock().unwrap().take() } else { None };
        if let Some(late) = late {
            self.wire.send(late).await?;
        }
        answer
    }
}

/// A version of which a write was lost, as it was a moment later.
struct Late {
    desk: Desk,
    image: String,
    version: VersionNumber,
    before: arm::Version,
}

/// Lets things happen until the answer to the first write that `is_it` was lost.
async fn late(is_it: fn(&Request) -> bool, lands: Lands) -> Late {
    let (path, over) = (Arc::<Mutex<String>>::default(), Arc::<AtomicBool>::default());
    let (its_path, is_over) = (Arc::clone(&path), Arc::clone(&over));
    let world = Box::new(move |wire| {
        let late = Mutex::default();
        Arc::new(Lost { wire, is_it, lands, late, path: its_path, over: is_over }) as Arc<dyn Wire>
    });
    let mut loaded = load::catalog(&root().join("examples/catalog")).unwrap();
    loaded.catalog.images.retain(|it| it.name.as_str() == "ubuntu-2204-base");
    let retention = &mut loaded.catalog.images[0].retention;
    (retention.deprecate_after_days, retention.trim_after_days) = (1, 1);
    let estate = load::estate(&root().join("examples/estate.yaml")).unwrap();
    let spoil = Spoil { world, people: true, ..Spoil::default() };
    let mut desk = Desk::of(loaded, &estate, spoil).await;
    let end = desk.now() + TimeDelta::days(60);
    desk.run_to_or(end, || over.load(Ordering::Relaxed)).await;

    let path = path.lock().unwrap().clone();
    let parts: Vec<&str> = path.split('/').collect();
    let [.., image, "versions", number] = parts[..] else { panic!("nothing was lost: `{path}`") };
    let (image, version) = (image.to_owned(), number.parse().unwrap());
    let before = on_azure(&desk, &image, version).await.unwrap();
    Late { desk, image, version, before }
}

async fn on_azure(
    desk: &Desk,
    image: &str,
    version: VersionNumber,
) -> Result<arm::Version, arm::Error> {
    let gallery = arm::GalleryId::from(&desk.catalog.gallery);
    desk.arm().version(&gallery.definition(image).version(version)).await
}

impl Late {
    /// Pins the version, and returns what was recorded of its image in the two days after.
    async fn pinned(&mut self) -> Vec<Event> {
        let before = self.desk.events(&self.image).await.len();
        let pin = format!(r#"{{"version":"{}","why":"an audit needs it"}}"#, self.version);
        assert_eq!(self.desk.ask(&format!("images/{}/pin", self.image), &pin).await, 202);
        self.desk.run_to(self.desk.now() + TimeDelta::days(2)).await;
        self.desk.events(&self.image).await.split_off(before)
    }

    /// Somebody writes over its tags, as soon as Azure lets them.
    async fn loses_its_tags(&mut self) {
        let id = version_id(&self.desk, &self.image, &self.version.to_string());
        let tags = json!({ "tags": { "owner": "another" } });
        while self.desk.arm_write(Method::PATCH, &id, &tags).await == 409 {
            self.desk.run_to(self.desk.now() + TimeDelta::seconds(10)).await;
        }
        assert_eq!(self.on_azure().await.unwrap().tags.len(), 1);
    }

    /// Somebody hides it everywhere, as soon as Azure lets them.
    async fn is_hidden_by_hand(&mut self) {
        let id = version_id(&self.desk, &self.image, &self.version.to_string());
        let regions = self.before.target_regions.iter().map(|it| {
            let (name, replicas) = (&it.region, it.replicas);
            json!({ "name": name, "regionalReplicaCount": replicas, "excludeFromLatest": true })
        });
        let regions: Vec<Value> = regions.collect();
        let profile = json!({ "targetRegions": regions, "excludeFromLatest": true });
        let body = json!({ "properties": { "publishingProfile": profile } });
        let status = self.desk.arm_write(Method::PATCH, &id, &body).await;
        assert!([200, 202].contains(&status), "{status}");
        let hidden = self.on_azure().await.unwrap();
        assert!(hidden.target_regions.iter().all(|it| it.exclude_from_latest == Some(true)));
    }

    fn is_refused(&self, events: &[Event]) -> bool {
        let number = self.version;
        let refused = |it: &Event| matches!(it, Event::RetirementRefused { version, .. } if *version == number);
        events.iter().any(refused)
    }

    async fn on_azure(&self) -> Result<arm::Version, arm::Error> {
        on_azure(&self.desk, &self.image, self.version).await
    }
}

/// Whether people are told what was done before anybody knew of the pin.
fn is_noticed(events: &[Event]) -> bool {
    events.iter().any(|it| matches!(it, Event::NoticeDue { text } if text.contains("pinned")))
}

fn body_says(request: &Request, method: &Method, text: &str) -> bool {
    let is_version = request.uri().path().contains("/versions/");
    let body = String::from_utf8_lossy(request.body());
    request.method() == method && is_version && body.contains(text)
}

fn deprecates(request: &Request) -> bool {
    body_says(request, &Method::PUT, r#""goldsmith-version-state":"deprecated""#)
}

fn lifts(request: &Request) -> bool {
    body_says(request, &Method::PUT, r#""allowDeletionOfReplicatedLocations":true"#)
}

fn trims(request: &Request) -> bool {
    body_says(request, &Method::PUT, r#""goldsmith-version-state":"trimmed""#)
}

fn deletes(request: &Request) -> bool {
    body_says(request, &Method::DELETE, "")
}

#[tokio::test(start_paused = true)]
async fn a_deprecation_that_was_done_is_told_though_its_version_was_pinned_since() {
    for (lands, are_tags_lost) in
        [(Lands::AtOnce, false), (Lands::AtOnce, true), (Lands::AfterALook, false)]
    {
        let mut late = late(deprecates, lands).await;
        if are_tags_lost {
            late.loses_its_tags().await;
        }

        let events = late.pinned().await;

        let number = late.version;
        let told = |it: &Event| matches!(it, Event::VersionDeprecated { version, .. } if *version == number);
        let story = late.desk.story().await;
        assert!(events.iter().any(told), "{lands:?}, tags lost {are_tags_lost}: {story}");
        assert!(!late.is_refused(&events), "{lands:?}, tags lost {are_tags_lost}: {story}");
        assert!(late.on_azure().await.unwrap().exclude_from_latest);
        assert!(is_noticed(&events), "{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trim_that_was_done_is_told_though_its_version_was_pinned_since() {
    for lands in [Lands::AtOnce, Lands::AfterALook] {
        let mut late = late(trims, lands).await;

        let events = late.pinned().await;

        let number = late.version;
        let told =
            |it: &Event| matches!(it, Event::VersionTrimmed { version } if *version == number);
        let story = late.desk.story().await;
        assert!(events.iter().any(told), "{lands:?}: {story}");
        assert!(!late.is_refused(&events), "{lands:?}: {story}");
        assert_eq!(late.on_azure().await.unwrap().target_regions.len(), 1);
        assert!(is_noticed(&events), "{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_done_is_told_though_its_version_was_pinned_since() {
    for lands in [Lands::AtOnce, Lands::AfterALook] {
        let mut late = late(deletes, lands).await;

        let events = late.pinned().await;

        let number = late.version;
        let told =
            |it: &Event| matches!(it, Event::VersionDeleted { version, .. } if *version == number);
        let story = late.desk.story().await;
        assert!(events.iter().any(told), "{lands:?}: {story}");
        assert!(!late.is_refused(&events), "{lands:?}: {story}");
        assert!(matches!(late.on_azure().await, Err(arm::Error::NotFound { .. })));
        assert!(is_noticed(&events), "{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_change_that_was_lost_nobody_knows_when_its_version_is_gone() {
    for is_it in [deprecates, lifts] {
        let mut late = late(is_it, Lands::Never).await;
        let before = late.desk.events(&late.image).await.len();
        let id = version_id(&late.desk, &late.image, &late.version.to_string());
        while late.desk.arm_write(Method::DELETE, &id, &json!({})).await == 409 {
            late.desk.run_to(late.desk.now() + TimeDelta::seconds(10)).await;
        }
        late.desk.run_to(late.desk.now() + TimeDelta::days(1)).await;

        let story = late.desk.story().await;
        let events = late.desk.events(&late.image).await.split_off(before);
        let number = late.version.to_string();
        let outcomes: Vec<&Outcome> = events
            .iter()
            .filter_map(|it| match it {
                Event::EffectSettled { target, outcome, .. } if *target == number => Some(outcome),
                _ => None,
            })
            .collect();
        assert!(matches!(outcomes[..], [Outcome::Unknown { .. }]), "{outcomes:?}\n{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deprecation_that_was_not_done_is_not_told_because_somebody_else_has_hidden_the_version()
{
    let mut late = late(deprecates, Lands::Never).await;
    late.is_hidden_by_hand().await;

    let events = late.pinned().await;

    let number = late.version;
    let told =
        |it: &Event| matches!(it, Event::VersionDeprecated { version, .. } if *version == number);
    let story = late.desk.story().await;
    assert!(!events.iter().any(told), "{story}");
    assert!(late.is_refused(&events), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_retirement_that_was_not_done_is_given_up_for_a_pin_and_nothing_stays_open() {
    for is_it in [deprecates, lifts, trims, deletes] {
        let mut late = late(is_it, Lands::Never).await;

        let events = late.pinned().await;

        let story = late.desk.story().await;
        assert!(late.is_refused(&events), "{story}");
        let state = late.desk.state(&late.image.parse().unwrap()).await;
        assert!(state.versions[&late.version].retiring.is_none(), "{story}");
        assert!(state.intents.is_empty(), "{story}");
        let (before, after) = (&late.before, late.on_azure().await.unwrap());
        assert_eq!(after.exclude_from_latest, before.exclude_from_latest, "{story}");
        assert_eq!(after.target_regions, before.target_regions, "{story}");
    }
}
