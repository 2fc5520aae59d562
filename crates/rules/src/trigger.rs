//! Reasons to build, and whether one is admitted.

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::{ImageName, VersionNumber};

/// After so many failed runs in a row only a person's trigger is admitted.
pub const BREAKER_LIMIT: u32 = 5;

/// A reason to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Trigger {
    /// An occurrence of the image's schedule.
    #[serde(rename_all = "camelCase")]
    Schedule {
        occurrence: DateTime<Utc>,
        /// The Patch Tuesday that it follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patch_tuesday: Option<NaiveDate>,
    },
    /// A newer version of the platform image it is built from.
    #[serde(rename_all = "camelCase")]
    Base { version: String },
    /// A version of its parent reached the parent's moment.
    #[serde(rename_all = "camelCase")]
    Parent { image: ImageName, version: VersionNumber },
    /// An advisory that a fix is published for.
    #[serde(rename_all = "camelCase")]
    Advisory { id: String },
    /// A person or a pipeline asked for it.
    #[serde(rename_all = "camelCase")]
    Person { request: String, by: String, why: String },
}

impl Trigger {
    /// Its identity: the same reason is accepted once.
    pub fn id(&self) -> String {
        match self {
            Trigger::Schedule { occurrence, .. } => {
                format!("schedule:{}", occurrence.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            Trigger::Base { version } => format!("base:{version}"),
            Trigger::Parent { image, version } => format!("parent:{image}:{version}"),
            Trigger::Advisory { id } => format!("advisory:{id}"),
            Trigger::Person { request, .. } => format!("person:{request}"),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trigger::Schedule { patch_tuesday: Some(day), .. } => write!(f, "Patch Tuesday {day}"),
            Trigger::Schedule { occurrence, patch_tuesday: None } => {
                write!(f, "scheduled for {}", occurrence.format("%Y-%m-%d %H:%M UTC"))
            }
            Trigger::Base { version } => write!(f, "new base {version}"),
            Trigger::Parent { image, version } => write!(f, "parent {image} {version}"),
            Trigger::Advisory { id } => write!(f, "advisory {id}"),
            Trigger::Person { by, why, .. } if why.is_empty() => write!(f, "asked for by {by}"),
            Trigger::Person { by, why, .. } => write!(f, "asked for by {by}: {why}"),
        }
    }
}

/// Whether a trigger is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It becomes a run, or part of one.
    Accept,
    /// It was accepted or refused before; there is nothing to record.
    Known,
    /// It is recorded and refused.
    Refuse { because: String },
}

/// Judges `trigger` against what the stream knows.
pub fn admit(state: &State, trigger: &Trigger) -> Admission {
    if state.knows_trigger(&trigger.id()) {
        return Admission::Known;
    }
    if matches!(trigger, Trigger::Person { .. }) {
        return Admission::Accept;
    }
    if state.failures_in_a_row >= BREAKER_LIMIT {
        let count = state.failures_in_a_row;
        let because =
            format!("{count} runs in a row failed; rebuild it by hand once the cause is cured");
        return Admission::Refuse { because };
    }
    Admission::Accept
}
