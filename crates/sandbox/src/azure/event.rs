//! Event Grid: what happened to templates and versions, as events of Azure Resource Manager in the
//! CloudEvents schema. They are hints: whoever gets one reads the resource.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::answer::Trouble;
use super::{INGRESS, World};
use crate::estate::{RunEvent, VersionEvents};
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
    if !world.estate.event_grid {
        return Ok(());
    }
    let (word, action) = match verb {
        Verb::Write => ("Write", "write"),
        Verb::Delete => ("Delete", "delete"),
        Verb::Run => ("Action", "run/action"),
    };
    let outcome = if good { "Success" } else { "Failure" };
    let operation = format!("{provider}/{kind}/{action}");
    let subscription = id.split('/').nth(2).unwrap_or_default();
    let sequence = world.records.count("events")?.to_string();
    let event_id = guid::of(&["event", &sequence]);
    let tenant = &world.estate.tenant;
    let body = json!({
        "id": event_id,
        "source": format!("/subscriptions/{subscription}"),
        "subject": id,
        "type": format!("Microsoft.Resources.Resource{word}{outcome}"),
        "time": at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "specversion": "1.0",
        "data": {
            "authorization": {
                "scope": id,
                "action": operation,
                "evidence": { "role": "Contributor", "principalType": "ServicePrincipal" },
            },
            "claims": {
                "aud": "https://management.core.windows.net/",
                "iss": format!("https://sts.windows.net/{tenant}/"),
                "ver": "1.0",
            },
            "correlationId": guid::of(&["correlation", &event_id]),
            "resourceProvider": provider,
            "resourceUri": id,
            "operationName": operation,
            "status": if good { "Succeeded" } else { "Failed" },
            "subscriptionId": subscription,
            "tenantId": tenant,
        },
    });
    let (transaction, body) = (world.records.transaction(), body.to_string());
    if let Err(error) = world.bus.deliver_within(transaction, INGRESS, &event_id, &body, at) {
        // Nobody is told when Event Grid cannot deliver; an event is a hint.
        tracing::warn!(%error, event = %event_id, "Event Grid could not deliver an event");
    }
    Ok(())
}
