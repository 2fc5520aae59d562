//! When messages come due, so that together they stay below what Azure allows.
//!
//! The main problem is that functions share no memory: nobody counts requests. What each one knows
//! is what Azure publishes, what the last answers said is left, and the id of its own message. So
//! a fan-out is spaced from the start, whoever sees little left comes later, and whoever was
//! refused comes back no earlier than asked and not in step with the others.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::wake::Function;

/// Azure's budgets by the names in its answers: how many requests one holds, and the seconds in
/// which it fills. Those of ARM by MicrosoftDocs, request-limits-and-throttling.md (2025); those of
/// Compute as recorded since 2024; Resource Graph's by guidance-for-throttled-requests.md. Of one
/// that is not here nothing is concluded.
pub const PUBLISHED: [(&str, u64, i64); 25] = [
    ("subscription-reads", 250, 10),
    ("subscription-writes", 200, 20),
    ("subscription-deletes", 200, 20),
    ("subscription-global-reads", 3750, 10),
    ("subscription-global-writes", 3000, 20),
    ("subscription-global-deletes", 3000, 20),
    ("user-quota", 15, 5),
    ("CreateUpdateGalleryImage3Min", 150, 180),
    ("CreateUpdateGalleryImage30Min", 750, 1800),
    ("CreateUpdateGalleryImageVersion3Min", 375, 180),
    ("CreateUpdateGalleryImageVersion30Min", 1200, 1800),
    ("DeleteGalleryImageVersion3Min", 150, 180),
    ("DeleteGalleryImageVersion30Min", 1000, 1800),
    ("GetGallery3Min", 350, 180),
    ("GetGallery30Min", 2500, 1800),
    ("GetGalleryImageVersion3Min", 2000, 180),
    ("GetGalleryImageVersion30Min", 10_000, 1800),
    ("ListGalleryImageVersionsInGalleryImage3Min", 1500, 180),
    ("ListGalleryImageVersionsInGalleryImage30Min", 10_000, 1800),
    ("ListSoftDeletedResourcesInGallery3Min", 1500, 180),
    ("ListSoftDeletedResourcesInGallery30Min", 10_000, 1800),
    ("ListVMImagesVersionsFromLocation3Min", 16_000, 180),
    ("ListVMImagesVersionsFromLocation30Min", 44_000, 1800),
    ("HighCostGetVMScaleSetSubscriptionMaximum", 1080, 180),
    ("HighCostGetVMScaleSetResource", 30, 180),
];

/// A budget is low below this part of itself.
const LOW: u64 = 5;

/// No message is put off longer than this for the sake of the others: whoever waits for it,
/// `look_again` first of all, waits longer.
const LONGEST_SPREAD: TimeDelta = TimeDelta::minutes(20);

/// How many requests are left of each budget, by the names in Azure's answers.
pub type Left = BTreeMap<String, u64>;

/// How long the lowest of the budgets takes until it is not low any more.
pub fn recovery(left: &Left) -> TimeDelta {
    let of = |(name, capacity, fills_in_secs): &(&str, u64, i64)| {
        let missing = (capacity / LOW).saturating_sub(*left.get(*name)?);
        let millis = i64::try_from(missing).ok()? * fills_in_secs * 1000;
        Some(TimeDelta::milliseconds(millis / i64::try_from(*capacity).ok()?))
    };
    PUBLISHED.iter().filter_map(of).max().unwrap_or_default()
}

/// A part of `width`, below it, that is the same for the same `id` and spread evenly over ids.
pub fn jitter(id: &str, width: TimeDelta) -> TimeDelta {
    let digest = Sha256::digest(id.as_bytes());
    let part = i128::from(u16::from_be_bytes([digest[0], digest[1]]));
    let millis = i128::from(width.num_milliseconds().max(0)) * part / 65_536;
    TimeDelta::milliseconds(i64::try_from(millis).unwrap_or_default())
}

/// When the message `id` comes due that was wanted at `wanted`: then, unless budgets are low.
pub fn due(id: &str, wanted: DateTime<Utc>, now: DateTime<Utc>, left: &Left) -> DateTime<Utc> {
    let recovery = recovery(left);
    if recovery.is_zero() {
        return wanted;
    }
    wanted.max(now + recovery + jitter(id, recovery))
}

/// When a step is tried again that failed and whose next message is `id`: never before the `wait`
/// that Azure asks for, never in step with others that failed in the same moment.
pub fn retry(
    id: &str,
    now: DateTime<Utc>,
    wait: Option<TimeDelta>,
    back_off: TimeDelta,
    left: &Left,
) -> DateTime<Utc> {
    let pause = wait.unwrap_or_default().max(back_off).max(recovery(left));
    now + pause + jitter(id, pause / 2)
}

/// When the message `id` comes again that came while Azure was to be left alone `until` then: not in
/// step with the others that came meanwhile.
pub fn after_a_pause(id: &str, now: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    until + jitter(id, until - now)
}

/// How much later than the first of a fan-out its message number `place` comes due, the first being
/// 0: as far apart as half of Azure's budgets allow for what `function` asks.
pub fn spacing(function: Function, place: usize) -> TimeDelta {
    // Requests of one step, by the budget that allows the fewest of them; half of it is for others.
    let millis: i64 = match function {
        // Two queries of Resource Graph, of 15 in 5 seconds.
        Function::DeprecateVersion | Function::TrimVersion | Function::DeleteVersion => 1334,
        // Five reads and a write, of 25 reads a second.
        Function::CreateTemplate => 400,
        // A read or two.
        Function::StartBuild
        | Function::FollowBuild
        | Function::JudgeImage
        | Function::ReplicateVersion
        | Function::ReleaseVersion
        | Function::FollowVersion
        | Function::TidyBuild => 160,
        // They ask Azure nothing.
        Function::StartScan | Function::FollowScan | Function::ReceiveEvents | Function::Notify => {
            0
        }
    };
    let place = i32::try_from(place).unwrap_or(i32::MAX);
    TimeDelta::milliseconds(millis.saturating_mul(i64::from(place))).min(LONGEST_SPREAD)
}

/// How far apart sweeps are that take turns in what they begin with: `find_expired_versions` ticks
/// so often.
const SWEEPS_EVERY: TimeDelta = TimeDelta::hours(6);

/// Which of `count` things a sweep at `now` begins with. Sweeps that have to break off after a few
/// have then seen each thing before long.
pub fn first(now: DateTime<Utc>, count: usize) -> usize {
    // The golden ratio's multiples are as far from one another as can be, when they follow one
    // another: the number is that of the sweep, for of every 360th of them two are nearly one.
    let tick = u64::try_from(now.timestamp() / SWEEPS_EVERY.num_seconds()).unwrap_or_default();
    let turn = u128::from(tick.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    usize::try_from((turn * count as u128) >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-09-08T17:00:00Z".parse().unwrap()
    }

    fn left(budgets: &[(&str, u64)]) -> Left {
        budgets.iter().map(|(name, left)| ((*name).to_owned(), *left)).collect()
    }

    #[test]
    fn a_budget_is_let_recover_to_a_fifth_of_what_is_published() {
        let table: [(&[(&str, u64)], i64); 9] = [
            (&[], 0),
            (&[("subscription-reads", 249)], 0),
            (&[("subscription-reads", 50)], 0),
            // 25 missing of 250, which fill in 10 s.
            (&[("subscription-reads", 25)], 1000),
            (&[("subscription-writes", 0)], 4000),
            (&[("user-quota", 0)], 1000),
            // The lowest of them counts: 240 missing of 1200, which fill in 30 min.
            (&[("subscription-writes", 0), ("CreateUpdateGalleryImageVersion30Min", 0)], 360_000),
            (&[("DeleteGalleryImageVersion3Min", 29)], 1200),
            // Others have larger budgets, and some are not known here.
            (&[("subscription-writes", 1199), ("VmssQueuedVMOperations", 0)], 0),
        ];

        for (budgets, millis) in table {
            assert_eq!(recovery(&left(budgets)).num_milliseconds(), millis, "{budgets:?}");
        }
    }

    #[test]
    fn with_full_budgets_a_message_comes_when_it_is_wanted() {
        let wanted = now() + TimeDelta::minutes(3);

        assert_eq!(due("a", wanted, now(), &left(&[("subscription-reads", 200)])), wanted);
    }

    #[test]
    fn with_low_budgets_messages_come_later_and_not_together() {
        let low = left(&[("GetGallery3Min", 0)]);

        let dues: Vec<_> = ["a", "b", "c"].iter().map(|id| due(id, now(), now(), &low)).collect();

        for due in &dues {
            assert!(*due >= now() + TimeDelta::seconds(36), "{due}");
            assert!(*due < now() + TimeDelta::seconds(72), "{due}");
        }
        assert!(dues[0] != dues[1] && dues[1] != dues[2], "{dues:?}");
        let far = now() + TimeDelta::hours(1);
        assert_eq!(due("a", far, now(), &low), far, "what is later anyway stays");
    }

    #[test]
    fn what_came_during_a_pause_comes_again_after_it_and_not_together() {
        let until = now() + TimeDelta::seconds(30);

        let again: Vec<_> =
            ["a", "b", "c"].iter().map(|id| after_a_pause(id, now(), until)).collect();

        assert!(again.iter().all(|at| *at >= until && *at < until + TimeDelta::seconds(30)));
        assert!(again[0] != again[1] && again[1] != again[2], "{again:?}");
    }

    #[test]
    fn a_fan_out_is_as_far_apart_as_half_of_the_budgets() {
        let secs = |function, place| spacing(function, place).num_milliseconds();

        assert_eq!(secs(Function::DeleteVersion, 0), 0);
        // Three queries of Resource Graph in two seconds at most, of six that are allowed.
        assert_eq!(secs(Function::DeleteVersion, 300), 400_200);
        assert_eq!(secs(Function::CreateTemplate, 100), 40_000);
        assert_eq!(secs(Function::Notify, 100), 0);
        assert_eq!(secs(Function::DeleteVersion, usize::MAX), 1_200_000);
    }

    #[test]
    fn sweeps_take_turns_in_what_they_begin_with() {
        // Each sweep breaks off after `reach` of `count`: nothing waits longer than thrice as many
        // sweeps as it takes at least.
        for (count, reach) in [(10, 3), (40, 11), (100, 1), (7, 2)] {
            let mut waits = vec![0; count];
            let longest = 3 * count.div_ceil(reach);
            for sweep in 0..1000 {
                waits.iter_mut().for_each(|it| *it += 1);
                let begin = first(now() + SWEEPS_EVERY * sweep, count);
                (begin..begin + reach).for_each(|it| waits[it % count] = 0);
                assert!(waits.iter().all(|it| *it < longest), "{reach} of {count}: {waits:?}");
            }
        }
        assert_eq!(first(now(), 0), 0);
    }

    proptest! {
        #[test]
        fn a_retry_is_never_before_what_azure_asks_nor_much_later(
            id in "[a-z]{1,12}:[0-9]{1,4}:notify:0.[0-9]", wait in 0_i64..86_400,
            back_off in 30_i64..1800, reads in 0_u64..300,
        ) {
            let low = left(&[("subscription-reads", reads)]);
            let wait = TimeDelta::seconds(wait);
            let back_off = TimeDelta::seconds(back_off);

            let at = retry(&id, now(), Some(wait), back_off, &low);

            let pause = wait.max(back_off);
            prop_assert!(at >= now() + pause);
            prop_assert!(at <= now() + pause * 3 / 2 + TimeDelta::seconds(5));
            prop_assert_eq!(at, retry(&id, now(), Some(wait), back_off, &low));
        }

        #[test]
        fn jitter_stays_below_its_width(id in ".{0,40}", width in 0_i64..100_000_000) {
            let width = TimeDelta::milliseconds(width);
            let part = jitter(&id, width);
            prop_assert!(part >= TimeDelta::zero() && (part < width || width.is_zero()));
        }

        #[test]
        fn fewer_requests_left_never_means_sooner(reads in 0_u64..300, less in 0_u64..300) {
            let less = reads.saturating_sub(less);
            let (more, fewer) =
                (left(&[("subscription-reads", reads)]), left(&[("subscription-reads", less)]));
            prop_assert!(due("a", now(), now(), &fewer) >= due("a", now(), now(), &more));
        }
    }

    #[test]
    fn a_hundred_that_fail_together_do_not_come_back_together() {
        let again = |number: u32| {
            let id = format!("image-{number}:7:create_template:0.1");
            retry(&id, now(), Some(TimeDelta::seconds(1)), TimeDelta::seconds(30), &Left::new())
        };
        let mut in_second = BTreeMap::new();
        for number in 0..100 {
            *in_second.entry(again(number).timestamp()).or_insert(0) += 1;
        }

        assert!(in_second.len() >= 13, "{in_second:?}");
        assert!(in_second.values().all(|it| *it <= 20), "{in_second:?}");
    }
}
