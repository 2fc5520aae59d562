//! What was checked, and what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::finding::Finding;

/// Whether it was a request or an answer, with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Request,
    Answer(u16),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Side::Request => f.write_str("request"),
            Side::Answer(status) => write!(f, "answer {status}"),
        }
    }
}

impl Serialize for Side {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One deviation, however often it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Method and template of the operation.
    pub operation: String,
    pub side: Side,
    /// A JSON pointer into the body, or another part, as [`Finding::place`].
    pub place: String,
    pub what: String,
    pub times: u64,
    /// Method and path, without its query, of the first request that met it.
    pub example: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { side, place, what, times, example, .. } = self;
        write!(f, "{example}, {side}: `{place}` {what}")?;
        if *times > 1 {
            write!(f, " ({times} times)")?;
        }
        Ok(())
    }
}

/// How much was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub requests: u64,
    pub answers: u64,
    /// Requests of other clients in API versions that no document at hand has, each with how often.
    /// Nothing was checked of them.
    pub without_document: BTreeMap<String, u64>,
}

/// Who is told of a violation when it is met first.
type Told = Box<dyn Fn(&Violation) + Send + Sync>;

/// What was checked and found, as it grows.
#[derive(Default)]
pub struct Report {
    kept: Mutex<Kept>,
    told: Option<Told>,
}

#[derive(Default)]
struct Kept {
    counts: Counts,
    violations: BTreeMap<(String, Side, Finding), Violation>,
}

impl Report {
    /// A report that also tells `told` of each violation when it is met first.
    pub fn telling(told: impl Fn(&Violation) + Send + Sync + 'static) -> Report {
        Report { kept: Mutex::default(), told: Some(Box::new(told)) }
    }

    /// How much was checked.
    pub fn counts(&self) -> Counts {
        self.kept().counts.clone()
    }

    /// What was found, by operation.
    pub fn violations(&self) -> Vec<Violation> {
        self.kept().violations.values().cloned().collect()
    }

    /// One more request or answer of `operation` was checked, with these findings.
    pub(crate) fn checked(
        &self,
        operation: &str,
        side: Side,
        example: &str,
        findings: Vec<Finding>,
    ) {
        let mut first_met = Vec::new();
        {
            let mut kept = self.kept();
            match side {
                Side::Request => kept.counts.requests += 1,
                Side::Answer(_) => kept.counts.answers += 1,
            }
            for finding in findings {
                let key = (operation.to_owned(), side, finding.clone());
                let violation = kept.violations.entry(key).or_insert_with(|| Violation {
                    operation: operation.to_owned(),
                    side,
                    place: finding.place,
                    what: finding.text,
                    times: 0,
                    example: example.to_owned(),
                });
                violation.times += 1;
                if violation.times == 1 {
                    first_met.push(violation.clone());
                }
            }
        }
        if let Some(told) = &self.told {
            first_met.iter().for_each(told);
        }
    }

    /// Another client asked for something in an API version that no document has.
    pub(crate) fn without_document(&self, what: String) {
        *self.kept().counts.without_document.entry(what).or_default() += 1;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
