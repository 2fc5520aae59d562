//! The walk, from catalog to clean-up: what a newcomer's first command shows.

use rules::VersionNumber;
use rules::event::{Event, PinnedBase};
use rules::standing::Standing;

use crate::desk::Desk;

/// The version of `image` whose run says `why`, and that was released everywhere.
async fn released(desk: &Desk, image: &str, why: &str) -> VersionNumber {
    let events = desk.events(image).await;
    let opened = events.iter().find_map(|it| match it {
        Event::RunOpened { version, why: said, .. } if said.contains(why) => Some(*version),
        _ => None,
    });
    let version = opened.unwrap_or_else(|| panic!("no run of {image} because of `{why}`"));
    let released = events.contains(&Event::RunReleased { version });
    assert!(released, "{image} {version} was not released");
    version
}

async fn happened(desk: &Desk, image: &str, what: impl Fn(&Event) -> bool) -> bool {
    desk.events(image).await.iter().any(what)
}

async fn kept(desk: &Desk, image: &str, version: &str) -> String {
    let state = desk.state(&image.parse().unwrap()).await;
    state.kept[&version.parse().unwrap()].join("; ")
}

#[tokio::test(start_paused = true)]
async fn the_example_walks_from_catalog_to_clean_up() {
    let mut desk = Desk::example().await;

    desk.run_until_over(30).await;

    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
    assert_eq!(desk.templates_left().await, 0, "templates are left behind");

    // For Patch Tuesday; a minor number, since nothing that makes the image has changed.
    let base = released(&desk, "ubuntu-2204-base", "Patch Tuesday 2026-09-08").await;
    assert_eq!(base.to_string(), "1.8.0");
    released(&desk, "windows-2022-base", "Patch Tuesday 2026-09-08").await;
    // For a new base.
    released(&desk, "rhel-9-base", "new base 9.6.2026091009").await;
    // Because of its parent, two deep.
    let web = released(&desk, "ubuntu-2204-web", "parent ubuntu-2204-base 1.8.0").await;
    released(&desk, "ubuntu-2204-shop", &format!("parent ubuntu-2204-web {web}")).await;
    let shop = desk.state(&"ubuntu-2204-shop".parse().unwrap()).await;
    let (_, newest) = shop.newest_run().unwrap();
    let from = PinnedBase::Image { image: "ubuntu-2204-web".parse().unwrap(), version: web };
    assert_eq!(newest.base, Some(from));

    // Rejected and quarantined: hidden in Azure too.
    let rejected = desk.state(&"debian-12-base".parse().unwrap()).await;
    let (number, version) =
        rejected.versions.iter().find(|(_, it)| it.standing == Standing::Rejected).unwrap();
    assert!(version.reasons[0].contains("CVE-2026-41107 in xz-utils"), "{:?}", version.reasons);
    let definition = arm::GalleryId::from(&desk.catalog.gallery).definition("debian-12-base");
    let azure = desk.arm().version(&definition.version(*number)).await.unwrap();
    assert!(azure.exclude_from_latest);
    assert_eq!(azure.tags["goldsmith-version-state"], "rejected");

    // Deprecated, deleted, and kept for either reason.
    let version = "1.9.0".parse().unwrap();
    let deprecated =
        |it: &Event| matches!(it, Event::VersionDeprecated { version: v, .. } if *v == version);
    assert!(happened(&desk, "rhel-9-base", deprecated).await);
    let version = "1.5.0".parse().unwrap();
    let deleted =
        |it: &Event| matches!(it, Event::VersionDeleted { version: v, .. } if *v == version);
    assert!(happened(&desk, "ubuntu-2204-base", deleted).await);
    let why = kept(&desk, "ubuntu-2204-web", "1.3.0").await;
    assert!(why.contains("vmss-month-end") && why.contains("size 0"), "{why}");
    let why = kept(&desk, "ubuntu-2204-base", "1.7.0").await;
    assert!(why.contains("newest good versions"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn every_write_on_azure_has_its_intent_before_and_its_outcome_after() {
    let mut desk = Desk::example().await;
    desk.run_until_over(30).await;

    let events = desk.all_events().await;
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|(_, it)| wanted(it)).count();
    let intents = count(|it| matches!(it, Event::IntentRecorded { .. }));
    let outcomes = count(|it| matches!(it, Event::EffectSettled { .. }));
    let calls = desk.sandbox.azure.calls();

    assert_eq!(u64::try_from(intents).unwrap(), calls.write + calls.delete);
    assert_eq!(outcomes, intents);
}

#[tokio::test(start_paused = true)]
async fn no_secret_reaches_the_ledger() {
    let mut desk = Desk::example().await;
    desk.run_until_over(30).await;

    let story = desk.story().await;
    for secret in ["a-token", "sig=", "&c=MII", "Bearer", "SharedAccess", "x-identity-header"] {
        assert!(!story.contains(secret), "the ledger holds `{secret}`");
    }
}
