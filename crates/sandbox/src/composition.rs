//! The desk as a whole: one database, one folder of blobs, and the services over them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::ErrorCode;
use seam::{Clock, SystemClock};

use crate::azure::{Azure, AzureError, AzureOptions, INGRESS, RetryAfterAlways};
use crate::blob::Blobs;
use crate::bus::{Bus, BusError, Conditions, Queue, QueueOptions, SharedKey};
use crate::database::Database;
use crate::desk::{DeskClock, Holds, Speed};
use crate::entra::Entra;
use crate::estate::Estate;
use crate::identity::Identity;
use crate::identity::door::Service;

/// The layout of the database that this version reads and writes.
const SCHEMA: i64 = 1;
/// Marks a database as ours: `Gold`.
const APPLICATION: i64 = 0x476f_6c64;
const DATABASE_FILE: &str = "sandbox.sqlite";
const BLOBS_FOLDER: &str = "blobs";
const LOCK_FILE: &str = "lock";

/// Where a sandbox keeps what it knows.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nowhere: it is gone with the process.
    Memory,
    /// `sandbox.sqlite` and `blobs/` in this folder.
    Folder(OwnFolder),
}

/// A folder that no other sandbox uses as long as a clone of this exists. Nothing in it is touched
/// before it is taken: it may be somebody else's desk.
#[derive(Clone, Debug)]
pub struct OwnFolder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl OwnFolder {
    /// Makes the folder if need be, and takes its lock, which goes with the process.
    ///
    /// # Errors
    /// [`SandboxError::InUse`] when another process has it; [`SandboxError::Folder`] when it cannot
    /// be written.
    pub fn take(path: &Path) -> Result<OwnFolder, SandboxError> {
        let failed = |error| SandboxError::Folder { path: path.to_owned(), error };
        fs::create_dir_all(path).map_err(failed)?;
        let mut how = File::options();
        how.create(true).truncate(false).write(true);
        let file = how.open(path.join(LOCK_FILE)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(OwnFolder { path: path.to_owned(), _lock: Arc::new(file) }),
            Err(TryLockError::WouldBlock) => Err(SandboxError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whose time it is.
#[derive(Clone, Debug)]
pub enum Time {
    /// Somebody else's: tests and the simulation.
    Told(Arc<dyn Clock>),
    /// The desk's own, which starts with the estate and outlasts the process.
    Desk(Speed),
}

/// How a sandbox is made, beside its estate.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The address that blobs are served under, such as `http://127.0.0.1:40001`.
    pub blob_url: String,
    /// The queues: one for each function that a message wakes. `ingress` is added.
    pub queues: Vec<Queue>,
    /// The shared access key that the bus takes signatures of, beside bearer tokens.
    pub bus_key: SharedKey,
    /// What the identity endpoint wants to see in `X-IDENTITY-HEADER`.
    pub identity_secret: String,
    /// Whether every answer about a running operation says `Retry-After`.
    pub retry_after_always: bool,
}

impl SandboxOptions {
    /// A sandbox with these queues, the well-known key of a bus on a desk, and the `Retry-After`
    /// that were recorded.
    pub fn new(
        blob_url: impl Into<String>,
        queues: impl IntoIterator<Item = Queue>,
        identity_secret: impl Into<String>,
    ) -> SandboxOptions {
        SandboxOptions {
            blob_url: blob_url.into(),
            queues: queues.into_iter().collect(),
            bus_key: SharedKey::default(),
            identity_secret: identity_secret.into(),
            retry_after_always: false,
        }
    }
}

/// A desk's Azure.
#[derive(Debug)]
pub struct Sandbox {
    pub database: Arc<Database>,
    pub clock: Arc<dyn Clock>,
    /// Where its time is held; nowhere under a clock that was told.
    pub holds: Holds,
    pub blobs: Arc<Blobs>,
    pub bus: Arc<Bus>,
    pub azure: Arc<Azure>,
    pub identity: Arc<Identity>,
    bus_key: SharedKey,
    /// By which tokens and signatures expire.
    token_clock: Arc<dyn Clock>,
    pub entra: Arc<Entra>,
    /// Its folder is nobody else's as long as it works.
    _place: Place,
}

/// What a sandbox serves, each under an address of its own.
#[derive(Clone, Debug)]
pub struct Routers {
    pub arm: axum::Router,
    pub bus: axum::Router,
    pub blob: axum::Router,
    pub identity: axum::Router,
}

/// Why a sandbox does not open.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("`{path}` cannot be written: {error}; make it yours, or give another folder")]
    Folder { path: PathBuf, error: io::Error },
    #[error("`{0}` is in use by another goldsmith; stop it, or give this one its own folder")]
    InUse(PathBuf),
    #[error(
        "`{path}` is damaged or no database of this sandbox ({reason}); move it away together with \
         `blobs` beside it, and start again"
    )]
    Damaged { path: PathBuf, reason: String },
    /// The database may be whole: it is the disk or its rights that are not.
    #[error("`{path}` cannot be read or written: {error}")]
    Unusable { path: PathBuf, error: rusqlite::Error },
    #[error(
        "`{path}` was written by another version of goldsmith (layout {found}, this one reads \
         {SCHEMA}); use that version, or move the folder away"
    )]
    OtherVersion { path: PathBuf, found: i64 },
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Azure(#[from] AzureError),
    #[error("the sandbox's database fails: {0}")]
    Database(#[from] rusqlite::Error),
}

impl Sandbox {
    /// Opens what is in `place`; there, `estate` is put in place when nothing is.
    ///
    /// # Errors
    /// A database that cannot be written, is damaged or of another version, another estate than the
    /// one it was begun with.
    pub fn open(
        estate: &Estate,
        place: &Place,
        time: Time,
        options: SandboxOptions,
    ) -> Result<Sandbox, SandboxError> {
        let database = match place {
            Place::Memory => open_database(None)?,
            Place::Folder(folder) => open_database(Some(&folder.path().join(DATABASE_FILE)))?,
        };
        let database = Arc::new(database);

        // Whoever makes or caches tokens goes by the machine's time, which desk time soon leaves
        // behind.
        let token_clock: Arc<dyn Clock> = match &time {
            Time::Told(clock) => Arc::clone(clock),
            Time::Desk(_) => Arc::new(SystemClock),
        };
        let (clock, holds) = told(time, &database, estate.start)?;
        let blobs = match place {
            Place::Memory => Blobs::memory(options.blob_url),
            Place::Folder(folder) => {
                Blobs::folder(folder.path().join(BLOBS_FOLDER), options.blob_url)
            }
        };
        let blobs = Arc::new(blobs.told_by(Arc::clone(&clock)));
        let ingress = Queue { name: INGRESS.to_owned(), options: QueueOptions::default() };
        // What the caller says about `ingress` comes later, and so wins.
        let queues = std::iter::once(ingress).chain(options.queues);
        let conditions = Conditions::of(estate);
        let bus = Bus::open_under(conditions, Arc::clone(&database), Arc::clone(&clock), queues)?;
        let azure = Azure::open(
            Arc::clone(&database),
            estate,
            Arc::clone(&clock),
            Arc::clone(&blobs),
            Arc::clone(&bus),
            AzureOptions { retry_after_always: options.retry_after_always },
        )?;
        let (tenant, secret) = (estate.tenant.clone(), options.identity_secret);
        let identity = Identity::new(Arc::clone(&token_clock), tenant.clone(), secret.clone());
        let entra = Entra::new(Arc::clone(&identity), Arc::clone(&token_clock), tenant, secret);
        let bus_key = options.bus_key;
        Ok(Sandbox {
            database,
            clock,
            holds,
            blobs,
            bus,
            azure,
            identity,
            entra,
            bus_key,
            token_clock,
            _place: place.clone(),
        })
    }

    /// What it serves.
    pub fn routers(&self) -> Routers {
        Routers {
            arm: self.identity.guard(Service::Arm, self.azure.router()),
            bus: self.identity.guard(
                Service::Bus(self.bus.missing_role()),
                self.bus.router(self.bus_key.clone(), Arc::clone(&self.token_clock)),
            ),
            blob: self.identity.guard(Service::Blob, self.blobs.router()),
            identity: self.identity.router(),
        }
    }

    /// `arm` (the router of [`Routers::arm`]) for clients that are pointed at a cloud of its own:
    /// with Entra and the cloud's metadata under the same address, and with the `Retry-After`
    /// without which Microsoft's clients sleep 30 seconds of wall time.
    pub fn cloud(&self, arm: axum::Router) -> axum::Router {
        arm.layer(axum::Extension(RetryAfterAlways)).merge(self.entra.router())
    }
}

fn told(
    time: Time,
    database: &Arc<Database>,
    start: DateTime<Utc>,
) -> Result<(Arc<dyn Clock>, Holds), SandboxError> {
    match time {
        Time::Told(clock) => Ok((clock, Holds::none())),
        Time::Desk(speed) => {
            let desk = DeskClock::open(Arc::clone(database), start, speed)?;
            let holds = Holds::of(&desk);
            Ok((desk, holds))
        }
    }
}

/// Opens the database in `file`, in memory without one, after a look at whose it is and whether it
/// is whole.
///
/// # Errors
/// [`SandboxError::Damaged`], [`SandboxError::OtherVersion`], and [`SandboxError::Unusable`] when the
/// disk is full or the file is not ours.
pub fn open_database(file: Option<&Path>) -> Result<Database, SandboxError> {
    let path = file.unwrap_or(Path::new(":memory:"));
    let damaged = |reason: String| SandboxError::Damaged { path: path.to_owned(), reason };
    // Whoever is told that it is damaged throws it away.
    let refused = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) | None => {
            damaged(error.to_string())
        }
        Some(_) => SandboxError::Unusable { path: path.to_owned(), error },
    };

    let database = Database::open(file).map_err(refused)?;
    let look = |transaction: &rusqlite::Transaction<'_>| {
        let number = |pragma| transaction.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let tables = number("SELECT COUNT(*) FROM sqlite_master")?;
        if tables == 0 {
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        let application = number("PRAGMA application_id")?;
        let schema = number("PRAGMA user_version")?;
        let whole: String = transaction.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>((application, schema, whole))
    };
    let (application, schema, whole) = database.write(look).map_err(refused)?;
    if application != APPLICATION {
        return Err(damaged("it belongs to another program".to_owned()));
    }
    if schema != SCHEMA {
        return Err(SandboxError::OtherVersion { path: path.to_owned(), found: schema });
    }
    if whole != "ok" {
        return Err(damaged(whole));
    }
    Ok(database)
}

#[cfg(test)]
mod tests {
    use contract::{Checked, Verified};
    use tower::ServiceExt;

    use super::*;

    const ESTATE: &str = "start: 2026-09-07T06:00:00Z
tenant: 72f988bf-86f1-41af-91ab-2d7cd011db47
subscriptions:
  - id: 9b3a4e6c-2f57-4c1d-8e0a-5d6f7a8b9c0d
    name: images
";

    fn message(file: &Path) -> String {
        open_database(Some(file)).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_no_database_is_named_with_the_next_move() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE_FILE);
        fs::write(&file, "this is not a database, but long enough to have a header ".repeat(20))
            .unwrap();

        let message = message(&file);

        assert!(
            message.contains("sandbox.sqlite") && message.contains("move it away"),
            "{message}"
        );
    }

    #[test]
    fn a_damaged_database_is_named_with_the_next_move() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE_FILE);
        let database = open_database(Some(&file)).unwrap();
        database
            .write(|transaction| {
                transaction.execute_batch(
                    "CREATE TABLE t (a TEXT);
                     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                     INSERT INTO t SELECT hex(randomblob(50)) FROM n;",
                )
            })
            .unwrap();
        drop(database);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 8192].fill(0xAA);
        fs::write(&file, bytes).unwrap();

        assert!(message(&file).contains("damaged"));
    }

    #[test]
    fn a_database_of_another_program_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs.sqlite");
        let newer = folder.path().join("newer.sqlite");
        let other = rusqlite::Connection::open(&theirs).unwrap();
        other.execute_batch("CREATE TABLE t (a);").unwrap();
        drop(other);
        drop(open_database(Some(&newer)).unwrap());
        let later = rusqlite::Connection::open(&newer).unwrap();
        later.execute_batch("CREATE TABLE t (a); PRAGMA user_version = 2;").unwrap();
        drop(later);

        assert!(message(&theirs).contains("another program"));
        assert!(message(&newer).contains("another version"));
    }

    #[tokio::test]
    async fn a_sandbox_goes_on_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let estate = Estate::parse(ESTATE).unwrap();
        let open = || {
            let queue = "judge_image".parse().unwrap();
            let options = SandboxOptions::new("http://127.0.0.1:1", [queue], "secret");
            let place = Place::Folder(OwnFolder::take(folder.path()).unwrap());
            Sandbox::open(&estate, &place, Time::Desk(Speed::Jump), options).unwrap()
        };
        let first = open();
        let later = estate.start + chrono::TimeDelta::hours(5);
        drop(first.holds.sleep_until(&*first.clock, later, first.holds.take()).await);
        first.bus.deliver(INGRESS, "event", "{}", later).unwrap();
        first.blobs.put("golden", "ledger", "a/1", *b"x").unwrap();
        drop(first);

        let second = open();
        assert_eq!(second.clock.now(), later);
        assert_eq!(second.bus.receive(INGRESS).unwrap().unwrap().message_id, "event");
        assert_eq!(second.blobs.get("golden", "ledger", "a/1").unwrap().unwrap(), b"x");
        assert_eq!(second.bus.queues().collect::<Vec<_>>(), [INGRESS, "judge_image"]);
    }

    #[tokio::test]
    async fn a_cloud_is_arm_sign_in_and_metadata_under_one_address() {
        let estate = Estate::parse(ESTATE).unwrap();
        let options = SandboxOptions::new("http://127.0.0.1:1", [], "secret");
        let time = Time::Desk(Speed::Jump);
        let sandbox = Sandbox::open(&estate, &Place::Memory, time, options).unwrap();
        let verified = Verified::new(Checked::Answers);
        let cloud = sandbox.cloud(verified.around(sandbox.routers().arm));
        let ask = async |path: String| {
            let request = http::Request::get(path).header("authorization", "Bearer token");
            let request = request.body(axum::body::Body::empty()).unwrap();
            cloud.clone().oneshot(request).await.unwrap().status().as_u16()
        };

        let tenant = &estate.tenant;
        assert_eq!(ask("/subscriptions?api-version=2022-12-01".to_owned()).await, 200);
        assert_eq!(ask(format!("/{tenant}/v2.0/.well-known/openid-configuration")).await, 200);
        assert_eq!(ask("/metadata/endpoints?api-version=2022-09-01".to_owned()).await, 200);
        // What none of them knows is Azure Resource Manager's to refuse.
        assert_eq!(ask("/nowhere?api-version=2022-12-01".to_owned()).await, 404);
    }

    #[test]
    fn a_folder_is_opened_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = OwnFolder::take(folder.path()).unwrap();

        let second = OwnFolder::take(folder.path()).unwrap_err();
        assert!(matches!(second, SandboxError::InUse(_)), "{second}");

        drop(first);
        assert!(OwnFolder::take(folder.path()).is_ok());
    }
}
