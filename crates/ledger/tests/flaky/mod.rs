//! A store in memory that loses answers, falls ill, lists backwards, and counts what it is asked.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to a put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is done, and the answer is lost.
    DoneAnswerLost,
    /// It is done, and the answer says that it had been done before.
    DoneSaysExists,
    /// It is not done, and the answer says that something is there.
    NotDoneSaysExists,
    /// It is not done.
    NotDone,
    /// It is done; nothing is wrong.
    None,
}

/// The store and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Flaky {
    inside: InMemory,
    faults: Mutex<VecDeque<Fault>>,
    gets: Mutex<Vec<String>>,
}

impl Flaky {
    /// Lets the next puts go as `faults` say.
    pub(crate) fn next_puts(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// The keys that were read since the last call.
    pub(crate) fn gets(&self) -> Vec<String> {
        std::mem::take(&mut self.gets.lock().unwrap())
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

fn lost() -> Error {
    Error::Generic { store: "flaky", source: "the answer was lost".into() }
}

fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "409".into() }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::NotDone => return Err(lost()),
            Fault::NotDoneSaysExists => return Err(exists(location)),
            Fault::DoneAnswerLost | Fault::DoneSaysExists | Fault::None => {}
        }
        let done = self.inside.put_opts(location, payload, options).await;
        match fault {
            Fault::DoneAnswerLost => Err(lost()),
            Fault::DoneSaysExists => Err(exists(location)),
            Fault::NotDone | Fault::NotDoneSaysExists | Fault::None => done,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inside.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.lock().unwrap().push(location.to_string());
        self.inside.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inside.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inside.list(prefix).collect::<Vec<_>>();
        let backwards = listed.map(|it| stream::iter(it.into_iter().rev()));
        stream::once(backwards).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inside.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inside.copy_opts(from, to, options).await
    }
}
