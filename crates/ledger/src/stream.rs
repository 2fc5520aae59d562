//! A stream of entries and the state it folds to.

use std::fmt;

use chrono::{DateTime, Utc};
use rules::ImageName;
use rules::event::Event;
use rules::state::{Stamp, State, WrongMove};

/// Whose stream it is. The names of images begin with a letter or a digit, so the catalog's own
/// folder is never one of theirs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamName {
    /// The catalog's own stream: which catalog is in force, deletion plans.
    Catalog,
    /// The stream of an image.
    Image(ImageName),
}

impl StreamName {
    /// The name of its folder.
    pub fn as_str(&self) -> &str {
        match self {
            StreamName::Catalog => "_catalog",
            StreamName::Image(image) => image.as_str(),
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<ImageName> for StreamName {
    fn from(image: ImageName) -> StreamName {
        StreamName::Image(image)
    }
}

/// A stream as it was read, or as it is since an entry was appended to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub name: StreamName,
    /// The number of the newest entry; 0 when there is none.
    pub head: u64,
    /// The hash of that entry's bytes; empty when there is none.
    pub hash: String,
    /// The fold of all entries.
    pub state: State,
}

impl Stream {
    /// A stream to which nothing has happened.
    pub(crate) fn empty(name: StreamName) -> Stream {
        Stream { name, head: 0, hash: String::new(), state: State::default() }
    }
}

/// Returns the state after an entry; the same function live and on replay.
pub(crate) fn fold(
    state: State,
    seq: u64,
    at: DateTime<Utc>,
    events: &[Event],
) -> Result<State, WrongMove> {
    events.iter().try_fold(state, |state, event| state.after(Stamp { seq, at }, event))
}
