//! Event Grid: what happened to templates and versions, as events of Azure Resource Manager in either
//! schema. They are hints: whoever gets one reads the resource.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::answer::Trouble;
use super::{INGRESS, World};
use crate::estate::{EventSchema, RunEvent, VersionEvents};
use crate::guid;

/// What kind of request an event tells of.
#[derive(Clone, Copy)]
enum Verb {
    Write,
    Delete,
    Run,
}

/// A version was written.
pub(super) fn version_written(
    world: &World<'_>,
    id: &str,
    at: DateTime<Utc>,
    good: bool,
) -> Result<(), Trouble> {
    if world.estate.variants.version_events == VersionEvents::NotTold {
        return Ok(());
    }
    note(world, id, "Microsoft.Compute", "galleries/images/versions", Verb::Write, at, good)
}

/// A version was deleted.
pub(super) fn version_deleted(
    world: &World<'_>,
    id: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    if world.estate.variants.version_events == VersionEvents::NotTold {
        return Ok(());
    }
    note(world, id, "Microsoft.Compute", "galleries/images/versions", Verb::Delete, at, true)
}

/// A template was written.
pub(super) fn template_written(
    world: &World<'_>,
    id: &str,
    at: DateTime<Utc>,
    good: bool,
) -> Result<(), Trouble> {
    note(world, id, "Microsoft.VirtualMachineImages", "imageTemplates", Verb::Write, at, good)
}

/// A template was deleted.
pub(super) fn template_deleted(
    world: &World<'_>,
    id: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    note(world, id, "Microsoft.VirtualMachineImages", "imageTemplates", Verb::Delete, at, true)
}

/// A run of a template was accepted. Whether Azure tells of the POST or of the end is not documented.
pub(super) fn run_accepted(world: &World<'_>, id: &str, at: DateTime<Utc>) -> Result<(), Trouble> {
    if world.estate.variants.run_event == RunEvent::AtEnd {
        return Ok(());
    }
    note(world, id, "Microsoft.VirtualMachineImages", "imageTemplates", Verb::Run, at, true)
}

/// A run of a template ended.
pub(super) fn run_ended(
    world: &World<'_>,
    id: &str,
    at: DateTime<Utc>,
    good: bool,
) -> Result<(), Trouble> {
    if world.estate.variants.run_event == RunEvent::AtAcceptance {
        return Ok(());
    }
    note(world, id, "Microsoft.VirtualMachineImages", "imageTemplates", Verb::Run, at, good)
}

fn note(
    world: &World<'_>,
    id: &str,
    provider: &str,
    kind: &str,
    verb: Verb,
    at: DateTime<Utc>,
    good: bool,
) -> Result<(), Trouble> {
    let Some(schema) = world.estate.event_grid.schema() else { return Ok(()) };
    let (word, action) = match verb {
        Verb::Write => ("Write", "write"),
        Verb::Delete => ("Delete", "delete"),
        Verb::Run => ("Action", "run/action"),
    };
    let outcome = if good { "Success" } else { "Failure" };
    let operation = format!("{provider}/{kind}/{action}");
    let sequence = world.records.count("events")?.to_string();
    let event_id = guid::of(&["event", &sequence]);
    let data = data(world, &event_id, id, provider, &operation, at, good);
    let subscription = scope(id);
    let (kind, time) = (
        format!("Microsoft.Resources.Resource{word}{outcome}"),
        at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    );
    let body = match schema {
        EventSchema::CloudEvents => json!({
            "id": event_id,
            "source": subscription,
            "subject": id,
            "type": kind,
            "time": time,
            "specversion": "1.0",
            "data": data,
        }),
        EventSchema::EventGrid => json!([{
            "id": event_id,
            "topic": subscription,
            "subject": id,
            "data": data,
            "eventType": kind,
            "eventTime": time,
            "dataVersion": "2",
            "metadataVersion": "1",
        }]),
    };
    let (transaction, body) = (world.records.transaction(), body.to_string());
    if let Err(error) = world.bus.deliver_within(transaction, INGRESS, &event_id, &body, at) {
        // Nobody is told when Event Grid cannot deliver; an event is a hint.
        tracing::warn!(%error, event = %event_id, "Event Grid could not deliver an event");
    }
    Ok(())
}

/// What an event of Azure Resource Manager says: who did what, with the claims of their token.
fn data(
    world: &World<'_>,
    event_id: &str,
    id: &str,
    provider: &str,
    operation: &str,
    at: DateTime<Utc>,
    good: bool,
) -> Value {
    let tenant = &world.estate.tenant;
    let principal = guid::of(&["principal", tenant]);
    let issued = at.timestamp();
    let subscription = scope(id);
    json!({
        "authorization": {
            "scope": id,
            "action": operation,
            "evidence": {
                "role": "Contributor",
                "roleAssignmentScope": subscription,
                "roleAssignmentId": guid::of(&["assignment", tenant]),
                // Contributor, everywhere.
                "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c",
                "principalId": principal,
                "principalType": "ServicePrincipal",
            },
        },
        "claims": {
            "aud": "https://management.core.windows.net/",
            "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": issued.to_string(),
            "nbf": issued.to_string(),
            "exp": (issued + 3600).to_string(),
            "aio": guid::of(&["aio", event_id]),
            "appid": guid::of(&["application", tenant]),
            "appidacr": "2",
            "http://schemas.microsoft.com/identity/claims/objectidentifier": principal,
            "http://schemas.microsoft.com/identity/claims/tenantid": tenant,
            "ver": "1.0",
        },
        "correlationId": guid::of(&["correlation", event_id]),
        "resourceProvider": provider,
        "resourceUri": id,
        "operationName": operation,
        "status": if good { "Succeeded" } else { "Failed" },
        "subscriptionId": subscription.rsplit('/').next(),
        "tenantId": tenant,
    })
}

/// The subscription that `id` is in, where its events come from.
fn scope(id: &str) -> String {
    format!("/subscriptions/{}", id.split('/').nth(2).unwrap_or_default())
}
