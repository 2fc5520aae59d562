//! How many versions a sweep may delete, and what an approval is for.

use super::super::cap::{Judged, cap, plan_digest};
use super::*;

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
