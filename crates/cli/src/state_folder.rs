//! The folder in which a desk keeps all it knows: the sandbox's database and blobs, the ledger among
//! these, the staged function app, the handler's log.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ledger::Ledger;
use rules::CatalogName;

/// The storage account of the ledger on a desk.
pub const ACCOUNT: &str = "goldsmith";
/// Its container.
pub const CONTAINER: &str = "goldsmith";
/// The folder that is meant when none is named.
pub const DEFAULT: &str = ".goldsmith";

/// A database that writes ahead, and a few entries, need about so much, in bytes.
const ROOM: usize = 1 << 20;

/// A desk's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder at `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> StateFolder {
        StateFolder(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The staged function app.
    pub fn app(&self) -> PathBuf {
        self.0.join("app")
    }

    /// The example catalog and estate, when no others were named.
    pub fn examples(&self) -> PathBuf {
        self.0.join("examples")
    }

    /// What the handler writes to stdout and stderr.
    pub fn handler_log(&self) -> PathBuf {
        self.0.join("handler.log")
    }

    /// The ports that the desk had the last time.
    pub fn ports(&self) -> PathBuf {
        self.0.join("ports.json")
    }

    /// What clients of the https address are told to trust.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// A configuration folder for an `az` that looks at this desk, apart from its user's own.
    pub fn az(&self) -> PathBuf {
        self.0.join("az")
    }

    /// Why little more can be written into it; nothing while there is room.
    pub fn lacks_room(&self) -> Option<io::Error> {
        let draft = tempfile::NamedTempFile::new_in(&self.0);
        let written = draft.and_then(|mut it| {
            it.write_all(&[0; ROOM])?;
            it.as_file().sync_all()
        });
        written.err()
    }

    /// The container of the ledger, as the sandbox's blob service lays it out.
    pub fn store(&self) -> PathBuf {
        self.0.join("blobs").join(ACCOUNT).join(CONTAINER)
    }

    /// The ledger of `catalog`.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn ledger(&self, catalog: CatalogName) -> Result<Ledger, String> {
        Ok(Ledger::new(seam::store::open_folder(&self.store())?, catalog))
    }

    /// The catalogs that have a ledger here, by name; none when there is no ledger.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn catalogs(&self) -> io::Result<Vec<CatalogName>> {
        let folders = match self.store().join("ledger").read_dir() {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut catalogs = Vec::new();
        for folder in folders {
            let name = folder?.file_name().into_string().ok();
            catalogs.extend(name.and_then(|it| CatalogName::try_from(it).ok()));
        }
        catalogs.sort();
        Ok(catalogs)
    }

    /// The messages that could not be acted on, by the names of their files.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn refused(&self) -> io::Result<Vec<String>> {
        let files = match self.store().join("refused").read_dir() {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for file in files {
            let name = file?.file_name().to_string_lossy().into_owned();
            names.push(name.trim_end_matches(".json").to_owned());
        }
        names.sort();
        Ok(names)
    }
}
