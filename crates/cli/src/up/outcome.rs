//! What came of it all: the versions that were released, rejected, retired and kept, each with why,
//! folded from the ledger's entries.

use std::collections::BTreeMap;

use ledger::StreamName;
use rules::event::{Event, PinnedBase};
use rules::state::State;
use rules::wake::Function;
use rules::{ImageName, Region, VersionNumber};
use serde::Serialize;

use super::follower::Noted;

/// A version that every ring has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    pub image: ImageName,
    pub version: VersionNumber,
    /// What caused its run.
    pub why: String,
    /// The version it was built from; with its image when that is one of ours.
    pub base: String,
    pub regions: Vec<Region>,
}

/// A version, or an image, and why something became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reasoned {
    pub image: ImageName,
    /// None when it never came to a version; `null` then.
    pub version: Option<VersionNumber>,
    pub reasons: Vec<String>,
}

/// The outcome so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How many runs were opened.
    pub runs: u64,
    /// How many images were built.
    pub built: u64,
    pub released: Vec<Released>,
    pub rejected: Vec<Reasoned>,
    pub superseded: Vec<Reasoned>,
    pub deprecated: Vec<Reasoned>,
    pub trimmed: Vec<Reasoned>,
    pub deleted: Vec<Reasoned>,
    /// What did not end well, in the order in which it happened.
    pub failed: Vec<Reasoned>,
    /// Of `failed`, by index, what no later release has cured; true when one can, for it ended a
    /// run.
    pub(super) uncured: BTreeMap<usize, bool>,
    pub(super) open: BTreeMap<(ImageName, VersionNumber), Open>,
}

/// A run that has begun.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    why: String,
    base: PinnedBase,
    regions: Vec<Region>,
}

impl Outcome {
    /// Takes an entry into account.
    pub fn note(&mut self, noted: &Noted) {
        let StreamName::Image(image) = &noted.stream else { return };
        for event in &noted.entry.events {
            self.take(image, event);
        }
    }

    fn take(&mut self, image: &ImageName, event: &Event) {
        let reasoned = |version: &VersionNumber, reasons: &[String]| Reasoned {
            image: image.clone(),
            version: Some(*version),
            reasons: reasons.to_vec(),
        };
        match event {
            Event::RunOpened { version, why, base, .. } => {
                self.runs += 1;
                let (why, base) = (why.clone(), base.clone());
                let open = Open { why, base, regions: Vec::new() };
                self.open.insert((image.clone(), *version), open);
            }
            Event::ImageBuilt { .. } => self.built += 1,
            Event::RingReleased { version, regions, .. } => {
                if let Some(open) = self.open.get_mut(&(image.clone(), *version)) {
                    open.regions.extend(regions.iter().cloned());
                }
            }
            Event::RunReleased { version } => {
                self.cure(image, *version);
                if let Some(open) = self.open.remove(&(image.clone(), *version)) {
                    let Open { why, base, regions } = open;
                    let (image, base) = (image.clone(), base.version());
                    self.released.push(Released { image, version: *version, why, base, regions });
                }
            }
            Event::ImageRejected { version, reasons } => {
                self.rejected.push(reasoned(version, reasons));
            }
            Event::RunSuperseded { version, by } => {
                self.superseded.push(reasoned(version, &[format!("superseded by {by}")]));
            }
            // A rejected version is hidden by the same step; it was never offered.
            Event::VersionDeprecated { version, reasons } => {
                let condemned = |it: &Reasoned| it.image == *image && it.version == Some(*version);
                let rejected = self.rejected.iter().chain(&self.failed).any(condemned);
                if !rejected && !self.deprecated.iter().any(condemned) {
                    self.deprecated.push(reasoned(version, reasons));
                }
            }
            Event::VersionTrimmed { version } => self.trimmed.push(reasoned(version, &[])),
            Event::VersionDeleted { version, reasons } => {
                self.deleted.push(reasoned(version, reasons));
            }
            Event::BuildFailed { version, reason, .. } | Event::RunFailed { version, reason } => {
                self.fail(reasoned(version, std::slice::from_ref(reason)), true);
            }
            Event::StepFailed { function, reason, .. } => {
                let reasons = vec![format!("`{function}` gave up: {reason}")];
                let failed = Reasoned { image: image.clone(), version: None, reasons };
                self.fail(failed, walks(*function));
            }
            _ => {}
        }
    }

    fn fail(&mut self, failed: Reasoned, ended_a_run: bool) {
        self.uncured.insert(self.failed.len(), ended_a_run);
        self.failed.push(failed);
    }

    /// A release makes up for the runs that failed before it, under an earlier number or none.
    fn cure(&mut self, image: &ImageName, released: VersionNumber) {
        for (index, failed) in self.failed.iter_mut().enumerate() {
            let earlier = failed.version.is_none_or(|it| it < released);
            if failed.image == *image && earlier && self.uncured.get(&index) == Some(&true) {
                self.uncured.remove(&index);
                failed.reasons.push(format!("made up for by {released}, which was released since"));
            }
        }
    }

    /// Whether something failed that no later release has cured.
    pub fn has_failed(&self) -> bool {
        !self.uncured.is_empty()
    }

    /// Whether some run of `image` has been released everywhere.
    pub fn has_released(&self, image: &ImageName) -> bool {
        self.released.iter().any(|it| it.image == *image)
    }
}

/// Whether `function` is a step of a run, which ends with it when it gives up.
fn walks(function: Function) -> bool {
    matches!(
        function,
        Function::CreateTemplate
            | Function::StartBuild
            | Function::FollowBuild
            | Function::StartScan
            | Function::FollowScan
            | Function::JudgeImage
            | Function::ReplicateVersion
            | Function::ReleaseVersion
            | Function::FollowVersion
    )
}

/// The versions of `image` that the newest sweep kept, and why.
pub fn kept(image: &ImageName, state: &State) -> Vec<Reasoned> {
    let kept = state.kept.iter().map(|(version, reasons)| Reasoned {
        image: image.clone(),
        version: Some(*version),
        reasons: reasons.clone(),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ledger::{Entry, FORMAT};

    use super::*;

    fn version(text: &str) -> VersionNumber {
        text.parse().unwrap()
    }

    fn note(outcome: &mut Outcome, image: &str, events: Vec<Event>) {
        let stream = StreamName::Image(image.parse().unwrap());
        let at = DateTime::UNIX_EPOCH;
        let entry = Entry {
            v: FORMAT,
            id: String::new(),
            prev: String::new(),
            cause: String::new(),
            by: String::new(),
            at,
            policy: String::new(),
            events,
        };
        outcome.note(&Noted { stream, seq: 1, entry });
    }

    fn opened(number: &str) -> Event {
        Event::RunOpened {
            version: version(number),
            triggers: Vec::new(),
            why: "new base 2".to_owned(),
            base: PinnedBase::Platform { version: "2".to_owned() },
            spec: String::new(),
            template: String::new(),
        }
    }

    #[test]
    fn a_released_version_is_told_with_its_reason_its_base_and_the_regions_of_all_rings() {
        let mut outcome = Outcome::default();
        let ring = |ring, region: &str| Event::RingReleased {
            version: version("1.1.0"),
            ring,
            name: String::new(),
            regions: vec![Region::try_from(region.to_owned()).unwrap()],
        };

        note(&mut outcome, "web", vec![opened("1.1.0"), ring(0, "westeurope")]);
        assert!(!outcome.has_released(&"web".parse().unwrap()));
        note(&mut outcome, "web", vec![ring(1, "uksouth")]);
        note(&mut outcome, "web", vec![Event::RunReleased { version: version("1.1.0") }]);

        let released = &outcome.released[0];
        assert_eq!((released.why.as_str(), released.base.as_str()), ("new base 2", "2"));
        assert_eq!(released.regions.len(), 2);
        assert!(outcome.has_released(&"web".parse().unwrap()));
        assert_eq!(outcome.runs, 1);
    }

    #[test]
    fn hiding_a_rejected_version_does_not_count_as_a_deprecation() {
        let mut outcome = Outcome::default();
        let reasons = vec!["1 critical, at most 0".to_owned()];
        let (rejected, retired) = (version("1.1.0"), version("1.0.0"));

        note(
            &mut outcome,
            "web",
            vec![
                Event::ImageRejected { version: rejected, reasons: reasons.clone() },
                Event::VersionDeprecated { version: rejected, reasons: reasons.clone() },
                Event::VersionDeprecated { version: retired, reasons: vec!["old".to_owned()] },
            ],
        );

        let versions = |list: &[Reasoned]| list.iter().map(|it| it.version).collect::<Vec<_>>();
        assert_eq!(versions(&outcome.rejected), [Some(rejected)]);
        assert_eq!(versions(&outcome.deprecated), [Some(retired)]);
    }

    #[test]
    fn a_failed_build_a_failed_run_and_a_step_that_gave_up_did_not_end_well() {
        let mut outcome = Outcome::default();
        let reason = "no quota".to_owned();

        note(
            &mut outcome,
            "web",
            vec![
                Event::BuildFailed {
                    version: version("1.0.0"),
                    reason: reason.clone(),
                    published: false,
                    staging_group: None,
                },
                Event::RunFailed { version: version("1.1.0"), reason: reason.clone() },
                Event::StepFailed { seq: 1, function: rules::wake::Function::Notify, reason },
            ],
        );

        assert_eq!(outcome.failed.len(), 3);
        assert_eq!(outcome.failed[2].reasons, ["`notify` gave up: no quota"]);
    }

    #[test]
    fn a_failed_run_is_cured_by_a_later_release_of_the_same_image_and_by_no_other() {
        let mut outcome = Outcome::default();
        let failed =
            |number| Event::RunFailed { version: version(number), reason: "no".to_owned() };
        let released = |number| Event::RunReleased { version: version(number) };

        note(&mut outcome, "web", vec![failed("1.2.0")]);
        note(&mut outcome, "web", vec![released("1.1.0")]);
        note(&mut outcome, "shop", vec![released("1.3.0")]);
        assert!(outcome.has_failed());
        note(&mut outcome, "web", vec![released("1.3.0")]);

        assert!(!outcome.has_failed());
        assert_eq!(
            outcome.failed[0].reasons,
            ["no", "made up for by 1.3.0, which was released since"]
        );
    }

    #[test]
    fn a_failure_without_a_version_says_null_for_machines() {
        let reasoned =
            Reasoned { image: "web".parse().unwrap(), version: None, reasons: Vec::new() };

        assert_eq!(
            serde_json::to_string(&reasoned).unwrap(),
            r#"{"image":"web","version":null,"reasons":[]}"#
        );
    }
}
