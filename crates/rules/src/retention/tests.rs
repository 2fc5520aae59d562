//! Tests of retention: tables with their boundaries, then the invariants against an oracle that
//! counts for itself.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::cap::{Judged, cap, plan_digest};
use super::*;

#[test]
fn the_newest_good_versions_are_kept_and_named() {
    let facts = gallery([
        released("1.0.0").superseded("2026-01-10"),
        released("1.1.0").superseded("2026-02-10"),
        released("1.2.0"),
    ]);

    let verdicts = judge(&policy(), &facts);

    assert_eq!(
        lines(&verdicts),
        [
            "1.0.0 deprecate: a newer version was released on 2026-01-10, and its 14 days ended \
             on 2026-01-24 / the good versions that stay are 1.2.0, 1.1.0 / it is not pinned",
            "1.1.0 keep: it is among the 2 newest good versions in northeurope, westeurope / \
             else it would be time to deprecate it: a newer version was released on 2026-02-10, \
             and its 14 days ended on 2026-02-24",
            "1.2.0 keep: it is among the 2 newest good versions in northeurope, westeurope",
        ]
    );
}

#[test]
fn each_stage_begins_on_its_day_and_not_before() {
    let table = [
        (released("1.0.0").superseded("2026-06-17"), Some(Retirement::Deprecate)),
        (released("1.0.0").superseded("2026-06-18"), None),
        (deprecated("1.0.0", "2026-06-01"), Some(Retirement::Trim)),
        (deprecated("1.0.0", "2026-06-02"), None),
        (deprecated("1.0.0", "2026-05-02"), Some(Retirement::Delete)),
        (deprecated("1.0.0", "2026-05-03"), Some(Retirement::Trim)),
        (standing("1.0.0", Standing::Rejected).published("2026-06-24"), Some(Retirement::Delete)),
        (standing("1.0.0", Standing::Rejected).published("2026-06-25"), None),
        (standing("1.0.0", Standing::Failed).published("2026-06-24"), Some(Retirement::Delete)),
        (standing("1.0.0", Standing::Passed).published("2026-06-24"), Some(Retirement::Delete)),
        (standing("1.0.0", Standing::Candidate).published("2026-06-24"), Some(Retirement::Delete)),
        (standing("1.0.0", Standing::Revoked), Some(Retirement::Deprecate)),
        (released("1.0.0"), None),
    ];
    for (version, expected) in table {
        let described = format!("{version:?}");
        let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        assert_eq!(judge(&policy(), &facts)[&number("1.0.0")].stage(), expected, "{described}");
    }
}

#[test]
fn there_is_nothing_to_trim_of_a_version_that_is_only_at_home() {
    let mut version = deprecated("1.0.0", "2026-06-01");
    version.regions.remove(&region("northeurope"));
    let facts = gallery([version, released("2.0.0"), released("2.1.0")]);

    assert_eq!(
        judge(&policy(), &facts)[&number("1.0.0")].reasons(),
        ["it was deprecated on 2026-06-01; it is deleted on 2026-07-31"]
    );
}

#[test]
fn what_speaks_against_every_stage_keeps_a_version() {
    let due = || released("1.0.0").superseded("2026-01-01");
    let table = [
        (VersionFacts { ours: false, ..due() }, "Goldsmith did not make it"),
        (VersionFacts { in_a_run: true, ..due() }, "a run is under way"),
        (VersionFacts { provisioned: Provisioned::InProgress, ..due() }, "something is being done"),
        (due().pinned(None), "it is pinned: audit"),
        (due().pinned(Some("2026-07-02")), "it is pinned until 2026-07-02: audit"),
        (VersionFacts { superseded_at: None, ..due() }, "no newer version is released"),
    ];
    for (version, expected) in table {
        let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        let verdict = &judge(&policy(), &facts)[&number("1.0.0")];
        assert_eq!(verdict.stage(), None);
        assert!(verdict.reasons()[0].starts_with(expected), "{verdict:?}");
    }

    let ended = gallery([due().pinned(Some("2026-07-01")), released("2.0.0"), released("2.1.0")]);
    let verdict = &judge(&policy(), &ended)[&number("1.0.0")];
    assert_eq!(verdict.stage(), Some(Retirement::Deprecate));
    assert!(verdict.reasons().contains(&"its pin has ended".to_owned()));
}

#[test]
fn a_version_of_another_maker_is_treated_alike_when_it_is_adopted() {
    let version = VersionFacts { ours: false, ..released("1.0.0").superseded("2026-01-01") };
    let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
    let adopting = Retention { adopt: true, ..policy() };

    assert_eq!(judge(&adopting, &facts)[&number("1.0.0")].stage(), Some(Retirement::Deprecate));
}

#[test]
fn what_is_in_use_is_deprecated_and_neither_trimmed_nor_deleted() {
    let used = |version: VersionFacts| {
        let mut facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        let found = Use { by: "scale set set-1".into(), why: "its model names it (size 0)".into() };
        facts.in_use.by_version.insert(number("1.0.0"), vec![found]);
        judge(&policy(), &facts).remove(&number("1.0.0")).unwrap()
    };

    let aged = used(released("1.0.0").superseded("2026-01-01"));
    assert_eq!(aged.stage(), Some(Retirement::Deprecate));
    assert_eq!(
        used(deprecated("1.0.0", "2026-01-01")).reasons(),
        [
            "in use by scale set set-1: its model names it (size 0)",
            "else it would be time to delete it: it was deprecated on 2026-01-01, and its 60 days \
             ended on 2026-03-02",
        ]
    );
    assert_eq!(used(deprecated("1.0.0", "2026-06-01")).stage(), None);
    let rejected = standing("1.0.0", Standing::Rejected).published("2026-01-01");
    assert_eq!(used(rejected).stage(), None);
}

#[test]
fn a_scope_that_could_not_be_read_keeps_everything_and_is_named() {
    let mut facts =
        gallery([deprecated("1.0.0", "2026-01-01"), released("2.0.0"), released("2.1.0")]);
    let scope = Use { by: "subscription b7e0".into(), why: "it could not be read".into() };
    facts.in_use.blocks_all.push(scope);

    let verdict = &judge(&policy(), &facts)[&number("1.0.0")];

    assert_eq!(verdict.stage(), None);
    assert_eq!(verdict.reasons()[0], "in use by subscription b7e0: it could not be read");
}

#[test]
fn at_most_five_uses_are_named() {
    let mut facts =
        gallery([deprecated("1.0.0", "2026-01-01"), released("2.0.0"), released("2.1.0")]);
    let uses = (1..=12).map(|it| Use { by: format!("machine vm-{it}"), why: "it names it".into() });
    facts.in_use.by_version.insert(number("1.0.0"), uses.collect());

    let verdict = &judge(&policy(), &facts)[&number("1.0.0")];

    assert_eq!(verdict.reasons()[4], "in use by machine vm-5: it names it");
    assert_eq!(verdict.reasons()[5], "in use by 7 more");
}

#[test]
fn a_version_that_a_child_is_built_from_is_not_deleted() {
    let mut version = deprecated("1.0.0", "2026-01-01");
    version.base_of = vec!["ubuntu-shop".parse().unwrap()];
    let facts = gallery([version, released("2.0.0"), released("2.1.0")]);

    let verdict = &judge(&policy(), &facts)[&number("1.0.0")];

    assert_eq!(verdict.stage(), None);
    assert_eq!(verdict.reasons()[0], "the current version of ubuntu-shop is built from it");
}

#[test]
fn failed_rejected_and_revoked_versions_do_not_count_as_good_ones() {
    let facts = gallery([
        released("1.0.0").superseded("2026-01-01"),
        released("1.1.0").superseded("2026-01-02"),
        standing("1.2.0", Standing::Failed),
        standing("1.3.0", Standing::Rejected),
        standing("1.4.0", Standing::Revoked),
        VersionFacts { provisioned: Provisioned::Failed, ..released("1.5.0") },
    ]);

    let verdicts = judge(&policy(), &facts);

    assert_eq!(verdicts[&number("1.0.0")].stage(), None);
    assert_eq!(verdicts[&number("1.1.0")].stage(), None);
}

#[test]
fn a_version_whose_replication_nobody_can_tell_is_kept_and_makes_no_other_needless() {
    let in_the_north = |version: VersionFacts, completed, failed| {
        let mut version = version;
        let there = version.regions.get_mut(&region("northeurope")).unwrap();
        (there.completed, there.failed) = (completed, failed);
        version
    };
    let stage = |completed, failed| {
        let mut facts = gallery([
            released("1.0.0").superseded("2026-01-01"),
            in_the_north(released("1.1.0").superseded("2026-01-02"), completed, failed),
            in_the_north(released("1.2.0"), false, true),
            in_the_north(released("1.3.0"), false, true),
        ]);
        facts.versions[0].regions.remove(&region("northeurope"));
        judge(&policy(), &facts)[&number("1.1.0")].clone()
    };

    assert_eq!(stage(true, false).stage(), None);
    assert_eq!(
        stage(false, false).reasons()[0],
        "it may be among the 2 newest good versions in northeurope, where it is hidden, or its \
         replication neither Completed nor Failed"
    );
    assert_eq!(stage(false, true).stage(), Some(Retirement::Deprecate));

    // Two older ones are surely good there: they stay for it.
    let facts = gallery([
        released("1.0.0").superseded("2026-01-01"),
        released("1.1.0").superseded("2026-01-02"),
        in_the_north(released("1.2.0"), false, false),
    ]);
    let verdicts = judge(&policy(), &facts);
    assert!(verdicts.values().all(|it| it.stage().is_none()), "{verdicts:?}");
}

#[test]
fn a_version_that_somebody_else_has_hidden_is_kept_and_makes_no_other_needless() {
    let mut by_region = released("1.2.0").superseded("2026-01-03");
    by_region.regions.values_mut().for_each(|it| it.excluded = true);
    let as_a_whole = VersionFacts { hidden: true, ..released("1.2.0").superseded("2026-01-03") };
    let of_others = VersionFacts { ours: false, ..as_a_whole.clone() };
    for hidden in [by_region, as_a_whole, of_others] {
        let facts = gallery([
            released("1.0.0").superseded("2026-01-01"),
            released("1.1.0").superseded("2026-01-02"),
            hidden,
            released("1.3.0"),
        ]);

        let verdicts = judge(&Retention { adopt: true, ..policy() }, &facts);

        let stage = |text: &str| verdicts[&number(text)].stage();
        assert_eq!(stage("1.0.0"), Some(Retirement::Deprecate));
        assert_eq!(stage("1.1.0"), None, "with 1.3.0 there are two that are surely good");
        assert_eq!(stage("1.2.0"), None, "it may be one");
    }
}

#[test]
fn good_versions_are_counted_in_each_region() {
    let only_home = |version: VersionFacts| {
        let mut version = version;
        version.regions.get_mut(&region("northeurope")).unwrap().completed = false;
        version
    };
    let facts = gallery([
        released("1.0.0").superseded("2026-01-01"),
        released("1.1.0").superseded("2026-01-02"),
        only_home(released("1.2.0").superseded("2026-01-03")),
        only_home(released("1.3.0")),
    ]);

    let verdicts = judge(&policy(), &facts);

    assert!(verdicts.values().all(|it| it.stage().is_none()));
    assert_eq!(
        verdicts[&number("1.0.0")].reasons()[0],
        "it is among the 2 newest good versions in northeurope"
    );
}

#[test]
fn an_image_that_is_moved_to_new_regions_keeps_its_good_versions_until_then() {
    let mut facts = gallery([
        released("1.0.0").superseded("2026-01-01"),
        released("1.1.0").superseded("2026-01-02"),
        released("1.2.0"),
    ]);
    facts.wanted_regions = vec![region("brazilsouth")];

    let verdicts = judge(&policy(), &facts);

    assert_eq!(verdicts[&number("1.0.0")].stage(), Some(Retirement::Deprecate));
    assert_eq!(
        verdicts[&number("1.1.0")].reasons()[0],
        "it is among the 2 newest good versions of the image"
    );
}

#[test]
fn a_release_that_is_under_way_is_good_only_where_it_is_offered() {
    let mut under_way = VersionFacts { in_a_run: true, ..released("1.2.0") };
    under_way.regions.get_mut(&region("northeurope")).unwrap().excluded = true;
    let facts = gallery([
        released("1.0.0").superseded("2026-01-01"),
        released("1.1.0").superseded("2026-01-02"),
        under_way,
    ]);

    assert_eq!(
        judge(&policy(), &facts)[&number("1.0.0")].reasons()[0],
        "it is among the 2 newest good versions in northeurope"
    );
}

#[test]
fn the_way_back_stays_while_good_versions_are_too_few() {
    let facts = gallery([
        deprecated("1.0.0", "2026-01-01"),
        standing("1.1.0", Standing::Revoked).deprecated_on("2026-01-01"),
        released("1.2.0"),
    ]);

    let verdicts = judge(&policy(), &facts);

    assert_eq!(
        verdicts[&number("1.0.0")].reasons()[..3],
        [
            "the image has only 1 of the 2 good versions to keep",
            "northeurope has only 1 of the 2 good versions to keep",
            "westeurope has only 1 of the 2 good versions to keep",
        ]
    );
    assert_eq!(verdicts[&number("1.1.0")].stage(), Some(Retirement::Delete));
}

#[test]
fn a_version_that_may_not_be_deleted_is_trimmed_where_nothing_speaks_against_it() {
    let mut facts = gallery([deprecated("1.0.0", "2026-01-01"), released("1.2.0")]);
    facts.wanted_regions = vec![region("westeurope")];

    let verdict = &judge(&policy(), &facts)[&number("1.0.0")];

    assert_eq!(verdict.stage(), Some(Retirement::Trim));
}

#[test]
fn a_date_that_is_unknown_or_contradicts_keeps_a_version() {
    let table = [
        VersionFacts { deprecated_at: None, ..deprecated("1.0.0", "2026-01-01") },
        standing("1.0.0", Standing::Rejected),
        VersionFacts {
            released_at: Some(noon("2026-01-01")),
            ..standing("1.0.0", Standing::Rejected).published("2026-01-01")
        },
    ];
    for version in table {
        let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        assert_eq!(judge(&policy(), &facts)[&number("1.0.0")].stage(), None);
    }
}

#[test]
fn a_deleted_version_is_not_judged_and_nothing_holds_for_it() {
    let facts = gallery([standing("1.0.0", Standing::Deleted), released("2.0.0")]);

    assert!(!judge(&policy(), &facts).contains_key(&number("1.0.0")));
    let holds = still_holds(Retirement::Delete, number("1.0.0"), &policy(), &facts);
    let because = vec!["the gallery has no such version".to_owned()];
    assert_eq!(holds, StillHolds::No { because });
}

#[test]
fn a_stage_is_judged_again_before_it_is_carried_out() {
    let mut facts =
        gallery([deprecated("1.0.0", "2026-01-01"), released("2.0.0"), released("2.1.0")]);
    let holds = |stage: Retirement, facts: &Facts| {
        matches!(still_holds(stage, number("1.0.0"), &policy(), facts), StillHolds::Yes { .. })
    };

    assert!(holds(Retirement::Delete, &facts));
    assert!(holds(Retirement::Trim, &facts));
    assert!(!holds(Retirement::Deprecate, &facts));

    facts.versions[2].standing = Standing::Revoked;
    assert!(!holds(Retirement::Delete, &facts));
}

#[test]
fn reasons_do_not_change_from_day_to_day() {
    let mut facts = gallery([
        deprecated("1.0.0", "2026-01-01").pinned(Some("2026-12-31")),
        deprecated("1.1.0", "2026-06-20"),
        released("1.2.0").superseded("2026-06-25"),
        released("2.0.0"),
        released("2.1.0"),
    ]);
    let today = judge(&policy(), &facts);
    facts.now += TimeDelta::days(2);

    assert_eq!(judge(&policy(), &facts), today);
}

#[test]
fn a_sweep_deletes_the_oldest_first_and_no_more_than_its_cap() {
    let plan = deletions(5);

    let capped = cap(plan.clone(), 2, None);

    let deleted: Vec<String> = capped
        .verdicts
        .iter()
        .filter(|it| it.verdict.stage() == Some(Retirement::Delete))
        .map(|it| it.number.to_string())
        .collect();
    assert_eq!(deleted, ["1.3.0", "1.4.0"], "the later ones were published earlier");
    let proposal = capped.proposal.unwrap();
    assert_eq!(proposal.deletions, 5);
    let kept = capped.verdicts[0].verdict.reasons();
    assert!(kept[0].starts_with("a sweep deletes 2 versions at most"), "{kept:?}");
    assert!(kept[0].contains(&proposal.plan));
    assert_eq!(kept[1], "it is time");

    let approved = cap(plan.clone(), 2, Some(&proposal.plan));
    assert_eq!((approved.verdicts, approved.proposal), (plan, None));
}

#[test]
fn an_approval_holds_for_that_very_plan_only() {
    let proposal = cap(deletions(5), 2, None).proposal.unwrap();

    assert!(cap(deletions(6), 2, Some(&proposal.plan)).proposal.is_some());
    assert!(cap(deletions(4), 2, Some(&proposal.plan)).proposal.is_some());
}

#[test]
fn at_the_cap_nothing_is_put_off_and_a_cap_of_0_deletes_nothing() {
    assert_eq!(cap(deletions(2), 2, None).proposal, None);

    let none = cap(deletions(1), 0, None);
    assert_eq!(none.verdicts[0].verdict.stage(), None);
    assert!(none.proposal.is_some());
}

#[test]
fn the_digest_of_a_plan_does_not_depend_on_the_order() {
    let (web, shop) = ("web".parse().unwrap(), "shop".parse().unwrap());
    let (first, second) = ((&web, number("1.0.0")), (&shop, number("1.0.0")));

    assert_eq!(plan_digest([first, second]), plan_digest([second, first]));
    assert_ne!(plan_digest([first]), plan_digest([second]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Invariants 2 and 3 of the design, with all verdicts of a sweep carried out at once.
    #[test]
    fn carrying_out_every_verdict_leaves_the_good_ones_and_what_is_used(
        world in any_facts(), policy in any_policy(),
    ) {
        let verdicts = judge(&policy, &world);
        prop_assert_eq!(verdicts.len(), alive(&world).count());

        let mut after = world.clone();
        after.versions.retain_mut(|version| match verdicts.get(&version.number) {
            Some(Verdict::Deprecate { .. }) => {
                version.standing = Standing::Deprecated;
                version.deprecated_at = Some(world.now);
                true
            }
            Some(Verdict::Trim { .. }) => {
                version.regions.retain(|region, _| *region == world.home);
                true
            }
            Some(Verdict::Delete { .. }) => false,
            Some(Verdict::Keep { .. }) | None => true,
        });
        for region in &world.wanted_regions {
            let (before, later) =
                (good_in(&policy, &world, region), good_in(&policy, &after, region));
            prop_assert!(later >= before.min(policy.keep as usize), "{region}: {before} {later}");
        }
    }

    #[test]
    fn nothing_goes_that_is_used_pinned_foreign_busy_or_was_not_deprecated_first(
        world in any_facts(), policy in any_policy(),
    ) {
        let verdicts = judge(&policy, &world);
        for version in alive(&world) {
            let verdict = &verdicts[&version.number];
            prop_assert!(!verdict.reasons().is_empty());
            let Some(stage) = verdict.stage() else { continue };
            // No pin makes an unproven version one that anybody may get.
            let unproven = !matches!(
                version.standing,
                Standing::Released | Standing::Deprecated | Standing::Trimmed | Standing::Deleted
            );
            if stage == Retirement::Deprecate && unproven {
                let revoked = version.standing == Standing::Revoked;
                let offered = version.regions.values().any(|it| !it.excluded);
                prop_assert!(offered || revoked);
                prop_assert!(!version.in_a_run && (version.ours || policy.adopt));
                continue;
            }

            let pinned = version
                .pinned
                .as_ref()
                .is_some_and(|pin| pin.until.is_none_or(|until| until > world.now));
            prop_assert!(!pinned && !version.in_a_run);
            prop_assert!(version.ours || policy.adopt);
            prop_assert!(version.provisioned != Provisioned::InProgress);
            if stage == Retirement::Deprecate {
                continue;
            }
            prop_assert!(!world.in_use.by_version.contains_key(&version.number));
            prop_assert!(world.in_use.blocks_all.is_empty() && version.base_of.is_empty());
            match version.deprecated_at.filter(|_| version.standing > Standing::Failed) {
                Some(at) => {
                    let days = match stage {
                        Retirement::Trim => policy.trim_after_days,
                        _ => policy.delete_after_days,
                    };
                    prop_assert!(world.now - at >= TimeDelta::days(i64::from(days)));
                }
                None => {
                    prop_assert_eq!(stage, Retirement::Delete);
                    prop_assert!(version.released_at.is_none());
                    prop_assert!(version.standing != Standing::Released);
                    let age = world.now - version.published_at.unwrap();
                    prop_assert!(age >= TimeDelta::days(i64::from(policy.quarantine_days)));
                }
            }
        }
    }

    #[test]
    fn time_alone_never_takes_a_stage_back(
        world in any_facts(), policy in any_policy(), days in 0_i64..200,
    ) {
        let mut later = world.clone();
        later.now += TimeDelta::days(days);
        let (now, then) = (judge(&policy, &world), judge(&policy, &later));
        for (number, verdict) in &now {
            prop_assert!(then[number].stage() >= verdict.stage(), "{number}");
        }
    }

    #[test]
    fn a_sweep_never_deletes_more_than_its_cap(count in 0_usize..12, limit in 0_u32..12) {
        let capped = cap(deletions(count), limit, None);
        let deleted =
            capped.verdicts.iter().filter(|it| it.verdict.stage().is_some()).count();
        prop_assert_eq!(deleted, count.min(limit as usize));
        prop_assert_eq!(capped.proposal.is_some(), count > limit as usize);
        prop_assert_eq!(capped.verdicts.len(), count);
    }
}

/// Counts good versions by the words of the design, without the code under test.
fn good_in(policy: &Retention, world: &Facts, region: &Region) -> usize {
    let mut count = 0;
    for version in &world.versions {
        let mut good = version.standing == Standing::Released;
        good &= version.provisioned == Provisioned::Succeeded;
        good &= version.ours || policy.adopt;
        match version.regions.get(region) {
            None => good = false,
            Some(there) => {
                good &= there.completed;
                if version.in_a_run && there.excluded {
                    good = false;
                }
            }
        }
        count += usize::from(good);
    }
    count
}

fn alive(world: &Facts) -> impl Iterator<Item = &VersionFacts> {
    world.versions.iter().filter(|it| it.standing != Standing::Deleted)
}

fn any_policy() -> impl Strategy<Value = Retention> {
    (1_u32..4, 0_u32..40, 0_u32..40, 0_u32..40, 0_u32..40, any::<bool>()).prop_map(
        |(keep, deprecate_after_days, trim_after_days, more, quarantine_days, adopt)| Retention {
            keep,
            deprecate_after_days,
            trim_after_days,
            delete_after_days: trim_after_days + more,
            quarantine_days,
            adopt,
        },
    )
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let versions = proptest::collection::vec(any_version(), 1..8);
    let blocked = prop::bool::weighted(0.1);
    let used = proptest::collection::vec(0_usize..8, 0..3);
    (versions, blocked, used).prop_map(|(versions, blocked, used)| {
        let numbered = |(index, version): (usize, VersionFacts)| VersionFacts {
            number: VersionNumber::new(1, index as u32, 0),
            ..version
        };
        let versions: Vec<VersionFacts> = versions.into_iter().enumerate().map(numbered).collect();
        let mut facts = gallery(versions);
        let found = Use { by: "machine vm-1".into(), why: "it names it".into() };
        for index in used {
            let number = VersionNumber::new(1, index as u32, 0);
            facts.in_use.by_version.insert(number, vec![found.clone()]);
        }
        if blocked {
            facts.in_use.blocks_all.push(found);
        }
        facts
    })
}

fn any_version() -> impl Strategy<Value = VersionFacts> {
    let standing = prop_oneof![
        5 => Just(Standing::Released),
        3 => Just(Standing::Deprecated),
        1 => Just(Standing::Trimmed),
        1 => Just(Standing::Revoked),
        1 => Just(Standing::Rejected),
        1 => Just(Standing::Failed),
        1 => Just(Standing::Passed),
        1 => Just(Standing::Candidate),
        1 => Just(Standing::Deleted),
    ];
    let provisioned = prop_oneof![
        8 => Just(Provisioned::Succeeded),
        1 => Just(Provisioned::Failed),
        1 => Just(Provisioned::InProgress),
    ];
    let date = || proptest::option::weighted(0.8, (0_i64..150).prop_map(days_ago));
    let pin = proptest::option::weighted(0.1, proptest::option::of(-50_i64..50));
    let regions = proptest::collection::btree_map(
        prop_oneof![
            3 => Just(region("westeurope")),
            3 => Just(region("northeurope")),
            1 => Just(region("uksouth")),
        ],
        (prop::bool::weighted(0.8), any::<bool>(), any::<bool>()).prop_map(
            |(completed, failed, excluded)| RegionFacts {
                completed,
                failed: failed && !completed,
                excluded,
            },
        ),
        0..4,
    );
    let rarely = || prop::bool::weighted(0.1);
    let flags = (prop::bool::weighted(0.9), rarely(), rarely(), rarely());
    (standing, provisioned, flags, regions, (date(), date(), date(), date()), pin).prop_map(
        |(standing, provisioned, (ours, in_a_run, hidden, child), regions, dates, pin)| {
            VersionFacts {
                ours,
                provisioned,
                in_a_run,
                hidden,
                regions,
                published_at: dates.0,
                released_at: dates.1,
                superseded_at: dates.2,
                deprecated_at: dates.3,
                pinned: pin.map(|until| Pin { until: until.map(days_ago), why: "audit".into() }),
                base_of: if child { vec!["child".parse().unwrap()] } else { vec![] },
                ..self::standing("1.0.0", standing)
            }
        },
    )
}

fn policy() -> Retention {
    Retention {
        keep: 2,
        deprecate_after_days: 14,
        trim_after_days: 30,
        delete_after_days: 60,
        quarantine_days: 7,
        adopt: false,
    }
}

fn gallery(versions: impl IntoIterator<Item = VersionFacts>) -> Facts {
    Facts {
        now: noon("2026-07-01"),
        home: region("westeurope"),
        wanted_regions: vec![region("westeurope"), region("northeurope")],
        versions: versions.into_iter().collect(),
        in_use: InUse::default(),
    }
}

fn standing(text: &str, standing: Standing) -> VersionFacts {
    let there =
        RegionFacts { completed: true, failed: false, excluded: standing != Standing::Released };
    VersionFacts {
        number: number(text),
        ours: true,
        provisioned: Provisioned::Succeeded,
        standing,
        in_a_run: false,
        hidden: false,
        regions: [(region("westeurope"), there), (region("northeurope"), there)].into(),
        published_at: None,
        released_at: None,
        superseded_at: None,
        deprecated_at: None,
        pinned: None,
        base_of: vec![],
    }
}

fn released(number: &str) -> VersionFacts {
    standing(number, Standing::Released)
}

fn deprecated(number: &str, day: &str) -> VersionFacts {
    standing(number, Standing::Deprecated).deprecated_on(day)
}

impl VersionFacts {
    fn superseded(mut self, day: &str) -> VersionFacts {
        self.superseded_at = Some(noon(day));
        self
    }

    fn deprecated_on(mut self, day: &str) -> VersionFacts {
        self.deprecated_at = Some(noon(day));
        self
    }

    fn published(mut self, day: &str) -> VersionFacts {
        self.published_at = Some(noon(day));
        self
    }

    fn pinned(mut self, until: Option<&str>) -> VersionFacts {
        self.pinned = Some(Pin { until: until.map(noon), why: "audit".to_owned() });
        self
    }
}

/// So many versions of one image that are due for deletion; the later numbers are the older ones.
fn deletions(count: usize) -> Vec<Judged> {
    (0..count)
        .map(|index| Judged {
            image: "web".parse().unwrap(),
            number: VersionNumber::new(1, index as u32, 0),
            published_at: Some(noon("2026-01-31") - TimeDelta::days(index as i64)),
            verdict: Verdict::Delete { reasons: vec!["it is time".to_owned()] },
        })
        .collect()
}

fn lines(verdicts: &BTreeMap<VersionNumber, Verdict>) -> Vec<String> {
    let line = |(number, verdict): (&VersionNumber, &Verdict)| {
        let word = verdict.stage().map_or("keep", verb);
        format!("{number} {word}: {}", verdict.reasons().join(" / "))
    };
    verdicts.iter().map(line).collect()
}

fn days_ago(days: i64) -> DateTime<Utc> {
    noon("2026-07-01") - TimeDelta::days(days)
}

fn number(text: &str) -> VersionNumber {
    text.parse().unwrap()
}

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

fn noon(day: &str) -> DateTime<Utc> {
    format!("{day}T12:00:00Z").parse().unwrap()
}
