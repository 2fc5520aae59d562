//! A soak: one world, lived for as long as a year, most days well and one in seven a bad one, to see
//! what is left behind and what grows.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use ledger::StreamName;

use crate::chance::Chance;
use crate::fault::{Faults, Kind};
use crate::log::Log;
use crate::plan::Plan;
use crate::record::Length;
use crate::trace::Trace;
use crate::world::World;

/// A month of a soak: four weeks, so that each ends days after a bad one.
const MONTH: u32 = 28;
/// On which day of each week things go wrong.
const BAD_DAY: u32 = 2;
/// The share of its highest rate at which each fault strikes on a bad day.
const SHARE: f64 = 0.3;
/// What nobody has read for so long is put away; whoever reads it later breaks something.
const READ_WITHIN: TimeDelta = TimeDelta::days(40);
/// The entries that a run may have, all in all (`DESIGN.md`, the table of numbers).
pub const ENTRIES_PER_RUN: u64 = 60;
/// How much larger what does not grow may be than it was months before, in percent.
pub const SLACK_PERCENT: u64 = 115;

/// What a month of a soak came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Month {
    /// The day on which it ended, the first being 0.
    pub day: u32,
    /// The size of the largest state of an image as JSON, in bytes: what a snapshot holds, and what
    /// every step copies.
    pub largest_state: u64,
    /// The versions of all images that the gallery has.
    pub versions: u64,
    /// Reads and listings of the ledger's store in this month, for each day of it.
    pub reads_a_day: u64,
    /// Entries and writes on Azure in this month, for each day of it.
    pub events_a_day: u64,
}

/// What came of a soak.
#[derive(Clone, Debug, Default)]
pub struct Soak {
    pub months: Vec<Month>,
    /// By image.
    pub lengths: BTreeMap<String, Length>,
    pub events: u64,
    pub calls: u64,
    pub faults: u64,
    pub happened: BTreeMap<String, u64>,
    /// What did not hold, or grew.
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

/// Lives for `days`; `at_month_end` is told of each month. The trace is kept when `keeps`.
///
/// # Panics
/// When the world cannot be put together.
#[expect(clippy::expect_used, reason = "without a runtime there is nothing to report")]
pub fn soak(days: u32, keeps: bool, mut at_month_end: impl FnMut(&Month)) -> Soak {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no resources");
    let soak = runtime.block_on(async {
        let (chance, trace) = (Chance::of(u64::from(days)), Trace::new(keeps));
        // Nobody acts at the worst moment: what people and strangers do is theirs, and a year asks what
        // is left behind by Azure's bad days.
        let rates = Kind::ALL.iter().filter(|(kind, _)| *kind != Kind::WorstMoment);
        let rates = rates.map(|(kind, highest)| (*kind, highest * SHARE)).collect();
        let faults = Faults::at(rates, &chance, &trace);
        faults.stop();
        let world = World::of(Plan::lasting(days), faults, &trace, |azure| azure).await;
        let reading = tracing::subscriber::set_default(Log(Arc::clone(&world.watch)));
        let mut soak = Soak::default();
        let mut before = Totals::default();
        for day in 0..days {
            world.live_a_day(day).await;
            if (day + 1) % MONTH == 0 || day + 1 == days {
                let month = world.look_back(day, &mut before).await;
                at_month_end(&month);
                soak.months.push(month);
            }
            if world.is_broken() {
                break;
            }
        }
        drop(reading);
        let (events, calls) = world.counts();
        soak.lengths = world.record.read().lengths.clone();
        soak.events = events;
        soak.calls = calls;
        soak.faults = world.faults.struck().values().sum();
        soak.happened = world.happened();
        soak.violations = world.broken();
        soak.violations.extend(soak.grown());
        soak.trace = trace.lines();
        soak
    });
    runtime.shutdown_background();
    soak
}

/// What there was so far.
#[derive(Default)]
struct Totals {
    days: u32,
    reads: u64,
    events: u64,
}

impl World {
    async fn live_a_day(&self, day: u32) {
        match day % 7 == BAD_DAY {
            true => self.faults.go_on(),
            false => self.faults.stop(),
        }
        if day % 7 == BAD_DAY + 1 {
            // Somebody looks at what has died yesterday.
            self.resubmit();
        }
        self.approve_all().await;
        let over = self.plan.estate.start + TimeDelta::days(i64::from(day) + 1);
        self.live_until(over).await;
    }

    /// Looks at what is left behind after a month, and forgets what is over.
    async fn look_back(&self, day: u32, before: &mut Totals) -> Month {
        let mut largest_state = 0;
        let mut versions = 0;
        for image in self.images() {
            let state = self.state(&image).await;
            let size = state.and_then(|it| serde_json::to_vec(&it).ok()).map_or(0, |it| it.len());
            largest_state = largest_state.max(size as u64);
            versions += self.numbers(&image).len() as u64;
        }
        let counts = self.sandbox.bus.counts().unwrap_or_default();
        let dead: u64 = counts.values().map(|it| it.dead).sum();
        if dead > 0 {
            self.watch.breaks(&format!("day {day}: {dead} dead letters, days after trouble"));
        }
        self.watch.rest();
        self.read_catalog().await;
        self.store.put_away(self.clock.now() - READ_WITHIN).await;

        let now = Totals { days: day + 1, reads: self.store.reads(), events: self.counts().0 };
        let days = u64::from(now.days - before.days).max(1);
        let reads_a_day = (now.reads - before.reads) / days;
        let events_a_day = (now.events - before.events) / days;
        *before = now;
        let month = Month { day, largest_state, versions, reads_a_day, events_a_day };
        self.say("month", format_args!("{month:?}"));
        month
    }

    /// Reads the catalog in force, as a process does that starts. It is not put away, though none may
    /// have started for months.
    async fn read_catalog(&self) {
        let ledger = self.ledger();
        let digest = ledger.read(&StreamName::Catalog).await.ok().and_then(|it| it.state.catalog);
        let read = match digest {
            Some(digest) => ledger.blob(&digest).await.is_ok(),
            None => false,
        };
        if !read {
            self.watch.breaks("the ledger is whole: the catalog in force cannot be read");
        }
    }
}

/// What must not grow: its name, and how it is read off a month.
type Measure = (&'static str, fn(&Month) -> u64);

impl Soak {
    /// What has grown that must not.
    fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        for (image, length) in &self.lengths {
            if length.entries > length.runs.max(1) * ENTRIES_PER_RUN && image != "_catalog" {
                let Length { entries, runs } = length;
                grown.push(format!("{image}: {entries} entries of {runs} runs"));
            }
        }
        let measures: [Measure; 3] = [
            ("bytes of state", |it| it.largest_state),
            ("versions in the gallery", |it| it.versions),
            ("reads a day", |it| it.reads_a_day),
        ];
        for (what, measure) in measures {
            let measured: Vec<u64> = self.months.iter().map(measure).collect();
            grown.extend(growth(&measured).map(|(from, to)| format!("{what}: {from}, then {to}")));
        }
        grown
    }
}

/// From what to what something has grown that was measured once a month: the most of the last quarter
/// of the time, against the most of the quarter before. Nothing while there is less than half a year.
pub fn growth(measured: &[u64]) -> Option<(u64, u64)> {
    let quarter = measured.len() / 4;
    if quarter < 2 {
        return None;
    }
    let (before, late) = measured[measured.len() - 2 * quarter..].split_at(quarter);
    let (from, to) = (*before.iter().max()?, *late.iter().max()?);
    (to * 100 > from * SLACK_PERCENT).then_some((from, to))
}
