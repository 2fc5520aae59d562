//! Every answer of the simulated Azure, held against Microsoft's documents where they are at hand.
//! The requests are made by hand, and some are wrong on purpose.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use contract::{Checked, Contract, Report, Watch};

/// The contract, read once for all tests; a line says when it is not at hand.
fn contract() -> Option<Arc<Contract>> {
    static CONTRACT: OnceLock<Option<Arc<Contract>>> = OnceLock::new();
    let read = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
        if !folder.join("specs").is_dir() {
            eprintln!("skipped: answers are not held against Microsoft's documents, absent here");
            return None;
        }
        Some(Arc::new(Contract::read(&folder).unwrap()))
    };
    CONTRACT.get_or_init(read).clone()
}

/// Listens, and fails its test at the end when an answer was wrong.
pub(crate) struct Verified(Option<Watch>);

impl Verified {
    pub(crate) fn new() -> Verified {
        let report = Arc::new(Report::default());
        Verified(contract().map(|it| Watch::new(it, Checked::Answers, report)))
    }

    pub(crate) fn around(&self, router: Router) -> Router {
        match &self.0 {
            Some(watch) => watch.around(router),
            None => router,
        }
    }
}

impl Drop for Verified {
    fn drop(&mut self) {
        let Some(watch) = &self.0 else { return };
        let violations: Vec<String> =
            watch.report().violations().iter().map(ToString::to_string).collect();
        // What went wrong first is said first.
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "the wire was violated:\n{}", violations.join("\n"));
        }
    }
}
