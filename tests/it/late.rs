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

use crate::desk::{Desk, root};
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

/// The desk, the version whose write was lost, and what was recorded of it in the days after.
struct Pinned {
    desk: Desk,
    image: String,
    version: VersionNumber,
    events: Vec<Event>,
}

/// Lets the answer to the first write that `is_it` be lost, and pins its version at once.
async fn pinned(is_it: fn(&Request) -> bool, lands: Lands) -> Pinned {
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
    let mut desk = Desk::of(loaded, &estate, Spoil { world, ..Spoil::default() }).await;
    let end = desk.now() + TimeDelta::days(60);
    desk.run_to_or(end, || over.load(Ordering::Relaxed)).await;
    let path = path.lock().unwrap().clone();
    let parts: Vec<&str> = path.split('/').collect();
    let [.., image, "versions", number] = parts[..] else { panic!("nothing was lost: `{path}`") };
    let version = number.parse().unwrap();

    let before = desk.events(image).await.len();
    let pin = format!(r#"{{"version":"{number}","why":"an audit needs it"}}"#);
    assert_eq!(desk.ask(&format!("images/{image}/pin"), &pin).await, 202);
    desk.run_to(desk.now() + TimeDelta::days(2)).await;

    let events = desk.events(image).await.split_off(before);
    Pinned { desk, image: image.to_owned(), version, events }
}

impl Pinned {
    fn says(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(what)
    }

    fn is_refused(&self) -> bool {
        self.says(
            |it| matches!(it, Event::RetirementRefused { version, .. } if *version == self.version),
        )
    }

    /// Whether nobody knows what became of the write.
    fn is_unknown(&self) -> bool {
        let number = self.version.to_string();
        self.says(|it| {
            matches!(it, Event::EffectSettled { target, outcome: Outcome::Unknown { .. }, .. } if *target == number)
        })
    }

    async fn on_azure(&self) -> Result<arm::Version, arm::Error> {
        let gallery = arm::GalleryId::from(&self.desk.catalog.gallery);
        self.desk.arm().version(&gallery.definition(&self.image).version(self.version)).await
    }
}

fn body_says(request: &Request, method: &Method, text: &str) -> bool {
    let is_version = request.uri().path().contains("/versions/");
    let body = String::from_utf8_lossy(request.body());
    request.method() == method && is_version && body.contains(text)
}

fn deprecates(request: &Request) -> bool {
    body_says(request, &Method::PUT, r#""goldsmith-version-state":"deprecated""#)
}

fn trims(request: &Request) -> bool {
    body_says(request, &Method::PUT, r#""goldsmith-version-state":"trimmed""#)
}

fn deletes(request: &Request) -> bool {
    body_says(request, &Method::DELETE, "")
}

#[tokio::test(start_paused = true)]
async fn a_deprecation_that_was_done_is_told_though_its_version_was_pinned_since() {
    for lands in [Lands::AtOnce, Lands::AfterALook] {
        let pinned = pinned(deprecates, lands).await;

        let number = pinned.version;
        let told = pinned.says(
            |it| matches!(it, Event::VersionDeprecated { version, .. } if *version == number),
        );
        assert!(told && !pinned.is_refused(), "{lands:?}: {}", pinned.desk.story().await);
        assert!(pinned.on_azure().await.unwrap().exclude_from_latest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trim_that_was_done_is_told_though_its_version_was_pinned_since() {
    for lands in [Lands::AtOnce, Lands::AfterALook] {
        let pinned = pinned(trims, lands).await;

        let number = pinned.version;
        let told =
            pinned.says(|it| matches!(it, Event::VersionTrimmed { version } if *version == number));
        assert!(told && !pinned.is_refused(), "{lands:?}: {}", pinned.desk.story().await);
        assert_eq!(pinned.on_azure().await.unwrap().target_regions.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_done_is_told_though_its_version_was_pinned_since() {
    for lands in [Lands::AtOnce, Lands::AfterALook] {
        let pinned = pinned(deletes, lands).await;

        let number = pinned.version;
        let told = pinned
            .says(|it| matches!(it, Event::VersionDeleted { version, .. } if *version == number));
        assert!(told && !pinned.is_refused(), "{lands:?}: {}", pinned.desk.story().await);
        assert!(matches!(pinned.on_azure().await, Err(arm::Error::NotFound { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retirement_that_was_not_done_is_given_up_for_a_pin_and_nothing_stays_open() {
    for is_it in [deprecates, trims, deletes] {
        let pinned = pinned(is_it, Lands::Never).await;

        let story = pinned.desk.story().await;
        assert!(pinned.is_refused() && pinned.is_unknown(), "{story}");
        let state = pinned.desk.state(&pinned.image.parse().unwrap()).await;
        assert!(state.versions[&pinned.version].retiring.is_none(), "{story}");
        assert!(state.intents.is_empty(), "{story}");
        assert!(pinned.on_azure().await.is_ok());
    }
}
