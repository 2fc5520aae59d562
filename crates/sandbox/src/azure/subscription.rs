//! Subscriptions and their locations.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::{World, region};
use crate::estate::Subscription;

/// The subscription of this id, if our identity may read it.
///
/// # Errors
/// 404 `SubscriptionNotFound`, for one that may not be read too: Azure does not tell them apart.
pub(super) fn readable<'a>(world: &World<'a>, id: &str) -> Result<&'a Subscription, Refusal> {
    let found = world.estate.subscriptions.iter().find(|it| it.id.eq_ignore_ascii_case(id));
    found.filter(|it| it.readable).ok_or_else(|| {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!("The subscription '{id}' could not be found."),
        )
    })
}

/// `GET /subscriptions`.
pub(super) fn list(world: &World<'_>) -> Result<Reply, Trouble> {
    let readable = world.estate.subscriptions.iter().filter(|it| it.readable);
    let value: Vec<Value> = readable.map(|it| describe(world, it)).collect();
    let count = json!({ "type": "Total", "value": value.len() });
    Ok(Reply::ok(json!({ "value": value, "count": count })))
}

/// `GET /subscriptions/{id}`.
pub(super) fn get(world: &World<'_>, id: &str) -> Result<Reply, Trouble> {
    Ok(Reply::ok(describe(world, readable(world, id)?)))
}

fn describe(world: &World<'_>, subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": world.estate.tenant,
        "displayName": subscription.name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /subscriptions/{id}/locations`.
pub(super) fn locations(id: &str) -> Result<Reply, Trouble> {
    let value: Vec<Value> = region::all()
        .iter()
        .map(|(short, display, geography)| {
            json!({
                "id": format!("/subscriptions/{id}/locations/{short}"),
                "name": short,
                "type": "Region",
                "displayName": display,
                "regionalDisplayName": format!("({geography}) {display}"),
                "metadata": {
                    "regionType": "Physical",
                    "regionCategory": "Recommended",
                    "geography": geography,
                    "geographyGroup": geography,
                    "pairedRegion": [],
                },
            })
        })
        .collect();
    Ok(Reply::ok(json!({ "value": value })))
}
