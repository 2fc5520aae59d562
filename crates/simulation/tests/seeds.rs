//! A few hundred seeds hold, the same seed does the same, and every fault strikes somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use simulation::fault::Kind;
use simulation::{Report, run};

/// How many seeds, on every core, unless `GOLDSMITH_SEEDS` says so. Faster, and with their stories:
/// `cargo simulate --seeds 10000`.
const SEEDS: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "the only way to tell a test something")]
fn seeds() -> u64 {
    std::env::var("GOLDSMITH_SEEDS").ok().and_then(|it| it.parse().ok()).unwrap_or(SEEDS)
}

/// What must happen in some of them: every event, and every operation accepted.
const HAPPENS: [&str; 58] = [
    "imageAdopted",
    "scheduleJudged",
    "triggerAccepted",
    "triggerCoalesced",
    "triggerRefused",
    "runOpened",
    "intentRecorded",
    "effectSettled",
    "templateRequested",
    "buildStarted",
    "imageBuilt",
    "buildFailed",
    "scanRequested",
    "imageScanned",
    "scanMissing",
    "candidateHidden",
    "gatePassed",
    "imageRejected",
    "runSuperseded",
    "replicationRequested",
    "regionFailed",
    "versionReplicated",
    "releaseRequested",
    "releasePaused",
    "ringReleased",
    "runReleased",
    "runFailed",
    "childrenDue",
    "childrenTold",
    "tidyRequested",
    "buildTidied",
    "approvalGranted",
    "imageHeld",
    "imageResumed",
    "versionPinned",
    "versionUnpinned",
    "versionRevoked",
    "versionsJudged",
    "retirementDue",
    "retirementRequested",
    "retirementRefused",
    "versionDeprecated",
    "versionTrimmed",
    "versionDeleted",
    "noticeDue",
    "peopleTold",
    "runWoken",
    "stepFailed",
    "catalogPublished",
    "deletionPlanProposed",
    "deletionPlanApproved",
    "createDefinition",
    "createTemplate",
    "runTemplate",
    "cancelTemplate",
    "deleteTemplate",
    "updateVersion",
    "deleteVersion",
];

/// The reports of `1..=seeds`, or of fewer when one breaks something.
fn reports(seeds: u64) -> Vec<Report> {
    let (next, reports) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    let report = run(seed, false);
                    if !report.violations.is_empty() {
                        next.store(seeds + 1, Ordering::Relaxed);
                    }
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn what_must_always_hold_holds_whatever_goes_wrong() {
    let reports = reports(seeds());

    let mut struck: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut broken = Vec::new();
    for report in &reports {
        for (kind, count) in &report.faults {
            *struck.entry(*kind).or_default() += count;
        }
        if !report.violations.is_empty() {
            let (seed, violations) = (report.seed, report.violations.join("\n  "));
            broken.push(format!(
                "seed {seed} broke:\n  {violations}\nto see it: cargo simulate --seeds 1 --from {seed} --verbose"
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // A world in which nothing happens would hold whatever the code does.
    let happened: BTreeSet<&str> =
        reports.iter().flat_map(|it| it.happened.keys().map(String::as_str)).collect();
    let never: Vec<_> = HAPPENS.iter().filter(|it| !happened.contains(*it)).collect();
    assert!(never.is_empty(), "never happened: {never:?}");
    let never: Vec<_> = Kind::ALL.iter().filter(|(it, _)| !struck.contains_key(it)).collect();
    assert!(never.is_empty(), "never struck: {never:?}");
    assert!(reports.iter().any(|it| it.faults.is_empty()), "no seed without a fault");
}

#[test]
fn some_seed_must_reach_every_event_that_there_is() {
    let source = include_str!("../../rules/src/event.rs");
    let (_, events) = source.split_once("pub enum Event {\n").unwrap();
    let (events, _) = events.split_once("\n}\n").unwrap();
    let events = events.lines().filter_map(|it| it.strip_prefix("    "));
    let names = events.filter(|it| it.starts_with(|first: char| first.is_ascii_uppercase()));
    let name = |it: &str| {
        let name = it.split(|it: char| !it.is_ascii_alphanumeric()).next().unwrap_or_default();
        name[..1].to_ascii_lowercase() + &name[1..]
    };
    let names: Vec<String> = names.map(name).collect();

    assert!(names.len() > 40, "{names:?}");
    let unknown: Vec<_> = names.iter().filter(|it| !HAPPENS.contains(&it.as_str())).collect();
    assert!(unknown.is_empty(), "not in HAPPENS: {unknown:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte_in_any_process() {
    let other = simulation(&["--seeds", "30", "--verbose", "--from", "11"]);
    let other = String::from_utf8(other.stdout).unwrap();
    for seed in 11..41 {
        let one = run(seed, true);

        let same = other.contains(&one.trace.join("\n")) && other.contains(&one.digest);
        let differ = || one.trace.iter().find(|it| !other.contains(&***it));
        assert!(same, "seed {seed}, first of all {:?}", differ());
    }
}

#[test]
fn the_last_line_tells_what_came_of_the_seeds_and_nothing_else_is_told_of_those_that_hold() {
    let output = simulation(&["--seeds", "2", "--from", "11"]);

    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    let words: Vec<&str> = last.split(", ").map(|it| it.split_once(' ').unwrap().1).collect();
    let wanted = ["seeds", "s", "events", "calls", "faults injected", "violations"];
    assert_eq!(words, wanted, "{last}");
    assert!(last.starts_with("2 seeds, ") && last.ends_with(", 0 violations"), "{last}");
}

#[expect(clippy::unwrap_used, reason = "a test may fail")]
fn simulation(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(arguments).output().unwrap()
}

#[test]
fn two_seeds_are_two_worlds() {
    assert_ne!(run(21, false).digest, run(22, false).digest);
}
