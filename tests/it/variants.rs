//! The walk in every Azure that may be: what no document and no recording answers is a switch of
//! the estate, and whatever it says, new machines get what they should and nothing is lost that is
//! in use. All of it is asked of the simulated Azure itself, at every instant at which something
//! happens; none of our rules is consulted.
//!
//! `northwind/` has three versions that are offered. The base of 1 June is bad: 1.3.0 is rejected.
//! Those of the 2nd and the 3rd are good: 1.4.0 and 1.5.0 are released, and 1.5.0 is taken back on the 5th.
//! Retention keeps two, and hides, trims and deletes what it may within days.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use cli::load;
use ledger::Entry;
use rules::event::{Event, Operation, Outcome};
use sandbox::azure::Offer;
use sandbox::estate::{
    AbsentEndOfLife, Answer, BareUpdate, Estate, ExactVersion, Exclusion, LargeMessage,
    LatestWhileReplicating, LostLock, MissingQueue, MissingRole, RunEvent, StagingDeleted,
    TagsOnly, ThrottledBus, UnsetFlag, Variants, VersionEvents, WaitTold,
};

use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

mod bus;
mod complete;

const CANARY: &str = "westeurope";
const REGIONS: [&str; 3] = [CANARY, "northeurope", "uksouth"];
/// How long the canary has a version before the other regions do.
const BAKES: TimeDelta = TimeDelta::hours(6);
/// Ours from the start, and those that machines use.
const USED: [&str; 2] = ["1.0.0", "1.2.0"];
const REJECTED: &str = "1.3.0";
const REVOKED: &str = "1.5.0";
/// What is right to offer once all is over.
const LAST: &str = "1.4.0";

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-06-{text}:00Z").parse().unwrap()
}

fn estate(change: impl FnOnce(&mut Variants)) -> Estate {
    let mut estate = load::estate(&root().join("tests/it/northwind/estate.yaml")).unwrap();
    change(&mut estate.variants);
    estate
}

/// What was there at one instant.
struct Sample {
    at: DateTime<Utc>,
    offers: Vec<Offer>,
    latest: BTreeMap<&'static str, Option<String>>,
}

impl Sample {
    fn offered(&self, number: &str, region: &str) -> bool {
        let here = |it: &&Offer| it.number == number && it.region == region;
        self.offers.iter().find(here).is_some_and(|it| it.offered)
    }

    /// How many versions a machine in `region` could be made from without asking for a number.
    fn good(&self, region: &str) -> usize {
        self.offers.iter().filter(|it| it.region == region && it.offered && it.completed).count()
    }
}

/// A walk that is over, and everything that was there meanwhile.
struct Walk {
    desk: Desk,
    exclusion: Exclusion,
    samples: Vec<Sample>,
}

/// A week of `estate`, through a rejection, two releases, a revoke and retention.
async fn walk(estate: Estate) -> Walk {
    walk_spoiled(estate, Spoil::default()).await
}

/// The same, with wires that misbehave.
async fn walk_spoiled(estate: Estate, spoil: Spoil) -> Walk {
    let loaded = load::catalog(&root().join("tests/it/northwind/catalog.yaml")).unwrap();
    let mut desk = Desk::of(loaded, &estate, spoil).await;
    let definition = desk.catalog.gallery.clone();
    let definition = arm::GalleryId::from(&definition).definition("web").to_string();
    let azure = Arc::clone(&desk.sandbox.azure);
    let clock = Arc::clone(&desk.sandbox.clock);
    let mut samples: Vec<Sample> = Vec::new();
    let mut look = || {
        let offers = azure.offers(&definition).unwrap();
        if samples.last().is_none_or(|it| it.offers != offers) {
            let latest = |region| (region, azure.latest(&definition, region).unwrap());
            let latest = REGIONS.into_iter().map(latest).collect();
            samples.push(Sample { at: clock.now(), offers, latest });
        }
    };

    desk.run_watched(at("05T00:00"), &mut look).await;
    let revoke = format!(r#"{{"version":"{REVOKED}","why":"a key leaked"}}"#);
    let revoked = desk.ask("images/web/revoke", &revoke).await;
    assert_eq!(revoked, 202, "{}", desk.story().await);
    desk.run_watched(at("07T12:00"), &mut look).await;
    Walk { desk, exclusion: estate.variants.exclusion, samples }
}

impl Walk {
    /// What new machines got, in the words of the invariants. `name` is the variant.
    async fn holds(&self, name: &str) {
        self.holds_whatever_failed(name).await;
        assert_eq!(*self.desk.ailments.lock().unwrap(), Vec::<String>::new(), "{name}");
    }

    /// The same, though invocations have failed on the way.
    async fn holds_whatever_failed(&self, name: &str) {
        let story = self.desk.story().await;
        let entries = self.desk.entries(&"web".parse().unwrap()).await;
        let first = |wanted: &dyn Fn(&Event) -> bool| {
            let found = entries.iter().find(|it| it.events.iter().any(wanted));
            found.map(|it| it.at)
        };
        let passed = |number: &str| {
            first(
                &|it| matches!(it, Event::GatePassed { version, .. } if version.to_string() == number),
            )
        };
        let in_canary = |number: &str| {
            first(
                &|it| matches!(it, Event::RingReleased { version, ring: 0, .. } if version.to_string() == number),
            )
        };
        let hidden = first(
            &|it| matches!(it, Event::VersionDeprecated { version, .. } if version.to_string() == REVOKED),
        );
        let revoked = at("05T00:00");
        let exposed = self.exposed(&entries);

        for sample in &self.samples {
            let when = sample.at;
            for offer in &sample.offers {
                let (number, region) = (offer.number.as_str(), offer.region.as_str());
                if !offer.offered {
                    continue;
                }
                let told = format!("{name}: {number} is offered in {region} at {when}\n{story}");
                assert!(offer.completed, "not complete there: {told}");
                if region == CANARY && exposed.get(number).is_some_and(|it| it.contains(&when)) {
                    continue;
                }
                if number > "1.2.0" {
                    assert!(passed(number).is_some_and(|it| it <= when), "not passed: {told}");
                    assert!(sample.offered(number, CANARY), "not in the canary: {told}");
                    let baked = in_canary(number).is_some_and(|it| it + BAKES <= when);
                    assert!(region == CANARY || baked, "not baked: {told}");
                }
                assert_ne!(number, REJECTED, "{told}");
                let back = number == REVOKED && hidden.is_some_and(|it| when > it);
                assert!(!back, "revoked: {told}");
            }
            let there: BTreeSet<&str> = sample.offers.iter().map(|it| it.number.as_str()).collect();
            for number in USED {
                assert!(
                    there.contains(number),
                    "{name}: {number} is in use, gone at {when}\n{story}"
                );
            }
            for region in REGIONS {
                // Taking back the newest is the one thing that may go below what is kept.
                let least = if when < revoked { 2 } else { 1 };
                let good = sample.good(region);
                assert!(good >= least, "{name}: {good} good in {region} at {when}\n{story}");
                assert!(sample.latest[region].is_some(), "{name}: none in {region} at {when}");
            }
        }
        let last = self.samples.last().unwrap();
        for region in REGIONS {
            assert_eq!(last.latest[region].as_deref(), Some(LAST), "{name}: {region}\n{story}");
        }
        let released: Vec<String> = entries
            .iter()
            .flat_map(|it| &it.events)
            .filter_map(|it| match it {
                Event::RunReleased { version } => Some(version.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(released, ["1.4.0", "1.5.0"], "{name}\n{story}");
        assert_eq!(self.desk.templates_left().await, 0, "{name}: templates are left behind");
    }

    /// When each version of ours is offered at home because it has no flag there yet: never, but in
    /// the one Azure against which there is no whole defence (`exposed.rs`). There it is from its
    /// build's end to the first write that Azure has taken, and no longer than the time between two
    /// looks.
    fn exposed(&self, entries: &[Entry]) -> BTreeMap<String, RangeInclusive<DateTime<Utc>>> {
        let mut exposed = BTreeMap::new();
        if self.exclusion != Exclusion::RegionalOnly {
            return exposed;
        }
        for entry in entries {
            for event in &entry.events {
                let Event::EffectSettled { target, operation, outcome } = event else { continue };
                let written =
                    (*operation, outcome) == (Operation::UpdateVersion, &Outcome::Accepted);
                let here = |it: &&Sample| it.offers.iter().any(|it| it.number == *target);
                let begins = self.samples.iter().find(here).map(|it| it.at);
                let is_ours = target.as_str() > "1.2.0";
                if let (true, Some(begins)) = (written && is_ours, begins) {
                    let span = exposed.entry(target.clone()).or_insert(begins..=entry.at);
                    assert!(*span.end() - begins <= TimeDelta::seconds(185), "{target}: {span:?}");
                }
            }
        }
        exposed
    }

    /// The versions that are gone from the gallery.
    fn deleted(&self) -> Vec<&'static str> {
        let last = self.samples.last().unwrap();
        let gone = |number: &&str| !last.offers.iter().any(|it| it.number == **number);
        ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"].into_iter().filter(gone).collect()
    }
}

/// Walks, looks at what new machines got, and returns what was deleted.
async fn deleted_in(name: &str, change: impl FnOnce(&mut Variants)) -> Vec<&'static str> {
    let walk = walk(estate(change)).await;
    walk.holds(name).await;
    walk.deleted()
}

/// What retention may delete when Azure tells which version each machine runs.
const MAY_GO: [&str; 3] = ["1.1.0", REJECTED, REVOKED];

#[tokio::test(start_paused = true)]
async fn the_strict_default_walks() {
    assert_eq!(deleted_in("default", |_| {}).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_regional_flag_that_wins_over_the_global_one_shows_nobody_an_unproven_version() {
    let change = |it: &mut Variants| it.exclusion = Exclusion::RegionalWins;
    assert_eq!(deleted_in("Exclusion::RegionalWins", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_regional_flag_that_counts_for_nothing_shows_nobody_an_unproven_version() {
    let change = |it: &mut Variants| it.exclusion = Exclusion::GlobalOnly;
    assert_eq!(deleted_in("Exclusion::GlobalOnly", change).await, MAY_GO);
}

/// But at home, until the first write: that much is told in `docs/live.md`.
#[tokio::test(start_paused = true)]
async fn a_regional_flag_that_alone_counts_shows_nobody_an_unproven_version_after_the_first_write()
{
    let change = |it: &mut Variants| it.exclusion = Exclusion::RegionalOnly;
    assert_eq!(deleted_in("Exclusion::RegionalOnly", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn latest_that_means_a_version_which_still_replicates_is_never_one_of_ours() {
    let change = |it: &mut Variants| it.latest_while_replicating = LatestWhileReplicating::Highest;
    assert_eq!(deleted_in("LatestWhileReplicating::Highest", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn flags_that_are_shown_as_false_after_a_build_change_nothing() {
    let change = |it: &mut Variants| it.unset_flag = UnsetFlag::False;
    assert_eq!(deleted_in("UnsetFlag::False", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn flags_that_are_shown_like_the_global_one_after_a_build_change_nothing() {
    let change = |it: &mut Variants| it.unset_flag = UnsetFlag::LikeGlobal;
    assert_eq!(deleted_in("UnsetFlag::LikeGlobal", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_is_taken_while_another_is_under_way_changes_nothing() {
    let change = |it: &mut Variants| it.update_while_updating = Answer::Accept;
    assert_eq!(deleted_in("Answer::Accept", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_past_end_of_life_that_may_be_repeated_changes_nothing() {
    let change = |it: &mut Variants| it.unchanged_past_end_of_life = Answer::Accept;
    assert_eq!(deleted_in("Answer::Accept", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn an_end_of_life_that_is_cleared_when_it_is_not_sent_changes_nothing() {
    let change = |it: &mut Variants| it.absent_end_of_life = AbsentEndOfLife::Cleared;
    assert_eq!(deleted_in("AbsentEndOfLife::Cleared", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_safety_profile_that_may_be_lifted_with_a_removal_changes_nothing() {
    let change = |it: &mut Variants| it.lift_and_remove_at_once = Answer::Accept;
    assert_eq!(deleted_in("Answer::Accept", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_bare_put_that_resets_the_profile_meets_no_put_of_ours() {
    let change = |it: &mut Variants| it.bare_update = BareUpdate::ResetsProfile;
    assert_eq!(deleted_in("BareUpdate::ResetsProfile", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_bare_put_that_is_ignored_meets_no_put_of_ours() {
    let change = |it: &mut Variants| it.bare_update = BareUpdate::Ignored;
    assert_eq!(deleted_in("BareUpdate::Ignored", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_bare_put_that_is_refused_meets_no_put_of_ours() {
    let change = |it: &mut Variants| it.bare_update = BareUpdate::Refused;
    assert_eq!(deleted_in("BareUpdate::Refused", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_written_quickly_change_nothing() {
    let change = |it: &mut Variants| it.tags_only = TagsOnly::Quick;
    assert_eq!(deleted_in("TagsOnly::Quick", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_template_whose_deletion_breaks_nothing_changes_nothing() {
    let change = |it: &mut Variants| it.staging_deleted = StagingDeleted::Harmless;
    assert_eq!(deleted_in("StagingDeleted::Harmless", change).await, MAY_GO);
}

/// And where it breaks what still replicates, nothing does any more: no region ever failed.
#[tokio::test(start_paused = true)]
async fn a_template_is_deleted_when_its_version_is_complete_everywhere() {
    let walk = walk(estate(|it| it.staging_deleted = StagingDeleted::Breaks)).await;

    let (events, story) = (walk.desk.events("web").await, walk.desk.story().await);
    let tidied = events.iter().filter(|it| matches!(it, Event::BuildTidied { .. })).count();
    assert!(tidied >= 3, "{story}");
    let failed = events.iter().find(|it| matches!(it, Event::RegionFailed { .. }));
    assert_eq!(failed, None, "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_told_when_it_is_accepted_is_looked_at_all_the_same() {
    let change = |it: &mut Variants| it.run_event = RunEvent::AtAcceptance;
    assert_eq!(deleted_in("RunEvent::AtAcceptance", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn versions_that_event_grid_does_not_tell_of_are_looked_at_all_the_same() {
    let change = |it: &mut Variants| it.version_events = VersionEvents::NotTold;
    assert_eq!(deleted_in("VersionEvents::NotTold", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_told_in_the_text_alone_changes_nothing() {
    let change = |it: &mut Variants| it.wait_told = WaitTold::InText;
    assert_eq!(deleted_in("WaitTold::InText", change).await, MAY_GO);
}

#[tokio::test(start_paused = true)]
async fn the_version_of_a_machine_that_the_graph_alone_tells_is_known() {
    let change = |it: &mut Variants| it.exact_version_of_latest = ExactVersion::GraphAlone;
    assert_eq!(deleted_in("ExactVersion::GraphAlone", change).await, MAY_GO);
}

/// Then what its OS disk was made from says which one it runs.
#[tokio::test(start_paused = true)]
async fn a_machine_that_tells_no_version_keeps_the_one_that_its_disk_was_made_from() {
    for exact in [ExactVersion::ArmAlone, ExactVersion::Absent] {
        let walk = walk(estate(|it| it.exact_version_of_latest = exact)).await;

        walk.holds(&format!("{exact:?}")).await;

        assert_eq!(walk.deleted(), MAY_GO, "{exact:?}");
        let state = walk.desk.state(&"web".parse().unwrap()).await;
        let kept = state.kept[&"1.2.0".parse().unwrap()].join("; ");
        assert!(kept.contains("current: its OS disk was made from 1.2.0"), "{kept}");
        assert!(!kept.contains("its exactVersion"), "{kept}");
    }
}

fn lenient(variants: &mut Variants) {
    *variants = Variants {
        update_while_updating: Answer::Accept,
        unchanged_past_end_of_life: Answer::Accept,
        lift_and_remove_at_once: Answer::Accept,
        bare_update: BareUpdate::ChangesTags,
        absent_end_of_life: AbsentEndOfLife::Cleared,
        exact_version_of_latest: ExactVersion::Told,
        exclusion: Exclusion::RegionalWins,
        latest_while_replicating: LatestWhileReplicating::Highest,
        tags_only: TagsOnly::Quick,
        unset_flag: UnsetFlag::LikeGlobal,
        staging_deleted: StagingDeleted::Harmless,
        run_event: RunEvent::AtEnd,
        version_events: VersionEvents::Told,
        wait_told: WaitTold::InHeader,
        // Whose answer is the kinder one nobody can say; `variants/bus.rs` walks with each.
        missing_queue: MissingQueue::Gone,
        lost_lock: LostLock::NotFound,
        missing_role: MissingRole::Unauthorized,
        large_message: LargeMessage::Forbidden,
        throttled_bus: ThrottledBus::Unavailable,
    };
}

#[tokio::test(start_paused = true)]
async fn an_azure_that_lets_everything_pass_changes_nothing() {
    assert_eq!(deleted_in("all lenient", lenient).await, MAY_GO);
}

/// The combinations in which one variant could hide another's harm.
#[tokio::test(start_paused = true)]
async fn the_worst_of_everything_at_once_changes_nothing_for_new_machines() {
    let worst = |exclusion: Exclusion| {
        move |it: &mut Variants| {
            lenient(it);
            it.exclusion = exclusion;
            it.bare_update = BareUpdate::ResetsProfile;
            it.unset_flag = UnsetFlag::False;
            it.staging_deleted = StagingDeleted::Breaks;
            it.run_event = RunEvent::AtAcceptance;
            it.version_events = VersionEvents::NotTold;
        }
    };
    let exclusions = [
        Exclusion::Either,
        Exclusion::RegionalWins,
        Exclusion::GlobalOnly,
        Exclusion::RegionalOnly,
    ];
    for exclusion in exclusions {
        let deleted = deleted_in(&format!("worst, {exclusion:?}"), worst(exclusion)).await;
        assert_eq!(deleted, MAY_GO, "{exclusion:?}");
    }
}
