//! The desk, assembled: the simulated Azure behind its addresses, the catalog in force, the handler's
//! process and the Functions host that calls it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use ledger::Ledger;
use rules::CatalogName;
use rules::catalog::Catalog;
use sandbox::bus::{Queue, QueueOptions};
use sandbox::desk::{Hold, Speed};
use sandbox::estate::Estate;
use sandbox::host::{Host, HostOptions, Package, Process, ProcessEvent, ProcessOptions};
use sandbox::identity::Principal;
use sandbox::serve::Server;
use sandbox::{OwnFolder, Place, Sandbox, SandboxOptions, Time};
use seam::{Internet, Local, Outbound, Tokens, Wire};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::args::{DEFAULT_SPEED, RetryAfter, UpArgs};
use super::cloud::Cloud;
use super::lines::Ready;
use super::ports::{self, Doors, Services};
use super::wire::Wire as VerifiedWire;
use crate::load::Loaded;
use crate::publish::publish;
use crate::state_folder::{ACCOUNT, CONTAINER, StateFolder};

/// What the identity endpoint of a desk wants to see. It opens nothing but this desk.
pub const IDENTITY_SECRET: &str = "desk";

/// The name of the bus in what the handler is told.
const NAMESPACE: &str = "goldsmith";

/// How long the host's wire waits for the handler; `functionTimeout` in `host.json` is 5 minutes.
const HANDLER_TIMEOUT: Duration = Duration::from_mins(6);

/// Everything that runs.
pub struct Desk {
    pub sandbox: Sandbox,
    pub host: Arc<Host>,
    /// What happens to the handler's processes.
    pub happened: UnboundedReceiver<ProcessEvent>,
    /// What holds the wire against Microsoft's documents, when that was asked for.
    pub wire: Option<VerifiedWire>,
    /// One, or one for each function.
    processes: Vec<Arc<Process>>,
    servers: Vec<Server>,
    addresses: Addresses,
    /// With `--tls`.
    cloud: Option<Cloud>,
    subscription: String,
    tenant: String,
    /// Time stands still until the host does its first work.
    hold: Option<Hold>,
}

/// The addresses of the services.
type Addresses = Services<String>;

impl Desk {
    /// Opens the state in `folder`, serves it, puts the catalog in force and starts the handler.
    ///
    /// # Errors
    /// A port that is taken, a folder that cannot be used, a handler that does not start.
    pub async fn open(
        args: &UpArgs,
        folder: &StateFolder,
        own: &OwnFolder,
        loaded: &Loaded,
        estate: &Estate,
    ) -> anyhow::Result<Desk> {
        let wire = args.verify_wire.as_deref().map(VerifiedWire::held_against).transpose()?;
        let Doors { services, https } = ports::bind(args, &folder.ports()).await?;
        let Services { arm, bus, blob, identity, host: host_door } = services;
        let addresses = Addresses {
            arm: arm.url(),
            bus: bus.url(),
            blob: blob.url(),
            identity: identity.url(),
            host: host_door.url(),
        };

        let app = folder.app();
        stage_app(&app)
            .with_context(|| format!("staging the function app in `{}`", app.display()))?;
        let settings = settings(&loaded.catalog, &addresses, &estate.tenant);
        let package = Package::load(&app, &settings)?;
        if let Some((function, reason)) = package.refused.first() {
            bail!("function `{function}` cannot be hosted: {reason}");
        }

        let options = SandboxOptions {
            bus_key: args.bus_key.clone().unwrap_or_default(),
            retry_after_always: args.retry_after == RetryAfter::Always,
            ..SandboxOptions::new(&addresses.blob, queues(&package, &args.queue), IDENTITY_SECRET)
        };
        let place = Place::Folder(own.clone());
        let sandbox = Sandbox::open(estate, &place, Time::Desk(speed(args)), options)?;
        let hold = sandbox.holds.take();

        let ledger = ledger(&sandbox, &addresses, loaded.catalog.catalog.clone())?;
        publish(&ledger, loaded, sandbox.clock.now(), "goldsmith up").await?;

        let mut routers = sandbox.routers();
        if let Some(wire) = &wire {
            routers.arm = wire.around(routers.arm);
        }
        let (cloud, https) = match https {
            Some(door) => {
                let router = sandbox.cloud(routers.arm.clone());
                let (cloud, door) = Cloud::behind(door, folder, &estate.tenant)?;
                (Some(cloud), Some(door.open(router, &sandbox.holds)))
            }
            None => (None, None),
        };
        let mut servers = vec![
            arm.open(routers.arm, &sandbox.holds),
            bus.open(routers.bus, &sandbox.holds),
            blob.open(routers.blob, &sandbox.holds),
            identity.open(routers.identity, &sandbox.holds),
        ];

        let internet: Arc<dyn Wire> = Arc::new(Internet::default());
        let (events, happened) = unbounded_channel();
        let (executable, arguments) = handler(args)?;
        let start = || -> anyhow::Result<Arc<Process>> {
            let events = events.clone();
            Ok(Process::start(
                ProcessOptions {
                    executable: executable.clone(),
                    arguments: arguments.clone(),
                    app_root: app.clone(),
                    working_folder: None,
                    environment: settings.clone(),
                    port: Process::free_port().context("finding a port for the handler")?,
                    initialization_timeout: package.settings.initialization_timeout,
                    stderr_is_errors: package.settings.stderr_is_errors,
                },
                Arc::clone(&sandbox.clock),
                Arc::clone(&internet),
                // Nobody listens any more once everything ends.
                Arc::new(move |event| drop(events.send(event))),
            ))
        };
        let (shared, isolated) = package.start(args.isolate, start)?;
        let processes: Vec<Arc<Process>> = isolated.values().chain(&shared).cloned().collect();
        let host = Host::new(
            package,
            Arc::clone(&sandbox.bus),
            Arc::clone(&sandbox.database),
            Arc::clone(&sandbox.clock),
            sandbox.holds.clone(),
            // Longer than the function's timeout: it is the host that gives up, and says so.
            Arc::new(Internet::waiting(HANDLER_TIMEOUT)),
            HostOptions {
                handler: shared.as_ref().map(|it| it.url()).unwrap_or_default(),
                desk_time: true,
                function_key: None,
                namespace: NAMESPACE.to_owned(),
                azure: Some(Arc::clone(&sandbox.azure)),
                process: shared,
                isolated,
                observer: None,
            },
        )?;
        servers.push(host_door.open(host.router(), &sandbox.holds));
        servers.extend(https);

        let subscription = loaded.catalog.gallery.subscription.clone();
        let tenant = estate.tenant.clone();
        let hold = Some(hold);
        Ok(Desk {
            sandbox,
            host,
            happened,
            wire,
            processes,
            servers,
            addresses,
            cloud,
            subscription,
            tenant,
            hold,
        })
    }

    /// Where everything is, with the handler's process `handler_pid`.
    pub fn ready(&self, handler_pid: u32) -> Ready {
        let Addresses { arm, bus, blob, identity, host } = self.addresses.clone();
        Ready {
            event: "ready",
            arm,
            bus,
            blob,
            host,
            identity,
            subscription: self.subscription.clone(),
            tenant: self.tenant.clone(),
            handler_pid,
            cloud: self.cloud.clone(),
        }
    }

    /// How many processes of the handler there are.
    pub fn handlers(&self) -> usize {
        self.processes.len()
    }

    /// Lets time begin.
    pub fn begin(&mut self) {
        self.hold = None;
    }

    /// Kills the handler and closes every address.
    pub async fn stop(self) {
        drop(self.host);
        drop(self.processes);
        for server in self.servers {
            server.stop().await;
        }
    }
}

fn speed(args: &UpArgs) -> Speed {
    match (args.speed, args.once) {
        (Some(speed), _) => Speed::Limit(speed),
        (None, true) => Speed::Jump,
        (None, false) => Speed::Limit(DEFAULT_SPEED),
    }
}

/// The ledger, by way of the desk's blobs: they are its only writer. One who writes the same folder
/// in a way of his own and is killed leaves drafts in it that the handler's listings would show.
fn ledger(
    sandbox: &Sandbox,
    addresses: &Addresses,
    catalog: CatalogName,
) -> anyhow::Result<Ledger> {
    let host = addresses.blob.trim_start_matches("http://").to_owned();
    let wire = Local::to([(host.clone(), sandbox.blobs.router())]);
    let tokens = Arc::new(Tokens::fixed(IDENTITY_SECRET));
    let outbound = Outbound::new(Arc::new(wire), Arc::clone(&sandbox.clock), tokens, [host]);
    let store = seam::store::open(&store_url(addresses), &outbound).map_err(anyhow::Error::msg)?;
    Ok(Ledger::new(store, catalog))
}

/// Where the ledger's container is.
fn store_url(addresses: &Addresses) -> String {
    format!("{}/{ACCOUNT}/{CONTAINER}", addresses.blob)
}

/// The package as it ships, without its binary.
fn stage_app(app: &Path) -> std::io::Result<()> {
    if app.exists() {
        fs::remove_dir_all(app)?;
    }
    fs::create_dir_all(app)?;
    fs::write(app.join("host.json"), functions::package::HOST_JSON)?;
    for (name, text) in functions::package::functions() {
        let folder = app.join(name);
        fs::create_dir(&folder)?;
        fs::write(folder.join("function.json"), text)?;
    }
    Ok(())
}

/// The app settings, as they would be in the cloud.
fn settings(catalog: &Catalog, addresses: &Addresses, tenant: &str) -> BTreeMap<String, String> {
    let Addresses { arm, bus, blob, identity, host: _ } = addresses;
    let settings = [
        ("GOLDSMITH_CATALOG", catalog.catalog.to_string()),
        ("GOLDSMITH_ARM", arm.clone()),
        ("GOLDSMITH_BUS", bus.clone()),
        ("GOLDSMITH_STORE", store_url(addresses)),
        ("GOLDSMITH_BLOBS", format!("{blob}/{{account}}")),
        ("GOLDSMITH_DESK_TIME", "1".to_owned()),
        // A handler whose desk was killed would go on for ever.
        ("GOLDSMITH_WHILE_STDIN_IS_OPEN", "1".to_owned()),
        ("IDENTITY_ENDPOINT", format!("{identity}/msi/token")),
        ("IDENTITY_HEADER", IDENTITY_SECRET.to_owned()),
        ("AZURE_CLIENT_ID", Principal::Handler.client_id(tenant)),
        ("GOLDSMITH_DELETING_CLIENT_ID", Principal::Deleter.client_id(tenant)),
        // Whoever starts us may have these for the cloud; empty means absent.
        ("GOLDSMITH_IDENTITY", String::new()),
        ("GOLDSMITH_WEBHOOK", String::new()),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One queue for each function that a message wakes, and those that were asked for.
fn queues(package: &Package, asked: &[Queue]) -> Vec<Queue> {
    let named = |name: String| Queue { name, options: QueueOptions::default() };
    package.queues().into_iter().map(named).chain(asked.iter().cloned()).collect()
}

fn handler(args: &UpArgs) -> anyhow::Result<(PathBuf, Vec<String>)> {
    if let Some(path) = &args.handler {
        // It is started in the app's folder.
        let path = fs::canonicalize(path)
            .with_context(|| format!("the handler `{}` is not there", path.display()))?;
        return Ok((path, Vec::new()));
    }
    let ourselves = std::env::current_exe().context("finding our own program")?;
    Ok((ourselves, vec!["handler".to_owned()]))
}
