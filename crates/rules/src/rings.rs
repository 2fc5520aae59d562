//! Which regions get a release, in which order and when, and the flags that hide the version
//! everywhere else.
//!
//! The main problem is that Azure documents poorly how the global and the regional
//! `excludeFromLatest` combine: every region therefore carries its own flag in every body, and the
//! global one stays true until the last ring, so that an unreleased region is hidden either way.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::Region;
use crate::catalog::Image;
use crate::gate;

/// A ring as it was planned when the gate passed the version; kept in the ledger, so that a change
/// of the catalog does not move the rings of a release that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRing {
    pub name: String,
    pub regions: Vec<Region>,
    /// Replicas in each region.
    pub replicas: u32,
    /// Hours for which the ring before it must have had the release.
    pub bake_hours: u32,
    /// True: a person must approve.
    pub approval: bool,
}

/// The rings of `image` in their order. A region that stands in several rings counts in the first
/// of them; a ring that has no region left is not planned.
pub fn plan(image: &Image) -> Vec<PlannedRing> {
    let mut seen = BTreeSet::new();
    let mut rings = Vec::new();
    for ring in &image.rings {
        let regions: Vec<Region> =
            ring.regions.iter().filter(|region| seen.insert(*region)).cloned().collect();
        if regions.is_empty() {
            continue;
        }
        rings.push(PlannedRing {
            name: ring.name.clone(),
            regions,
            replicas: ring.replicas,
            bake_hours: ring.bake_hours,
            approval: ring.approval,
        });
    }
    rings
}

/// What is known about one ring when its release is considered.
#[derive(Clone, Debug)]
pub struct RingFacts<'a> {
    pub now: DateTime<Utc>,
    /// The ring's index in the plan.
    pub ring: usize,
    /// When the ring before it was released; not read for the first ring.
    pub previous_released_at: Option<DateTime<Utc>>,
    /// The regions in which the version is there and its replication is Completed, as Azure says.
    pub completed: &'a BTreeSet<Region>,
    /// Who approved this ring.
    pub approved_by: Option<&'a str>,
    /// Why the image is held, while it is.
    pub held: Option<&'a str>,
    /// Why the version was revoked, if it was.
    pub revoked: Option<&'a str>,
    /// The gate's verdict on the version under the policy in force.
    pub gate: &'a gate::Verdict,
}

/// Whether a ring may be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Go {
        reasons: Vec<String>,
    },
    /// `until` is given when time alone is waited for; else something has to happen first.
    NotYet {
        until: Option<DateTime<Utc>>,
        because: String,
    },
    /// This version will not be released there; its run ends.
    Never {
        reasons: Vec<String>,
    },
}

/// Judges whether the ring `facts.ring` of `plan` may be released.
pub fn may_release(plan: &[PlannedRing], facts: &RingFacts<'_>) -> Verdict {
    let Some(ring) = plan.get(facts.ring) else {
        let reason = format!("the plan has {} rings and no ring {}", plan.len(), facts.ring);
        return Verdict::Never { reasons: vec![reason] };
    };
    let against = never(facts);
    if !against.is_empty() {
        return Verdict::Never { reasons: against };
    }

    let mut waits = Vec::new();
    let mut reasons = vec!["the gate passes it under the policy in force".to_owned()];
    if let Some(why) = facts.held {
        waits.push(format!("the image is held: {why}"));
    }
    let missing: Vec<&str> = ring
        .regions
        .iter()
        .filter(|region| !facts.completed.contains(region))
        .map(Region::as_str)
        .collect();
    match missing.is_empty() {
        true => reasons.push(format!("replication is completed in {}", names(&ring.regions))),
        false => waits.push(format!("replication is not completed in {}", missing.join(", "))),
    }
    match (ring.approval, facts.approved_by) {
        (false, _) => {}
        (true, Some(by)) => reasons.push(format!("{by} approved ring `{}`", ring.name)),
        (true, None) => waits.push(format!("ring `{}` waits for an approval", ring.name)),
    }

    let baked_at = match (facts.ring.checked_sub(1).and_then(|it| plan.get(it)), facts) {
        (None, _) => None,
        (Some(previous), RingFacts { previous_released_at: None, .. }) => {
            waits.push(format!("ring `{}` is not released yet", previous.name));
            None
        }
        (Some(previous), RingFacts { previous_released_at: Some(at), .. }) => {
            // A sum beyond the calendar never comes: such a ring bakes for ever.
            let baked = at
                .checked_add_signed(TimeDelta::hours(i64::from(ring.bake_hours)))
                .unwrap_or(DateTime::<Utc>::MAX_UTC);
            let since = format!("ring `{}` has had it since {}", previous.name, minute_of_day(*at));
            Some((baked, since))
        }
    };
    match (waits.is_empty(), baked_at) {
        (true, None) => Verdict::Go { reasons },
        (true, Some((baked, since))) if baked <= facts.now => {
            reasons.push(format!("{since}, and {} h are enough", ring.bake_hours));
            Verdict::Go { reasons }
        }
        (true, Some((baked, since))) => {
            let hours = ring.bake_hours;
            let because =
                format!("{since} and bakes for {hours} h, until {}", minute_of_day(baked));
            Verdict::NotYet { until: Some(baked), because }
        }
        (false, baked) => {
            if let Some((baked, _)) = baked.filter(|(baked, _)| *baked > facts.now) {
                waits.push(format!("it bakes until {}", minute_of_day(baked)));
            }
            Verdict::NotYet { until: None, because: waits.join("; ") }
        }
    }
}

fn never(facts: &RingFacts<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(why) = facts.revoked {
        reasons.push(format!("it was revoked: {why}"));
    }
    if let gate::Verdict::Rejected { reasons: rejected } = facts.gate {
        let under = "the gate rejects it under the policy in force";
        reasons.extend(rejected.iter().map(|reason| format!("{under}: {reason}")));
        if rejected.is_empty() {
            reasons.push(under.to_owned());
        }
    }
    reasons
}

/// The flags of a version for one body: complete, since `targetRegions` is a whole list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionFlags {
    /// `excludeFromLatest` of the publishing profile.
    pub global_excluded: bool,
    /// What each region carries; the home region is always among them.
    pub regions: BTreeMap<Region, RegionFlag>,
}

/// What one region carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionFlag {
    pub replicas: u32,
    /// `excludeFromLatest` of the region.
    pub excluded: bool,
}

/// The flags once the rings up to and including `released_through` are released; `None`: hidden
/// everywhere. The global flag is lifted with the last ring only. A home region that is in no ring
/// holds one replica and stays excluded.
pub fn flags(plan: &[PlannedRing], released_through: Option<usize>, home: &Region) -> RegionFlags {
    let released = |index: usize| released_through.is_some_and(|through| index <= through);
    let mut regions = BTreeMap::new();
    for (index, ring) in plan.iter().enumerate() {
        for region in &ring.regions {
            let flag = RegionFlag { replicas: ring.replicas, excluded: !released(index) };
            regions.entry(region.clone()).or_insert(flag);
        }
    }
    regions.entry(home.clone()).or_insert(RegionFlag { replicas: 1, excluded: true });

    let global_excluded = plan.is_empty() || !released(plan.len() - 1);
    RegionFlags { global_excluded, regions }
}

fn names(regions: &[Region]) -> String {
    regions.iter().map(Region::as_str).collect::<Vec<_>>().join(", ")
}

fn minute_of_day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_region_that_is_in_several_rings_counts_in_the_first() {
        let image: Image = serde_json::from_value(json!({
            "name": "ubuntu-web",
            "identifier": { "publisher": "contoso", "offer": "ubuntu", "sku": "web" },
            "os": "linux",
            "base": { "platform": { "publisher": "Canonical", "offer": "jammy", "sku": "22_04" } },
            "rings": [
                { "name": "canary", "regions": ["westeurope"] },
                { "name": "again", "regions": ["West Europe"] },
                { "name": "broad", "regions": ["uksouth", "westeurope"], "replicas": 3,
                  "bakeHours": 24, "approval": true },
            ],
        }))
        .unwrap();

        let plan = plan(&image);

        assert_eq!(plan.len(), 2);
        assert_eq!(
            (plan[0].name.as_str(), &plan[0].regions),
            ("canary", &vec![region("westeurope")])
        );
        assert_eq!(
            plan[1],
            PlannedRing {
                name: "broad".to_owned(),
                regions: vec![region("uksouth")],
                replicas: 3,
                bake_hours: 24,
                approval: true,
            }
        );
    }

    #[test]
    fn the_first_ring_goes_as_soon_as_its_regions_are_completed() {
        let plan = two_rings();
        let facts = Facts::ring(0).completed(&["westeurope"]);

        let Verdict::Go { reasons } = facts.judge(&plan) else {
            panic!("{:?}", facts.judge(&plan))
        };

        assert_eq!(
            reasons,
            [
                "the gate passes it under the policy in force",
                "replication is completed in westeurope",
            ]
        );
    }

    #[test]
    fn a_region_that_is_not_completed_holds_its_whole_ring_and_is_named() {
        let facts = Facts::ring(1).previous("2026-09-01T00:00:00Z").completed(&["uksouth"]);

        assert_eq!(
            facts.judge(&two_rings()),
            Verdict::NotYet {
                until: None,
                because: "replication is not completed in northeurope".to_owned(),
            }
        );
    }

    #[test]
    fn a_ring_bakes_to_the_second() {
        let everywhere = ["northeurope", "uksouth"];
        let facts = Facts::ring(1).previous("2026-09-08T12:00:01Z").completed(&everywhere);
        assert_eq!(
            facts.judge(&two_rings()),
            Verdict::NotYet {
                until: Some("2026-09-09T12:00:01Z".parse().unwrap()),
                because: "ring `canary` has had it since 2026-09-08 12:00 UTC and bakes for 24 h, \
                          until 2026-09-09 12:00 UTC"
                    .to_owned(),
            }
        );

        let facts = Facts::ring(1).previous("2026-09-08T12:00:00Z").completed(&everywhere);
        assert!(matches!(facts.judge(&two_rings()), Verdict::Go { .. }));
    }

    #[test]
    fn rings_follow_one_another() {
        let facts = Facts::ring(1).completed(&["northeurope", "uksouth"]);

        assert_eq!(
            facts.judge(&two_rings()),
            Verdict::NotYet {
                until: None,
                because: "ring `canary` is not released yet".to_owned()
            }
        );
    }

    #[test]
    fn everything_that_is_waited_for_is_said_at_once() {
        let mut plan = two_rings();
        plan[1].approval = true;
        let mut facts = Facts::ring(1).previous("2026-09-09T11:00:00Z").completed(&["uksouth"]);
        facts.held = Some("change freeze");

        let Verdict::NotYet { until: None, because } = facts.judge(&plan) else {
            panic!("{:?}", facts.judge(&plan));
        };

        assert_eq!(
            because,
            "the image is held: change freeze; replication is not completed in northeurope; \
             ring `broad` waits for an approval; it bakes until 2026-09-10 11:00 UTC"
        );

        facts.held = None;
        facts.approved_by = Some("ada");
        let facts = facts.completed(&["uksouth", "northeurope"]);
        assert!(matches!(facts.judge(&plan), Verdict::NotYet { until: Some(_), .. }));
    }

    #[test]
    fn a_revoked_or_rejected_version_is_never_released() {
        let mut facts = Facts::ring(0).completed(&["westeurope"]);
        facts.gate = gate::Verdict::Rejected { reasons: vec!["1 critical finding".to_owned()] };
        assert_eq!(
            facts.judge(&two_rings()),
            Verdict::Never {
                reasons: vec![
                    "the gate rejects it under the policy in force: 1 critical finding".to_owned()
                ]
            }
        );

        let mut facts = Facts::ring(0).completed(&["westeurope"]);
        facts.revoked = Some("leaks keys");
        let reasons = vec!["it was revoked: leaks keys".to_owned()];
        assert_eq!(facts.judge(&two_rings()), Verdict::Never { reasons });

        let facts = Facts::ring(2).completed(&["westeurope"]);
        assert!(matches!(facts.judge(&two_rings()), Verdict::Never { .. }));
    }

    #[test]
    fn the_global_flag_is_lifted_with_the_last_ring_only() {
        let plan = two_rings();
        let home = region("westeurope");

        let table = [(None, true), (Some(0), true), (Some(1), false)];
        for (released_through, expected) in table {
            assert_eq!(flags(&plan, released_through, &home).global_excluded, expected);
        }
        assert!(flags(&[], Some(0), &home).global_excluded);
    }

    #[test]
    fn a_home_region_that_is_in_no_ring_is_there_and_stays_excluded() {
        let flags = flags(&two_rings(), Some(1), &region("swedencentral"));

        let home = flags.regions[&region("swedencentral")];
        assert_eq!(home, RegionFlag { replicas: 1, excluded: true });
        assert_eq!(flags.regions.len(), 4);
    }

    proptest! {
        #[test]
        fn flags_name_home_hide_what_is_unreleased_and_never_take_a_release_back(
            rings in proptest::collection::vec(
                proptest::collection::vec(0_usize..6, 0..4), 0..5),
            through in proptest::option::of(0_usize..6),
            home in 0_usize..7,
        ) {
            let region_at = |it: usize| region(["a", "b", "c", "d", "e", "f", "home"][it]);
            let plan: Vec<PlannedRing> = rings
                .iter()
                .map(|regions| ring("r", &[], 0).with(regions.iter().map(|it| region_at(*it))))
                .collect();
            let home = region_at(home);

            let now = flags(&plan, through, &home);
            let later = flags(&plan, Some(through.map_or(0, |it| it + 1)), &home);

            prop_assert!(now.regions.contains_key(&home));
            for planned in &plan {
                prop_assert!(planned.regions.iter().all(|it| now.regions.contains_key(it)));
            }
            for (region, flag) in &now.regions {
                let first = plan.iter().position(|it| it.regions.contains(region));
                let released = matches!((first, through), (Some(ring), Some(last)) if ring <= last);
                prop_assert_eq!(flag.excluded, !released);
                prop_assert!(flag.excluded || !later.regions[region].excluded);
            }
            let all_released = !plan.is_empty() && through.is_some_and(|it| it + 1 >= plan.len());
            prop_assert_eq!(now.global_excluded, !all_released);
            prop_assert!(now.global_excluded || !later.global_excluded);
        }

        #[test]
        fn no_ring_goes_before_its_time_its_replication_or_its_approval(
            ring_index in 0_usize..3, previous in proptest::option::of(0_i64..100),
            completed in 0_u8..8, approved: bool, held: bool, revoked: bool, passed: bool,
            hours in 0_u32..60,
        ) {
            let mut plan = two_rings();
            plan[1].bake_hours = hours;
            plan[1].approval = true;
            let now = now();
            let released_at = previous.map(|it| now - TimeDelta::hours(it));
            let names = ["westeurope", "northeurope", "uksouth"];
            let completed: BTreeSet<Region> = (0..3)
                .filter(|it| completed & (1 << it) != 0)
                .map(|it| region(names[it]))
                .collect();
            let verdict = match passed {
                true => gate::Verdict::Passed { reasons: vec![] },
                false => gate::Verdict::Rejected { reasons: vec![] },
            };
            let facts = RingFacts {
                now,
                ring: ring_index,
                previous_released_at: released_at,
                completed: &completed,
                approved_by: approved.then_some("ada"),
                held: held.then_some("freeze"),
                revoked: revoked.then_some("leak"),
                gate: &verdict,
            };

            let judged = may_release(&plan, &facts);

            let there = |names: &[&str]| names.iter().all(|it| completed.contains(&region(it)));
            let expected = passed && !held && !revoked && match ring_index {
                0 => there(&["westeurope"]),
                1 => there(&["northeurope", "uksouth"])
                    && approved
                    && previous.is_some_and(|it| it >= i64::from(hours)),
                _ => false,
            };
            prop_assert_eq!(matches!(judged, Verdict::Go { .. }), expected);
            prop_assert_eq!(
                matches!(judged, Verdict::Never { .. }), revoked || !passed || ring_index > 1);
            if let Verdict::NotYet { until: Some(until), .. } = judged {
                prop_assert!(until > now);
                let then = RingFacts { now: until, ..facts };
                let goes = matches!(may_release(&plan, &then), Verdict::Go { .. });
                prop_assert!(goes);
            }
        }
    }

    struct Facts {
        ring: usize,
        previous_released_at: Option<DateTime<Utc>>,
        completed: BTreeSet<Region>,
        approved_by: Option<&'static str>,
        held: Option<&'static str>,
        revoked: Option<&'static str>,
        gate: gate::Verdict,
    }

    impl Facts {
        fn ring(ring: usize) -> Facts {
            Facts {
                ring,
                previous_released_at: None,
                completed: BTreeSet::new(),
                approved_by: None,
                held: None,
                revoked: None,
                gate: gate::Verdict::Passed { reasons: vec![] },
            }
        }

        fn previous(mut self, at: &str) -> Facts {
            self.previous_released_at = Some(at.parse().unwrap());
            self
        }

        fn completed(mut self, regions: &[&str]) -> Facts {
            self.completed = regions.iter().map(|it| region(it)).collect();
            self
        }

        fn judge(&self, plan: &[PlannedRing]) -> Verdict {
            let facts = RingFacts {
                now: now(),
                ring: self.ring,
                previous_released_at: self.previous_released_at,
                completed: &self.completed,
                approved_by: self.approved_by,
                held: self.held,
                revoked: self.revoked,
                gate: &self.gate,
            };
            may_release(plan, &facts)
        }
    }

    fn two_rings() -> Vec<PlannedRing> {
        vec![ring("canary", &["westeurope"], 0), ring("broad", &["northeurope", "uksouth"], 24)]
    }

    fn ring(name: &str, regions: &[&str], bake_hours: u32) -> PlannedRing {
        PlannedRing {
            name: name.to_owned(),
            regions: regions.iter().map(|it| region(it)).collect(),
            replicas: 1,
            bake_hours,
            approval: false,
        }
    }

    impl PlannedRing {
        fn with(mut self, regions: impl Iterator<Item = Region>) -> PlannedRing {
            self.regions = regions.collect();
            self
        }
    }

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-09-09T12:00:00Z".parse().unwrap()
    }
}
