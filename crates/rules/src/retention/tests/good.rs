//! Which versions are good, and stay.

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
fn a_version_that_somebody_has_hidden_is_kept_though_its_regions_are_wanted_no_more() {
    let mut facts = gallery([
        VersionFacts { hidden: true, ..released("1.0.0").superseded("2026-01-01") },
        released("1.1.0"),
    ]);
    facts.wanted_regions = vec![region("brazilsouth")];

    assert_eq!(
        judge(&policy(), &facts)[&number("1.0.0")].reasons()[0],
        "it may be among the 2 newest good versions of the image, where it is hidden, or its \
         replication neither Completed nor Failed"
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
