//! The desk's Azure, behind the doors that a client knocks at. Each input meets a desk of its own,
//! so that it does tomorrow what it did today; only queries share one, since they change nothing.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderValue, Method};
use sandbox::bus::SharedKey;
use sandbox::estate::Estate;
use sandbox::{Place, Routers, Sandbox, SandboxOptions, Time};
use seam::{Clock, Request};

use super::script::{Leaping, ask, block_on, pieces, request};

const ESTATE: &str = include_str!("../../tests/it/northwind/estate.yaml");
const GRAPH: &str = "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01";

pub(crate) fn arm_door(bytes: &[u8]) {
    each(bytes, |desk| desk.arm);
}

pub(crate) fn blob_door(bytes: &[u8]) {
    each(bytes, |desk| desk.blob);
}

pub(crate) fn bus_door(bytes: &[u8]) {
    each(bytes, |desk| desk.bus);
}

pub(crate) fn identity_door(bytes: &[u8]) {
    let (sandbox, _) = desk();
    let router = sandbox.routers().identity.merge(sandbox.entra.router());
    knock(&router, bytes);
}

/// A query of Resource Graph, alone.
pub(crate) fn kql(bytes: &[u8]) {
    thread_local! {
        static DESK: (Router, Arc<Leaping>) = {
            let (sandbox, clock) = desk();
            (sandbox.routers().arm, clock)
        };
    }
    let body = serde_json::json!({ "query": String::from_utf8_lossy(bytes) }).to_string();
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = GRAPH.parse().expect("an address");
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer a"));
    request.headers_mut().insert("host", HeaderValue::from_static("127.0.0.1:4001"));
    DESK.with(|(router, clock)| {
        // Past the window of the quota.
        clock.pass(TimeDelta::seconds(5));
        let (status, body) = block_on(ask(router, request));
        assert!(status.as_u16() != 429 && status.as_u16() != 500, "{status}");
        assert!(body.len() < 32 << 20, "{} bytes", body.len());
    });
}

fn each(bytes: &[u8], door: impl FnOnce(Routers) -> Router) {
    knock(&door(desk().0.routers()), bytes);
}

fn knock(router: &Router, bytes: &[u8]) {
    for mut request in pieces(bytes).filter_map(request) {
        let headers = request.headers_mut();
        headers.entry("authorization").or_insert(HeaderValue::from_static("Bearer a"));
        let (status, body) = block_on(ask(router, request));
        assert!(status.as_u16() != 500, "{}", String::from_utf8_lossy(&body));
    }
}

fn desk() -> (Sandbox, Arc<Leaping>) {
    let clock = Arc::new(Leaping::default());
    let options = SandboxOptions {
        blob_url: "http://127.0.0.1:4003".to_owned(),
        queues: vec!["notify".parse().expect("a name")],
        bus_key: SharedKey::default(),
        identity_secret: "secret".to_owned(),
        retry_after_always: false,
    };
    let estate = Estate::parse(ESTATE).expect("it is one");
    let time = Time::Told(Arc::clone(&clock) as Arc<dyn Clock>);
    let sandbox = Sandbox::open(&estate, &Place::Memory, time, options);
    (sandbox.expect("memory"), clock)
}
