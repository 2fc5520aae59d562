//! Whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

/// Every event that can be made up of a few values, right or wrong.
fn any_event() -> impl Strategy<Value = Event> {
    let version = prop::sample::select(vec![number("1.0.0"), number("1.1.0")]);
    let at = (0_i64..4).prop_map(|it| start() + TimeDelta::hours(it));
    (version, at, 0_usize..3, 0_usize..30).prop_map(|(version, look_at, ring, which)| {
        let text = String::new;
        match which {
            0 => Event::ImageAdopted {},
            1 | 2 => Event::TriggerAccepted { trigger: schedule(ring as i64) },
            3 | 4 => Event::RunOpened {
                version,
                triggers: vec![schedule(ring as i64).id()],
                why: text(),
                base: PinnedBase::Platform { version: text() },
                spec: text(),
                template: version.to_string(),
            },
            5 => Event::TemplateRequested { version, look_at },
            6 => Event::BuildStarted { version, look_at },
            7 => Event::ImageBuilt { version, minutes: 1, staging_group: None },
            8 => Event::BuildFailed {
                version,
                reason: text(),
                published: false,
                staging_group: None,
            },
            9 => Event::ScanRequested { version, report: text(), due_by: look_at },
            10 => Event::ImageScanned {
                version,
                report: text(),
                scanner: text(),
                findings: Default::default(),
            },
            11 => Event::ScanMissing { version, because: text() },
            12 => Event::GatePassed {
                version,
                reasons: Vec::new(),
                plan: vec![ring_of("one"), ring_of("two")],
            },
            13 => Event::ImageRejected { version, reasons: Vec::new() },
            14 => Event::RunSuperseded { version, by: version },
            15 => Event::ReplicationRequested { version, look_at },
            16 => Event::VersionReplicated { version, regions: Vec::new() },
            17 => Event::ReleaseRequested { version, ring, look_at },
            18 => Event::RingReleased { version, ring, name: text(), regions: Vec::new() },
            19 => Event::RunReleased { version },
            20 => Event::RunFailed { version, reason: text() },
            21 => Event::VersionRevoked { version, by: text(), why: text() },
            22 => Event::ReleasePaused { version, ring, because: text(), until: None },
            23 => Event::ApprovalGranted { version, ring, by: text() },
            24 => Event::BuildTidied { version },
            25 | 26 => {
                let stage = [Retirement::Deprecate, Retirement::Trim, Retirement::Delete][ring];
                let standing = [Standing::Released, Standing::Deprecated, Standing::Rejected][ring];
                Event::RetirementDue { version, stage, standing, reasons: Vec::new() }
            }
            27 => {
                let stage = [Retirement::Deprecate, Retirement::Trim, Retirement::Delete][ring];
                Event::RetirementRequested { version, stage, look_at }
            }
            // Which wish it is about depends on what is owed by then.
            28 => Event::StepFailed { seq: 0, function: Function::ReceiveEvents, reason: text() },
            _ => Event::VersionDeprecated { version, reasons: Vec::new() },
        }
    })
}

fn ring_of(name: &str) -> PlannedRing {
    ring(name, "westeurope", 1)
}

proptest! {
    /// Whatever happens in whatever order, and with every wrong move refused: no two runs share a
    /// slot, every open run either wants a step or waits for a person, every accepted trigger is
    /// accounted for, no version that was not passed is released, and a retirement wants the step of
    /// its own stage.
    #[test]
    fn nothing_is_lost_or_doubled_in_any_order(events in prop::collection::vec(any_event(), 1..80)) {
        let mut story = story();
        let mut accepted = std::collections::BTreeSet::new();
        let mut served = std::collections::BTreeSet::new();
        for mut event in events {
            if let Event::StepFailed { seq, function, .. } = &mut event
                && let Some(wish) = story.state.wants().into_iter().find(|it| {
                    matches!(it.subject, Subject::Opening | Subject::Run(_) | Subject::Retirement(_))
                })
            {
                (*seq, *function) = (wish.task.seq, wish.task.function);
            }
            let Ok(next) = story.try_then(std::slice::from_ref(&event)) else { continue };
            match event {
                Event::TriggerAccepted { trigger } => {
                    prop_assert!(accepted.insert(trigger.id()));
                }
                Event::RunOpened { triggers, .. } => {
                    for id in triggers {
                        prop_assert!(served.insert(id), "two runs serve one trigger");
                    }
                }
                _ => {}
            }
            story = next;

            let state = &story.state;
            for run in state.runs() {
                let paused = matches!(run.stage, Stage::Paused { .. });
                prop_assert_eq!(run.task.is_none(), paused || run.stage_is_past_the_last_ring());
            }
            let waiting: std::collections::BTreeSet<_> =
                state.pending.iter().map(Trigger::id).collect();
            prop_assert_eq!(&accepted, &served.union(&waiting).cloned().collect());
            if !state.pending.is_empty() && state.building.is_none() {
                prop_assert!(state.opening.is_some(), "triggers wait and nobody opens a run");
            }
            for version in state.versions.values() {
                if let Some(retiring) = &version.retiring {
                    let step = match retiring.stage {
                        _ if retiring.requested => Function::FollowVersion,
                        Retirement::Deprecate => Function::DeprecateVersion,
                        Retirement::Trim => Function::TrimVersion,
                        Retirement::Delete => Function::DeleteVersion,
                    };
                    prop_assert_eq!(retiring.task.function, step);
                }
                if version.standing == Standing::Released {
                    prop_assert!(version.gate_passed || version.opened_at.is_none());
                }
                if version.standing == Standing::Revoked {
                    prop_assert!(version.retiring.is_some() || version.deprecated_at.is_some());
                }
            }
        }
    }
}

impl Run {
    fn stage_is_past_the_last_ring(&self) -> bool {
        matches!(self.stage, Stage::Replicated { ring, .. } if ring >= self.plan.len())
    }
}
