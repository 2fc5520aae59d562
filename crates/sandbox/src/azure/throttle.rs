//! How much of each quota of a provider is left: the headers of Compute, with the names and maxima
//! that were recorded, and the refusals when a quota is used up.

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde_json::json;

use super::answer::{Refusal, Trouble};
use super::bucket::{Bucket, Taken};
use super::call::Call;
use super::{World, moment};

/// A Compute policy: so many requests in 3 minutes and in 30 minutes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    name: &'static str,
    in_3_minutes: u64,
    in_30_minutes: u64,
}

const fn policy(name: &'static str, in_3_minutes: u64, in_30_minutes: u64) -> Policy {
    Policy { name, in_3_minutes, in_30_minutes }
}

// Names and maxima as recorded in 2024 to 2026.
pub(super) const PUT_GALLERY: Policy = policy("CreateUpdateGallery", 50, 300);
pub(super) const PUT_DEFINITION: Policy = policy("CreateUpdateGalleryImage", 150, 750);
pub(super) const PUT_VERSION: Policy = policy("CreateUpdateGalleryImageVersion", 375, 1200);
pub(super) const DELETE_GALLERY: Policy = policy("DeleteGallery", 50, 300);
pub(super) const DELETE_DEFINITION: Policy = policy("DeleteGalleryImage", 50, 300);
pub(super) const DELETE_VERSION: Policy = policy("DeleteGalleryImageVersion", 150, 1000);
pub(super) const GET_GALLERY: Policy = policy("GetGallery", 350, 2500);
pub(super) const GET_DEFINITION: Policy = policy("GetGalleryImage", 600, 3000);
pub(super) const GET_VERSION: Policy = policy("GetGalleryImageVersion", 2000, 10000);
pub(super) const LIST_GALLERIES: Policy = policy("ListGalleryInResourceGroup", 100, 1000);
pub(super) const LIST_DEFINITIONS: Policy = policy("ListGalleryImagesInGallery", 1500, 10000);
pub(super) const LIST_VERSIONS: Policy =
    policy("ListGalleryImageVersionsInGalleryImage", 1500, 10000);
pub(super) const LIST_SOFT_DELETED: Policy =
    policy("ListSoftDeletedResourcesInGallery", 1500, 10000);
pub(super) const GET_OPERATION: Policy = policy("GetOperationStatus", 5000, 15000);
pub(super) const LIST_OFFERS: Policy = policy("ListVMImageOffersFromLocation", 200, 1000);
pub(super) const LIST_SKUS: Policy = policy("ListVMImageSkusFromLocation", 10000, 30000);
pub(super) const LIST_PLATFORM_VERSIONS: Policy =
    policy("ListVMImagesVersionsFromLocation", 16000, 44000);
pub(super) const GET_PLATFORM_VERSION: Policy = policy("GetVMImageFromLocation", 13000, 74000);
pub(super) const GET_DISK: Policy = policy("LowCostGet", 15000, 120_000);

/// A Compute policy for machines and scale sets: token buckets that are filled within three minutes
/// (MicrosoftDocs, compute-throttling-limits.md), one for the subscription, one for the resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachinePolicy {
    name: &'static str,
    subscription: u64,
    /// None for lists over a group.
    resource: Option<u64>,
}

const fn machine_policy(
    name: &'static str,
    subscription: u64,
    resource: Option<u64>,
) -> MachinePolicy {
    MachinePolicy { name, subscription, resource }
}

// Names and maxima as recorded in 2024 and 2025.
pub(super) const GET_MACHINE: MachinePolicy = machine_policy("LowCostGet", 24000, Some(36));
pub(super) const LIST_MACHINES: MachinePolicy = machine_policy("HighCostGet", 900, None);
pub(super) const GET_SCALE_SET: MachinePolicy = machine_policy("GetVMScaleSet", 2400, Some(36));
pub(super) const GET_INSTANCE: MachinePolicy = machine_policy("GetVMScaleSetVM", 6000, Some(36));
pub(super) const LIST_INSTANCES: MachinePolicy =
    machine_policy("HighCostGetVMScaleSet", 1080, Some(30));

impl MachinePolicy {
    /// Takes one request of the quotas and answers the header that says what is left. `resource`
    /// is the id of the machine or set.
    ///
    /// # Errors
    /// 429 with Retry-After, in Compute's shape, when nothing is left.
    pub(super) fn take(&self, world: &World<'_>, resource: &str) -> Result<String, Trouble> {
        let resource = resource.to_ascii_lowercase();
        let own = self.resource.map(|capacity| ("Resource", capacity, resource.as_str()));
        let all = ("SubscriptionMaximum", self.subscription, world.subscription);
        let mut told = Vec::new();
        for (suffix, capacity, of) in [Some(all), own].into_iter().flatten() {
            let group = format!("{}{suffix}", self.name);
            let bucket = Bucket { capacity, per_minute: capacity / 3 };
            match bucket.take(world, &format!("quota.{group}.{of}"))? {
                Taken::Left(left) => told.push(format!("Microsoft.Compute/{group};{left}")),
                Taken::Empty { wait_secs } => {
                    let wait = TimeDelta::seconds(i64::try_from(wait_secs).unwrap_or(i64::MAX));
                    let (began, ends) = (world.now - TimeDelta::minutes(1), world.now + wait);
                    let allowed = world.estate.budget(capacity);
                    return Err(refusal(world, &group, began, ends, allowed, allowed).into());
                }
            }
        }
        Ok(told.join(","))
    }
}

/// How many requests of one action on templates there may be in an hour. Image Builder's limits are
/// published nowhere: these are the old ones of ARM, which its answers still named in 2024.
const BUILDER_READS: u64 = 12_000;
const BUILDER_WRITES: u64 = 1200;

/// Takes one request of an action on image templates; other requests are passed over.
///
/// # Errors
/// 429 in the recorded words, which hold the seconds to wait; no header does.
pub(super) fn builder_action(world: &World<'_>, call: &Call) -> Result<(), Trouble> {
    if call.lower.get(6).is_none_or(|it| it != "imagetemplates") {
        return Ok(());
    }
    let (verb, allowed) = match (&call.method, call.lower.get(8).map(String::as_str)) {
        (&Method::GET | &Method::HEAD, _) => ("read", BUILDER_READS),
        (&Method::DELETE, _) => ("delete", BUILDER_WRITES),
        (_, Some("run")) => ("run/action", BUILDER_WRITES),
        (_, Some("cancel")) => ("cancel/action", BUILDER_WRITES),
        _ => ("write", BUILDER_WRITES),
    };
    let allowed = world.estate.budget(allowed);
    let key = format!("quota.imageTemplates/{verb}.{}", world.subscription);
    let Err(ends) = count(world, &key, TimeDelta::hours(1), allowed)? else { return Ok(()) };
    let wait_secs = (ends - world.now).num_seconds() + 1;
    let text = format!(
        "Number of requests for action 'Microsoft.VirtualMachineImages/imageTemplates/{verb}' \
         exceeded the limit of '{allowed}' for time interval '01:00:00'. Please try again after \
         '{wait_secs}' seconds."
    );
    let code = "ResourceRequestsThrottled";
    Err(Refusal::gateway(StatusCode::TOO_MANY_REQUESTS, code, text).into())
}

/// Counts one request of the quota `key`, which begins anew at every full `length`. How many were
/// counted before it; or, when `allowed` were, the instant at which it begins anew.
fn count(
    world: &World<'_>,
    key: &str,
    length: TimeDelta,
    allowed: u64,
) -> Result<Result<u64, DateTime<Utc>>, Trouble> {
    let number = world.now.timestamp().div_euclid(length.num_seconds());
    let used = world.records.value(key)?;
    let used = used.as_deref().and_then(|it| it.split_once(' '));
    let used = used.filter(|it| it.0 == number.to_string());
    let used = used.map_or(0, |it| it.1.parse::<u64>().unwrap_or(0));
    if used >= allowed {
        let ends = DateTime::from_timestamp((number + 1) * length.num_seconds(), 0);
        return Ok(Err(ends.unwrap_or(world.now + length)));
    }
    world.records.set_value(key, &format!("{number} {}", used + 1))?;
    Ok(Ok(used))
}

impl Policy {
    /// Takes one request of the quota and answers the header that says what is left.
    ///
    /// # Errors
    /// 429 with Retry-After, in Compute's shape, when nothing is left.
    pub(super) fn take(&self, world: &World<'_>) -> Result<String, Trouble> {
        let short = self.window(world, "3Min", TimeDelta::minutes(3), self.in_3_minutes)?;
        let long = self.window(world, "30Min", TimeDelta::minutes(30), self.in_30_minutes)?;
        let name = self.name;
        Ok(format!("Microsoft.Compute/{name}3Min;{short},Microsoft.Compute/{name}30Min;{long}"))
    }

    fn window(
        &self,
        world: &World<'_>,
        suffix: &str,
        length: TimeDelta,
        allowed: u64,
    ) -> Result<u64, Trouble> {
        let group = format!("{}{suffix}", self.name);
        let allowed = world.estate.budget(allowed);
        let key = format!("quota.{group}.{}", world.subscription);
        match count(world, &key, length, allowed)? {
            Ok(used) => Ok(allowed - used - 1),
            Err(ends) => Err(refusal(world, &group, ends - length, ends, allowed, allowed).into()),
        }
    }
}

/// Compute's 429, in the shape of Microsoft's documents; none was recorded.
fn refusal(
    world: &World<'_>,
    group: &str,
    began: DateTime<Utc>,
    ends: DateTime<Utc>,
    allowed: u64,
    used: u64,
) -> Refusal {
    let (start, end) = (moment::compute(began), moment::compute(ends));
    let message = json!({
        "operationGroup": group, "startTime": start, "endTime": end,
        "allowedRequestCount": allowed, "measuredRequestCount": used + 1,
    });
    let text = "The server rejected the request because too many requests have been received for \
                this subscription.";
    let secs = (ends - world.now).num_seconds() + 1;
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "OperationNotAllowed", text)
        .detail(json!({
            "code": "TooManyRequests", "target": group, "message": message.to_string(),
        }))
        .header("retry-after", secs.to_string())
}
