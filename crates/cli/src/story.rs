//! What happened, in sentences: each event of the ledger as a person would tell it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::VersionNumber;
use rules::catalog::Severity;
use rules::event::{Event, Operation, Outcome, PinnedBase, Retirement};
use rules::wake::Function;

/// What a sweep kept: versions, each with its reasons.
pub type Kept = BTreeMap<VersionNumber, Vec<String>>;

/// How much of a story an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Book-keeping; only the whole story tells it.
    Bookkeeping,
    /// What belongs to the story, and is no news.
    Detail,
    /// What somebody who watches wants to hear.
    Headline,
}

/// An instant as it stands on screen.
pub fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// How much of a story `event` is.
pub fn weight(event: &Event) -> Weight {
    match event {
        Event::TriggerAccepted { .. }
        | Event::TriggerRefused { .. }
        | Event::RunOpened { .. }
        | Event::BuildStarted { .. }
        | Event::ImageBuilt { .. }
        | Event::BuildFailed { .. }
        | Event::ImageScanned { .. }
        | Event::ScanMissing { .. }
        | Event::GatePassed { .. }
        | Event::ImageRejected { .. }
        | Event::RunSuperseded { .. }
        | Event::RegionFailed { .. }
        | Event::VersionReplicated { .. }
        | Event::ReleasePaused { .. }
        | Event::RingReleased { .. }
        | Event::RunReleased { .. }
        | Event::RunFailed { .. }
        | Event::ApprovalGranted { .. }
        | Event::ImageHeld { .. }
        | Event::ImageResumed { .. }
        | Event::VersionPinned { .. }
        | Event::VersionUnpinned { .. }
        | Event::VersionRevoked { .. }
        | Event::RetirementRefused { .. }
        | Event::VersionDeprecated { .. }
        | Event::VersionTrimmed { .. }
        | Event::VersionDeleted { .. }
        | Event::StepFailed { .. }
        | Event::CatalogPublished { .. }
        | Event::DeletionPlanProposed { .. }
        | Event::DeletionPlanApproved { .. } => Weight::Headline,
        // What Azure refused, or was never asked, changes the story.
        Event::EffectSettled { outcome: Outcome::Accepted, .. }
        | Event::IntentRecorded { .. }
        | Event::ScheduleJudged { .. }
        | Event::TriggerCoalesced { .. }
        | Event::TemplateRequested { .. }
        | Event::ScanRequested { .. }
        | Event::CandidateHidden { .. }
        | Event::ReplicationRequested { .. }
        | Event::ReleaseRequested { .. }
        | Event::RetirementRequested { .. }
        | Event::TidyRequested { .. }
        | Event::BuildTidied { .. }
        | Event::ChildrenTold { .. }
        | Event::PeopleTold { .. } => Weight::Bookkeeping,
        _ => Weight::Detail,
    }
}

/// The version that `event` is about.
pub fn version(event: &Event) -> Option<VersionNumber> {
    match event {
        Event::RunOpened { version, .. }
        | Event::TemplateRequested { version, .. }
        | Event::BuildStarted { version, .. }
        | Event::ImageBuilt { version, .. }
        | Event::BuildFailed { version, .. }
        | Event::ScanRequested { version, .. }
        | Event::CandidateHidden { version }
        | Event::ImageScanned { version, .. }
        | Event::ScanMissing { version, .. }
        | Event::GatePassed { version, .. }
        | Event::ImageRejected { version, .. }
        | Event::RunSuperseded { version, .. }
        | Event::ReplicationRequested { version, .. }
        | Event::RegionFailed { version, .. }
        | Event::VersionReplicated { version, .. }
        | Event::ReleaseRequested { version, .. }
        | Event::ReleasePaused { version, .. }
        | Event::RingReleased { version, .. }
        | Event::RunReleased { version }
        | Event::RunFailed { version, .. }
        | Event::ChildrenDue { version, .. }
        | Event::ChildrenTold { version }
        | Event::TidyRequested { version, .. }
        | Event::BuildTidied { version }
        | Event::ApprovalGranted { version, .. }
        | Event::VersionPinned { version, .. }
        | Event::VersionUnpinned { version, .. }
        | Event::VersionRevoked { version, .. }
        | Event::RetirementDue { version, .. }
        | Event::RetirementRequested { version, .. }
        | Event::RetirementRefused { version, .. }
        | Event::VersionDeprecated { version, .. }
        | Event::VersionTrimmed { version }
        | Event::VersionDeleted { version, .. } => Some(*version),
        // A version's number, or a template's name, which ends with it.
        Event::IntentRecorded { target, .. } | Event::EffectSettled { target, .. } => {
            target.rsplit('-').next()?.parse().ok()
        }
        _ => None,
    }
}

/// The event as a sentence, without the version it is about; `by` is the function that recorded it.
pub fn sentence(event: &Event, by: &str) -> String {
    match event {
        Event::ImageAdopted {} => "adopted: its schedule counts from here".to_owned(),
        Event::ScheduleJudged { through } => {
            format!("its schedule was judged through {}", instant(*through))
        }
        Event::TriggerAccepted { trigger } => format!("a build is due: {trigger}"),
        Event::TriggerCoalesced { trigger, into } => format!("{trigger} is served by {into}"),
        Event::TriggerRefused { trigger, because } => {
            format!("no build for {trigger}: {because}")
        }

        Event::RunOpened { why, base, .. } => format!("run opened ({why}), {}", from(base)),
        Event::IntentRecorded { intent, .. } => format!("about to {intent}"),
        Event::EffectSettled { target, operation, outcome } => {
            let (what, on) = (write(*operation), target);
            match outcome {
                Outcome::Accepted => format!("Azure accepted the {what} of {on}"),
                Outcome::Refused { because } => {
                    format!("Azure refused the {what} of {on}: {because}")
                }
                Outcome::NotSent { because } => {
                    format!("the {what} of {on} was not sent: {because}")
                }
                Outcome::Unknown { because } => {
                    format!("nobody knows whether the {what} of {on} was carried out: {because}")
                }
            }
        }
        Event::TemplateRequested { look_at, .. } => {
            format!("its template was asked for; looked at again {}", instant(*look_at))
        }
        Event::BuildStarted { look_at, .. } => {
            format!("build started; looked at again {}", instant(*look_at))
        }
        Event::ImageBuilt { minutes, .. } => format!("built in {minutes} min"),
        Event::BuildFailed { reason, published: false, .. } => format!("build failed: {reason}"),
        Event::BuildFailed { reason, published: true, .. } => {
            format!("build failed after it had published the version: {reason}")
        }
        Event::ScanRequested { due_by, .. } => {
            format!("its scan report is due by {}", instant(*due_by))
        }
        Event::CandidateHidden { .. } => "waits for its verdict, hidden in every region".to_owned(),
        Event::ImageScanned { scanner, findings, .. } => {
            let found: Vec<String> = findings
                .iter()
                .rev()
                .filter(|(_, count)| **count > 0)
                .map(|(severity, count)| format!("{count} {}", severity_word(*severity)))
                .collect();
            match found.as_slice() {
                [] => format!("{scanner} found nothing"),
                found => format!("{scanner} found {}", found.join(", ")),
            }
        }
        Event::ScanMissing { because, .. } => format!("no scan report: {because}"),
        Event::GatePassed { reasons, plan, .. } => {
            let rings: Vec<&str> = plan.iter().map(|it| it.name.as_str()).collect();
            because(&format!("passed the gate, goes to {}", rings.join(" → ")), reasons)
        }
        Event::ImageRejected { reasons, .. } => because("rejected by the gate", reasons),
        Event::RunSuperseded { by, .. } => format!("superseded by {by}"),

        Event::ReplicationRequested { look_at, .. } => {
            format!("replication was asked for; looked at again {}", instant(*look_at))
        }
        Event::RegionFailed { region, details, .. } => {
            format!("{region} has failed: {details}")
        }
        Event::VersionReplicated { regions, .. } => {
            format!("replicated to {}, hidden still", joined(regions))
        }
        Event::ReleaseRequested { ring, look_at, .. } => {
            format!(
                "ring {} was asked for; looked at again {}",
                ring.saturating_add(1),
                instant(*look_at)
            )
        }
        Event::ReleasePaused { ring, because, .. } => {
            format!("ring {} waits: {because}", ring.saturating_add(1))
        }
        Event::RingReleased { ring, name, regions, .. } => {
            format!("released to ring {} `{name}`: {}", ring.saturating_add(1), joined(regions))
        }
        Event::RunReleased { .. } => "released everywhere".to_owned(),
        Event::RunFailed { reason, .. } => format!("run failed: {reason}"),

        Event::ChildrenDue { children, .. } => format!("rebuilds {}", joined(children)),
        Event::ChildrenTold { .. } => "its children have been told".to_owned(),
        Event::TidyRequested { logs, .. } => {
            format!("{} of logs kept, the template's deletion was asked for", counted(logs.len()))
        }
        Event::BuildTidied { .. } => "the build is tidied".to_owned(),

        Event::ApprovalGranted { ring, by, .. } => {
            format!("{by} approved ring {}", ring.saturating_add(1))
        }
        Event::ImageHeld { by, why, until } => {
            format!("held by {by}{}: {why}", until_text(*until))
        }
        Event::ImageResumed { by } => format!("resumed by {by}"),
        Event::VersionPinned { by, why, until, .. } => {
            format!("pinned by {by}{}: {why}", until_text(*until))
        }
        Event::VersionUnpinned { by, .. } => format!("unpinned by {by}"),
        Event::VersionRevoked { by, why, .. } => format!("revoked by {by}: {why}"),

        Event::VersionsJudged { kept } if kept.is_empty() => {
            "judged: no version is kept".to_owned()
        }
        Event::VersionsJudged { kept } => {
            let kept = kept.iter().map(|(version, reasons)| because(&version.to_string(), reasons));
            format!("judged, kept: {}", kept.collect::<Vec<_>>().join("; "))
        }
        Event::RetirementDue { stage, reasons, .. } => {
            because(&format!("to be {}", retired(*stage)), reasons)
        }
        Event::RetirementRequested { stage, look_at, .. } => {
            format!("asked to be {}; looked at again {}", retired(*stage), instant(*look_at))
        }
        Event::RetirementRefused { stage, reasons, .. } => {
            because(&format!("not {} after all", retired(*stage)), reasons)
        }
        Event::VersionDeprecated { reasons, .. } => because("deprecated", reasons),
        Event::VersionTrimmed { .. } => "trimmed to its home region".to_owned(),
        Event::VersionDeleted { reasons, .. } => because("deleted", reasons),

        Event::NoticeDue { text } => format!("people are to be told: {text}"),
        Event::PeopleTold { seq } => format!("people were told of what entry {seq} says"),
        Event::RunWoken { .. } if by == Function::ReceiveEvents.as_str() => {
            "Azure told of a change; looked at at once".to_owned()
        }
        Event::RunWoken { seq, function, generation } => {
            let times = ordinal(generation.saturating_add(1));
            format!("`{function}` of entry {seq} was overdue; sent again ({times} time)")
        }
        Event::StepFailed { function, reason, .. } => format!("`{function}` gave up: {reason}"),
        Event::CatalogPublished { catalog } => {
            format!("the catalog {} is in force", catalog.get(..12).unwrap_or(catalog))
        }
        Event::DeletionPlanProposed { plan, deletions } => {
            format!("plan {plan} would delete {deletions} versions, and waits for an approval")
        }
        Event::DeletionPlanApproved { plan, by } => format!("{by} approved plan {plan}"),
        // The enum grows; what this release does not know is still shown by its name.
        other => serde_json::to_value(other)
            .ok()
            .and_then(|it| it.get("event").and_then(|name| name.as_str()).map(str::to_owned))
            .unwrap_or_else(|| "something that this release does not know".to_owned()),
    }
}

/// What a sweep changed against the one before it, in a sentence; nothing when it changed nothing.
pub fn sweep_change(before: &Kept, now: &Kept) -> Option<String> {
    let kept = now.iter().filter(|(version, reasons)| before.get(version) != Some(reasons));
    let mut parts: Vec<String> =
        kept.map(|(version, reasons)| because(&format!("{version} is kept"), reasons)).collect();
    let left = before.keys().filter(|version| !now.contains_key(version));
    parts.extend(left.map(|version| format!("{version} is kept no more")));
    (!parts.is_empty()).then(|| format!("judged: {}", parts.join("; ")))
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn from(base: &PinnedBase) -> String {
    format!("from {}", base.version())
}

fn write(operation: Operation) -> &'static str {
    match operation {
        Operation::CreateDefinition => "creation",
        Operation::CreateTemplate => "creation",
        Operation::RunTemplate => "start",
        Operation::CancelTemplate => "cancellation",
        Operation::DeleteTemplate | Operation::DeleteVersion => "deletion",
        Operation::UpdateVersion => "update",
    }
}

fn retired(stage: Retirement) -> &'static str {
    match stage {
        Retirement::Deprecate => "deprecated",
        Retirement::Trim => "trimmed",
        Retirement::Delete => "deleted",
    }
}

/// The word for a severity on screen.
pub fn severity_word(severity: Severity) -> String {
    format!("{severity:?}").to_lowercase()
}

fn because(what: &str, reasons: &[String]) -> String {
    if reasons.is_empty() { what.to_owned() } else { format!("{what}: {}", reasons.join(", ")) }
}

fn until_text(until: Option<DateTime<Utc>>) -> String {
    until.map(|it| format!(" until {}", instant(it))).unwrap_or_default()
}

fn joined<T: std::fmt::Display>(things: &[T]) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_as_a_sentence_with_its_reasons() {
        let version = VersionNumber::new(1, 4, 0);
        let base = PinnedBase::Platform { version: "22.04.1".to_owned() };
        let opened = Event::RunOpened {
            version,
            triggers: Vec::new(),
            why: "scheduled for 2026-09-09 00:00 UTC".to_owned(),
            base,
            spec: String::new(),
            template: String::new(),
        };
        let reasons = vec!["2 critical, at most 0".to_owned(), "1 high, at most 0".to_owned()];
        let rejected = Event::ImageRejected { version, reasons };

        assert_eq!(
            sentence(&opened, "create_template"),
            "run opened (scheduled for 2026-09-09 00:00 UTC), from 22.04.1"
        );
        assert_eq!(
            sentence(&rejected, "judge_image"),
            "rejected by the gate: 2 critical, at most 0, 1 high, at most 0"
        );
        assert_eq!(super::version(&rejected), Some(version));
    }

    #[test]
    fn findings_are_told_the_worst_first_and_without_zeros() {
        let findings =
            BTreeMap::from([(Severity::Low, 3), (Severity::Medium, 0), (Severity::Critical, 1)]);
        let scanned = Event::ImageScanned {
            version: VersionNumber::new(1, 0, 0),
            report: String::new(),
            scanner: "Trivy".to_owned(),
            findings,
        };

        assert_eq!(sentence(&scanned, "follow_scan"), "Trivy found 1 critical, 3 low");
    }

    #[test]
    fn a_write_is_about_the_version_that_its_target_ends_with() {
        let settled = |target: &str| Event::EffectSettled {
            target: target.to_owned(),
            operation: Operation::RunTemplate,
            outcome: Outcome::Accepted,
        };

        assert_eq!(version(&settled("ubuntu-2204-web-1.6.0")), Some(VersionNumber::new(1, 6, 0)));
        assert_eq!(version(&settled("1.6.0")), Some(VersionNumber::new(1, 6, 0)));
        assert_eq!(version(&settled("ubuntu-2204-web")), None);
        assert_eq!(
            sentence(&settled("web-1.6.0"), "start_build"),
            "Azure accepted the start of web-1.6.0"
        );
    }

    #[test]
    fn what_was_sent_again_says_whether_azure_or_the_clock_was_the_reason() {
        let woken = Event::RunWoken { seq: 4, function: Function::FollowBuild, generation: 1 };

        assert_eq!(sentence(&woken, "receive_events"), "Azure told of a change; looked at at once");
        assert_eq!(
            sentence(&woken, "look_again"),
            "`follow_build` of entry 4 was overdue; sent again (2nd time)"
        );
        assert_eq!([3, 4, 11, 12, 21].map(ordinal), ["3rd", "4th", "11th", "12th", "21st"]);
    }

    #[test]
    fn of_a_sweep_only_what_it_changed_is_told() {
        let version = |text: &str| text.parse::<VersionNumber>().unwrap();
        let newest = || vec!["the newest".to_owned()];
        let before = Kept::from([(version("1.0.0"), newest()), (version("1.1.0"), newest())]);
        let now = Kept::from([
            (version("1.1.0"), newest()),
            (version("1.2.0"), vec!["a scale set".to_owned()]),
        ]);

        assert_eq!(sweep_change(&before, &before), None);
        assert_eq!(
            sweep_change(&before, &now).unwrap(),
            "judged: 1.2.0 is kept: a scale set; 1.0.0 is kept no more"
        );
    }
}
