//! A desk for tests: Azure over memory, a clock moved by hand, requests that read like sentences.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use chrono::{DateTime, TimeDelta, Utc};
use contract::{Checked, Verified};
use http::{HeaderMap, Request, StatusCode};
use sandbox::azure::{Azure, AzureOptions};
use sandbox::blob::Blobs;
use sandbox::bus::{Bus, Queue};
use sandbox::database::Database;
use sandbox::estate::Estate;
use seam::Clock;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const SUBSCRIPTION: &str = "6f9619ff-8b86-4d11-b42d-00c04fc964ff";
pub(crate) const GROUP: &str =
    "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-images";
pub(crate) const GALLERY: &str = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-images/providers/Microsoft.Compute/galleries/galTest";
pub(crate) const WEB: &str = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-images/providers/Microsoft.Compute/galleries/galTest/images/web";
pub(crate) const TEMPLATE: &str = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-images/providers/Microsoft.VirtualMachineImages/imageTemplates/t1";
pub(crate) const BLOB: &str = "http://127.0.0.1:10000";

const GALLERIES_API: &str = "2026-03-03";
const TEMPLATES_API: &str = "2025-10-01";

/// A small estate; `%VARIANTS%` and `%GALLERY%` are filled in by tests.
const ESTATE: &str = "
start: 2026-09-07T06:00:00Z
tenant: 0f1c2d3e-4b5a-4c6d-8e7f-901234567890
subscriptions:
  - id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    name: images
    resourceGroups: [{ name: rg-images, location: westeurope }, { name: rg-empty, location: westeurope }]
  - id: b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70
    name: shop
    resourceGroups: [{ name: rg-shop, location: westeurope }]
  - { id: d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19, name: legal, readable: false }
managementGroups:
  - { name: mg-all, subscriptions: [b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70, d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19] }
eventGrid: true
marketplace:
  - publisher: Canonical
    offer: jammy
    sku: 22_04-lts-gen2
    os: ubuntu/22.04
    versions:
      - { version: 22.04.202608090, released: 2026-08-09T00:00:00Z, packages: { openssl: 3.0.2-17, kernel: 5.15.1 } }
      - { version: 22.04.2026082801, released: 2026-08-28T00:00:00Z, deprecated: 2026-12-01T00:00:00Z }
      - { version: 22.04.202609100, released: 2026-09-10T00:00:00Z, packages: { kernel: 5.15.2 } }
  - publisher: Contoso
    offer: planned
    sku: one
    os: ubuntu/22.04
    plan: { name: p, product: q, publisher: r }
    versions: [{ version: 1.0.0, released: 2026-01-01T00:00:00Z }]
  - publisher: MicrosoftWindowsServer
    offer: WindowsServer
    sku: 2022-g2
    os: windows/2022
    osType: Windows
    diskGb: 127
    versions: [{ version: 20348.1.1, released: 2026-01-01T00:00:00Z, packages: { windows: 10.0.1 } }]
advisories:
  - { id: CVE-1, os: ubuntu/22.04, package: openssl, severity: high, title: 'a hole', published: 2026-09-08T00:00:00Z,
      fixed: { version: 3.0.2-18, published: 2026-09-08T12:00:00Z } }
  - { id: CVE-2, os: ubuntu/22.04, package: kernel, severity: critical, title: 'another', published: 2026-09-08T00:00:00Z }
  - { id: CVE-3, os: windows/2022, package: windows, severity: high, title: 'w', published: 2026-01-02T00:00:00Z,
      fixed: { version: 10.0.2, published: 2026-01-02T00:00:00Z } }
steps:
  - { name: apply-updates, upgradesAll: true }
  - { name: broken, fails: { reason: 'E: Unable to locate package nginx' } }
galleries:
  - subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    resourceGroup: rg-images
    name: galTest
    location: westeurope
    %GALLERY%
    definitions:
      - name: web
        publisher: contoso
        offer: ubuntu
        sku: web
        versions:
          - { number: 1.0.0, published: 2026-08-01T00:00:00Z, regions: [westeurope, northeurope],
              base: 'Canonical:jammy:22_04-lts-gen2:22.04.202608090', tags: { keep: me } }
          - { number: 1.2.0, published: 2026-08-02T00:00:00Z, regions: [westeurope] }
          - { number: 1.10.0, published: 2026-08-03T00:00:00Z, regions: [westeurope], excludeFromLatest: true }
      - { name: other, publisher: contoso, offer: ubuntu, sku: other }
machines:
  - { subscription: b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70, resourceGroup: rg-shop, name: vm1, location: westeurope,
      image: galTest/web, exactVersion: 1.2.0, created: 2026-08-05T01:02:03.4567Z }
  - { subscription: b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70, resourceGroup: rg-shop, name: vm2, location: westeurope,
      image: galTest/web/1.0.0, created: 2026-08-05T00:00:00Z }
scaleSets:
  - { subscription: b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70, resourceGroup: rg-shop, name: vmss1, location: westeurope,
      image: galTest/web, size: 2, created: 2026-08-05T00:00:00Z, instances: [{ id: 0, exactVersion: 1.0.0 }] }
  - { subscription: b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70, resourceGroup: rg-shop, name: vmss0, location: westeurope,
      image: galTest/web/1.0.0, size: 0, created: 2026-08-05T00:00:00Z }
%REST%
";

/// A clock that stands where it was put.
#[derive(Debug)]
pub(crate) struct HandClock(Mutex<DateTime<Utc>>);

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, _at: DateTime<Utc>) {
        std::future::pending::<()>().await;
    }
}

/// Azure and what it stands on.
pub(crate) struct Desk {
    pub(crate) azure: Arc<Azure>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) bus: Arc<Bus>,
    /// Holds every answer against Microsoft's documents.
    pub(crate) verified: Verified,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().unwrap())
    }

    /// `error.code`.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// `properties.provisioningState`.
    pub(crate) fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }
}

/// The test estate with these replacements.
pub(crate) fn estate(gallery: &str, rest: &str) -> Estate {
    let events = if rest.contains("eventGrid:") { "" } else { "eventGrid: true\n" };
    let text = ESTATE.replace("eventGrid: true\n", events);
    let text = text.replace("%GALLERY%", gallery).replace("%REST%", rest);
    Estate::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn desk() -> Desk {
    desk_of("", "", AzureOptions::default())
}

/// A desk whose estate answers an open question in this way.
pub(crate) fn desk_with(rest: &str) -> Desk {
    desk_of("", rest, AzureOptions::default())
}

pub(crate) fn desk_of(gallery: &str, rest: &str, options: AzureOptions) -> Desk {
    let estate = estate(gallery, rest);
    let database = Arc::new(Database::open(None).unwrap());
    let clock = Arc::new(HandClock(Mutex::new(estate.start)));
    let blobs = Arc::new(Blobs::memory(BLOB));
    let queue = Queue { name: "ingress".to_owned(), options: Default::default() };
    let bus = Bus::open(Arc::clone(&database), clock.clone(), [queue]).unwrap();
    let azure =
        Azure::open(database, &estate, clock.clone(), blobs.clone(), bus.clone(), options).unwrap();
    Desk { azure, clock, blobs, bus, verified: Verified::new(Checked::Answers) }
}

impl Desk {
    /// Lets time pass.
    pub(crate) fn wait(&self, secs: f64) {
        let nanos = TimeDelta::nanoseconds((secs * 1e9) as i64);
        *self.clock.0.lock().unwrap() += nanos;
    }

    pub(crate) fn wait_until(&self, at: &str) {
        *self.clock.0.lock().unwrap() = at.parse().unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let router = self.verified.around(self.azure.router());
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let api = if path.to_ascii_lowercase().contains("imagetemplates") {
            TEMPLATES_API
        } else if path.contains("/galleries") {
            GALLERIES_API
        } else if path.contains("ResourceGraph") {
            "2024-04-01"
        } else if path.contains("/disks") {
            "2026-03-02"
        } else if path.contains("Microsoft.Compute") && !path.ends_with("Microsoft.Compute") {
            "2026-04-01"
        } else {
            "2025-04-01"
        };
        let sign = if path.contains('?') { '&' } else { '?' };
        let uri = match path.contains("api-version=") {
            true => path.to_owned(),
            false => format!("{path}{sign}api-version={api}"),
        };
        let bytes = body.map(|it| it.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "arm.test")
            .header("authorization", "Bearer token");
        self.send(request.body(Body::from(bytes)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.ask("HEAD", path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask("PATCH", path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, None).await
    }

    /// GET of an address that an answer named.
    pub(crate) async fn follow(&self, address: &str) -> Answer {
        let path = address.strip_prefix("http://arm.test").expect("an address of ours");
        self.get(path).await
    }

    /// Rows of a Resource Graph query over everything readable.
    pub(crate) async fn graph(&self, query: &str) -> Answer {
        self.post("/providers/Microsoft.ResourceGraph/resources", json!({ "query": query })).await
    }

    /// Puts the template `t1` and lets it become ready.
    pub(crate) async fn ready_template(&self, properties: Value) -> Answer {
        let answer = self.put(TEMPLATE, template(properties)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        self.wait(60.0);
        self.get(TEMPLATE).await
    }

    /// Runs the template `t1` to its end.
    pub(crate) async fn run_to_end(&self) -> Answer {
        let answer = self.post(&format!("{TEMPLATE}/run"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        self.wait(4000.0);
        self.get(TEMPLATE).await
    }
}

/// The body of a template that builds web 2.0.0 from Ubuntu; `properties` go over it.
pub(crate) fn template(properties: Value) -> Value {
    let identity = format!(
        "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-image-builder"
    );
    let mut body = json!({
        "location": "westeurope",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": "Canonical", "offer": "jammy",
                "sku": "22_04-lts-gen2", "version": "latest",
            },
            "customize": [{ "type": "Shell", "name": "apply-updates", "inline": ["true"] }],
            "distribute": [{
                "type": "SharedImage",
                "runOutputName": "web",
                "galleryImageId": format!("{WEB}/versions/2.0.0"),
                "targetRegions": [{ "name": "westeurope", "replicaCount": 1 }],
                "excludeFromLatest": true,
                "artifactTags": { "goldsmith-image": "web" },
            }],
        },
    });
    for (name, value) in properties.as_object().into_iter().flatten() {
        body["properties"][name] = value.clone();
    }
    body
}

/// The body of a version made from web 1.0.0 with these regions.
pub(crate) fn version(regions: &[&str]) -> Value {
    let regions: Vec<Value> = regions.iter().map(|it| json!({ "name": it })).collect();
    json!({
        "location": "westeurope",
        "properties": {
            "publishingProfile": { "targetRegions": regions },
            "storageProfile": { "source": { "id": format!("{WEB}/versions/1.0.0") } },
        },
    })
}
