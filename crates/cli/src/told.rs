//! What `status` and `log` read: the ledger in a state folder, alone. Nothing is started and nothing
//! is written.

use std::path::{Path, PathBuf};

use ledger::{Entry, Ledger, LedgerError, StreamName};
use rules::ImageName;
use rules::state::{Stamp, State};

use crate::problem;
use crate::state_folder::{self, StateFolder};
use crate::terminal::{Exit, Terminal};

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum NotTold {
    #[error("there is no ledger in `{0}`")]
    NoLedger(PathBuf),
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(PathBuf, String),
    #[error("no image `{image}` is in the ledger")]
    UnknownImage { image: String, suggestion: Option<String> },
    #[error(
        "entry {seq} of `{image}` does not follow from those before it: {because}; restore it from a \
         copy of the folder"
    )]
    Broken { image: ImageName, seq: u64, because: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// An image as all its entries make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    pub image: ImageName,
    /// How many entries there are.
    pub head: u64,
    pub state: State,
}

impl Folded {
    fn from(image: ImageName, entries: &[(u64, Entry)]) -> Result<Folded, NotTold> {
        let (mut head, mut state) = (0, State::default());
        for (seq, entry) in entries {
            let stamp = Stamp { seq: *seq, at: entry.at };
            for event in &entry.events {
                state = state.after(stamp, event).map_err(|wrong| NotTold::Broken {
                    image: image.clone(),
                    seq: *seq,
                    because: wrong.to_string(),
                })?;
            }
            head = *seq;
        }
        Ok(Folded { image, head, state })
    }
}

/// The ledgers of a state folder, one for each catalog.
#[derive(Clone, Debug)]
pub struct Told {
    ledgers: Vec<Ledger>,
}

impl Told {
    /// Opens the ledgers below `path`; in [`state_folder::DEFAULT`] without one.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: Option<&Path>) -> Result<Told, NotTold> {
        let path = path.unwrap_or(Path::new(state_folder::DEFAULT));
        let folder = StateFolder::at(path);
        let unreadable = |why: String| NotTold::Unreadable(path.to_owned(), why);
        let catalogs = folder.catalogs().map_err(|error| unreadable(error.to_string()))?;
        if catalogs.is_empty() {
            return Err(NotTold::NoLedger(path.to_owned()));
        }
        let ledgers = catalogs.into_iter().map(|catalog| folder.ledger(catalog));
        Ok(Told { ledgers: ledgers.collect::<Result<_, _>>().map_err(unreadable)? })
    }

    /// All images, by name, or why one of them cannot be told; `wanted` alone when one is named.
    /// Each is folded from its entries: a snapshot would hide an older one that was changed.
    ///
    /// # Errors
    /// When `wanted` is not among them, or they cannot be listed.
    pub async fn streams(
        &self,
        wanted: Option<&str>,
    ) -> Result<Vec<Result<Folded, NotTold>>, NotTold> {
        let mut streams = Vec::new();
        for (ledger, image) in self.images(wanted).await? {
            let entries = ledger.entries(&StreamName::Image(image.clone())).await;
            let entries = entries.map_err(NotTold::from);
            streams.push(entries.and_then(|entries| Folded::from(image, &entries)));
        }
        Ok(streams)
    }

    /// The entries of `image` with their numbers.
    ///
    /// # Errors
    /// When there is no such image, or its stream is broken.
    pub async fn entries(&self, image: &str) -> Result<Vec<(u64, Entry)>, NotTold> {
        let mut entries = Vec::new();
        for (ledger, image) in self.images(Some(image)).await? {
            entries.extend(ledger.entries(&StreamName::Image(image)).await?);
        }
        Ok(entries)
    }

    async fn images(&self, wanted: Option<&str>) -> Result<Vec<(&Ledger, ImageName)>, NotTold> {
        let mut images = Vec::new();
        for ledger in &self.ledgers {
            images.extend(ledger.streams().await?.into_iter().map(|it| (ledger, it)));
        }
        let Some(wanted) = wanted else { return Ok(images) };

        let names: Vec<String> = images.iter().map(|(_, it)| it.to_string()).collect();
        images.retain(|(_, it)| it.as_str() == wanted);
        if images.is_empty() {
            let names = names.iter().map(String::as_str);
            let suggestion = problem::did_you_mean(wanted, names).map(str::to_owned);
            return Err(NotTold::UnknownImage { image: wanted.to_owned(), suggestion });
        }
        Ok(images)
    }
}

impl NotTold {
    /// Says why on `terminal`, with the next move, and how the command ends.
    pub fn say(&self, terminal: &mut Terminal) -> Exit {
        let hint = match self {
            NotTold::NoLedger(_) => Some(
                "name the folder with `--state DIR`, or begin one with `goldsmith up`".to_owned(),
            ),
            NotTold::UnknownImage { suggestion: Some(name), .. } => {
                Some(format!("did you mean `{name}`?"))
            }
            NotTold::UnknownImage { suggestion: None, .. } => {
                Some("`goldsmith status` lists the images".to_owned())
            }
            NotTold::Unreadable(..) | NotTold::Broken { .. } | NotTold::Ledger(_) => None,
        };
        terminal.error(&self.to_string(), hint.as_deref());
        Exit::Failed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::{DateTime, TimeDelta};
    use ledger::{Draft, SNAPSHOT_EVERY};
    use rules::event::Event;

    use super::*;

    #[tokio::test]
    async fn a_change_below_the_snapshot_is_noticed() {
        let state = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(state.path());
        let ledger = folder.ledger("contoso".parse().unwrap()).unwrap();
        let web = StreamName::Image("web".parse().unwrap());
        let mut stream = ledger.read(&web).await.unwrap();
        for number in 0..=i64::try_from(SNAPSHOT_EVERY).unwrap() {
            let at = DateTime::UNIX_EPOCH + TimeDelta::days(number);
            let draft = Draft {
                id: number.to_string(),
                cause: "test".to_owned(),
                by: "test".to_owned(),
                at,
                policy: String::new(),
                events: vec![Event::ScheduleJudged { through: at }],
            };
            ledger.append(&mut stream, draft).await.unwrap();
        }
        let told = Told::open(Some(state.path())).unwrap();
        let folded = told.streams(Some("web")).await.unwrap().remove(0).unwrap();
        assert_eq!(folded.state, stream.state);

        let path = folder.store().join("ledger/contoso/web/0000000002.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("test", "best")).unwrap();

        assert!(ledger.read(&web).await.is_ok(), "the snapshot hides it");
        let error = told.streams(Some("web")).await.unwrap().remove(0).unwrap_err().to_string();
        assert!(error.contains("was changed"), "{error}");
    }
}
