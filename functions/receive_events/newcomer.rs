//! A version that somebody else made of an image that others are built from: once Azure shows that
//! it is offered, it is a reason to build its children. Our own versions are in the ledger before
//! they are in the gallery, so that events about them cost no read.

use std::collections::{BTreeMap, BTreeSet};

use arm::VersionId;
use chrono::{DateTime, Utc};
use rules::VersionNumber;
use rules::catalog::Image;
use rules::state::State;
use rules::trigger::Trigger;
use tracing::info;

use crate::{Context, Failure, Record, tags};

/// The triggers that follow from `changed`: ids of resources, in lower case, and whether each was
/// written.
pub(super) async fn triggers(
    cx: &Context,
    changed: &BTreeMap<String, bool>,
) -> Result<Vec<Record>, Failure> {
    let written = changed.iter().filter(|(_, written)| **written);
    let written: Vec<VersionId> = written.filter_map(|(id, _)| id.parse().ok()).collect();

    let mut records = Vec::new();
    for image in &cx.catalog.images {
        let definition = cx.definition(&image.name);
        let numbers = written.iter().filter(|it| it.definition == definition);
        let numbers: BTreeSet<VersionNumber> = numbers.map(|it| it.number).collect();
        if numbers.is_empty() || cx.catalog.children(&image.name).next().is_none() {
            continue;
        }
        let Some(stream) = cx.readable(&image.name).await? else { continue };
        let numbers = unknown(cx, image, &stream.state, numbers).await?;
        if numbers.is_empty() {
            continue;
        }
        let Some(since) = stream.state.adopted_at else { continue };
        let Some(version) = offered(cx, image, &numbers, since).await? else {
            info!(image = %image.name, "Azure shows no new version of {} on offer", image.name);
            continue;
        };
        for child in cx.catalog.children(&image.name) {
            let trigger = Trigger::Parent { image: image.name.clone(), version };
            records.extend(super::accept(cx, &child.name, trigger).await?);
        }
    }
    Ok(records)
}

/// Those of `numbers` that are not ours, are newer than what children are built from, and that some
/// child has not heard of.
async fn unknown(
    cx: &Context,
    image: &Image,
    state: &State,
    mut numbers: BTreeSet<VersionNumber>,
) -> Result<BTreeSet<VersionNumber>, Failure> {
    let newest = state.at_moment(image.children_build_when).max();
    numbers.retain(|it| !state.versions.contains_key(it) && newest.is_none_or(|ours| *it > ours));
    let mut unheard = BTreeSet::new();
    for child in cx.catalog.children(&image.name) {
        if numbers.is_empty() {
            break;
        }
        let Some(stream) = cx.readable(&child.name).await? else { continue };
        let hears = |version: &VersionNumber| {
            let trigger = Trigger::Parent { image: image.name.clone(), version: *version };
            !stream.state.knows_trigger(&trigger.id())
        };
        unheard.extend(numbers.iter().copied().filter(hears));
    }
    Ok(unheard)
}

/// The newest of `numbers` that Azure shows to be released, and published since we look after the
/// image: one list, however many there are.
async fn offered(
    cx: &Context,
    image: &Image,
    numbers: &BTreeSet<VersionNumber>,
    since: DateTime<Utc>,
) -> Result<Option<VersionNumber>, Failure> {
    let versions = match cx.arm.versions(&cx.definition(&image.name)).await {
        Ok(versions) => versions,
        Err(arm::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_news = |it: &&arm::Version| it.published_at.is_some_and(|at| at > since);
    let released = versions.iter().filter(|it| tags::say_released(it)).filter(is_news);
    Ok(released.map(|it| it.number).filter(|it| numbers.contains(it)).max())
}
