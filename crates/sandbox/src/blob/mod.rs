//! Blob storage on a desk: the part of the REST interface that object_store and Microsoft's clients
//! use, over plain files that any tool can read, or over memory.

mod list;
mod place;
mod routes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use seam::Clock;

use place::{Place, Precondition};

/// Every storage account of the desk.
#[derive(Debug)]
pub struct Blobs {
    place: Place,
    base: String,
    clock: Option<Arc<dyn Clock>>,
}

impl Blobs {
    /// Blobs that live as long as this value. `base` is the address they are served under, without
    /// a slash at its end.
    pub fn memory(base: impl Into<String>) -> Blobs {
        Blobs { place: Place::memory(), base: base.into(), clock: None }
    }

    /// Blobs as files, `folder/<account>/<container>/<key>`. The folder is made at the first write.
    pub fn folder(folder: PathBuf, base: impl Into<String>) -> Blobs {
        Blobs { place: Place::folder(folder), base: base.into(), clock: None }
    }

    /// The same, with `Last-Modified` told by `clock`; without it that is the file system's, or
    /// 1970 in memory.
    pub fn told_by(self, clock: Arc<dyn Clock>) -> Blobs {
        Blobs { clock: Some(clock), ..self }
    }

    /// Writes a blob, over whatever is there. The container need not exist.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when a name would leave its folder or is none;
    /// else what the file system says.
    pub fn put(
        &self,
        account: &str,
        container: &str,
        key: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> io::Result<()> {
        let name = place::Name::checked(account, container, key)?;
        self.place.put(&name, bytes.into().into(), self.now(), &Precondition::None)?;
        Ok(())
    }

    /// Reads a blob; `None` when there is none.
    ///
    /// # Errors
    /// As [`Blobs::put`].
    pub fn get(&self, account: &str, container: &str, key: &str) -> io::Result<Option<Vec<u8>>> {
        let name = place::Name::checked(account, container, key)?;
        Ok(self.place.get(&name)?.map(|blob| blob.bytes.to_vec()))
    }

    /// The address of an account, `{base}/{account}`.
    pub fn base_url(&self, account: &str) -> String {
        format!("{}/{account}", self.base)
    }

    /// The REST interface, path style: `/{account}/{container}/{key}`.
    pub fn router(self: &Arc<Self>) -> Router {
        routes::router(Arc::clone(self))
    }

    fn now(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}

#[cfg(test)]
mod tests;
