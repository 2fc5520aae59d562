//! How a version is deleted: what forbids it, how long it takes, and what is kept of it.

use chrono::{DateTime, Utc};
use http::StatusCode;

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::version::Version;
use super::{World, event, moment, soft_deleted};

/// From this api-version on, `bypassSoftDelete` is read (GalleryRP.json); before it is ignored.
const BYPASS_SINCE: &str = "2026-03-03";

/// DELETE of a version.
pub(super) fn delete(
    world: &World<'_>,
    call: &Call,
    id: &str,
    found: Option<Version>,
) -> Result<Reply, Trouble> {
    let bypass = call.query("bypasssoftdelete").is_some_and(|it| it.eq_ignore_ascii_case("true"))
        && call.api_version() >= BYPASS_SINCE;
    let Some(mut version) = found else {
        let kept = soft_deleted::of_version(world, id)?;
        return match kept {
            Some(kept) if bypass => begin_delete(world, call, &kept.version, true),
            _ => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        };
    };
    if version.state == "Deleting" {
        // Deleting twice attaches to the deletion that is under way.
        return begin_delete(world, call, &version, bypass);
    }
    let blocks = version.block_deletion_before_end_of_life == Some(true);
    if blocks && version.end_of_life.is_some_and(|it| it > world.now) {
        let number = version.number();
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "DeleteGalleryImageVersionBlockedBeforeEndOfLife",
            format!(
                "The gallery image version '{number}' can not be deleted before its end of life \
                 date. Set 'safetyProfile.blockDeletionBeforeEndOfLife' to false and try again."
            ),
        )
        .into());
    }

    version.state = "Deleting".to_owned();
    version.store(world)?;
    begin_delete(world, call, &version, bypass)
}

fn begin_delete(
    world: &World<'_>,
    call: &Call,
    version: &Version,
    bypass: bool,
) -> Result<Reply, Trouble> {
    let id = version.id.clone();
    let operation = Operation::start_paced(world, Provider::Gallery, &id, &version.location, 60)?;
    // Recorded: 91 to 180 seconds.
    let ends = world.now + moment::between(&[&id, "delete"], 91.0, 180.0);
    let work = Work::VersionDeleted { id, operation: operation.id.clone(), bypass };
    world.records.schedule(ends, &work)?;
    Ok(operation.accepted(world, call))
}

/// A version is gone; kept aside when its gallery has a soft-delete policy.
pub(super) fn deleted(
    world: &World<'_>,
    id: &str,
    operation: &str,
    bypass: bool,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    if let Some(version) = world.records.get::<Version>(id)? {
        world.records.remove(id)?;
        if !bypass {
            soft_deleted::keep(world, version, at)?;
        }
        event::version_deleted(world, id, at)?;
    } else if bypass {
        soft_deleted::forget(world, id)?;
    }
    Operation::end(world, operation, at, None)
}
