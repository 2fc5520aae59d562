//! Where requests reach the world: what Azure has taken is written down, and looked at.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use http::Method;
use seam::{Body, Clock, Fault, Local, Request, Response, Wire};
use serde_json::Value;

use crate::record::{Record, Write};
use crate::trace::Trace;
use crate::traffic::Traffic;
use crate::watch::Watch;
use crate::world::{ARM, BUS, PEOPLE, STRANGER};

/// Where requests reach the world.
#[derive(Debug)]
pub(crate) struct Door {
    world: Local,
    record: Record,
    clock: Arc<dyn Clock>,
    trace: Trace,
    watch: Arc<Watch>,
    /// What Azure and the bus were asked.
    traffic: Arc<Mutex<Traffic>>,
}

fn text(header: Option<&http::HeaderValue>) -> String {
    header.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
}

impl Door {
    /// The door to `world`, at which `watch` looks on.
    pub(crate) fn to(
        world: Local,
        record: &Record,
        clock: &Arc<dyn Clock>,
        trace: &Trace,
        watch: &Arc<Watch>,
    ) -> Door {
        let (record, clock, trace) = (record.clone(), Arc::clone(clock), trace.clone());
        Door { world, record, clock, trace, watch: Arc::clone(watch), traffic: Arc::default() }
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Wire for Door {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let what = format!("{} {}", request.method(), request.uri().path());
        // Nobody looks what becomes of a request that is carried (`network.rs`).
        let answer = AssertUnwindSafe(self.pass(request)).catch_unwind().await;
        answer.unwrap_or_else(|_| {
            self.watch.breaks(&format!("nothing panics: the world or a judge did at {what}"));
            Err(Fault::PerhapsDone("the world panicked".to_owned()))
        })
    }
}

impl Door {
    async fn pass(&self, request: Request) -> Result<Response, Fault> {
        let goes_to = |host: &str| request.uri().authority().is_some_and(|it| it.as_str() == host);
        let is_arm = goes_to(ARM);
        if goes_to(BUS) {
            self.traffic().sent += 1;
        }
        let is_write = request.method() != Method::GET
            && request.method() != Method::HEAD
            && is_arm
            && !request.uri().path().ends_with("/resources");
        if !is_write {
            if !is_arm {
                let properties = text(request.headers().get("brokerproperties"));
                let body = String::from_utf8_lossy(request.body());
                // Whoever is told knows the address.
                let to = request.uri().path();
                let to = if goes_to(PEOPLE) { "" } else { to };
                self.watch.says("a message", &format!("{to} {properties} {body}"));
            }
            let answer = self.world.send(request).await?;
            if is_arm {
                self.traffic().answered(self.clock.now(), answer.status);
            }
            return Ok(answer);
        }
        let mut write = Write {
            at: self.clock.now(),
            method: request.method().clone(),
            path: request.uri().path().to_ascii_lowercase(),
            body: serde_json::from_slice(request.body()).unwrap_or(Value::Null),
            status: 0,
            ours: request.headers().get("user-agent").is_none_or(|it| it != STRANGER),
            invocation: text(request.headers().get("x-ms-client-request-id")),
        };
        self.watch.expect();
        let (status, headers, body) = self.world.send(request).await?.collect(usize::MAX).await?;
        write.status = status.as_u16();
        self.traffic().answered(write.at, status);
        self.trace.say(
            write.at,
            "azure",
            format_args!("{} {}: {}", write.method, write.path, write.status),
        );
        self.record.wrote(write);
        self.watch.look();
        Ok(Response { status, headers, body: Body::full(body) })
    }
}
