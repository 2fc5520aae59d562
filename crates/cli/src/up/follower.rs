//! Follows the ledger while others write it: the new entries of every stream, in the order in which
//! they happened, and the state they fold to.
//!
//! It reads the entries' files, between two things that happen in the host: time stands still
//! meanwhile, so that whether all is done is known before anything else begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ledger::{Entry, StreamName};
use rules::ImageName;
use rules::catalog::Catalog;
use rules::event::Event;
use rules::state::{Stamp, State};
use sha2::{Digest, Sha256};

use crate::state_folder::StateFolder;

/// An entry with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    pub stream: StreamName,
    pub seq: u64,
    pub entry: Entry,
}

/// An entry that cannot be followed, and with it all that come after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("`{path}` cannot be read: {because}; make it readable again")]
    Unreadable { path: PathBuf, because: String },
    #[error(
        "`{path}` does not follow from the entries before it: {because}; restore that file from a \
         copy of the folder"
    )]
    Broken { path: PathBuf, because: String },
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct News {
    /// The new entries, ordered by time, then by stream.
    pub noted: Vec<Noted>,
    /// The streams that cannot be followed from here on. The others go on.
    pub lost: Vec<(StreamName, Lost)>,
}

/// How far each stream has been read.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    streams: BTreeMap<StreamName, Followed>,
}

/// One stream as far as it has been read.
#[derive(Debug, Default)]
pub struct Followed {
    head: u64,
    /// The hash of the newest entry's bytes; empty when there is none.
    hash: String,
    pub state: State,
    /// When a run of it was released everywhere, the last time.
    pub last_released: Option<DateTime<Utc>>,
    /// Why it is followed no further.
    pub lost: Option<Lost>,
}

impl Follower {
    /// A follower of the streams of `catalog` that has read nothing yet.
    pub fn of(folder: &StateFolder, catalog: &Catalog) -> Follower {
        let images = catalog.images.iter().map(|it| StreamName::Image(it.name.clone()));
        let streams = images.chain([StreamName::Catalog]);
        Follower {
            folder: folder.store().join("ledger").join(catalog.catalog.as_str()),
            streams: streams.map(|name| (name, Followed::default())).collect(),
        }
    }

    /// What was appended since the last look. A stream that is lost is followed no further.
    pub fn look(&mut self) -> News {
        let mut news = News::default();
        for (stream, followed) in &mut self.streams {
            let folder = self.folder.join(stream.as_str());
            while followed.lost.is_none() {
                match followed.next(&folder) {
                    Ok(None) => break,
                    Ok(Some((seq, entry))) => {
                        news.noted.push(Noted { stream: stream.clone(), seq, entry });
                    }
                    Err(lost) => {
                        followed.lost = Some(lost.clone());
                        news.lost.push((stream.clone(), lost));
                    }
                }
            }
        }
        news.noted.sort_by(|one, other| {
            let key = |it: &Noted| (it.entry.at, it.stream.clone(), it.seq);
            key(one).cmp(&key(other))
        });
        news
    }

    /// The images in the order of their names, each as far as it has been read.
    pub fn images(&self) -> impl Iterator<Item = (&ImageName, &Followed)> {
        self.streams.iter().filter_map(|(stream, followed)| match stream {
            StreamName::Image(image) => Some((image, followed)),
            StreamName::Catalog => None,
        })
    }
}

impl Followed {
    /// The next entry in `folder`, followed; none when it is not there yet.
    fn next(&mut self, folder: &Path) -> Result<Option<(u64, Entry)>, Lost> {
        let seq = self.head + 1;
        let path = folder.join(format!("{seq:010}.json"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Lost::Unreadable { path, because: error.to_string() }),
        };
        let broken = |because: String| Lost::Broken { path: path.clone(), because };
        let entry: Entry =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if entry.prev != self.hash {
            return Err(broken("its `prev` is not the hash of the entry before".to_owned()));
        }
        self.follow(seq, &entry).map_err(broken)?;
        self.hash = sha256(&bytes);
        Ok(Some((seq, entry)))
    }

    fn follow(&mut self, seq: u64, entry: &Entry) -> Result<(), String> {
        let at = entry.at;
        for event in &entry.events {
            let state = std::mem::take(&mut self.state);
            self.state =
                state.after(Stamp { seq, at }, event).map_err(|wrong| wrong.to_string())?;
            if let Event::RunReleased { .. } = event {
                self.last_released = Some(at);
            }
        }
        self.head = seq;
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ledger::Draft;
    use rules::trigger::Trigger;

    use super::*;
    use crate::load;

    fn catalog() -> Catalog {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog");
        load::catalog(&example).unwrap().catalog
    }

    fn draft(at: i64, event: Event) -> Draft {
        Draft {
            id: at.to_string(),
            cause: "test".to_owned(),
            by: "test".to_owned(),
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(at),
            policy: String::new(),
            events: vec![event],
        }
    }

    /// Why the one stream that is lost is.
    fn lost(folder: &StateFolder, catalog: &Catalog) -> String {
        let lost = Follower::of(folder, catalog).look().lost;
        let [(_, lost)] = &lost[..] else { panic!("{lost:?}") };
        lost.to_string()
    }

    #[tokio::test]
    async fn new_entries_of_all_streams_are_told_once_and_in_the_order_of_their_times() {
        let (catalog, folder) = (catalog(), tempfile::tempdir().unwrap());
        let folder = StateFolder::at(folder.path());
        let ledger = folder.ledger(catalog.catalog.clone()).unwrap();
        let web = StreamName::Image("ubuntu-2204-web".parse().unwrap());
        let base = StreamName::Image("ubuntu-2204-base".parse().unwrap());
        let mut follower = Follower::of(&folder, &catalog);
        assert!(follower.look().noted.is_empty());

        for (name, at) in [(&web, 1), (&base, 2)] {
            let mut stream = ledger.read(name).await.unwrap();
            let trigger = Trigger::Advisory { id: "CVE-1".to_owned() };
            ledger.append(&mut stream, draft(at, Event::ImageAdopted {})).await.unwrap();
            let accepted = Event::TriggerAccepted { trigger };
            ledger.append(&mut stream, draft(at + 2, accepted)).await.unwrap();
        }

        let told = follower.look().noted;
        let order: Vec<(&StreamName, u64)> = told.iter().map(|it| (&it.stream, it.seq)).collect();
        assert_eq!(order, [(&web, 1), (&base, 1), (&web, 2), (&base, 2)]);
        assert!(follower.look().noted.is_empty());
        let pending = follower.images().map(|(_, it)| it.state.pending.len()).sum::<usize>();
        assert_eq!(pending, 2);
    }

    #[tokio::test]
    async fn an_entry_that_cannot_follow_is_named() {
        let (catalog, folder) = (catalog(), tempfile::tempdir().unwrap());
        let folder = StateFolder::at(folder.path());
        let stream = folder.store().join("ledger").join("contoso").join("ubuntu-2204-web");
        fs::create_dir_all(&stream).unwrap();
        let event = Event::RunReleased { version: "1.0.0".parse().unwrap() };
        let entry = serde_json::json!({
            "v": 1, "id": "a", "prev": "", "cause": "test", "by": "test",
            "at": "2026-09-09T00:00:00Z", "policy": "", "events": [event],
        });
        fs::write(stream.join("0000000001.json"), entry.to_string()).unwrap();

        let lost = lost(&folder, &catalog);

        assert!(lost.contains("0000000001.json"), "{lost}");
        assert!(lost.contains("no run of 1.0.0 is open"), "{lost}");
    }

    #[tokio::test]
    async fn a_lost_stream_is_told_once_and_the_others_go_on() {
        let (catalog, folder) = (catalog(), tempfile::tempdir().unwrap());
        let folder = StateFolder::at(folder.path());
        let ledger = folder.ledger(catalog.catalog.clone()).unwrap();
        let (web, base) = ("ubuntu-2204-web", "ubuntu-2204-base");
        let mut stream = ledger.read(&StreamName::Image(base.parse().unwrap())).await.unwrap();
        ledger.append(&mut stream, draft(1, Event::ImageAdopted {})).await.unwrap();
        let spoiled = folder.store().join("ledger/contoso").join(web);
        fs::create_dir_all(&spoiled).unwrap();
        fs::write(spoiled.join("0000000001.json"), "{").unwrap();
        let mut follower = Follower::of(&folder, &catalog);

        let first = follower.look();
        ledger.append(&mut stream, draft(2, Event::ImageAdopted {})).await.unwrap();
        let second = follower.look();

        assert_eq!((first.noted.len(), first.lost.len()), (1, 1));
        assert_eq!((second.noted.len(), second.lost.len()), (1, 0));
    }

    #[tokio::test]
    async fn an_entry_that_was_changed_breaks_the_one_after_it() {
        let (catalog, folder) = (catalog(), tempfile::tempdir().unwrap());
        let folder = StateFolder::at(folder.path());
        let ledger = folder.ledger(catalog.catalog.clone()).unwrap();
        let web = StreamName::Image("ubuntu-2204-web".parse().unwrap());
        let mut stream = ledger.read(&web).await.unwrap();
        for at in [1, 2] {
            let through = DateTime::UNIX_EPOCH + TimeDelta::days(at);
            ledger.append(&mut stream, draft(at, Event::ScheduleJudged { through })).await.unwrap();
        }
        assert!(Follower::of(&folder, &catalog).look().lost.is_empty());
        let path = folder.store().join("ledger/contoso/ubuntu-2204-web/0000000001.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("test", "best")).unwrap();

        let lost = lost(&folder, &catalog);

        assert!(lost.contains("0000000002.json") && lost.contains("`prev`"), "{lost}");
    }
}
