//! A wire to routers in this process: tests, the simulation, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body as AxumBody;
use futures::StreamExt;
use tower::ServiceExt;

use crate::wire::{Body, Fault, Request, Response, Wire};

/// Routers by authority (`host` or `host:port`, lower case). An unknown authority is a refused
/// connection.
#[derive(Clone, Debug, Default)]
pub struct Local {
    routers: Arc<BTreeMap<String, Router>>,
}

impl Local {
    /// A wire that reaches `routers`, each under its authority.
    pub fn to(routers: impl IntoIterator<Item = (String, Router)>) -> Local {
        Local { routers: Arc::new(routers.into_iter().collect()) }
    }
}

#[async_trait]
impl Wire for Local {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let authority = request.uri().authority().map(|it| it.as_str().to_ascii_lowercase());
        let router = authority.as_ref().and_then(|it| self.routers.get(it));
        let Some(router) = router else {
            let host = authority.unwrap_or_else(|| "a relative address".to_owned());
            return Err(Fault::NotSent(format!("nothing listens on `{host}`")));
        };

        let mut request = request.map(AxumBody::from);
        if let Some(host) = authority.as_ref().and_then(|it| it.parse().ok()) {
            request.headers_mut().entry(http::header::HOST).or_insert(host);
        }
        let answer = match router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };

        let (parts, body) = answer.into_parts();
        let stream = body
            .into_data_stream()
            .map(|chunk| chunk.map_err(|error| Fault::PerhapsDone(error.to_string())));
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: Body::streamed(stream.boxed()),
        })
    }
}
