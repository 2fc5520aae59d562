//! A wire to the simulated ARM that listens in and changes answers: the walk meets what Azure says
//! on its bad days.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use seam::{Body, Fault, Request, Response, Wire};
use serde_json::Value;
use tokio::time::Instant;

use crate::desk::ARM;

/// A request to ARM, and the status that the handler got.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The invocation that asked.
    pub(crate) id: String,
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) at: DateTime<Utc>,
    pub(crate) status: u16,
}

impl Asked {
    /// Whether it is `method` of a path below which `what` is found.
    pub(crate) fn is(&self, method: &str, what: &str) -> bool {
        self.method == method && self.path.contains(what)
    }

    /// Its path without the query.
    pub(crate) fn resource(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// What was asked, in order.
pub(crate) type Heard = Arc<Mutex<Vec<Asked>>>;

/// Changes the body of an answer; returns the status that it gets instead, if it gets another.
pub(crate) type Change = Box<dyn Fn(&Asked, &mut Value) -> Option<u16> + Send + Sync>;

/// The wire.
pub(crate) struct Changed {
    wire: Arc<dyn Wire>,
    change: Change,
    heard: Heard,
    start: DateTime<Utc>,
    begun: Instant,
}

impl Changed {
    /// A wire that begins at desk time `start`.
    pub(crate) fn new(
        wire: Arc<dyn Wire>,
        start: DateTime<Utc>,
        change: Change,
        heard: Heard,
    ) -> Changed {
        Changed { wire, change, heard, start, begun: Instant::now() }
    }
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changed")
    }
}

#[async_trait]
impl Wire for Changed {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if request.uri().authority().is_none_or(|it| it.as_str() != ARM) {
            return self.wire.send(request).await;
        }
        let id = request.headers().get("x-ms-client-request-id");
        let mut asked = Asked {
            id: id.map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default(),
            method: request.method().to_string(),
            path: request.uri().path_and_query().unwrap().to_string(),
            body: serde_json::from_slice(request.body()).unwrap_or(Value::Null),
            at: self.start + self.begun.elapsed(),
            status: 0,
        };

        let (status, mut headers, bytes) =
            self.wire.send(request).await?.collect(usize::MAX >> 1).await?;
        asked.status = status.as_u16();
        let told: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let mut body = told.clone();
        let instead = (self.change)(&asked, &mut body);
        asked.status = instead.unwrap_or(asked.status);
        let status = StatusCode::from_u16(asked.status).unwrap();
        self.heard.lock().unwrap().push(asked);

        let bytes = match body {
            body if body == told => bytes,
            Value::Null => Bytes::new(),
            body => body.to_string().into(),
        };
        headers.remove(CONTENT_LENGTH);
        Ok(Response { status, headers, body: Body::full(bytes) })
    }
}
