//! One seed, from its number to its report.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;

use crate::chance::Chance;
use crate::fault::{Faults, Kind};
use crate::log::Log;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::World;

/// What came of a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub seed: u64,
    /// The SHA-256 of the trace: the same in every process.
    pub digest: String,
    /// Entries and writes on Azure.
    pub events: u64,
    /// Requests that Azure answered.
    pub calls: u64,
    /// How often each fault struck.
    pub faults: BTreeMap<Kind, u64>,
    /// How often each event happened, by its name in the ledger, and how often each operation was
    /// accepted.
    pub happened: BTreeMap<String, u64>,
    /// What did not hold.
    pub violations: Vec<String>,
    /// The lines of the trace, when they were kept.
    pub trace: Vec<String>,
    /// What the seed has decided at the start, as JSON, when the trace was kept.
    pub plan: Vec<String>,
}

/// Lives through `seed`. Its trace is kept when `keeps`.
///
/// # Panics
/// When the world cannot be put together.
pub fn run(seed: u64, keeps: bool) -> Report {
    run_around(seed, keeps, |azure| azure)
}

/// The same, with `around` put around Azure's Resource Manager: somebody who listens there.
///
/// # Panics
/// As [`run`].
#[expect(clippy::expect_used, reason = "without a runtime there is nothing to report")]
pub fn run_around(seed: u64, keeps: bool, around: impl FnOnce(Router) -> Router) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no resources");
    let report = runtime.block_on(async {
        let (chance, trace) = (Chance::of(seed), Trace::new(keeps));
        let plan = Plan::drawn(&chance.fork());
        let told = if keeps { plan.told() } else { Vec::new() };
        let faults = Faults::drawn(&chance, &trace);
        let world = World::of(plan, faults, &trace, around).await;
        let reading = tracing::subscriber::set_default(Log(Arc::clone(&world.watch)));
        world.live().await;
        drop(reading);
        let (events, calls) = world.counts();
        Report {
            seed,
            digest: trace.digest(),
            events,
            calls,
            faults: world.faults.struck(),
            happened: world.happened(),
            violations: world.broken(),
            trace: trace.lines(),
            plan: told,
        }
    });
    // What is still on its way in the network goes with the world.
    runtime.shutdown_background();
    report
}
