//! What each stage waits for, and what speaks against it.

use super::*;

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
fn what_azure_protects_is_not_deleted_before_its_day() {
    let due = || deprecated("1.0.0", "2026-05-02");
    let stage = |version: VersionFacts| {
        let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        let verdict = judge(&policy(), &facts).remove(&number("1.0.0")).unwrap();
        (verdict.stage(), verdict.reasons()[0].clone())
    };
    let protected = |day| VersionFacts { protected_until: Some(noon(day)), ..due() };

    assert_eq!(stage(protected("2026-07-01")).0, Some(Retirement::Delete));
    let (trimmed, _) = stage(protected("2026-07-02"));
    assert_eq!(trimmed, Some(Retirement::Trim), "what is not home may still go");
    let mut at_home = protected("2026-07-02");
    at_home.regions.remove(&region("northeurope"));
    let (kept, because) = stage(at_home);
    assert_eq!(kept, None);
    assert_eq!(because, "Azure protects it from deletion until 2026-07-02");
}

#[test]
fn what_was_given_up_is_kept_until_it_is_tried_again_and_says_why() {
    let mut due = deprecated("1.0.0", "2026-05-02");
    due.regions.remove(&region("northeurope"));
    let given_up = |stage, times, day| {
        let given_up = GivenUp { times, at: noon(day), why: "it is locked".to_owned() };
        let version = VersionFacts { given_up: [(stage, given_up)].into(), ..due.clone() };
        let facts = gallery([version, released("2.0.0"), released("2.1.0")]);
        judge(&policy(), &facts).remove(&number("1.0.0")).unwrap()
    };

    let kept = given_up(Retirement::Delete, 2, "2026-06-30");
    assert_eq!(kept.stage(), None);
    let because = "it could not be deleted on 2026-06-30, which is tried again from 2026-07-02: it is \
                   locked";
    assert_eq!(kept.reasons()[0], because);
    let table = [
        (Retirement::Delete, 1, "2026-06-30"),
        (Retirement::Delete, 2, "2026-06-29"),
        (Retirement::Trim, 9, "2026-06-30"),
    ];
    for (stage, times, day) in table {
        let verdict = given_up(stage, times, day);
        assert_eq!(verdict.stage(), Some(Retirement::Delete), "{stage:?} {times} {day}");
    }
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
fn a_version_of_another_maker_that_a_person_has_taken_back_is_hidden_again_and_no_more() {
    let mut revoked = standing("1.0.0", Standing::Revoked).deprecated_on("2026-01-01");
    revoked.ours = false;
    let mut in_regions = revoked.clone();
    in_regions.regions.values_mut().for_each(|it| it.excluded = false);
    let as_a_whole = VersionFacts { hidden: false, ..revoked.clone() };
    let policy = Retention { adopt: false, ..policy() };
    let stage = |version: VersionFacts| {
        judge(&policy, &gallery([version, released("1.1.0")]))[&number("1.0.0")].stage()
    };

    assert_eq!(stage(in_regions), Some(Retirement::Deprecate));
    assert_eq!(stage(as_a_whole), Some(Retirement::Deprecate));
    assert_eq!(stage(revoked), None, "it is not ours to delete");
}
