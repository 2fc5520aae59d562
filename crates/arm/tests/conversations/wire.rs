//! Every request of our client, held against Microsoft's documents where they are at hand. The
//! answers are a script's, and some are wrong on purpose.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::response::Response;
use bytes::Bytes;
use contract::{Checked, Contract, Exchange, Report, Watch};

/// The contract, read once for all tests; a line says when it is not at hand.
fn contract() -> Option<Arc<Contract>> {
    static CONTRACT: OnceLock<Option<Arc<Contract>>> = OnceLock::new();
    let read = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
        if !folder.join("specs").is_dir() {
            eprintln!("skipped: requests are not held against Microsoft's documents, absent here");
            return None;
        }
        Some(Arc::new(Contract::read(&folder).unwrap()))
    };
    CONTRACT.get_or_init(read).clone()
}

/// Listens, and fails its test at the end when a request was wrong.
pub(crate) struct Verified(Option<Watch>);

impl Default for Verified {
    fn default() -> Verified {
        let report = Arc::new(Report::default());
        Verified(contract().map(|it| Watch::new(it, Checked::Requests, report)))
    }
}

impl Verified {
    /// A request with its answer.
    pub(crate) fn heard(
        &self,
        asked: http::request::Parts,
        sent: Bytes,
        response: &Response,
        answered: String,
    ) {
        let Some(watch) = &self.0 else { return };
        watch.heard(&Exchange {
            method: asked.method,
            path: asked.uri.path_and_query().unwrap().to_string(),
            asked: asked.headers,
            sent,
            status: response.status(),
            told: response.headers().clone(),
            answered: answered.into(),
        });
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
