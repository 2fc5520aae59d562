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
use crate::terminal::Exit;

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
    /// How the command ends that else ended with `exit`: with any violation the answer is no.
    pub fn judge(&self, exit: Exit) -> Exit {
        if self.violations.is_empty() { exit } else { exit.max(Exit::No) }
    }

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

#[cfg(test)]
mod tests {
    use contract::Side;

    use super::*;

    fn verified() -> Verified {
        let counts = Counts { requests: 820, answers: 820, ..Counts::default() };
        let violations = Vec::new();
        Verified { event: "wire", documents: 9, operations: 137, counts, violations }
    }

    fn violated() -> Verified {
        let violation = Violation {
            operation: "PUT /subscriptions/{subscriptionId}".to_owned(),
            side: Side::Answer(200),
            place: "/properties/x".to_owned(),
            what: "is not declared".to_owned(),
            times: 3,
            example: "PUT /subscriptions/s".to_owned(),
        };
        Verified { violations: vec![violation], ..verified() }
    }

    #[test]
    fn a_violation_makes_a_good_end_a_no_and_no_bad_one_better() {
        assert_eq!(verified().judge(Exit::Done), Exit::Done);
        assert_eq!(violated().judge(Exit::Done), Exit::No);
        assert_eq!(violated().judge(Exit::Failed), Exit::Failed);
    }

    #[test]
    fn people_read_the_counts_and_every_violation() {
        assert_eq!(
            verified().render(120),
            "wire: 820 requests and 820 answers checked against 9 documents with 137 operations: \
             no violation\n"
        );
        let page = violated().render(120);
        assert!(page.contains(": 1 violation\n"), "{page}");
        let line =
            "  PUT /subscriptions/s, answer 200: `/properties/x` is not declared (3 times)\n";
        assert!(page.contains(line), "{page}");
    }

    #[test]
    fn machines_read_the_same() {
        let line: serde_json::Value = serde_json::from_str(&violated().to_json().unwrap()).unwrap();

        assert_eq!(line["event"], "wire");
        assert_eq!(line["requests"], 820);
        assert_eq!(line["violations"][0]["side"], "answer 200");
        assert_eq!(line["violations"][0]["times"], 3);
    }

    #[test]
    fn requests_of_others_that_no_document_knows_are_listed_and_no_violation() {
        let mut verified = verified();
        verified.counts.without_document.insert("GET /a, 2020-01-01".to_owned(), 2);

        let page = verified.render(120);

        assert!(page.contains("2 requests of other clients had no document:"), "{page}");
        assert!(page.contains("GET /a, 2020-01-01 (2 times)"), "{page}");
        assert_eq!(verified.judge(Exit::Done), Exit::Done);
    }
}
