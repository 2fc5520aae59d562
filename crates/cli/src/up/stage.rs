//! How far a run has come, for people: a word, and a place on the way from template to release.

use rules::state::{Run, Stage};

/// The stations of the walk.
pub const STATIONS: u64 = 7;

/// A place on the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 at the start, [`STATIONS`] when every ring has it.
    pub station: u64,
    /// What it is doing, after `is`.
    pub word: String,
}

/// Where `run` is.
pub fn of(run: &Run) -> Place {
    let ring = |ring: usize| {
        let name = run.plan.get(ring).map(|it| it.name.as_str()).unwrap_or_default();
        format!("ring {} of {} `{name}`", ring + 1, run.plan.len())
    };
    let (station, word) = match &run.stage {
        Stage::Opened => (0, "opened".to_owned()),
        Stage::TemplateRequested => (1, "waiting for its template".to_owned()),
        Stage::Building => (2, "building".to_owned()),
        Stage::Built => (3, "built".to_owned()),
        Stage::ScanRequested { .. } => (3, "waiting for its scan".to_owned()),
        Stage::Scanned | Stage::ScanMissing { .. } => (4, "before the gate".to_owned()),
        Stage::Passed => (5, "passed".to_owned()),
        Stage::Replicating => (5, "replicating".to_owned()),
        Stage::Replicated { ring: 0, .. } => (6, format!("before {}", ring(0))),
        Stage::Replicated { ring: next, .. } if *next < run.plan.len() => {
            (6, format!("baking before {}", ring(*next)))
        }
        Stage::Replicated { .. } => (STATIONS, "released".to_owned()),
        Stage::Releasing { ring: at } => (6, format!("releasing to {}", ring(*at))),
        Stage::Paused { ring: at, because, .. } => {
            (6, format!("paused before {}: {because}", ring(*at)))
        }
    };
    Place { station, word }
}
