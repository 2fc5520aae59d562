//! `up --verify-wire`: everything that crossed between the handler and the simulated Azure Resource
//! Manager, held against Microsoft's documents, and what is told of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use contract::{Checked, Contract, Counts, Report, Violation, Watch};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::page;

/// What listens to the wire.
pub struct Wire {
    contract: Arc<Contract>,
    watch: Watch,
    /// Violations, each when it is met first.
    pub met: UnboundedReceiver<Violation>,
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    event: &'static str,
    documents: usize,
    operations: usize,
    #[serde(flatten)]
    counts: Counts,
    pub violations: Vec<Violation>,
}

impl Wire {
    /// Reads the documents in `folder`, which holds `specs/`.
    ///
    /// # Errors
    /// When it holds none, or one that cannot be read.
    pub fn held_against(folder: &Path) -> anyhow::Result<Wire> {
        let contract = Contract::read(folder).context("reading what `--verify-wire` names")?;
        let contract = Arc::new(contract);
        let (tell, met) = unbounded_channel();
        // Nobody listens any more once everything ends.
        let report = Report::telling(move |violation| drop(tell.send(violation.clone())));
        let watch = Watch::new(Arc::clone(&contract), Checked::Both, Arc::new(report));
        Ok(Wire { contract, watch, met })
    }

    /// `router`, listened to.
    pub fn around(&self, router: Router) -> Router {
        self.watch.around(router)
    }

    /// What is known so far.
    pub fn verified(&self) -> Verified {
        Verified {
            event: "wire",
            documents: self.contract.documents(),
            operations: self.contract.operations().len(),
            counts: self.watch.report().counts(),
            violations: self.watch.report().violations(),
        }
    }
}

impl Verified {
    /// The line for machines.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// The paragraph for people, at most `width` columns wide.
    pub fn render(&self, width: usize) -> String {
        let Verified { documents, operations, counts, violations, .. } = self;
        let Counts { requests, answers, without_document } = counts;
        let found = match violations.len() {
            0 => "no violation".to_owned(),
            1 => "1 violation".to_owned(),
            more => format!("{more} violations"),
        };
        let mut text = page::wrap(
            width,
            "",
            0,
            &format!(
                "wire: {requests} requests and {answers} answers checked against {documents} \
                 documents with {operations} operations: {found}"
            ),
        );
        for violation in violations {
            text.push_str(&page::wrap(width, "  ", 4, &violation.to_string()));
        }
        if !without_document.is_empty() {
            let all: u64 = without_document.values().sum();
            let what = format!("{all} requests of other clients had no document:");
            text.push_str(&page::wrap(width, "  ", 4, &what));
            for (what, times) in without_document {
                text.push_str(&page::wrap(width, "    ", 6, &format!("{what} ({times} times)")));
            }
        }
        text
    }
}
