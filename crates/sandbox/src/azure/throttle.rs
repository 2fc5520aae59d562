//! How much of each quota is left: the headers of ARM and of Compute, with the names and maxima
//! that were recorded, and the refusal when a quota is used up.

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde_json::json;

use super::answer::{Refusal, Reply, Trouble};
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
        let number = world.now.timestamp().div_euclid(length.num_seconds());
        let key = format!("quota.{}{suffix}", self.name);
        let used = world.records.value(&key)?;
        let used = used.as_deref().and_then(|it| it.split_once(' '));
        let used = used
            .filter(|it| it.0 == number.to_string())
            .map_or(0, |it| it.1.parse::<u64>().unwrap_or(0));
        if used >= allowed {
            let ends = DateTime::from_timestamp((number + 1) * length.num_seconds(), 0);
            let ends = ends.unwrap_or(world.now + length);
            return Err(self.refusal(world, suffix, ends - length, ends, allowed, used).into());
        }
        world.records.set_value(&key, &format!("{number} {}", used + 1))?;
        Ok(allowed - used - 1)
    }

    fn refusal(
        &self,
        world: &World<'_>,
        suffix: &str,
        began: DateTime<Utc>,
        ends: DateTime<Utc>,
        allowed: u64,
        used: u64,
    ) -> Refusal {
        let group = format!("{}{suffix}", self.name);
        let (start, end) = (moment::compute(began), moment::compute(ends));
        let message = json!({
            "operationGroup": group, "startTime": start, "endTime": end,
            "allowedRequestCount": allowed, "measuredRequestCount": used + 1,
        });
        let text = "The server rejected the request because too many requests have been received \
                    for this subscription.";
        let secs = (ends - world.now).num_seconds() + 1;
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "OperationNotAllowed", text)
            .detail(json!({
                "code": "TooManyRequests", "target": group, "message": message.to_string(),
            }))
            .header("retry-after", secs.to_string())
    }
}

/// `reply` with ARM's own headers about the subscription's quota, as in the 2025 recordings.
pub(super) fn subscription_headers(call: &Call, reply: Reply) -> Reply {
    if call.lower.first().is_none_or(|it| it != "subscriptions") {
        return reply;
    }
    match call.method {
        Method::GET | Method::HEAD => {
            reply.header("x-ms-ratelimit-remaining-subscription-global-reads", "3749")
        }
        Method::DELETE => reply
            .header("x-ms-ratelimit-remaining-subscription-deletes", "199")
            .header("x-ms-ratelimit-remaining-subscription-global-deletes", "2999"),
        _ => reply
            .header("x-ms-ratelimit-remaining-subscription-writes", "199")
            .header("x-ms-ratelimit-remaining-subscription-global-writes", "2999"),
    }
}
