//! What crosses to Azure in a world where everything goes wrong is what Microsoft's documents
//! declare: no retry, no half-known state and no answer to one is outside of them.

use std::sync::Arc;

use contract::{Checked, Report, Watch, at_hand};
use simulation::{run, run_around};

/// Of so many seeds everything is read.
const SEEDS: u64 = 16;

#[test]
fn every_request_and_answer_is_as_microsoft_documents_it_whatever_goes_wrong() {
    let Some(contract) = at_hand() else { return };
    let report = Arc::new(Report::default());

    for seed in 1..=SEEDS {
        let watch = Watch::new(Arc::clone(&contract), Checked::Both, Arc::clone(&report));
        let lived = run_around(seed, false, |azure| watch.around(azure));

        assert_eq!(lived.violations, Vec::<String>::new(), "seed {seed}");
        let violations: Vec<String> = report.violations().iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
    }

    let counts = report.counts();
    assert!(counts.requests > 2_000 && counts.answers >= counts.requests, "{counts:?}");
}

#[test]
fn who_listens_changes_nothing() {
    let Some(contract) = at_hand() else { return };
    let watch = Watch::new(contract, Checked::Both, Arc::default());

    let listened = run_around(31, false, |azure| watch.around(azure));

    assert_eq!(listened, run(31, false));
}
