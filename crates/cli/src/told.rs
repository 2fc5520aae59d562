//! What `status` and `log` read: the ledger in a state folder, alone. Nothing is started and nothing
//! is written.

use std::path::{Path, PathBuf};

use ledger::{Entry, Ledger, LedgerError, Stream, StreamName};
use rules::ImageName;

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
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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

    /// The streams of all images, by name; of `wanted` alone when one is named.
    ///
    /// # Errors
    /// When `wanted` is not among them, or a stream is broken.
    pub async fn streams(&self, wanted: Option<&str>) -> Result<Vec<(ImageName, Stream)>, NotTold> {
        let mut streams = Vec::new();
        for (ledger, image) in self.images(wanted).await? {
            let stream = ledger.read(&StreamName::Image(image.clone())).await?;
            streams.push((image, stream));
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
            NotTold::Unreadable(..) | NotTold::Ledger(_) => None,
        };
        terminal.error(&self.to_string(), hint.as_deref());
        Exit::Failed
    }
}
