//! Plain requests to ARM: a question goes beyond what Goldsmith's client ever sends.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderValue, Method, StatusCode};
use seam::outbound::Audience;
use seam::{Clock, Outbound, Tokens, Wire};
use serde_json::{Value, json};

const GALLERIES: &str = "2026-03-03";
const MACHINES: &str = "2026-04-01";
const DISKS: &str = "2026-03-02";
const TEMPLATES: &str = "2025-10-01";
const GRAPH: &str = "2024-04-01";

/// How often a resource is looked at, and for how long, until it is ready.
const LOOK: TimeDelta = TimeDelta::seconds(15);
const PATIENCE: TimeDelta = TimeDelta::hours(3);

/// What the questions may use.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The id of a resource group that may be filled and thrown away.
    pub(crate) group: String,
    /// The id of a version or a managed image that versions are made from, in `location`.
    pub(crate) source: String,
    pub(crate) location: String,
    pub(crate) second_location: String,
    /// The id of a subnet in the second location, for machines.
    pub(crate) subnet: Option<String>,
    /// The id of a template that has run and may be deleted.
    pub(crate) template: Option<String>,
}

/// Azure, live or simulated.
#[derive(Clone, Debug)]
pub(crate) struct Azure {
    origin: String,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    pub(crate) place: Place,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    /// Whether it did what was asked.
    pub(crate) fn done(&self) -> bool {
        self.status.is_success()
    }

    /// Status and code, as in `409 Conflict`.
    pub(crate) fn said(&self) -> String {
        let code = self.body["error"]["code"].as_str().unwrap_or_default();
        format!("{} {code}", self.status.as_u16()).trim().to_owned()
    }

    /// Panics with Azure's own words when it did not.
    pub(crate) fn expect(self, what: &str) -> Answer {
        assert!(self.done(), "{what}: {} {}", self.said(), self.body["error"]["message"]);
        self
    }
}

impl Azure {
    pub(crate) fn new(
        host: &str,
        scheme: &str,
        wire: Arc<dyn Wire>,
        clock: Arc<dyn Clock>,
        tokens: Tokens,
        place: Place,
    ) -> Azure {
        let trusted = [host.to_owned()];
        let outbound = Outbound::new(wire, Arc::clone(&clock), Arc::new(tokens), trusted);
        Azure { origin: format!("{scheme}://{host}"), outbound, clock, place }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Lets time pass.
    pub(crate) async fn wait(&self, time: TimeDelta) {
        self.clock.sleep_until(self.now() + time).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    /// An action that has no body.
    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, None).await
    }

    /// The rows that Resource Graph has for `query` in the group's subscription.
    pub(crate) async fn graph(&self, query: &str) -> Value {
        let subscription = self.place.group.split('/').nth(2).unwrap_or_default();
        let body = json!({ "subscriptions": [subscription], "query": query });
        let path = "/providers/Microsoft.ResourceGraph/resources";
        let answer = self.ask(Method::POST, path, Some(&body)).await;
        answer.expect("querying Resource Graph").body["data"].clone()
    }

    /// The resource, once it is Succeeded and replicated everywhere; or as it is when that will
    /// not be.
    pub(crate) async fn ready(&self, path: &str) -> Value {
        let begun = self.now();
        let expanded = if path.contains("/versions/") {
            format!("{path}?$expand=ReplicationStatus")
        } else {
            path.to_owned()
        };
        loop {
            let body = self.get(&expanded).await.expect("reading what was written").body;
            let state = body["properties"]["provisioningState"].as_str().unwrap_or_default();
            if matches!(state, "Succeeded" | "Failed") {
                return body;
            }
            assert!(self.now() - begun < PATIENCE, "{path} is still {state}");
            self.wait(LOOK).await;
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let lower = path.to_ascii_lowercase();
        let version = match () {
            () if lower.contains("/galleries/") => GALLERIES,
            () if lower.contains("imagetemplates") => TEMPLATES,
            () if lower.contains("resourcegraph") => GRAPH,
            () if lower.contains("/disks/") => DISKS,
            () => MACHINES,
        };
        let sign = if path.contains('?') { '&' } else { '?' };
        let uri = format!("{}{path}{sign}api-version={version}", self.origin);
        let bytes = body.map(Value::to_string).unwrap_or_default();

        let mut request = seam::Request::new(bytes.into());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        request.extensions_mut().insert(Audience("https://management.azure.com"));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        let answer = self.outbound.send(request).await.unwrap();
        let (status, _, bytes) = answer.collect(16 << 20).await.unwrap();
        Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }
}
