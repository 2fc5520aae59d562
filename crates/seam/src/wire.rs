//! A request in, a streamed response out, and an error of exactly two kinds.

use std::fmt;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use http::{HeaderMap, StatusCode};

/// A request whose body is known whole; the URI is absolute (scheme and authority present).
pub type Request = http::Request<Bytes>;

/// What carries a request to the other side. There are two in the product: [`crate::Internet`]
/// (reqwest) and [`crate::Local`] (routers in this process).
#[async_trait]
pub trait Wire: fmt::Debug + Send + Sync {
    /// Sends `request` and returns as soon as the head of the answer is here.
    ///
    /// # Errors
    /// [`Fault::NotSent`] when the other side cannot have seen it; [`Fault::PerhapsDone`] otherwise.
    async fn send(&self, request: Request) -> Result<Response, Fault>;
}

/// Why there is no answer. Whoever sees [`Fault::PerhapsDone`] after a write must look before it
/// writes again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The other side cannot have seen the request: refused connection, unknown host, past its
    /// `send_before`, a host that is not ours.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request left; whether it was carried out is unknown: time-out, reset, truncated answer.
    #[error("sent, but the answer was lost: {0}")]
    PerhapsDone(String),
}

/// The head of an answer and the stream of its body.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Response {
    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Fault::PerhapsDone`] when the body breaks off or is longer than `limit`.
    pub async fn collect(self, limit: usize) -> Result<(StatusCode, HeaderMap, Bytes), Fault> {
        let Response { status, headers, mut body } = self;
        let mut collected = BytesMut::new();

        while let Some(chunk) = body.0.next().await {
            let chunk = chunk?;
            if collected.len() + chunk.len() > limit {
                let text = format!("the answer is longer than {limit} bytes");
                return Err(Fault::PerhapsDone(text));
            }
            collected.extend_from_slice(&chunk);
        }

        Ok((status, headers, collected.freeze()))
    }

    /// Reads the beginning of the body as text for a log line or an error: at most `limit` bytes,
    /// without control characters. A body that breaks off gives what had arrived.
    pub async fn excerpt(self, limit: usize) -> String {
        let mut body = self.body;
        let mut beginning = BytesMut::new();

        while beginning.len() < limit
            && let Some(Ok(chunk)) = body.0.next().await
        {
            let room = limit - beginning.len();
            beginning.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }

        readable(&beginning, limit)
    }
}

/// The first `limit` bytes of `bytes` as one line of text: what is not UTF-8 becomes `\u{FFFD}`,
/// every run of white space and control characters one space.
pub fn readable(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]);
    let words = text.split(|it: char| it.is_whitespace() || it.is_control());
    words.filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A body that arrives in chunks.
pub struct Body(BoxStream<'static, Result<Bytes, Fault>>);

impl Body {
    /// A body that is here already.
    pub fn full(bytes: Bytes) -> Body {
        Body(futures::stream::once(async move { Ok(bytes) }).boxed())
    }

    /// A body that arrives as `stream` yields it.
    pub fn streamed(stream: BoxStream<'static, Result<Bytes, Fault>>) -> Body {
        Body(stream)
    }

    /// The chunks, in order; the first fault is the last item.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, Fault>> {
        self.0
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}
