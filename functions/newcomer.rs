//! A version that somebody else has made of an image which others are built from. Event Grid hints
//! at it (`receive_events`); the sweep, which lists all versions anyway, finds it when no event came
//! through. Either way Azure shows it before it is a reason to build the children.

use rules::VersionNumber;
use rules::catalog::Image;
use rules::newcomer::{self, Listed};
use rules::state::State;
use rules::trigger::Trigger;

use crate::record::{self, Record};
use crate::{Context, Failure, receive_events, tags};

/// The newest newcomer of the image among `versions`, all that the gallery shows of it.
pub(crate) fn on_offer(
    image: &Image,
    state: &State,
    versions: &[arm::Version],
) -> Option<VersionNumber> {
    let listed = versions.iter().map(|it| Listed {
        number: it.number,
        released: tags::say_released(it),
        published_at: it.published_at,
    });
    newcomer::newest(state, image.children_build_when, &listed.collect::<Vec<_>>())
}

/// Accepts `version` as a trigger of those children of `parent` that have not heard of it.
///
/// # Errors
/// [`Failure`] when a stream cannot be read now.
pub(crate) async fn tell(
    cx: &Context,
    parent: &Image,
    version: VersionNumber,
) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for child in cx.catalog.children(&parent.name) {
        let Some(stream) = cx.readable(&child.name).await? else { continue };
        if newcomer::is_known_to(&stream.state, &parent.name, version) {
            continue;
        }
        let trigger = Trigger::Parent { image: parent.name.clone(), version };
        record::merge(&mut records, receive_events::admitted(stream, trigger));
    }
    Ok(records)
}
