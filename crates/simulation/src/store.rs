//! The ledger's store: memory, behind a door that delays, fails, loses answers and shuffles
//! listings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use sandbox::blob::Blobs;
use seam::Clock;

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
    /// Where builds upload their reports: on Azure it is the same account.
    uploads: Arc<Blobs>,
    faults: Faults,
    record: Record,
    clock: Arc<dyn Clock>,
}

impl Store {
    /// An empty one, whose every write goes into `record`.
    pub fn new(
        uploads: Arc<Blobs>,
        faults: Faults,
        record: Record,
        clock: Arc<dyn Clock>,
    ) -> Store {
        Store { inner: Arc::new(InMemory::new()), uploads, faults, record, clock }
    }

    /// The same without faults: for whoever looks on.
    pub fn sound(&self) -> Store {
        Store { faults: self.faults.silent(), ..self.clone() }
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
        self.wait(location).await;
        if self.fails(Kind::StoreWriteFails, location) {
            return Err(ill("the store is not there"));
        }
        let bytes = bytes::Bytes::from(payload.clone());
        let done = self.inner.put_opts(location, payload, options).await?;
        self.record.stored(location.as_ref(), &bytes, self.clock.now());
        if self.strikes(Kind::StoreAnswerLost, location) {
            return Err(ill("the store's answer was lost"));
        }
        Ok(done)
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
        }
        self.inner.get_opts(location, options).await
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
            let listed = match &offset {
                Some(offset) => store.inner.list_with_offset(prefix.as_ref(), offset),
                None => store.inner.list(prefix.as_ref()),
            };
            let mut listed: Vec<_> = listed.collect().await;
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
