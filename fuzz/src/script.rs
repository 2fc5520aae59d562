//! Requests and answers as text, so that a corpus can be read and a fuzzer can change one thing at
//! a time: a first line, headers, an empty line, a body; several of them between lines of `%%`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body as AxumBody;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use seam::{Body, Clock, Fault, Outbound, Request, Response, Tokens, Wire};
use tower::ServiceExt;

/// As many of one input are looked at.
const MOST: usize = 6;
/// The most of an answer that is read.
const LONGEST: usize = 64 << 20;

/// The time of every target: 2026-09-08T06:00:00Z.
pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_788_847_200, 0).unwrap_or_default()
}

/// Runs `work` to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without sockets needs nothing").block_on(work)
}

/// The pieces between lines of `%%`.
pub(crate) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.windows(4).position(|it| it == b"\n%%\n");
        rest = end.map(|it| &text[it + 4..]);
        Some(end.map_or(text, |it| &text[..it]))
    })
    .take(MOST)
}

/// The first line, the headers and the body of a piece; none when its head is no text.
fn parts(piece: &[u8]) -> Option<(&str, HeaderMap, Bytes)> {
    let end = piece.windows(2).position(|it| it == b"\n\n");
    let (head, body) = end.map_or((piece, &[][..]), |it| (&piece[..it], &piece[it + 2..]));
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let first = lines.next()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    });
    Some((first, headers.collect(), Bytes::copy_from_slice(body)))
}

/// `POST /queue/messages`, headers, a body; without a host it is `127.0.0.1:4001`.
pub(crate) fn request(piece: &[u8]) -> Option<Request> {
    let (first, headers, body) = parts(piece)?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::new(body);
    *request.method_mut() = method.parse().ok()?;
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_static("127.0.0.1:4001");
    request.headers_mut().entry("host").or_insert(host);
    Some(request)
}

/// What `router` answers: its status and body.
pub(crate) async fn ask(router: &Router, request: Request) -> (StatusCode, Vec<u8>) {
    let Ok(answer) = router.clone().oneshot(request.map(AxumBody::from)).await;
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, LONGEST).await;
    (parts.status, body.map(Into::into).unwrap_or_default())
}

/// A world that answers what it was told, one request after the other, and 404 from then on.
#[derive(Clone, Debug)]
pub(crate) struct Told(Arc<Mutex<VecDeque<(StatusCode, HeaderMap, Bytes)>>>);

impl Told {
    pub(crate) fn new(bytes: &[u8]) -> Told {
        let answers = pieces(bytes).filter_map(|piece| {
            let (first, headers, body) = parts(piece)?;
            Some((first.trim().parse().ok()?, headers, body))
        });
        Told(Arc::new(Mutex::new(answers.collect())))
    }

    /// The way to this world for a client that brings a token to `host`.
    pub(crate) fn outbound(self, host: &str) -> Outbound {
        let tokens = Arc::new(Tokens::fixed("a-token"));
        Outbound::new(Arc::new(self), Arc::new(Leaping::default()), tokens, [host.to_owned()])
    }
}

#[async_trait]
impl Wire for Told {
    async fn send(&self, _: Request) -> Result<Response, Fault> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let nothing = || (StatusCode::NOT_FOUND, HeaderMap::new(), Bytes::new());
        let (status, headers, body) = next.unwrap_or_else(nothing);
        Ok(Response { status, headers, body: Body::full(body) })
    }
}

/// A clock on which nobody waits: it leaps to whatever is waited for, up to an hour away.
#[derive(Debug)]
pub(crate) struct Leaping(Mutex<DateTime<Utc>>);

impl Default for Leaping {
    fn default() -> Leaping {
        Leaping(Mutex::new(noon()))
    }
}

impl Leaping {
    /// Lets time pass.
    pub(crate) fn pass(&self, time: TimeDelta) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

#[async_trait]
impl Clock for Leaping {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        // Whatever can happen at once happens first.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let now = self.now();
        self.pass((at - now).clamp(TimeDelta::zero(), TimeDelta::hours(1)));
    }
}
