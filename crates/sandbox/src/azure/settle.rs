//! What becomes due by itself: ends of operations, of builds, of grace periods. It is settled at
//! the start of the next request, in the order in which it became due, each as of its own instant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::answer::Trouble;
use super::operation::Operation;
use super::{
    World, group, plain, publish, run, soft_deleted, template, template_ready, version,
    version_deletion,
};

/// Something that becomes due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    /// A gallery or a definition was created or updated.
    PlainSettled { id: String, operation: String },
    /// A gallery or a definition was deleted.
    PlainDeleted { id: String, operation: String },
    /// A resource group was deleted with all that was in it.
    GroupDeleted { id: String, operation: String },
    /// A version was created, updated or restored.
    VersionSettled { id: String, operation: String },
    /// A version was deleted.
    VersionDeleted { id: String, operation: String, bypass: bool },
    /// The grace period of a deleted version is over.
    SoftDeletedGone { id: String, deleted: DateTime<Utc> },
    /// A template was validated.
    TemplateReady { id: String, operation: String },
    /// A template was patched.
    TemplateUpdated { id: String, operation: String },
    /// A template was deleted with its staging group.
    TemplateDeleted { id: String, operation: String },
    /// A build has come to its end.
    RunEnded { template: String, run: String },
    /// A build was canceled.
    RunCanceled { template: String, run: String },
}

/// Settles everything that is due by the world's instant.
pub(super) fn settle(world: &World<'_>) -> Result<(), Trouble> {
    while let Some((at, work)) = world.records.take_due::<Work>(world.now)? {
        // As of its own instant: what it starts in turn is timed from there.
        let then = world.at(at);
        one(&then, work, at)?;
    }
    Ok(())
}

fn one(world: &World<'_>, work: Work, at: DateTime<Utc>) -> Result<(), Trouble> {
    match work {
        Work::PlainSettled { id, operation } => plain::settled(world, &id, &operation, at),
        Work::PlainDeleted { id, operation } => plain::deleted(world, &id, &operation, at),
        Work::GroupDeleted { id, operation } => {
            group::remove(world, &id)?;
            Operation::end(world, &operation, at, None)
        }
        Work::VersionSettled { id, operation } => version::settled(world, &id, &operation, at),
        Work::VersionDeleted { id, operation, bypass } => {
            version_deletion::deleted(world, &id, &operation, bypass, at)
        }
        Work::SoftDeletedGone { id, deleted } => soft_deleted::gone(world, &id, deleted),
        Work::TemplateReady { id, operation } => template_ready::ready(world, &id, &operation, at),
        Work::TemplateUpdated { id, operation } => template::updated(world, &id, &operation, at),
        Work::TemplateDeleted { id, operation } => template::deleted(world, &id, &operation, at),
        Work::RunEnded { template, run } => publish::ended(world, &template, &run, at),
        Work::RunCanceled { template, run } => run::canceled(world, &template, &run, at),
    }
}
