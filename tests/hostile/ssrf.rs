//! Addresses that come from outside: whatever they name, nothing is asked there, and no token leaves
//! for anywhere but the hosts of the settings. What is written into a link is refused or ignored;
//! status URLs, the bus's addresses and redirects are never followed at all. What links a scan report
//! has, nobody could follow: `crates/reports` is given bytes and has no wire.

use std::sync::{Arc, Mutex};

use arm::{Arm, Error, GalleryId, GroupId, Permit, TemplateId};
use async_trait::async_trait;
use bus::{Bus, Outgoing};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use contract::{Checked, Exchange, Verified};
use functions::Settings;
use http::{HeaderMap, HeaderValue, StatusCode};
use rules::catalog::PlatformImage;
use seam::outbound::Audience;
use seam::{Body, Endpoint, Fault, Outbound, Request, Response, Tokens, ToldClock, Wire};
use serde_json::json;

const HOST: &str = "management.azure.com";
const SUBSCRIPTION: &str = "6f9619ff-8b86-4d11-b42d-00c04fc964ff";

/// Every other way to write an address that leads elsewhere, or here in the clear.
const ELSEWHERE: [&str; 34] = [
    "https://evil.example/x?sig=hush",
    "http://management.azure.com/x?sig=hush",
    "https://management.azure.com.evil.example/x?sig=hush",
    "https://evil.example/management.azure.com/x?sig=hush",
    "https://evil.example?https://management.azure.com/&sig=hush",
    "https://evil.example#@management.azure.com/?sig=hush",
    "https://management.azure.com@evil.example/x?sig=hush",
    "https://management.azure.com:443@evil.example/x?sig=hush",
    "https://management.azure.com%40evil.example/x?sig=hush",
    "https://management.azure.com%2eevil.example/x?sig=hush",
    "https://me:hush@management.azure.com/x",
    "https://@management.azure.com:8443/x?sig=hush",
    "https://management.azure.com:8443/x?sig=hush",
    "https://management.azure.com:80/x?sig=hush",
    "https://management.azure.com./x?sig=hush",
    "https://m\u{430}nagement.azure.com/x?sig=hush",
    "https://xn--mnagement-ecb.azure.com/x?sig=hush",
    "https://management\u{3002}azure.com.evil.example/x?sig=hush",
    "https://management.azure.com\t.evil.example/x?sig=hush",
    "https://management.azure.com\\.evil.example/x?sig=hush",
    "https:\\\\evil.example\\x?sig=hush",
    "\\\\evil.example\\x?sig=hush",
    "//evil.example/x?sig=hush",
    "///evil.example/x?sig=hush",
    "http://169.254.169.254/metadata/identity/oauth2/token?resource=x&sig=hush",
    "https://[fe80::1]/x?sig=hush",
    "http://127.0.0.1/x?sig=hush",
    "http://localhost:4001/x?sig=hush",
    "http://2130706433/x?sig=hush",
    "http://0x7f.1/x?sig=hush",
    "https://[::ffff:169.254.169.254]/x?sig=hush",
    "ftp://management.azure.com/x?sig=hush",
    "file:///etc/passwd?sig=hush",
    "gopher://management.azure.com:70/x?sig=hush",
];

/// A wire that answers everybody the same, and remembers who was asked. What was asked is held
/// against Microsoft's documents.
#[derive(Clone, Debug)]
struct Answers {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    asked: Arc<Mutex<Vec<String>>>,
    verified: Arc<Verified>,
}

impl Answers {
    fn new(status: u16, body: &serde_json::Value) -> Answers {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::from(body.to_string());
        let verified = Arc::new(Verified::new(Checked::Requests));
        Answers { status, headers: HeaderMap::new(), body, asked: Arc::default(), verified }
    }

    fn with(mut self, name: &'static str, value: &str) -> Answers {
        // What no header can hold cannot arrive in one.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.insert(name, value);
        }
        self
    }

    fn outbound(&self) -> Outbound {
        self.outbound_to(HOST)
    }

    fn outbound_to(&self, host: &str) -> Outbound {
        let (wire, clock) = (Arc::new(self.clone()), Arc::new(ToldClock(noon())));
        Outbound::new(wire, clock, Arc::new(Tokens::fixed("hush")), [host.to_owned()])
    }

    fn arm(&self) -> Arm {
        Arm::new(format!("https://{HOST}").parse().unwrap(), self.outbound())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Wire for Answers {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        self.asked.lock().unwrap().push(request.uri().to_string());
        let Answers { status, headers, body, .. } = self.clone();
        if request.uri().host() != Some(HOST) {
            return Ok(Response { status, headers, body: Body::full(body) });
        }
        self.verified.heard(&Exchange {
            method: request.method().clone(),
            path: request.uri().path_and_query().unwrap().to_string(),
            asked: request.headers().clone(),
            sent: request.body().clone(),
            status,
            told: headers.clone(),
            answered: body.clone(),
        });
        Ok(Response { status, headers, body: Body::full(body) })
    }
}

fn noon() -> DateTime<Utc> {
    "2026-09-08T12:00:00Z".parse().unwrap()
}

fn permit() -> Permit {
    Permit { send_before: noon() + TimeDelta::seconds(60) }
}

#[tokio::test]
async fn the_seam_sends_no_token_and_no_request_there() {
    let wire = Answers::new(200, &json!({}));
    let outbound = wire.outbound();

    for address in ELSEWHERE {
        // What is no address at all cannot even be asked.
        let Ok(uri) = address.parse::<http::Uri>() else { continue };
        let mut request = Request::default();
        *request.uri_mut() = uri;
        request.extensions_mut().insert(Audience("https://management.azure.com"));

        let fault = outbound.send(request).await.unwrap_err();

        assert!(matches!(fault, Fault::NotSent(_)), "{address}: {fault}");
        assert!(!fault.to_string().contains("hush"), "{fault}");
        assert_eq!(wire.asked(), [""; 0], "{address}");
    }
}

#[tokio::test]
async fn no_list_is_continued_there() {
    let gallery = GalleryId::new(SUBSCRIPTION, "rg", "gallery");
    let (definition, group) = (gallery.definition("web"), GroupId::new(SUBSCRIPTION, "rg"));
    let image = PlatformImage {
        publisher: "p".to_owned(),
        offer: "o".to_owned(),
        sku: "s".to_owned(),
        plan: None,
    };

    for link in ELSEWHERE {
        let wire = Answers::new(200, &json!({ "value": [], "nextLink": link }));
        let arm = wire.arm();
        let region = "westeurope".parse().unwrap();
        let set = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets/set");
        let refused: [(&str, Option<Error>); 6] = [
            ("versions", arm.versions(&definition).await.err()),
            ("soft-deleted versions", arm.soft_deleted(&definition).await.err()),
            ("templates", arm.templates(&group).await.err()),
            ("resources", arm.resources(&group).await.err()),
            ("platform versions", arm.platform_versions(SUBSCRIPTION, &region, &image).await.err()),
            ("instances", arm.scale_set_instances(&set).await.err()),
        ];

        for (what, error) in refused {
            let error = error.unwrap_or_else(|| panic!("{what} of {link} are a whole list"));
            assert!(matches!(error, Error::Malformed { .. }), "{what} of {link}: {error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        let ours = format!("https://{HOST}/subscriptions/{SUBSCRIPTION}/");
        let asked = wire.asked();
        assert!(asked.iter().all(|it| it.starts_with(&ours)), "{link}: {asked:?}");
    }
}

#[tokio::test]
async fn no_status_url_is_followed_wherever_it_leads() {
    let gallery = GalleryId::new(SUBSCRIPTION, "rg", "gallery");
    let version = gallery.definition("web").version("1.2.3".parse().unwrap());
    let template = TemplateId::new(SUBSCRIPTION, "rg", "web-1.2.3");
    let ours = ["https://management.azure.com/subscriptions/s/operations/1?sig=hush"];

    for link in ELSEWHERE.into_iter().chain(ours) {
        let wire = Answers::new(202, &json!({}))
            .with("azure-asyncoperation", link)
            .with("location", link)
            .with("operation-location", link)
            .with("refresh", &format!("0; url={link}"))
            .with("retry-after", "0");
        let arm = wire.arm();

        arm.run_template(&permit(), &template).await.unwrap();
        arm.cancel_template(&permit(), &template).await.unwrap();
        arm.delete_template(&permit(), &template).await.unwrap();
        arm.delete_version(&permit(), &version).await.unwrap();

        assert_eq!(wire.asked().len(), 4, "{link}");
    }
}

/// The service names a lock, and where a message is, by addresses. The host settles messages; we only
/// send.
#[tokio::test]
async fn no_address_that_the_bus_names_is_followed() {
    const BUS: &str = "contoso.servicebus.windows.net";

    for link in
        ELSEWHERE.into_iter().chain(["https://contoso.servicebus.windows.net/q/messages/1/2"])
    {
        let wire = Answers::new(201, &json!({})).with("location", link);
        let endpoint = format!("https://{BUS}").parse().unwrap();
        let bus = Bus::new(wire.outbound_to(BUS), endpoint);
        let message =
            Outgoing { id: "web:1:notify:0.0".to_owned(), body: "{}".to_owned(), due: None };

        bus.send("notify", &message).await.unwrap();

        let asked = wire.asked();
        assert_eq!(asked.len(), 1, "{link}: {asked:?}");
        assert!(asked[0].starts_with(&format!("https://{BUS}/notify/messages")), "{asked:?}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let version = GalleryId::new(SUBSCRIPTION, "rg", "gallery")
        .definition("web")
        .version("1.2.3".parse().unwrap());

    for status in [300, 301, 302, 303, 305, 307, 308] {
        for link in ["https://evil.example/?sig=hush", "https://management.azure.com/y?sig=hush"] {
            let wire = Answers::new(status, &json!({})).with("location", link);

            let error = wire.arm().version(&version).await.unwrap_err();

            assert!(matches!(error, Error::Malformed { .. }), "{status}: {error}");
            assert!(!error.to_string().contains("hush"), "{error}");
            assert_eq!(wire.asked().len(), 1, "{status}");
        }
    }
}

#[test]
fn no_setting_can_point_a_token_to_a_network_in_the_clear_or_to_another_scheme() {
    let settings = |name: &str, value: &str| {
        Settings::from_env(|asked| {
            let good = match asked {
                "GOLDSMITH_CATALOG" => Some("contoso"),
                "GOLDSMITH_BUS" => Some("https://contoso.servicebus.windows.net"),
                "GOLDSMITH_STORE" => Some("https://contoso.blob.core.windows.net/goldsmith"),
                _ => None,
            };
            if asked == name { Some(value.to_owned()) } else { good.map(str::to_owned) }
        })
    };

    for name in ["GOLDSMITH_ARM", "GOLDSMITH_BUS", "GOLDSMITH_STORE", "GOLDSMITH_WEBHOOK"] {
        for address in [
            "http://169.254.169.254/",
            "http://management.azure.com",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "ftp://contoso.example",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "//contoso.example",
        ] {
            let wrong = settings(name, address).unwrap_err();
            assert!(wrong.to_string().contains(name), "{address}: {wrong}");
        }
        assert!(settings(name, "https://contoso.example/x").is_ok(), "{name}");
    }
}

#[test]
fn an_endpoint_is_a_host_and_nothing_that_could_be_read_as_another() {
    for address in [
        "https://management.azure.com@evil.example",
        "https://management.azure.com?@evil.example",
        "https://management.azure.com#evil.example",
        "http://169.254.169.254",
        "http://[::ffff:169.254.169.254]",
        "ftp://management.azure.com",
    ] {
        assert!(address.parse::<Endpoint>().is_err(), "{address}");
    }
    // Backslashes and full stops of other scripts are read here as every other client reads them.
    let odd: Endpoint = "https:\\\\MANAGEMENT\u{3002}azure\u{ff0e}com".parse().unwrap();
    assert_eq!(odd.authority(), "management.azure.com");
}
