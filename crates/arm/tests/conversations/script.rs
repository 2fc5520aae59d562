//! An Azure that has learnt its part by heart: it answers one request after the other, whatever
//! is asked, and remembers what was asked.

use std::sync::{Arc, Mutex};

use arm::{Arm, GalleryId, Permit, TemplateId, VersionId};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use contract::{Checked, Exchange, Verified};
use seam::{Local, Outbound, Tokens, ToldClock};
use serde_json::Value;

pub(crate) const HOST: &str = "management.azure.com";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The lines to say and what was heard.
#[derive(Clone)]
pub(crate) struct Script {
    lines: Arc<Mutex<Vec<Line>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Holds every request against Microsoft's documents.
    verified: Arc<Verified>,
}

impl Default for Script {
    fn default() -> Script {
        let verified = Arc::new(Verified::new(Checked::Requests));
        Script { lines: Arc::default(), asked: Arc::default(), verified }
    }
}

impl Script {
    pub(crate) fn answering(status: u16, body: impl ToString) -> Script {
        Script::default().then(status, body)
    }

    pub(crate) fn then(self, status: u16, body: impl ToString) -> Script {
        self.with(status, &[], body)
    }

    pub(crate) fn with(self, status: u16, headers: &[(&str, &str)], body: impl ToString) -> Script {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let line = Line { status, headers: headers.collect(), body: body.to_string() };
        self.lines.lock().unwrap().push(line);
        self
    }

    pub(crate) fn arm(&self) -> Arm {
        let router = Router::new().fallback(answer).with_state(self.clone());
        let wire = Arc::new(Local::to([(HOST.to_owned(), router)]));
        let clock = Arc::new(ToldClock(now()));
        let tokens = Arc::new(Tokens::fixed("told"));
        let outbound = Outbound::new(wire, clock, tokens, [HOST.to_owned()]);
        Arm::new(format!("https://{HOST}").parse().unwrap(), outbound)
    }

    /// Leaves out the next line: nobody will ask for it.
    pub(crate) fn pass_over(&self) {
        self.lines.lock().unwrap().remove(0);
    }

    /// How many lines are not said yet.
    pub(crate) fn left(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The only request that was made.
    pub(crate) fn only(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let (asked, sent) = (parts.clone(), body.clone());
    let header = |name: &http::HeaderName, value: &http::HeaderValue| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    script.asked.lock().unwrap().push(Asked {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers.iter().map(|(name, value)| header(name, value)).collect(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });

    let line = {
        let mut lines = script.lines.lock().unwrap();
        assert!(!lines.is_empty(), "nothing is left to say to {}", parts.uri);
        lines.remove(0)
    };
    let mut response = Response::builder().status(line.status);
    for (name, value) in &line.headers {
        response = response.header(name, value);
    }
    let response = response.body(Body::from(line.body.clone())).unwrap();
    script.verified.heard(&Exchange {
        method: asked.method,
        path: asked.uri.path_and_query().unwrap().to_string(),
        asked: asked.headers,
        sent,
        status: response.status(),
        told: response.headers().clone(),
        answered: line.body.into(),
    });
    response
}

pub(crate) fn now() -> DateTime<Utc> {
    "2026-09-08T06:00:00Z".parse().unwrap()
}

pub(crate) fn permit() -> Permit {
    Permit { send_before: now() + TimeDelta::seconds(60) }
}

pub(crate) fn gallery() -> GalleryId {
    GalleryId::new("00000000-0000-0000-0000-000000000001", "rg-images", "golden")
}

pub(crate) fn version() -> VersionId {
    gallery().definition("ubuntu-web").version("1.2.3".parse().unwrap())
}

pub(crate) fn template() -> TemplateId {
    TemplateId::new("00000000-0000-0000-0000-000000000001", "rg-build", "ubuntu-web-1.2.3")
}
