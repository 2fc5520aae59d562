//! Which exact version of its base an image is built from.

use arm::ReplicationState;
use rules::catalog::{Base, Image};
use rules::event::PinnedBase;
use rules::trigger::Trigger;
use rules::{ImageName, VersionNumber};

use crate::{Context, Failure, tags};

/// What was found.
pub(super) enum Found {
    Pinned(PinnedBase),
    /// There is nothing to build from.
    None {
        because: String,
    },
}

/// Pins the base of `image`: the newest version that the build region offers of a platform image;
/// of a parent, the newest that reached its moment and is replicated where it is built, be it one
/// that somebody else made and a trigger named.
pub(super) async fn pin(
    cx: &Context,
    image: &Image,
    triggers: &[Trigger],
) -> Result<Found, Failure> {
    match &image.base {
        Base::Platform(platform) => {
            let gallery = &cx.catalog.gallery;
            let location = &gallery.location;
            let versions =
                cx.arm.platform_versions(&gallery.subscription, location, platform).await?;
            let Some(version) = arm::newest(&versions) else {
                let because = format!(
                    "{location} offers no version of `{}:{}:{}`",
                    platform.publisher, platform.offer, platform.sku
                );
                return Ok(Found::None { because });
            };
            Ok(Found::Pinned(PinnedBase::Platform { version: version.to_owned() }))
        }
        Base::Image(parent) => {
            let named = triggers.iter().filter_map(|trigger| match trigger {
                Trigger::Parent { image, version } if image == parent => Some(*version),
                _ => None,
            });
            pin_parent(cx, parent, named.max()).await
        }
    }
}

async fn pin_parent(
    cx: &Context,
    parent: &ImageName,
    named: Option<VersionNumber>,
) -> Result<Found, Failure> {
    let Some(policy) = cx.catalog.image(parent) else {
        return Err(Failure::never(format!("its parent `{parent}` is not in the catalog")));
    };
    let state = cx.stream(parent).await?.state;
    let adopted = newest_adopted(cx, parent, |it| state.versions.contains_key(&it));
    let home = &cx.catalog.gallery.location;
    // A version is built from where it is replicated, and Succeeded does not say where that is.
    let is_at_home = |version: &arm::Version| {
        let at_home = version.replication.iter().flatten().find(|it| it.region == *home);
        at_home.is_some_and(|it| it.state == ReplicationState::Completed)
    };
    let mut candidates = state.at_moment(policy.children_build_when).peekable();
    let newest = candidates.peek().copied();
    let mut found = None;
    if let Some(named) = named.filter(|it| !state.knows_version(*it))
        && newest.is_none_or(|ours| named > ours)
    {
        match cx.arm.version(&cx.definition(parent).version(named)).await {
            Ok(version) if tags::say_released(&version) && is_at_home(&version) => {
                found = Some((named, version));
            }
            // Taken back or deleted since it was heard of, or stuck: ours is not held up by it.
            Ok(_) | Err(arm::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    while found.is_none()
        && let Some(number) = candidates.next()
    {
        match cx.arm.version(&cx.definition(parent).version(number)).await {
            Ok(version) => found = Some((number, version)),
            // Somebody has deleted it; the one before it will do.
            Err(arm::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_none()
        && let Some(number) = adopted.await?
    {
        found = Some((number, cx.arm.version(&cx.definition(parent).version(number)).await?));
    }
    let Some((number, version)) = found else {
        let because = format!("its parent `{parent}` has no version to build from yet");
        return Ok(Found::None { because });
    };

    if !is_at_home(&version) {
        return Err(Failure::later(format!("{parent} {number} is not replicated in {home} yet")));
    }
    Ok(Found::Pinned(PinnedBase::Image { image: parent.clone(), version: number }))
}

/// The newest version that was released before this ledger began, by its tags.
async fn newest_adopted(
    cx: &Context,
    parent: &ImageName,
    is_in_ledger: impl Fn(VersionNumber) -> bool,
) -> Result<Option<VersionNumber>, Failure> {
    let versions = match cx.arm.versions(&cx.definition(parent)).await {
        Ok(versions) => versions,
        Err(arm::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let released = |it: &&arm::Version| tags::say_released(it) && !is_in_ledger(it.number);
    Ok(versions.iter().filter(released).map(|it| it.number).max())
}
