//! The layer as a test puts it around what it talks to: at the test's end, whatever was violated
//! fails it. Where Microsoft's documents are not at hand a line says so, and nothing is checked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use axum::Router;

use crate::contract::Contract;
use crate::report::Report;
use crate::watch::{Checked, Exchange, Watch};

/// The folder of Microsoft's documents and recordings beside this repository, where it is.
pub fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    folder.join("specs").is_dir().then_some(folder)
}

/// Listens in a test, and fails it when it is dropped and something was wrong. It must be dropped
/// on the test's own thread.
#[derive(Debug)]
#[must_use = "what was wrong is told when this is dropped"]
pub struct Verified(Option<Watch>);

impl Verified {
    /// Checks this side of whatever crosses.
    ///
    /// # Panics
    /// When the documents are at hand and cannot be read.
    pub fn new(checked: Checked) -> Verified {
        let report = Arc::new(Report::default());
        Verified(at_hand().map(|it| Watch::new(it, checked, report)))
    }

    /// `router`, listened to.
    pub fn around(&self, router: Router) -> Router {
        match &self.0 {
            Some(watch) => watch.around(router),
            None => router,
        }
    }

    /// Checks an exchange that crossed no router.
    pub fn heard(&self, exchange: &Exchange) {
        if let Some(watch) = &self.0 {
            watch.heard(exchange);
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

/// The contract of the documents beside this repository, read once for all tests of a process.
///
/// # Panics
/// When the documents are at hand and cannot be read.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub fn at_hand() -> Option<Arc<Contract>> {
    static CONTRACT: OnceLock<Option<Arc<Contract>>> = OnceLock::new();
    let read = || {
        let Some(folder) = reference() else {
            eprintln!("skipped: the wire is not held against Microsoft's documents, absent here");
            return None;
        };
        let contract = Contract::read(&folder).unwrap_or_else(|error| panic!("{error}"));
        Some(Arc::new(contract))
    };
    CONTRACT.get_or_init(read).clone()
}
