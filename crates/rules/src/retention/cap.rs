//! How many versions one sweep may delete: a wrong rule or a wrong catalog must not empty a
//! gallery before a person has seen what it is about to do.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Verdict;
use crate::event::Retirement;
use crate::{ImageName, VersionNumber};

/// A version of the catalog as a sweep has judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub image: ImageName,
    pub number: VersionNumber,
    pub published_at: Option<DateTime<Utc>>,
    pub verdict: Verdict,
}

/// What a sweep may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capped {
    /// In the order in which they were given; what is over the cap is kept.
    pub verdicts: Vec<Judged>,
    /// The plan that a person is asked to approve, when the sweep wants more than it may.
    pub proposal: Option<Proposal>,
}

/// A plan of deletions that is over the cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The digest that an approval names.
    pub plan: String,
    pub deletions: u32,
}

/// Allows `limit` deletions, the oldest first (versions of unknown date last), and keeps the
/// others. When `approved` is the digest of this very plan, all of them. What is no deletion stays
/// as it is.
pub fn cap(verdicts: Vec<Judged>, limit: u32, approved: Option<&str>) -> Capped {
    let mut deletions: Vec<(bool, Option<DateTime<Utc>>, ImageName, VersionNumber)> = verdicts
        .iter()
        .filter(|it| it.verdict.stage() == Some(Retirement::Delete))
        .map(|it| (it.published_at.is_none(), it.published_at, it.image.clone(), it.number))
        .collect();
    deletions.sort();

    let plan = plan_digest(deletions.iter().map(|(_, _, image, number)| (image, *number)));
    let allowed = usize::try_from(limit).unwrap_or(usize::MAX);
    if deletions.len() <= allowed || approved == Some(plan.as_str()) {
        return Capped { verdicts, proposal: None };
    }

    let proposal = Proposal {
        plan: plan.clone(),
        deletions: u32::try_from(deletions.len()).unwrap_or(u32::MAX),
    };
    let put_off: BTreeSet<(ImageName, VersionNumber)> =
        deletions.into_iter().skip(allowed).map(|(_, _, image, number)| (image, number)).collect();
    let verdicts = verdicts.into_iter().map(|mut judged| {
        if put_off.contains(&(judged.image.clone(), judged.number)) {
            let over = format!(
                "a sweep deletes {limit} versions at most, the oldest first, unless plan `{plan}` \
                 is approved"
            );
            let mut reasons = vec![over];
            reasons.extend(judged.verdict.reasons().iter().cloned());
            judged.verdict = Verdict::Keep { reasons };
        }
        judged
    });
    Capped { verdicts: verdicts.collect(), proposal: Some(proposal) }
}

/// The digest of a set of deletions: SHA-256, in hex, of its sorted lines `image/number`.
pub fn plan_digest<'a>(
    deletions: impl IntoIterator<Item = (&'a ImageName, VersionNumber)>,
) -> String {
    let lines: BTreeSet<String> =
        deletions.into_iter().map(|(image, number)| format!("{image}/{number}\n")).collect();
    let mut hasher = Sha256::new();
    for line in &lines {
        hasher.update(line.as_bytes());
    }
    HEXLOWER.encode(&hasher.finalize())
}
