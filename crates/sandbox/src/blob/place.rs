//! Where blobs are: files that any tool can read, or memory.
//!
//! The main problem is a create that is whole or absent and that exactly one of many writers wins:
//! bytes go to a file of their own first, which is then linked to its name (a link, unlike a
//! rename, fails when the name is taken).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// Bytes are written here first; no account can have this name.
const STAGING: &str = ".staging";

/// The three parts of a blob's address, checked: none of them can leave its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) account: String,
    pub(super) container: String,
    pub(super) key: String,
}

impl Name {
    pub(super) fn checked(account: &str, container: &str, key: &str) -> io::Result<Name> {
        let container = Container::checked(account, container)?;
        let parts = || key.split('/');
        let part_fits = |it: &str| {
            !matches!(it, "" | "." | "..")
                && it.len() <= 255
                && !it.chars().any(|it| it.is_control() || it == '\\')
        };
        if key.len() > 1024 || !parts().all(part_fits) {
            let text = format!("`{key}` is not a blob's name: no empty, `.` or `..` parts");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(Name { account: container.account, container: container.name, key: key.to_owned() })
    }

    pub(super) fn container(&self) -> Container {
        Container { account: self.account.clone(), name: self.container.clone() }
    }
}

/// A container's address, checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Container {
    pub(super) account: String,
    pub(super) name: String,
}

impl Container {
    pub(super) fn checked(account: &str, name: &str) -> io::Result<Container> {
        for (what, text) in [("account", account), ("container", name)] {
            let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '$');
            if !(1..=63).contains(&text.len()) || !text.chars().all(allowed) {
                let text = format!("`{text}` is not a name of a {what}");
                return Err(io::Error::new(ErrorKind::InvalidInput, text));
            }
        }
        Ok(Container { account: account.to_owned(), name: name.to_owned() })
    }
}

/// What must be true for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    None,
    /// There is no such blob.
    Absent,
    /// The blob has this entity tag.
    Matches(String),
}

/// What is known of a blob without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified: DateTime<Utc>,
}

/// A blob.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) facts: Facts,
    pub(super) bytes: Bytes,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done(Facts),
    /// The precondition was that there is none, and there is one.
    Exists,
    /// The precondition named another entity tag, or there is no blob to have one.
    Changed,
}

#[derive(Debug)]
pub(super) enum Place {
    Memory(Mutex<Memory>),
    /// Entity tags are made of a file's identity, which linking changes, so writers keep readers
    /// out.
    Folder(PathBuf, RwLock<u64>),
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    blobs: BTreeMap<Container, BTreeMap<String, Blob>>,
    written: u64,
}

impl Place {
    pub(super) fn memory() -> Place {
        Place::Memory(Mutex::default())
    }

    pub(super) fn folder(folder: PathBuf) -> Place {
        Place::Folder(folder, RwLock::new(0))
    }

    pub(super) fn put(
        &self,
        name: &Name,
        bytes: Bytes,
        now: Option<DateTime<Utc>>,
        precondition: &Precondition,
    ) -> io::Result<Written> {
        match self {
            Place::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(memory.put(name, bytes, now.unwrap_or_default(), precondition))
            }
            Place::Folder(folder, staged) => {
                let mut staged = staged.write().unwrap_or_else(PoisonError::into_inner);
                *staged += 1;
                put_file(folder, *staged, name, &bytes, now, precondition)
            }
        }
    }

    pub(super) fn get(&self, name: &Name) -> io::Result<Option<Blob>> {
        match self {
            Place::Memory(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                let blobs = memory.blobs.get(&name.container());
                Ok(blobs.and_then(|blobs| blobs.get(&name.key)).cloned())
            }
            Place::Folder(folder, staged) => {
                let _reading = staged.read().unwrap_or_else(PoisonError::into_inner);
                let path = path(folder, name);
                let Some(facts) = present(facts(&path))? else {
                    return Ok(None);
                };
                Ok(Some(Blob { facts, bytes: fs::read(&path)?.into() }))
            }
        }
    }

    pub(super) fn facts(&self, name: &Name) -> io::Result<Option<Facts>> {
        match self {
            Place::Memory(_) => Ok(self.get(name)?.map(|blob| blob.facts)),
            Place::Folder(folder, staged) => {
                let _reading = staged.read().unwrap_or_else(PoisonError::into_inner);
                present(facts(&path(folder, name)))
            }
        }
    }

    /// True when there was a blob.
    pub(super) fn delete(&self, name: &Name) -> io::Result<bool> {
        match self {
            Place::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                let blobs = memory.blobs.get_mut(&name.container());
                Ok(blobs.is_some_and(|blobs| blobs.remove(&name.key).is_some()))
            }
            Place::Folder(folder, staged) => {
                let _writing = staged.write().unwrap_or_else(PoisonError::into_inner);
                let path = path(folder, name);
                let deleted = present(fs::remove_file(&path))?.is_some();
                if deleted && let Some(parent) = path.parent() {
                    sync_folder(parent)?;
                }
                Ok(deleted)
            }
        }
    }

    /// The keys of a container that start with `prefix`, sorted by their bytes.
    pub(super) fn keys(&self, container: &Container, prefix: &str) -> io::Result<Vec<String>> {
        let mut keys = match self {
            Place::Memory(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                let blobs = memory.blobs.get(container);
                let keys = blobs.into_iter().flat_map(BTreeMap::keys);
                keys.filter(|key| key.starts_with(prefix)).cloned().collect()
            }
            Place::Folder(folder, staged) => {
                let _reading = staged.read().unwrap_or_else(PoisonError::into_inner);
                let root = folder.join(&container.account).join(&container.name);
                let deepest = prefix.rfind('/').map_or("", |it| &prefix[..it]);
                let mut keys = Vec::new();
                if deepest.split('/').all(|it| !matches!(it, "." | "..")) {
                    collect_keys(&root.join(deepest), deepest, &mut keys)?;
                }
                keys.retain(|key| key.starts_with(prefix));
                keys
            }
        };
        keys.sort_unstable();
        Ok(keys)
    }
}

impl Memory {
    fn put(
        &mut self,
        name: &Name,
        bytes: Bytes,
        now: DateTime<Utc>,
        precondition: &Precondition,
    ) -> Written {
        self.written += 1;
        let facts = Facts {
            size: bytes.len() as u64,
            etag: format!("\"0x{:X}\"", self.written),
            modified: now,
        };
        let blob = Blob { facts: facts.clone(), bytes };
        let blobs = self.blobs.entry(name.container()).or_default();
        match (blobs.entry(name.key.clone()), precondition) {
            (Entry::Occupied(_), Precondition::Absent) => return Written::Exists,
            (Entry::Occupied(there), Precondition::Matches(etag))
                if there.get().facts.etag != *etag =>
            {
                return Written::Changed;
            }
            (Entry::Vacant(_), Precondition::Matches(_)) => return Written::Changed,
            (Entry::Occupied(mut there), Precondition::None | Precondition::Matches(_)) => {
                there.insert(blob);
            }
            (Entry::Vacant(free), Precondition::None | Precondition::Absent) => {
                free.insert(blob);
            }
        }
        Written::Done(facts)
    }
}

fn put_file(
    folder: &Path,
    staged: u64,
    name: &Name,
    bytes: &[u8],
    now: Option<DateTime<Utc>>,
    precondition: &Precondition,
) -> io::Result<Written> {
    let target = path(folder, name);
    match precondition {
        Precondition::Absent if target.try_exists()? => return Ok(Written::Exists),
        Precondition::Matches(etag) => match present(facts(&target))? {
            Some(there) if there.etag == *etag => {}
            Some(_) | None => return Ok(Written::Changed),
        },
        Precondition::Absent | Precondition::None => {}
    }

    let staging = folder.join(STAGING);
    fs::create_dir_all(&staging)?;
    let draft = staging.join(format!("{}-{staged}", std::process::id()));
    write_draft(&draft, bytes, now)?;
    let placed = place(&draft, &target, precondition);
    // After a rename there is none left.
    present(fs::remove_file(&draft))?;
    if !placed? {
        return Ok(Written::Exists);
    }
    Ok(Written::Done(facts(&target)?))
}

fn write_draft(draft: &Path, bytes: &[u8], now: Option<DateTime<Utc>>) -> io::Result<()> {
    // A process that was killed may have left one under this name, which by then is a blob's other
    // name: to write into that file would be to change the blob.
    present(fs::remove_file(draft))?;
    let mut file = File::create_new(draft)?;
    file.write_all(bytes)?;
    if let Some(now) = now {
        file.set_modified(SystemTime::from(now))?;
    }
    file.sync_all()
}

/// Gives the draft its name; false when the name was to be free and is not.
fn place(draft: &Path, target: &Path, precondition: &Precondition) -> io::Result<bool> {
    let Some(parent) = target.parent() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a blob needs a folder"));
    };
    make_folders(parent)?;
    if *precondition == Precondition::Absent {
        match fs::hard_link(draft, target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            linked => linked?,
        }
    } else {
        fs::rename(draft, target)?;
    }
    sync_folder(parent)?;
    Ok(true)
}

/// Makes a folder and those above it so that they outlast a power cut.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|it| !it.as_os_str().is_empty()) {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        // Somebody else was quicker; a file in this place shows at the next step.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    match folder.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn path(folder: &Path, name: &Name) -> PathBuf {
    folder.join(&name.account).join(&name.container).join(&name.key)
}

fn collect_keys(folder: &Path, key: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let Some(entries) = present(fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect_keys(&entry.path(), &key, keys)?;
        } else if kind.is_file() {
            keys.push(key);
        }
    }
    Ok(())
}

fn facts(path: &Path) -> io::Result<Facts> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::NotFound, "it is a folder"));
    }
    Ok(Facts { size: metadata.len(), etag: etag(&metadata), modified: metadata.modified()?.into() })
}

/// A file is written once and then replaced by another, so its number and the time of its last link
/// tell it from every other.
#[cfg(unix)]
fn etag(metadata: &fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    let (file, seconds, nanos) = (metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
    format!("\"0x{file:X}{seconds:X}{nanos:08X}\"")
}

#[cfg(not(unix))]
fn etag(metadata: &fs::Metadata) -> String {
    let created = metadata.created().map(DateTime::<Utc>::from).unwrap_or_default();
    format!("\"0x{:X}{:X}\"", metadata.len(), created.timestamp_nanos_opt().unwrap_or_default())
}

/// None when the file, or a folder on the way to it, is not there.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
