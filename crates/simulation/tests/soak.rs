//! Weeks of one world leave nothing behind, and a backlog goes down in its order. The whole year, and
//! a hundred thousand messages: `cargo simulate --days 365`, `cargo simulate --backlog 100000`.

use simulation::backlog::backlog;
use simulation::year::{growth, soak};

/// Three weeks: three bad days, and every stage of a version's life down to its deletion.
const DAYS: u32 = 21;

#[test]
fn three_weeks_leave_no_template_no_machine_no_message_and_few_entries_behind() {
    let soak = soak(DAYS, false, |_| {});

    assert!(soak.violations.is_empty(), "{}", soak.violations.join("\n"));
    assert!(soak.faults > 0, "no bad day was one");
    let happened = |name: &str| soak.happened.get(name).copied().unwrap_or_default();
    for event in ["runReleased", "imageRejected", "versionDeleted", "buildTidied", "childrenTold"] {
        assert!(happened(event) > 0, "{event} never happened: {:?}", soak.happened);
    }
    let built = happened("runOpened");
    assert!(built >= u64::from(DAYS), "{built} runs in {DAYS} days");
    let [end] = soak.months.as_slice() else { panic!("{:?}", soak.months) };
    assert!(end.versions < built, "retention keeps {} of {built} versions", end.versions);
}

#[test]
fn a_thousand_messages_that_are_due_at_once_are_served_in_turn_and_once() {
    let drained = backlog(1000, 100, false);

    assert!(drained.violations.is_empty(), "{}", drained.violations.join("\n"));
    assert_eq!((drained.messages, drained.images), (1000, 10));
    // A look each, and what the timers ask in the meantime.
    assert!(drained.traffic.calls >= 400, "{:?}", drained.traffic.calls);
}

#[test]
fn while_azure_refuses_a_backlog_leaves_it_alone() {
    // A tenth of what Azure publishes, so that a thousand messages are far too many at once.
    let drained = backlog(1000, 10, false);

    assert!(drained.violations.is_empty(), "{}", drained.violations.join("\n"));
    assert!(drained.traffic.refused > 0, "the budgets were never used up");
}

#[test]
fn what_grows_is_told_from_what_has_reached_its_size() {
    let grows: Vec<u64> = (1..=12).collect();
    let full = [10, 40, 60, 61, 60, 62, 59, 60, 61, 60, 62, 60];

    assert_eq!(growth(&grows), Some((9, 12)));
    assert_eq!(growth(&full), None);
    assert_eq!(growth(&[1, 2, 3]), None, "too early to tell");
}
