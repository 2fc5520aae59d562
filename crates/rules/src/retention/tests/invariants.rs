//! What holds for any gallery and policy, against an oracle that counts for itself.

use super::*;

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
                let in_regions = version.regions.values().any(|it| !it.excluded);
                let offered = in_regions || !version.hidden;
                prop_assert!(offered || revoked);
                prop_assert!(!version.in_a_run && (version.ours || policy.adopt || revoked));
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
