//! Whether the simulated Azure of a state folder is as old as the ledger beside it: its database may
//! have been lost, or an older copy put in its place.

use chrono::{DateTime, Utc};
use sandbox::estate::Estate;

use super::follower::Noted;
use crate::state_folder::StateFolder;

/// What the simulated Azure of a folder has forgotten of that which its ledger tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It has only begun.
    Everything,
    /// It stands at an earlier time.
    Something,
}

impl Forgotten {
    /// Azure stands at `now`. Its time is written down before anything is done at that time, so no
    /// entry of its own ledger is ahead of it.
    pub fn of(noted: &[Noted], now: DateTime<Utc>, estate: &Estate) -> Option<Forgotten> {
        let newest = noted.iter().map(|it| it.entry.at).max()?;
        if newest <= now {
            return None;
        }
        Some(if now <= estate.start { Forgotten::Everything } else { Forgotten::Something })
    }

    /// What is said of it.
    pub fn told(self, folder: &StateFolder) -> String {
        let folder = folder.path().display();
        match self {
            Forgotten::Everything => format!(
                "`{folder}/sandbox.sqlite` is new, and the ledger beside it tells of an older desk: \
                 put it back from a copy, or move the folder away and start again"
            ),
            Forgotten::Something => format!(
                "the simulated Azure in `{folder}` is older than its ledger: `sandbox.sqlite-wal` was \
                 lost, or an older copy was put back; what it has forgotten counts as gone"
            ),
        }
    }
}
