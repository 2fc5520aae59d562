//! Hints at versions that somebody else may have made: Azure is asked what is on offer, where that
//! could be news. Our own versions are in the ledger before they are in the gallery, so that events
//! about them cost no read.

use std::collections::{BTreeMap, BTreeSet};

use arm::VersionId;
use rules::VersionNumber;
use rules::catalog::Image;
use rules::newcomer::{is_known_to, may_be};
use rules::state::State;
use tracing::info;

use crate::{Context, Failure, Record, newcomer, record};

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
        if !may_be_news(cx, image, &stream.state, numbers).await? {
            continue;
        }
        // One list, however many there are.
        let versions = match cx.arm.versions(&definition).await {
            Ok(versions) => versions,
            Err(arm::Error::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(version) = newcomer::on_offer(image, &stream.state, &versions) else {
            info!(image = %image.name, "Azure shows no new version of {} on offer", image.name);
            continue;
        };
        record::merge(&mut records, newcomer::tell(cx, image, version).await?);
    }
    Ok(records)
}

/// Whether one of `numbers` may be a version that some child has not heard of.
async fn may_be_news(
    cx: &Context,
    image: &Image,
    state: &State,
    mut numbers: BTreeSet<VersionNumber>,
) -> Result<bool, Failure> {
    numbers.retain(|it| may_be(state, image.children_build_when, *it));
    let Some(newest) = numbers.last() else { return Ok(false) };
    for child in cx.catalog.children(&image.name) {
        let Some(stream) = cx.readable(&child.name).await? else { continue };
        if !is_known_to(&stream.state, &image.name, *newest) {
            return Ok(true);
        }
    }
    Ok(false)
}
