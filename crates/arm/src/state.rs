//! The states that Azure names. All are open: recordings hold values that no specification has.

use std::fmt;

/// What is being done to a resource itself; of a template this is not its build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioning {
    Creating,
    Updating,
    Succeeded,
    Failed,
    Deleting,
    Canceled,
    Migrating,
    /// A state that we do not know.
    Other(String),
}

/// How far a build is (`lastRunStatus.runState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    Running,
    Canceling,
    Succeeded,
    /// Some outputs exist and some do not.
    PartiallySucceeded,
    Failed,
    Canceled,
    /// A state that we do not know.
    Other(String),
}

/// How far a version's copy in one region is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationState {
    Unknown,
    Replicating,
    Completed,
    Failed,
    /// A state that we do not know.
    Other(String),
}

impl Provisioning {
    /// The state called `text`, in any case.
    pub fn named(text: &str) -> Provisioning {
        match text.to_ascii_lowercase().as_str() {
            "creating" => Provisioning::Creating,
            "updating" => Provisioning::Updating,
            "succeeded" => Provisioning::Succeeded,
            "failed" => Provisioning::Failed,
            "deleting" => Provisioning::Deleting,
            "canceled" => Provisioning::Canceled,
            "migrating" => Provisioning::Migrating,
            _ => Provisioning::Other(crate::readable::readable(text, 64)),
        }
    }

    /// The state as Azure writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Provisioning::Creating => "Creating",
            Provisioning::Updating => "Updating",
            Provisioning::Succeeded => "Succeeded",
            Provisioning::Failed => "Failed",
            Provisioning::Deleting => "Deleting",
            Provisioning::Canceled => "Canceled",
            Provisioning::Migrating => "Migrating",
            Provisioning::Other(text) => text,
        }
    }
}

impl RunState {
    /// The state called `text`, in any case.
    pub fn named(text: &str) -> RunState {
        match text.to_ascii_lowercase().as_str() {
            "running" => RunState::Running,
            "canceling" => RunState::Canceling,
            "succeeded" => RunState::Succeeded,
            "partiallysucceeded" => RunState::PartiallySucceeded,
            "failed" => RunState::Failed,
            "canceled" => RunState::Canceled,
            _ => RunState::Other(crate::readable::readable(text, 64)),
        }
    }

    /// The state as Azure writes it.
    pub fn as_str(&self) -> &str {
        match self {
            RunState::Running => "Running",
            RunState::Canceling => "Canceling",
            RunState::Succeeded => "Succeeded",
            RunState::PartiallySucceeded => "PartiallySucceeded",
            RunState::Failed => "Failed",
            RunState::Canceled => "Canceled",
            RunState::Other(text) => text,
        }
    }
}

impl ReplicationState {
    /// The state called `text`, in any case.
    pub fn named(text: &str) -> ReplicationState {
        match text.to_ascii_lowercase().as_str() {
            "unknown" => ReplicationState::Unknown,
            "replicating" => ReplicationState::Replicating,
            "completed" => ReplicationState::Completed,
            "failed" => ReplicationState::Failed,
            _ => ReplicationState::Other(crate::readable::readable(text, 64)),
        }
    }

    /// The state as Azure writes it.
    pub fn as_str(&self) -> &str {
        match self {
            ReplicationState::Unknown => "Unknown",
            ReplicationState::Replicating => "Replicating",
            ReplicationState::Completed => "Completed",
            ReplicationState::Failed => "Failed",
            ReplicationState::Other(text) => text,
        }
    }
}

impl fmt::Display for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for ReplicationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_nobody_told_us_of_is_kept_and_is_none_of_ours() {
        let state = Provisioning::named("NotExecuted");

        assert_eq!(state, Provisioning::Other("NotExecuted".to_owned()));
        assert_eq!(state.to_string(), "NotExecuted");
        assert_ne!(RunState::named("SucceededWithWarnings"), RunState::Succeeded);
    }

    #[test]
    fn a_state_is_written_as_it_is_read() {
        for text in
            ["Creating", "Updating", "Succeeded", "Failed", "Deleting", "Canceled", "Migrating"]
        {
            assert_eq!(Provisioning::named(&text.to_lowercase()).as_str(), text);
        }
        for text in
            ["Running", "Canceling", "Succeeded", "PartiallySucceeded", "Failed", "Canceled"]
        {
            assert_eq!(RunState::named(&text.to_lowercase()).as_str(), text);
        }
        for text in ["Unknown", "Replicating", "Completed", "Failed"] {
            assert_eq!(ReplicationState::named(&text.to_lowercase()).as_str(), text);
        }
    }
}
