//! `cargo simulate`: lives through many seeds, one after another on every core.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use simulation::backlog::{Drained, backlog};
use simulation::fault::Kind;
use simulation::year::{Month, Soak, growth, soak};
use simulation::{Report, run};

/// A seed asks for memory all the time: with this it takes a quarter less than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives through seeds: each is a world of its own, with its catalog, its estate and its faults, in
/// which the real handlers work and in which what must always hold is looked at after every event.
#[derive(Debug, Parser)]
#[command(
    name = "simulation",
    after_help = "\
To see what a seed does: --seeds 1 --from SEED --verbose. The same seed always does the same."
)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Print the whole trace of every seed, not only the story of one that breaks something.
    #[arg(long)]
    verbose: bool,
    /// Live through so many days of one world instead, most of them well, and look at what is left
    /// behind and what grows: 365 is a year.
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["seeds", "from", "threads"])]
    days: Option<u32>,
    /// Let one world catch up with about so many messages that are due at once.
    #[arg(long, value_name = "MESSAGES",
        conflicts_with_all = ["seeds", "from", "threads", "days"])]
    backlog: Option<usize>,
    /// On how many threads; as many as the machine has cores when it is left out.
    #[arg(long)]
    threads: Option<usize>,
}

/// What all seeds together came to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    calls: u64,
    faults: BTreeMap<Kind, u64>,
    happened: BTreeMap<String, u64>,
    violations: u64,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    if let Some(days) = arguments.days {
        return live_through(days, arguments.verbose, began);
    }
    if let Some(messages) = arguments.backlog {
        return catch_up(messages, arguments.verbose, began);
    }
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let totals = Mutex::new(Totals::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);

    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = lived(seed, arguments.verbose);
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.add(&report);
                    if arguments.verbose {
                        let Report { plan, trace, calls, digest, .. } = &report;
                        println!(
                            "{}\n{}\nseed {seed}: {calls} calls, trace {digest}",
                            plan.join("\n"),
                            trace.join("\n"),
                        );
                    }
                    if !report.violations.is_empty() {
                        println!("{}", story(&report));
                    }
                }
            });
        }
    });

    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    let faults: u64 = totals.faults.values().sum();
    let Totals { seeds, events, calls, violations, .. } = totals;
    if arguments.verbose {
        eprintln!("faults: {:?}\nhappened: {:?}", totals.faults, totals.happened);
    }
    eprintln!(
        "{seeds} seeds, {seconds:.1} s, {events} events, {calls} calls, {faults} faults injected, \
         {violations} violations"
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lives through `seed`, and once more for its story when it breaks something.
fn lived(seed: u64, verbose: bool) -> Report {
    let once = |keeps| {
        std::panic::catch_unwind(|| run(seed, keeps)).unwrap_or_else(|_| Report {
            violations: vec!["it panicked; what it said is above".to_owned()],
            seed,
            ..Report::default()
        })
    };
    let report = once(verbose);
    if report.violations.is_empty() || verbose {
        return report;
    }
    let Report { digest, trace, plan, .. } = once(true);
    let mut report = Report { trace, plan, ..report };
    if digest != report.digest {
        report.violations.push("a second run of it went another way".to_owned());
    }
    report
}

/// Lives through `days` of one world, and tells of each month.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]
fn live_through(days: u32, verbose: bool, began: Instant) -> ExitCode {
    let mut resident = Vec::new();
    let mut soak = soak(days, verbose, |month| {
        resident.extend(resident_mebibytes());
        let Month { day, largest_state, versions, reads_a_day, events_a_day } = month;
        println!(
            "day {:3}: {:.0} s, {} MiB resident, the largest state {largest_state} bytes, {versions} \
             versions, {reads_a_day} reads and {events_a_day} events a day",
            day + 1,
            began.elapsed().as_secs_f64(),
            resident.last().copied().unwrap_or_default(),
        );
    });
    if let Some((from, to)) = growth(&resident) {
        soak.violations.push(format!("MiB resident: {from}, then {to}"));
    }
    for line in soak.trace.iter().chain(&soak.violations) {
        println!("{line}");
    }
    let most = soak.lengths.iter().filter(|(_, it)| it.runs > 0);
    let most = most.map(|(_, it)| it.entries.div_ceil(it.runs)).max().unwrap_or_default();
    let Soak { events, calls, faults, violations, .. } = soak;
    eprintln!(
        "{days} days, {:.1} s, {events} events, {calls} calls, {faults} faults injected, {most} \
         entries a run, {} violations",
        began.elapsed().as_secs_f64(),
        violations.len(),
    );
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lets one world catch up with `messages`.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints")]
fn catch_up(messages: usize, verbose: bool, began: Instant) -> ExitCode {
    let drained = backlog(messages, 100, verbose);
    for line in drained.trace.iter().chain(&drained.violations) {
        println!("{line}");
    }
    let Drained { messages, images, took, longest_wait, overtaken, traffic, violations, .. } =
        drained;
    eprintln!(
        "{messages} messages of {images} images, {:.1} s, drained in {} min, the first look after {} \
         min at most, {overtaken} overtaken, {} sent, {} calls, {} in the busiest half \
         hour, {} refused, {} violations",
        began.elapsed().as_secs_f64(),
        took.num_minutes(),
        longest_wait.num_minutes(),
        traffic.sent,
        traffic.calls,
        traffic.most_in_half_an_hour,
        traffic.refused,
        violations.len(),
    );
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What this process has in memory, where the system tells (Linux).
fn resident_mebibytes() -> Option<u64> {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some((pages * PAGE) >> 20)
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.calls += report.calls;
        self.violations += report.violations.len() as u64;
        for (name, count) in &report.happened {
            *self.happened.entry(name.clone()).or_default() += count;
        }
        for (kind, count) in &report.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
    }
}

/// Where the kind of a line of the trace begins: behind its time.
const KIND_AT: usize = 19;

/// What happened until something broke: writes, faults, and the entries of whoever the violations
/// name; of all when they name nobody.
fn story(report: &Report) -> String {
    let kind_of = |line: &str| line.get(KIND_AT..).unwrap_or_default().to_owned();
    let stream_of = |line: &str| -> Option<String> {
        let mut words = line.get(KIND_AT..)?.split_whitespace();
        (words.next()? == "entry").then(|| words.next().map(str::to_owned)).flatten()
    };
    let broken = report.trace.iter().position(|it| kind_of(it).starts_with("BROKEN"));
    let until = broken.map_or(report.trace.len(), |it| it + 1);
    let trace = &report.trace[..until];

    let streams: BTreeSet<String> = trace.iter().filter_map(|it| stream_of(it)).collect();
    let named = |stream: &String| report.violations.iter().any(|it| it.contains(&**stream));
    let anybody = streams.iter().any(named);
    let told = |line: &&String| match stream_of(line) {
        Some(stream) => !anybody || named(&stream) || stream == "_catalog",
        None => ["azure", "fault", "person", "stranger", "catalog", "dead", "BROKEN", "calm"]
            .iter()
            .any(|it| kind_of(line).starts_with(it)),
    };
    let told = trace.iter().filter(told);
    let mut lines: Vec<&str> = report.plan.iter().chain(told).map(String::as_str).collect();
    lines.push("");
    let seed = report.seed;
    let violations = report.violations.join("\n  ");
    format!(
        "{}seed {seed} broke:\n  {violations}\nto see it again: cargo simulate --seeds 1 --from \
         {seed} --verbose\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(violation: &str) -> Report {
        let lines = [
            "01-05 00:00:00.065 catalog   Ok(true)",
            "01-05 00:00:00.100 entry     _catalog 1 by somebody: {}",
            "01-05 00:00:00.200 began     find_due_images",
            "01-05 00:00:01.100 entry     web 7 by find_due_images: {}",
            "01-05 00:00:01.200 entry     shop 9 by find_due_images: {}",
            "01-05 00:00:01.300 fault     StoreSlow: ledger/lasting/web/0000000007.json",
            "01-05 00:00:02.000 BROKEN    the ledger is whole: web",
            "01-05 00:00:03.000 entry     web 8 by look_again: {}",
        ];
        Report {
            seed: 17,
            trace: lines.map(str::to_owned).to_vec(),
            violations: vec![violation.to_owned()],
            ..Report::default()
        }
    }

    #[test]
    fn a_story_ends_where_something_broke_and_is_about_whoever_the_violations_name() {
        let story = story(&broken("the ledger is whole: web"));

        let told = ["catalog   Ok", "_catalog 1", "web 7", "StoreSlow", "BROKEN", "--from 17"];
        assert!(told.iter().all(|it| story.contains(it)), "{story}");
        let left_out = ["shop 9", "began", "web 8"];
        assert!(!left_out.iter().any(|it| story.contains(it)), "{story}");
    }

    #[test]
    fn a_story_is_about_all_when_the_violations_name_nobody() {
        let story = story(&broken("liveness: the queues do not drain"));

        assert!(story.contains("web 7") && story.contains("shop 9"), "{story}");
    }
}
