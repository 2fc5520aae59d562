//! How a desk that failed says so: its error with its causes, once each, and whether its disk is why.

use crate::state_folder::StateFolder;

/// Why a desk went no further.
pub struct Failed {
    pub error: anyhow::Error,
    /// What is to be done about its disk, where it was seen while the desk still stood: a database
    /// that is closed gives back what it took.
    pub no_room: Option<String>,
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed { error: error.into(), no_room: None }
    }
}

/// What is to be done about a folder that takes nothing more.
pub fn no_room_in(folder: &StateFolder) -> Option<String> {
    let why = folder.lacks_room()?.kind();
    let folder = folder.path().display();
    Some(format!(
        "`{folder}` cannot be written ({why}); make room or make it yours, then run the same command \
         again: it goes on where it stopped"
    ))
}

/// An error with its causes. Some libraries say their cause themselves, which is once too often.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let last = text.rsplit(": ").next().unwrap_or_default();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) && !cause.ends_with(last) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
