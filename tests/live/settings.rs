//! Where live Azure is, from the environment; docs/live.md says how to fill it.

use std::sync::Arc;

use seam::{Internet, SystemClock, Tokens};

use crate::azure::Azure;
use crate::bus::Bus;

/// The subscription to ask, or the names of what is not set.
pub(crate) fn live() -> Result<Azure, String> {
    let [token, group, source, location, second_location] = all([
        "GOLDSMITH_LIVE_TOKEN",
        "GOLDSMITH_LIVE_GROUP",
        "GOLDSMITH_LIVE_SOURCE",
        "GOLDSMITH_LIVE_LOCATION",
        "GOLDSMITH_LIVE_SECOND_LOCATION",
    ])?;
    Ok(Azure::new(
        "management.azure.com",
        "https",
        Arc::new(Internet::default()),
        Arc::new(SystemClock),
        Tokens::fixed(token),
        azure::Place {
            group,
            source,
            location,
            second_location,
            subnet: optional("GOLDSMITH_LIVE_SUBNET"),
            template: optional("GOLDSMITH_LIVE_TEMPLATE"),
        },
    ))
}

use crate::azure;

/// The namespace to ask, or the names of what is not set.
pub(crate) fn bus() -> Result<Bus, String> {
    let [namespace, queue, token, stranger] = all([
        "GOLDSMITH_LIVE_NAMESPACE",
        "GOLDSMITH_LIVE_QUEUE",
        "GOLDSMITH_LIVE_BUS_TOKEN",
        "GOLDSMITH_LIVE_STRANGER_TOKEN",
    ])?;
    Ok(Bus {
        address: format!("https://{namespace}.servicebus.windows.net"),
        wire: Arc::new(Internet::default()),
        queue,
        token,
        stranger,
    })
}

#[expect(clippy::disallowed_methods, reason = "a test is set up by its environment")]
fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

fn all<const N: usize>(names: [&str; N]) -> Result<[String; N], String> {
    let missing: Vec<&str> = names.iter().copied().filter(|it| optional(it).is_none()).collect();
    if !missing.is_empty() {
        return Err(missing.join(", "));
    }
    Ok(names.map(|it| optional(it).unwrap_or_default()))
}
