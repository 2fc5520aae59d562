//! Looks for the newest version of each distinct platform base, and accepts it as a trigger of the
//! images that are not built from it yet.

use std::collections::BTreeMap;

use ledger::Stream;
use rules::catalog::{Base, Image, PlatformImage};
use rules::event::{Event, PinnedBase};
use rules::trigger::{Admission, Trigger, admit};
use tracing::warn;

use crate::{Context, Failure, Record, tags};

/// Reads each base once, however many images are built from it.
pub async fn handle(cx: &Context) -> Result<Vec<Record>, Failure> {
    let mut images_of: BTreeMap<&PlatformImage, Vec<&Image>> = BTreeMap::new();
    for image in &cx.catalog.images {
        if let Base::Platform(platform) = &image.base {
            images_of.entry(platform).or_default().push(image);
        }
    }

    let gallery = &cx.catalog.gallery;
    let mut records = Vec::new();
    for (platform, images) in images_of {
        let listed =
            cx.arm.platform_versions(&gallery.subscription, &gallery.location, platform).await;
        let versions = match listed {
            Ok(versions) => versions,
            // The others are looked at all the same; the next tick looks at this one again.
            Err(error) => {
                warn!(offer = %platform.offer, sku = %platform.sku, "{error}");
                continue;
            }
        };
        let Some(newest) = arm::newest(&versions) else { continue };
        for image in images {
            let Some(stream) = cx.readable(&image.name).await? else { continue };
            match judge(cx, image, &stream, newest).await {
                Ok(Some(events)) => records.push((stream, vec![events])),
                Ok(None) => {}
                Err(failure) => {
                    warn!(image = %image.name, "{} is left out: {failure:?}", image.name)
                }
            }
        }
    }
    Ok(records)
}

async fn judge(
    cx: &Context,
    image: &Image,
    stream: &Stream,
    newest: &str,
) -> Result<Option<Vec<Event>>, Failure> {
    let state = &stream.state;
    let trigger = Trigger::Base { version: newest.to_owned() };
    if state.adopted_at.is_none() || state.knows_trigger(&trigger.id()) {
        return Ok(None);
    }

    // What the newest run was built from: by the ledger, else by the newest version's tag.
    let built_from = match state.newest_run() {
        Some((_, version)) => match &version.base {
            Some(PinnedBase::Platform { version }) => Some(version.clone()),
            _ => None,
        },
        None => match cx.arm.versions(&cx.definition(&image.name)).await {
            Ok(versions) => versions.last().and_then(|it| it.tags.get(tags::BASE).cloned()),
            Err(arm::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(built_from) = built_from {
        let both = [built_from.clone(), newest.to_owned()];
        if built_from == newest || arm::newest(&both) == Some(built_from.as_str()) {
            let trigger = trigger.id();
            let into = format!("the build from {built_from}");
            return Ok(Some(vec![Event::TriggerCoalesced { trigger, into }]));
        }
    }

    Ok(match admit(state, &trigger) {
        Admission::Accept => Some(vec![Event::TriggerAccepted { trigger }]),
        Admission::Refuse { because } => Some(vec![Event::TriggerRefused { trigger, because }]),
        Admission::Known => None,
    })
}
