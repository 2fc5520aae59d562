//! ARM's own budgets, which every request is taken from before a provider sees it: token buckets
//! for each subscription (or the tenant), each principal and each kind of operation, and fifteen
//! times as much for all principals together
//! (MicrosoftDocs, request-limits-and-throttling.md, 2025; maxima as recorded since 2024).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use super::World;
use super::answer::{Refusal, Reply, Trouble};
use super::bucket::{Bucket, Taken};
use super::call::Call;
use crate::estate::WaitTold;
use crate::guid;

/// What all principals together have, in budgets of one.
const GLOBAL: u64 = 15;

const READS: Kind = Kind {
    name: "read",
    bucket: Bucket { capacity: 250, per_minute: 25 * 60 },
    subscription: [
        "x-ms-ratelimit-remaining-subscription-reads",
        "x-ms-ratelimit-remaining-subscription-global-reads",
    ],
    tenant: "x-ms-ratelimit-remaining-tenant-reads",
};
const WRITES: Kind = Kind {
    name: "write",
    bucket: Bucket { capacity: 200, per_minute: 10 * 60 },
    subscription: [
        "x-ms-ratelimit-remaining-subscription-writes",
        "x-ms-ratelimit-remaining-subscription-global-writes",
    ],
    tenant: "x-ms-ratelimit-remaining-tenant-writes",
};
const DELETES: Kind = Kind {
    name: "delete",
    bucket: Bucket { capacity: 200, per_minute: 10 * 60 },
    subscription: [
        "x-ms-ratelimit-remaining-subscription-deletes",
        "x-ms-ratelimit-remaining-subscription-global-deletes",
    ],
    tenant: "x-ms-ratelimit-remaining-tenant-deletes",
};

/// A kind of operation, and how the headers call what is left of it.
struct Kind {
    name: &'static str,
    bucket: Bucket,
    /// Of the principal, and of all together.
    subscription: [&'static str; 2],
    tenant: &'static str,
}

/// What is left, as headers of the answer.
pub(super) type Left = Vec<(&'static str, String)>;

/// Takes one request from the principal's budget and from everybody's.
///
/// # Errors
/// 429 when nothing is left; then the request is not looked at.
pub(super) fn take(world: &World<'_>, call: &Call, headers: &HeaderMap) -> Result<Left, Trouble> {
    // Resource Graph has a quota of its own, and its answers name no other (recorded).
    if call.lower.iter().any(|it| it == "microsoft.resourcegraph") {
        return Ok(Vec::new());
    }
    let kind = match call.method {
        Method::GET | Method::HEAD => READS,
        Method::DELETE => DELETES,
        _ => WRITES,
    };
    let principal = principal(headers);
    let global = Bucket {
        capacity: kind.bucket.capacity * GLOBAL,
        per_minute: kind.bucket.per_minute * GLOBAL,
    };
    let name = kind.name;
    let own_key = |scope: &str| format!("budget.{scope}.{name}.{principal}");

    let subscription = match call.lower.as_slice() {
        [first, subscription, ..] if first == "subscriptions" => subscription,
        _ => {
            let left = match kind.bucket.take(world, &own_key("tenant"))? {
                Taken::Left(left) => left,
                Taken::Empty { wait_secs } => {
                    return Err(refusal(world, "tenant", "", name, wait_secs));
                }
            };
            return Ok(vec![(kind.tenant, left.to_string())]);
        }
    };
    let buckets =
        [(kind.bucket, own_key(subscription)), (global, format!("budget.{subscription}.{name}"))];
    let mut left = Vec::new();
    for ((bucket, key), header) in buckets.into_iter().zip(kind.subscription) {
        match bucket.take(world, &key)? {
            Taken::Left(tokens) => left.push((header, tokens.to_string())),
            Taken::Empty { wait_secs } => {
                return Err(refusal(world, "subscription", subscription, name, wait_secs));
            }
        }
    }
    Ok(left)
}

/// The answer with what is left.
pub(super) fn told(mut reply: Reply, left: Left) -> Reply {
    reply.headers.extend(left);
    reply
}

fn refusal(
    world: &World<'_>,
    scope: &str,
    subscription: &str,
    operation: &str,
    wait_secs: u64,
) -> Trouble {
    let code = match scope {
        "tenant" => "TenantRequestsThrottled",
        _ => "SubscriptionRequestsThrottled",
    };
    // The words of the recorded refusal.
    let message = format!(
        "Number of requests for {scope} '{subscription}' and operation '{}' exceeded the backend \
         storage limit. Please try again after '{wait_secs}' seconds.",
        operation.to_ascii_uppercase()
    );
    let refusal = Refusal::gateway(StatusCode::TOO_MANY_REQUESTS, code, message);
    match world.estate.variants.wait_told {
        WaitTold::InHeader => refusal.header("retry-after", wait_secs.to_string()).into(),
        WaitTold::InText => refusal.into(),
    }
}

/// Who asks, as the token says; never the token itself.
fn principal(headers: &HeaderMap) -> String {
    let token = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let claims = token.split('.').nth(1).and_then(|it| URL_SAFE_NO_PAD.decode(it).ok());
    let claims: Option<Value> = claims.and_then(|it| serde_json::from_slice(&it).ok());
    let object = claims.as_ref().and_then(|it| it["oid"].as_str()).unwrap_or(token);
    guid::of(&["principal", object])
}
