//! The ledger's store: memory, behind a door that delays, fails, loses answers and shuffles
//! listings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use sandbox::blob::Blobs;
use seam::Clock;
use tokio::sync::oneshot;

use crate::fault::{Faults, Kind};
use crate::record::Record;

/// How long a store may keep somebody waiting who still gets an answer.
const LONGEST: TimeDelta = TimeDelta::seconds(20);

/// The storage account of the ledger, and the container in it.
pub(crate) const ACCOUNT: &str = "goldsmith";
pub(crate) const CONTAINER: &str = "goldsmith";

/// The store that handlers see. Clones share what is in it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<InMemory>,
    /// What is there: the library reads all of a folder to list its end, however long it is.
    index: Arc<Mutex<Index>>,
    /// Where builds upload their reports: on Azure it is the same account.
    uploads: Arc<Blobs>,
    faults: Faults,
    record: Record,
    clock: Arc<dyn Clock>,
}

/// What a store has, and when it was last asked for.
#[derive(Debug, Default)]
struct Index {
    objects: BTreeMap<Path, (ObjectMeta, DateTime<Utc>)>,
    /// By folder of the ledger: the last entry that was put away, and with it all before.
    put_away: BTreeMap<String, String>,
    /// What else was put away: blobs, and what lay in the inbox.
    put_away_else: BTreeSet<Path>,
    /// Reads and listings.
    reads: u64,
}

/// The folder of a key, and its name there.
fn parts(key: &Path) -> (&str, &str) {
    key.as_ref().rsplit_once('/').unwrap_or(("", key.as_ref()))
}

impl Store {
    /// An empty one, whose every write goes into `record`.
    pub fn new(
        uploads: Arc<Blobs>,
        faults: Faults,
        record: Record,
        clock: Arc<dyn Clock>,
    ) -> Store {
        let (inner, index) = (Arc::new(InMemory::new()), Arc::default());
        Store { inner, index, uploads, faults, record, clock }
    }

    /// The same without faults: for whoever looks on.
    pub fn sound(&self) -> Store {
        Store { faults: self.faults.silent(), ..self.clone() }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it was read or listed.
    pub fn reads(&self) -> u64 {
        self.index().reads
    }

    /// Puts away what nobody has written or read since `since`, as a disk does that is no part of a
    /// memory. Whoever reads such an entry breaks something: a step's work must not grow with its
    /// image's history.
    pub async fn put_away(&self, since: DateTime<Utc>) {
        let old: Vec<Path> = {
            let mut index = self.index();
            let old = index.objects.extract_if(.., |_, (_, touched)| *touched < since);
            let old: Vec<Path> = old.map(|(key, _)| key).collect();
            for key in &old {
                if key.as_ref().starts_with("ledger/") {
                    let (folder, name) = parts(key);
                    index.put_away.insert(folder.to_owned(), name.to_owned());
                } else {
                    index.put_away_else.insert(key.clone());
                }
            }
            old
        };
        for key in old {
            // It is there, by the index.
            let _ = self.inner.delete(&key).await;
        }
    }

    /// Whether a call of `kind` fails.
    fn fails(&self, kind: Kind, what: &Path) -> bool {
        let (now, longest) = (self.clock.now(), TimeDelta::minutes(10));
        self.faults.goes_on(Kind::StoreGone, longest, now, what.as_ref())
            || self.strikes(kind, what)
    }

    fn strikes(&self, kind: Kind, what: &Path) -> bool {
        self.faults.strikes(kind, self.clock.now(), what.as_ref())
    }

    async fn wait(&self, what: &Path) {
        let longest =
            if self.strikes(Kind::StoreSlow, what) { LONGEST } else { TimeDelta::milliseconds(40) };
        let wait = self.faults.chance().delay(longest);
        self.clock.sleep_until(self.clock.now() + wait).await;
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated store")
    }
}

fn ill(what: &str) -> Error {
    Error::Generic { store: "simulation", source: what.into() }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (put, done) = oneshot::channel();
        let (store, location) = (self.clone(), location.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a write that is under way lands, though nobody waits for it any more"
        )]
        tokio::spawn(async move {
            // Nobody may be waiting any more.
            let _ = put.send(store.put(&location, payload, options).await);
        });
        done.await.unwrap_or_else(|_| Err(ill("the store is gone")))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.wait(location).await;
        if self.fails(Kind::StoreReadFails, location) {
            return Err(ill("the store is not there"));
        }
        let uploaded = self.uploads.get(ACCOUNT, CONTAINER, location.as_ref());
        if let Ok(Some(bytes)) = uploaded {
            let (now, longest) = (self.clock.now(), TimeDelta::hours(3));
            if self.faults.goes_on(Kind::ReportLate, longest, now, location.as_ref()) {
                let path = location.to_string();
                return Err(Error::NotFound { path, source: "not uploaded yet".into() });
            }
            self.inner.put_opts(location, bytes.into(), PutOptions::default()).await?;
            self.noted(location).await?;
        }
        let found = self.inner.get_opts(location, options).await;
        let mut index = self.index();
        index.reads += 1;
        if let Some((_, touched)) = index.objects.get_mut(location) {
            *touched = self.clock.now();
        }
        let (folder, name) = parts(location);
        let of_the_ledger = index.put_away.get(folder).is_some_and(|last| name <= last.as_str());
        if of_the_ledger || (found.is_err() && index.put_away_else.contains(location)) {
            let what = format!("{location} was put away long ago, and somebody reads it");
            self.record.read().tampered.push(what);
        }
        found
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let record = self.record.clone();
        let seen = locations.inspect(move |it| {
            if let Ok(location) = it {
                record.read().tampered.push(format!("{location} was deleted"));
            }
        });
        self.inner.delete_stream(seen.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix.cloned(), None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix.cloned(), Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let what = prefix.cloned().unwrap_or_default();
        self.wait(&what).await;
        if self.fails(Kind::StoreReadFails, &what) {
            return Err(ill("the store is not there"));
        }
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        if self.strikes(Kind::StoreShuffled, &what) {
            self.faults.chance().shuffle(&mut listed.objects);
            self.faults.chance().shuffle(&mut listed.common_prefixes);
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Store {
    async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.wait(location).await;
        if self.fails(Kind::StoreWriteFails, location) {
            return Err(ill("the store is not there"));
        }
        let bytes = bytes::Bytes::from(payload.clone());
        let done = self.inner.put_opts(location, payload, options).await?;
        self.noted(location).await?;
        self.record.stored(location.as_ref(), &bytes, self.clock.now());
        if self.strikes(Kind::StoreAnswerLost, location) {
            return Err(ill("the store's answer was lost"));
        }
        Ok(done)
    }

    /// Notes that `location` was written.
    async fn noted(&self, location: &Path) -> Result<()> {
        let meta = self.inner.head(location).await?;
        self.index().objects.insert(location.clone(), (meta, self.clock.now()));
        Ok(())
    }

    /// What is in a folder, after `offset`, by name.
    fn under(&self, folder: &Path, offset: Option<&Path>) -> Vec<Result<ObjectMeta>> {
        let mut index = self.index();
        index.reads += 1;
        let from = offset.map_or(Bound::Included(folder), Bound::Excluded);
        let after = index.objects.range::<Path, _>((from, Bound::Unbounded));
        after
            .take_while(|(key, _)| key.as_ref().starts_with(folder.as_ref()))
            .filter(|(key, _)| key.prefix_match(folder).is_some_and(|it| it.count() > 0))
            .map(|(_, (meta, _))| Ok(meta.clone()))
            .collect()
    }

    fn listed(
        &self,
        prefix: Option<Path>,
        offset: Option<Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let whole = async move {
            let what = prefix.clone().unwrap_or_default();
            store.wait(&what).await;
            if store.fails(Kind::StoreReadFails, &what) {
                return vec![Err(ill("the store is not there"))];
            }
            let mut listed = store.under(&what, offset.as_ref());
            if listed.len() > 1 && store.strikes(Kind::StoreShuffled, &what) {
                store.faults.chance().shuffle(&mut listed);
            }
            listed
        };
        stream::once(whole).map(stream::iter).flatten().boxed()
    }
}

/// Time in the seam is a calendar; tokio's is a duration.
pub(crate) fn duration(delta: TimeDelta) -> Duration {
    delta.to_std().unwrap_or(Duration::ZERO)
}
