//! Whether a candidate may be released, judged from evidence. What is missing counts as failed.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::catalog::{Exception, Gate, Severity};

/// The most findings that one reason names.
const MOST_NAMED: usize = 5;

/// A vulnerability that a scanner found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The advisory, `CVE-2026-1234`.
    pub id: String,
    pub package: String,
    /// The installed version of the package.
    pub installed: String,
    /// The version that cures it, when one is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    pub severity: Severity,
}

/// A scan report as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportEvidence {
    /// The report's digest among the blobs.
    pub digest: String,
    pub findings: Vec<Finding>,
    /// False: the scanner says, or its reader saw, that something was left out.
    pub complete: bool,
}

/// Everything that is known about a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub report: Option<ReportEvidence>,
    /// Why there is no report.
    pub missing_because: Option<String>,
    /// The size of its OS disk, in GB.
    pub os_disk_gb: Option<u32>,
    /// True: a machine started from it.
    pub booted: bool,
}

/// Whether a candidate may be released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    Passed { reasons: Vec<String> },
    Rejected { reasons: Vec<String> },
}

impl Verdict {
    /// The reasons, whichever way it went.
    pub fn reasons(&self) -> &[String] {
        match self {
            Verdict::Passed { reasons } | Verdict::Rejected { reasons } => reasons,
        }
    }
}

/// Judges a candidate by `gate` on the day `today` (UTC). Exceptions hold through their last day.
/// The reasons of a rejection are those that spoke against it.
pub fn judge(gate: &Gate, evidence: &Evidence, today: NaiveDate) -> Verdict {
    let mut judgement = Judgement::default();
    judge_report(gate, evidence, today, &mut judgement);
    judge_boot(evidence, &mut judgement);
    judge_disk(gate, evidence, &mut judgement);

    match judgement.against.is_empty() {
        true => Verdict::Passed { reasons: judgement.in_favour },
        false => Verdict::Rejected { reasons: judgement.against },
    }
}

#[derive(Default)]
struct Judgement {
    in_favour: Vec<String>,
    against: Vec<String>,
}

fn judge_report(gate: &Gate, evidence: &Evidence, today: NaiveDate, judgement: &mut Judgement) {
    let Some(report) = &evidence.report else {
        let because = evidence.missing_because.as_deref().unwrap_or("none was read");
        judgement.against.push(format!("there is no scan report: {because}"));
        return;
    };
    if !report.complete {
        judgement.against.push(format!("the scan report `{}` is incomplete", report.digest));
    }

    let mut counted: Vec<&Finding> = Vec::new();
    let mut unfixed = 0;
    let mut excepted: BTreeSet<String> = BTreeSet::new();
    let mut expired: BTreeSet<String> = BTreeSet::new();
    let distinct: BTreeSet<&Finding> = report.findings.iter().collect();
    for finding in distinct {
        if !gate.most.contains_key(&finding.severity) {
            continue;
        }
        if gate.ignore_unfixed && fix_of(finding).is_none() {
            unfixed += 1;
            continue;
        }
        match exception_of(gate, finding, today) {
            Excepted::Until(exception) => {
                let Exception { until, why, .. } = exception;
                excepted.insert(format!("{} is accepted until {until}: {why}", named(finding)));
            }
            Excepted::Ended(exception) => {
                let Exception { id, until, .. } = exception;
                expired.insert(format!("the exception for {id} ended on {until}"));
                counted.push(finding);
            }
            Excepted::No => counted.push(finding),
        }
    }

    let mut rejected = false;
    for (severity, most) in gate.most.iter().rev() {
        let found: Vec<&Finding> =
            counted.iter().filter(|it| it.severity == *severity).copied().collect();
        let sentence = sentence(*severity, *most, &found);
        if u32::try_from(found.len()).unwrap_or(u32::MAX) > *most {
            rejected = true;
            judgement.against.push(sentence);
        } else {
            judgement.in_favour.push(sentence);
        }
    }
    if gate.most.is_empty() {
        judgement.in_favour.push("the gate limits no severity".to_owned());
    }
    if rejected {
        judgement.against.extend(expired);
    }
    judgement.in_favour.extend(excepted);
    if unfixed > 0 {
        let rest = plural(
            unfixed,
            "finding has no published fix and does not count",
            "findings have no published fix and do not count",
        );
        judgement.in_favour.push(format!("{unfixed} {rest}"));
    }
}

fn judge_boot(evidence: &Evidence, judgement: &mut Judgement) {
    match evidence.booted {
        true => judgement.in_favour.push("a machine started from it".to_owned()),
        false => judgement.against.push("no machine was seen to start from it".to_owned()),
    }
}

fn judge_disk(gate: &Gate, evidence: &Evidence, judgement: &mut Judgement) {
    let Some(most) = gate.max_disk_gb else { return };
    match evidence.os_disk_gb {
        Some(size) if size <= most => {
            judgement.in_favour.push(format!("its OS disk has {size} GB of {most} GB at most"));
        }
        Some(size) => {
            let sentence = format!("its OS disk has {size} GB, and the gate allows {most} GB");
            judgement.against.push(sentence);
        }
        None => {
            let sentence =
                format!("the size of its OS disk is unknown, and the gate allows {most} GB");
            judgement.against.push(sentence);
        }
    }
}

enum Excepted<'a> {
    No,
    Until(&'a Exception),
    Ended(&'a Exception),
}

/// The exception for `finding`: of several the one that lasts longest.
fn exception_of<'a>(gate: &'a Gate, finding: &Finding, today: NaiveDate) -> Excepted<'a> {
    let of_finding = |it: &&Exception| it.id.trim().eq_ignore_ascii_case(finding.id.trim());
    let longest = gate.exceptions.iter().filter(of_finding).max_by_key(|it| it.until);
    match longest {
        None => Excepted::No,
        Some(exception) if exception.until >= today => Excepted::Until(exception),
        Some(exception) => Excepted::Ended(exception),
    }
}

/// Some scanners write an empty text where no fix is published.
fn fix_of(finding: &Finding) -> Option<&str> {
    finding.fixed.as_deref().map(str::trim).filter(|it| !it.is_empty())
}

fn sentence(severity: Severity, most: u32, found: &[&Finding]) -> String {
    let count = found.len();
    let noun = plural(count, "finding", "findings");
    let mut sentence = format!("{count} {} {noun}, and the gate allows {most}", word(severity));
    if found.is_empty() {
        return sentence;
    }

    let named: Vec<String> = found.iter().take(MOST_NAMED).map(|it| named(it)).collect();
    sentence.push_str(": ");
    sentence.push_str(&named.join(", "));
    if count > MOST_NAMED {
        sentence.push_str(&format!(" and {} more", count - MOST_NAMED));
    }
    sentence
}

fn named(finding: &Finding) -> String {
    let Finding { id, package, installed, .. } = finding;
    match fix_of(finding) {
        Some(fixed) => format!("{id} in {package} {installed} (fixed in {fixed})"),
        None => format!("{id} in {package} {installed} (no fix)"),
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "unrated",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clean_candidate_passes_with_its_reasons() {
        let verdict = judge(&Gate::default(), &scanned(vec![]), today());

        let Verdict::Passed { reasons } = verdict else { panic!("{verdict:?}") };
        assert_eq!(
            reasons,
            [
                "0 critical findings, and the gate allows 0",
                "0 high findings, and the gate allows 0",
                "a machine started from it",
            ]
        );
    }

    #[test]
    fn a_rejection_names_the_findings_and_their_cure() {
        let findings = vec![
            finding("CVE-2026-2", Severity::Critical).in_package("zlib", "1.2.11"),
            finding("CVE-2026-1", Severity::Critical).in_package("openssl", "3.0.2"),
            finding("CVE-2026-3", Severity::Low),
        ];

        assert_eq!(
            rejected(&Gate::default(), &scanned(findings)),
            ["2 critical findings, and the gate allows 0: \
              CVE-2026-1 in openssl 3.0.2 (fixed in 9.9), CVE-2026-2 in zlib 1.2.11 (fixed in 9.9)"]
        );
    }

    #[test]
    fn five_findings_are_named_and_the_others_counted() {
        let findings: Vec<Finding> =
            (1..=12).map(|it| finding(&format!("CVE-2026-{it:02}"), Severity::High)).collect();

        let reasons = rejected(&Gate::default(), &scanned(findings));

        assert!(reasons[0].starts_with("12 high findings, and the gate allows 0: CVE-2026-01 in"));
        assert!(reasons[0].ends_with("CVE-2026-05 in curl 1.0 (fixed in 9.9) and 7 more"));
    }

    #[test]
    fn findings_at_the_limit_pass_and_one_more_is_rejected() {
        let gate = Gate { most: [(Severity::Medium, 2)].into(), ..Gate::default() };
        let medium = |count: usize| {
            (0..count).map(|it| finding(&it.to_string(), Severity::Medium)).collect()
        };

        assert!(matches!(judge(&gate, &scanned(medium(2)), today()), Verdict::Passed { .. }));
        assert!(matches!(judge(&gate, &scanned(medium(3)), today()), Verdict::Rejected { .. }));
    }

    #[test]
    fn a_severity_that_is_not_named_is_not_limited_and_an_unrated_one_counts_as_itself() {
        let unrated = scanned(vec![finding("CVE-2026-1", Severity::Unknown)]);
        assert!(matches!(judge(&Gate::default(), &unrated, today()), Verdict::Passed { .. }));

        let gate = Gate { most: [(Severity::Unknown, 0)].into(), ..Gate::default() };
        assert!(rejected(&gate, &unrated)[0].starts_with("1 unrated finding, and"));
    }

    #[test]
    fn the_same_finding_reported_twice_counts_once() {
        let gate = Gate { most: [(Severity::High, 1)].into(), ..Gate::default() };
        let twice = vec![finding("CVE-2026-1", Severity::High); 2];

        assert!(matches!(judge(&gate, &scanned(twice), today()), Verdict::Passed { .. }));
    }

    #[test]
    fn an_unscanned_image_is_rejected() {
        let mut evidence = scanned(vec![]);
        evidence.report = None;
        assert_eq!(
            rejected(&Gate::default(), &evidence),
            ["there is no scan report: none was read"]
        );

        evidence.missing_because = Some("it was due by 2026-09-09 04:00".to_owned());
        assert_eq!(
            rejected(&Gate::default(), &evidence),
            ["there is no scan report: it was due by 2026-09-09 04:00"]
        );
    }

    #[test]
    fn an_incomplete_report_is_rejected_even_without_findings() {
        let mut evidence = scanned(vec![]);
        evidence.report.as_mut().unwrap().complete = false;

        assert_eq!(rejected(&Gate::default(), &evidence), ["the scan report `d1` is incomplete"]);
    }

    #[test]
    fn findings_without_a_fix_count_only_when_the_gate_says_so() {
        for fixed in [None, Some(String::new())] {
            let unfixed = Finding { fixed, ..finding("CVE-2026-1", Severity::Critical) };
            let evidence = scanned(vec![unfixed]);

            let Verdict::Passed { reasons } = judge(&Gate::default(), &evidence, today()) else {
                panic!("rejected");
            };
            assert!(reasons.contains(&"1 finding has no published fix and does not count".into()));
            let strict = Gate { ignore_unfixed: false, ..Gate::default() };
            assert!(rejected(&strict, &evidence)[0].ends_with("curl 1.0 (no fix)"));
        }
    }

    #[test]
    fn an_exception_holds_through_its_last_day_and_is_named_when_it_has_ended() {
        let evidence = scanned(vec![finding("CVE-2026-1", Severity::Critical)]);
        let gate = Gate { exceptions: vec![exception("cve-2026-1", today())], ..Gate::default() };

        let Verdict::Passed { reasons } = judge(&gate, &evidence, today()) else {
            panic!("rejected on the last day");
        };
        assert!(
            reasons.iter().any(|it| it.ends_with("is accepted until 2026-09-09: not reachable"))
        );

        let tomorrow = today().succ_opt().unwrap();
        let verdict = judge(&gate, &evidence, tomorrow);
        assert_eq!(verdict.reasons()[1], "the exception for cve-2026-1 ended on 2026-09-09");
        assert!(matches!(verdict, Verdict::Rejected { .. }));
    }

    #[test]
    fn an_image_that_nobody_saw_start_or_whose_disk_is_too_large_is_rejected() {
        let gate = Gate { max_disk_gb: Some(64), ..Gate::default() };
        let good = Evidence { os_disk_gb: Some(64), ..scanned(vec![]) };
        assert!(matches!(judge(&gate, &good, today()), Verdict::Passed { .. }));

        let table = [
            (Evidence { booted: false, ..good.clone() }, "no machine was seen to start from it"),
            (
                Evidence { os_disk_gb: Some(65), ..good.clone() },
                "its OS disk has 65 GB, and the gate allows 64 GB",
            ),
            (
                Evidence { os_disk_gb: None, ..good },
                "the size of its OS disk is unknown, and the gate allows 64 GB",
            ),
        ];
        for (evidence, expected) in table {
            assert_eq!(rejected(&gate, &evidence), [expected]);
        }
    }

    proptest! {
        #[test]
        fn more_findings_never_turn_a_rejection_into_a_pass(
            severities in proptest::collection::vec(0_usize..5, 0..12), more in 0_usize..5,
            most in proptest::collection::btree_map(0_usize..5, 0_u32..4, 0..5), unfixed: bool,
        ) {
            let gate = Gate {
                most: most.into_iter().map(|(it, most)| (SEVERITIES[it], most)).collect(),
                ..Gate::default()
            };
            let found = |it: usize, severity: usize| Finding {
                fixed: (!unfixed || it.is_multiple_of(2)).then(|| "9.9".to_owned()),
                ..finding(&format!("CVE-{it}"), SEVERITIES[severity])
            };
            let mut findings: Vec<Finding> =
                severities.iter().enumerate().map(|(it, severity)| found(it, *severity)).collect();

            let before = judge(&gate, &scanned(findings.clone()), today());
            let exceeded = gate.most.iter().any(|(severity, most)| {
                let counts = |it: &&Finding| it.severity == *severity && it.fixed.is_some();
                findings.iter().filter(counts).count() > *most as usize
            });
            prop_assert_eq!(matches!(before, Verdict::Rejected { .. }), exceeded);

            findings.push(found(100, more));
            let after = judge(&gate, &scanned(findings), today());
            let rejected = |it: &Verdict| matches!(it, Verdict::Rejected { .. });
            prop_assert!(!rejected(&before) || rejected(&after));
            prop_assert!(!after.reasons().is_empty());
        }
    }

    const SEVERITIES: [Severity; 5] =
        [Severity::Unknown, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    fn rejected(gate: &Gate, evidence: &Evidence) -> Vec<String> {
        match judge(gate, evidence, today()) {
            Verdict::Rejected { reasons } => reasons,
            Verdict::Passed { reasons } => panic!("passed: {reasons:?}"),
        }
    }

    fn scanned(findings: Vec<Finding>) -> Evidence {
        let report = ReportEvidence { digest: "d1".to_owned(), findings, complete: true };
        Evidence { report: Some(report), booted: true, ..Evidence::default() }
    }

    fn finding(id: &str, severity: Severity) -> Finding {
        let fixed = Some("9.9".to_owned());
        Finding { id: id.into(), package: "curl".into(), installed: "1.0".into(), fixed, severity }
    }

    impl Finding {
        fn in_package(mut self, package: &str, installed: &str) -> Finding {
            self.package = package.to_owned();
            self.installed = installed.to_owned();
            self
        }
    }

    fn exception(id: &str, until: NaiveDate) -> Exception {
        Exception { id: id.to_owned(), until, why: "not reachable".to_owned() }
    }

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 9, 9).unwrap()
    }
}
