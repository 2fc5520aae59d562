//! Versions that were deleted from a gallery with a soft-delete policy: they can be restored, and
//! their numbers are taken, until they are gone for good.

use chrono::{DateTime, Days, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::settle::Work;
use super::version::Version;
use super::{World, gallery, moment, route, throttle};

pub(super) const KIND: &str =
    "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions";

/// A version that was deleted and is kept aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SoftDeleted {
    pub(super) id: String,
    pub(super) version: Version,
    deleted: DateTime<Utc>,
    usable_until: DateTime<Utc>,
    gone_at: DateTime<Utc>,
}

/// Where the version of this id is kept; the id's pieces are /subscriptions/s/resourceGroups/g/
/// providers/Microsoft.Compute/galleries/g/images/d/versions/v.
fn kept_id(version_id: &str) -> String {
    let pieces: Vec<&str> = version_id.split('/').collect();
    let (gallery, definition, number) =
        (pieces.get(..9), pieces.get(10).unwrap_or(&""), pieces.get(12).unwrap_or(&""));
    let gallery = gallery.map(|it| it.join("/")).unwrap_or_default();
    format!("{gallery}/softDeletedArtifactTypes/Images/artifacts/{definition}/versions/{number}")
}

/// Keeps a deleted version, when its gallery says so.
pub(super) fn keep(world: &World<'_>, version: Version, at: DateTime<Utc>) -> Result<(), Trouble> {
    let gallery: Vec<&str> = version.id.split('/').take(9).collect();
    let Some(gallery) = world.records.get::<Value>(&gallery.join("/"))? else { return Ok(()) };
    let policy = &gallery["properties"]["softDeletePolicy"];
    if policy["isSoftDeleteEnabled"] != json!(true) {
        return Ok(());
    }
    let retention = policy["retentionPeriodInDays"].as_u64().unwrap_or(7);
    let grace = policy["gracePeriodInDays"].as_u64().unwrap_or(0);
    let kept = SoftDeleted {
        id: kept_id(&version.id),
        deleted: at,
        usable_until: at + Days::new(retention),
        gone_at: at + Days::new(retention + grace),
        version,
    };
    world.records.put(&kept.id, KIND, &kept)?;
    let work = Work::SoftDeletedGone { id: kept.id.clone(), deleted: at };
    world.records.schedule(kept.gone_at, &work)
}

/// The grace period of a deleted version is over. One that was restored meanwhile, and perhaps
/// deleted again, is left alone.
pub(super) fn gone(world: &World<'_>, id: &str, deleted: DateTime<Utc>) -> Result<(), Trouble> {
    let found = world.records.get::<SoftDeleted>(id)?;
    if found.is_some_and(|it| it.deleted == deleted) {
        world.records.remove(id)?;
    }
    Ok(())
}

/// The deleted version that had this id.
pub(super) fn of_version(
    world: &World<'_>,
    version_id: &str,
) -> Result<Option<SoftDeleted>, Trouble> {
    world.records.get(&kept_id(version_id))
}

/// The deleted versions of a definition.
pub(super) fn of_definition(
    world: &World<'_>,
    definition_id: &str,
) -> Result<Vec<SoftDeleted>, Trouble> {
    let pieces: Vec<&str> = definition_id.split('/').collect();
    let gallery = pieces.get(..9).map(|it| it.join("/")).unwrap_or_default();
    let definition = pieces.get(10).unwrap_or(&"");
    let scope = format!("{gallery}/softDeletedArtifactTypes/Images/artifacts/{definition}");
    world.records.below_of(&scope, KIND)
}

/// Forgets that the version of this id was deleted: it was restored, or purged.
pub(super) fn forget(world: &World<'_>, version_id: &str) -> Result<(), Trouble> {
    world.records.remove(&kept_id(version_id))
}

/// `GET .../softdeletedartifacttypes/images/artifacts/{definition}/versions`.
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let gallery_id = call.id(8);
    let Some(gallery) = world.records.get::<Value>(&gallery_id)? else {
        return Err(gallery::not_found(call).into());
    };
    let quota = throttle::LIST_SOFT_DELETED.take(world)?;
    let definition = format!("{gallery_id}/images/{}", call.segments[11]);
    let kept = of_definition(world, &definition)?;
    let value: Vec<Value> = kept
        .iter()
        .map(|it| {
            json!({
                "name": it.version.number(),
                "id": it.id,
                "type": KIND,
                "location": gallery["location"],
                "properties": {
                    "resourceArmId": it.version.id,
                    "softDeletedTime": moment::compute(it.deleted),
                    "softDeletedArtifactType": "Images",
                    "consumptionEndTime": moment::compute(it.usable_until),
                    "hardDeletionTargetTime": moment::compute(it.gone_at),
                },
            })
        })
        .collect();
    Ok(Reply::ok(json!({ "value": value })).header(QUOTA, quota))
}
