//! The handler's process, and the simulated Azure that it reaches over the loopback interface.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use contract::{Checked, Verified};
use ledger::{Draft, Ledger, StreamName};
use rules::event::Event;
use sandbox::estate::Estate;
use sandbox::host::Process;
use sandbox::serve::Door;
use sandbox::{Place, Routers, Sandbox, SandboxOptions, Time};
use seam::{Clock, Internet, Outbound, SystemClock, Tokens};
use tokio::sync::oneshot;

use crate::client::{self, Answer, Request};

const SECRET: &str = "secret";
/// Whether something is kept is asked for through this, the ledger's own container.
const CONTAINER: (&str, &str) = ("goldsmith", "goldsmith");
const QUEUES: [&str; 4] = ["ingress", "start_build", "notify", "follow_build"];

/// A catalog without images: a step that looks for something to do finds nothing.
const CATALOG: &str = r#"{"catalog":"contoso",
    "gallery":{"subscription":"6f9619ff-8b86-4d11-b42d-00c04fc964ff",
        "resourceGroup":"rg","name":"gal","location":"westeurope"},
    "build":{"resourceGroup":"rg-builds","identity":"/subscriptions/x"},
    "consumers":{},"images":[]}"#;
/// An image, for whoever wants a step to find something.
const IMAGE: &str = r#"{"name":"ubuntu-base",
    "identifier":{"publisher":"contoso","offer":"ubuntu","sku":"base"},"os":"linux",
    "base":{"platform":{"publisher":"Canonical","offer":"jammy","sku":"22_04-lts-gen2"}},
    "schedule":{"patchTuesday":{"daysAfter":1,"at":"02:00","zone":"Europe/Amsterdam"}},
    "rings":[{"name":"first","regions":["westeurope"]}]}"#;
const ESTATE: &str = "start: 2026-09-07T06:00:00Z
tenant: 72f988bf-86f1-41af-91ab-2d7cd011db47
subscriptions:
  - id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    name: images
    resourceGroups: [{ name: rg, location: westeurope }]
marketplace:
  - publisher: Canonical
    offer: jammy
    sku: 22_04-lts-gen2
    os: ubuntu/22.04
    versions: [{ version: 22.04.202608090, released: 2026-08-09T00:00:00Z }]
galleries:
  - subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    resourceGroup: rg
    name: gal
    location: westeurope
    definitions:
      - name: ubuntu-base
        publisher: contoso
        offer: ubuntu
        sku: base
        versions: [{ number: 1.0.0, published: 2026-08-01T00:00:00Z, regions: [westeurope] }]
";

/// A handler that answers, until it is dropped.
pub(crate) struct Desk {
    handler: Mutex<Child>,
    port: u16,
    environment: BTreeMap<&'static str, String>,
    /// The port of the store.
    store: u16,
    /// Holds what crosses to Azure Resource Manager against Microsoft's documents.
    _verified: Verified,
    /// The thread that serves the sandbox ends when this is gone.
    _serves: oneshot::Sender<()>,
}

/// A request of which a part has been sent.
pub(crate) struct Begun {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// The binary that is looked at.
#[expect(clippy::disallowed_methods, reason = "a test is told here which binary it is to look at")]
pub(crate) fn handler() -> PathBuf {
    let named = std::env::var("GOLDSMITH_HANDLER").ok().filter(|it| !it.is_empty());
    named.map_or_else(|| env!("CARGO_BIN_EXE_handler").into(), PathBuf::from)
}

impl Desk {
    /// Starts everything, and returns once the handler answers.
    pub(crate) fn start() -> Desk {
        Desk::with(CATALOG.to_owned())
    }

    /// The same, with an image in the catalog.
    pub(crate) fn with_an_image() -> Desk {
        Desk::with(CATALOG.replace("\"images\":[]", &format!("\"images\":[{IMAGE}]")))
    }

    fn with(catalog: String) -> Desk {
        let estate = Estate::parse(ESTATE).unwrap();
        let queues = QUEUES.iter().map(|it| it.parse().unwrap());
        let options = SandboxOptions::new("http://127.0.0.1:1", queues, SECRET);
        let time = Time::Told(Arc::new(SystemClock));
        let sandbox = Sandbox::open(&estate, &Place::Memory, time, options).unwrap();
        let (serves, ends) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let verified = Verified::new(Checked::Both);
        let mut routers = sandbox.routers();
        routers.arm = verified.around(routers.arm);
        std::thread::spawn(move || serve(&sandbox, routers, &catalog, &tell, ends));
        let [arm, bus, blob, identity] = told.recv().unwrap();

        let store = blob.rsplit(':').next().unwrap().parse().unwrap();
        let port = Process::free_port().unwrap();
        let environment = BTreeMap::from([
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
            ("GOLDSMITH_CATALOG", "contoso".to_owned()),
            ("GOLDSMITH_ARM", arm),
            ("GOLDSMITH_BUS", bus),
            ("GOLDSMITH_STORE", format!("{blob}/{}/{}", CONTAINER.0, CONTAINER.1)),
            ("GOLDSMITH_BLOBS", format!("{blob}/{{account}}")),
            ("IDENTITY_ENDPOINT", format!("{identity}/msi/token")),
            ("IDENTITY_HEADER", SECRET.to_owned()),
        ]);
        let child = command(&environment).stdout(Stdio::null()).spawn().unwrap();
        let desk = Desk {
            handler: Mutex::new(child),
            port,
            environment,
            store,
            _verified: verified,
            _serves: serves,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the handler does not start");
            std::thread::sleep(Duration::from_millis(25));
        }
        desk
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The handler once more, with the same settings.
    pub(crate) fn command(&self) -> Command {
        command(&self.environment)
    }

    pub(crate) fn send(&self, request: Request) -> Answer {
        let answer = client::send(self.port, &request);
        answer.unwrap_or_else(|| panic!("no answer to {:.200}", format!("{request:?}")))
    }

    pub(crate) fn try_send(&self, request: Request) -> Option<Answer> {
        client::send(self.port, &request)
    }

    /// The status of the first answer to these very bytes; 0 when there is none.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) -> u16 {
        client::send_bytes(self.port, bytes)
    }

    /// Connections on each of which these bytes are all that is ever said.
    pub(crate) fn silent(&self, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
        let connect = |_| {
            let mut stream = client::connect(self.port);
            stream.write_all(bytes).unwrap();
            stream
        };
        (0..count).map(connect).collect()
    }

    /// Sends the first bytes of `request` and hangs up.
    pub(crate) fn send_part_of(&self, request: &Request, bytes: usize) {
        client::connect(self.port).write_all(&request.bytes()[..bytes]).unwrap();
    }

    /// Sends the half of `request`.
    pub(crate) fn begin(&self, request: &Request) -> Begun {
        let bytes = request.bytes();
        let (half, rest) = bytes.split_at(bytes.len() - 40);
        let mut stream = client::connect(self.port);
        stream.write_all(half).unwrap();
        Begun { stream, rest: rest.to_vec() }
    }

    /// The names of what is kept in the store under `prefix`.
    pub(crate) fn kept(&self, prefix: &str) -> Vec<String> {
        let (account, container) = CONTAINER;
        let path = format!("/{account}/{container}?restype=container&comp=list&prefix={prefix}");
        let request = Request::new("GET", &path)
            .header("Authorization", "Bearer a-token")
            .header("x-ms-version", "2023-11-03");
        let answer = client::send(self.store, &request).unwrap();
        let list = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{list}");
        let names = list.split("<Name>").skip(1).filter_map(|it| it.split('<').next());
        names.map(str::to_owned).collect()
    }

    /// The very process that was started still runs.
    pub(crate) fn is_alive(&self) {
        let ended = self.handler.lock().unwrap().try_wait().unwrap();
        assert_eq!(ended, None, "the handler is gone");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let mut handler = self.handler.lock().unwrap();
        let _ = handler.kill();
        let _ = handler.wait();
    }
}

impl Begun {
    /// Sends the rest byte by byte; the status of the answer.
    pub(crate) fn finish(mut self) -> u16 {
        for byte in &self.rest {
            self.stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        client::read(self.stream).unwrap().status
    }
}

fn command(environment: &BTreeMap<&'static str, String>) -> Command {
    let mut command = Command::new(handler());
    command.env_clear().envs(environment);
    command
}

/// Serves the sandbox, with a catalog in force, until nobody needs it any more.
fn serve(
    sandbox: &Sandbox,
    routers: Routers,
    catalog: &str,
    tell: &mpsc::Sender<[String; 4]>,
    ends: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut doors = Vec::new();
        for _ in 0..4 {
            doors.push(Door::bind(0).await.unwrap());
        }
        let urls: Vec<String> = doors.iter().map(Door::url).collect();
        let routers = [routers.arm, routers.bus, routers.blob, routers.identity];
        let doors = doors.into_iter().zip(routers);
        let _servers: Vec<_> =
            doors.map(|(door, router)| door.open(router, &sandbox.holds)).collect();
        publish(&urls[2], catalog).await;
        tell.send(urls.try_into().unwrap()).unwrap();
        // An error means that the desk is gone, which is what is waited for.
        let _ = ends.await;
    });
}

async fn publish(blob: &str, catalog: &str) {
    let (wire, clock) = (Arc::new(Internet::default()), Arc::new(SystemClock));
    let now = clock.now();
    let host = blob.trim_start_matches("http://").to_owned();
    let outbound =
        Outbound::new(wire, clock, Arc::new(Tokens::fixed("a-token".to_owned())), [host]);
    let address = format!("{blob}/{}/{}", CONTAINER.0, CONTAINER.1);
    let store = seam::store::open(&address, &outbound).unwrap();
    let ledger = Ledger::new(store, "contoso".to_owned().try_into().unwrap());
    let catalog: rules::catalog::Catalog = serde_json::from_str(catalog).unwrap();
    let bytes = serde_json::to_vec(&catalog).unwrap();
    let digest = ledger.put_blob(bytes.into()).await.unwrap();
    let mut stream = ledger.read(&StreamName::Catalog).await.unwrap();
    let draft = Draft {
        id: "publish".to_owned(),
        cause: "publish".to_owned(),
        by: "a test".to_owned(),
        at: now,
        policy: digest.clone(),
        events: vec![Event::CatalogPublished { catalog: digest }],
    };
    ledger.append(&mut stream, draft).await.unwrap();
}
