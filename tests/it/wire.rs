//! What crosses in every test, held against Microsoft's documents where they are at hand.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use contract::{Checked, Contract, Report, Watch};

use crate::desk::root;

/// The folder with Microsoft's documents, beside the repository.
pub(crate) fn reference() -> Option<std::path::PathBuf> {
    let folder = root().join(Path::new("../shared/reference"));
    folder.join("specs").is_dir().then_some(folder)
}

/// The contract, read once for all tests; a line says when it is not at hand.
fn contract() -> Option<Arc<Contract>> {
    static CONTRACT: OnceLock<Option<Arc<Contract>>> = OnceLock::new();
    let read = || {
        let Some(folder) = reference() else {
            println!("skipped: the wire is not held against Microsoft's documents, absent here");
            return None;
        };
        Some(Arc::new(Contract::read(&folder).unwrap()))
    };
    CONTRACT.get_or_init(read).clone()
}

/// Listens to a desk's Resource Manager, and fails its test at the end when something was wrong.
pub(crate) struct Verified(Option<Watch>);

impl Verified {
    pub(crate) fn new() -> Verified {
        Verified(contract().map(|it| Watch::new(it, Checked::Both, Arc::new(Report::default()))))
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
