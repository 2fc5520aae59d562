//! Serves a router to whoever connects, so that nobody who is slow or greedy keeps the others out
//! or fills the memory. axum's own server waits for the head of a request for ever.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::Listener;
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the head of a request may take, counted from the answer before it: also how long a
/// connection may lie idle. More than clients keep one for a next request (reqwest 90 s, .NET's
/// `PooledConnectionIdleTimeout` 60 s), so that none is closed under a request on its way; Kestrel
/// has the same (`KeepAliveTimeout`).
const HEAD_WITHIN: Duration = Duration::from_secs(130);

/// How long the body of a request may take, counted from its head.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Connections at once, half of the files that a process may have open by default; more of them wait
/// to be accepted.
const MOST_CONNECTIONS: usize = 512;

/// The largest head of a request, in bytes. With an intent of ours in its address, or a token in its
/// headers, a head has a few thousand.
const LARGEST_HEAD: usize = 64 << 10;

/// Serves `router` on `listener` until `stop` ends; then takes no more requests, and returns once
/// those in flight are answered.
pub async fn serve(listener: impl Listener, router: Router, stop: impl Future<Output = ()>) {
    serve_within(listener, router, stop, HEAD_WITHIN, BODY_WITHIN).await;
}

#[expect(clippy::disallowed_methods, reason = "a connection is a task of its own")]
async fn serve_within(
    mut listener: impl Listener,
    router: Router,
    stop: impl Future<Output = ()>,
    head: Duration,
    body: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(LARGEST_HEAD);
    let in_time = middleware::from_fn(move |request, next| in_time(request, next, body));
    let service = TowerToHyperService::new(router.layer(in_time));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (connections, mut stop) = (GracefulShutdown::new(), pin!(stop));

    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await.0)
        };
        let (place, stream) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("A connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// Passes a request on whose body breaks off after `within`.
async fn in_time(request: Request, next: Next, within: Duration) -> Response {
    let deadline = Box::pin(sleep_until(Instant::now() + within));
    next.run(request.map(|body| Body::new(Hurried { body, within, deadline }))).await
}

/// A body that breaks off at its deadline.
struct Hurried {
    body: Body,
    within: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl http_body::Body for Hurried {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.deadline.as_mut().poll(cx).map(|()| {
            let text = format!("the body did not arrive within {} s", self.within.as_secs());
            Some(Err(axum::Error::new(text)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{SocketAddr, TcpStream};
    use std::thread;

    use axum::routing::{get, post};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    /// Short for a test, long for a busy machine.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// A server that answers what it was sent, and where it is.
    #[expect(clippy::disallowed_methods, reason = "a server is a task of its own")]
    async fn server() -> SocketAddr {
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/echo", post(|body: Bytes| async { body }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let never = std::future::pending();
        tokio::spawn(serve_within(listener, router, never, PATIENCE, PATIENCE));
        address
    }

    /// What a client hears who sends `bytes` and then nothing more, until the server hangs up.
    async fn hears(address: SocketAddr, bytes: &'static [u8]) -> String {
        let (tell, told) = oneshot::channel();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = std::io::Write::write_all(&mut stream, bytes);
            let mut heard = Vec::new();
            let ended = stream.read_to_end(&mut heard);
            let still_open = matches!(&ended, Err(it) if it.kind() == ErrorKind::WouldBlock);
            let heard = String::from_utf8_lossy(&heard).into_owned();
            let _ =
                tell.send(if still_open { format!("{heard}… it is still open") } else { heard });
        });
        told.await.unwrap()
    }

    #[tokio::test]
    async fn whoever_never_ends_a_head_or_begins_none_is_hung_up_on() {
        let address = server().await;

        for head in [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
            assert!(!hears(address, head).await.contains("still open"), "{head:?}");
        }
        let again = hears(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT").await;
        assert!(again.starts_with("HTTP/1.1 200 OK") && !again.contains("still open"), "{again}");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let address = server().await;

        let sized = hears(address, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx");
        let sized = sized.await;
        let chunked =
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        let chunked = hears(address, chunked).await;

        for heard in [sized, chunked] {
            assert!(heard.starts_with("HTTP/1.1 4"), "{heard}");
            assert!(heard.contains("within 2 s") && !heard.contains("still open"), "{heard}");
        }
    }

    #[tokio::test]
    async fn hundreds_who_are_slow_keep_nobody_out() {
        let address = server().await;
        let mut slow = Vec::new();
        for number in 0..300 {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let head: &[u8] = if number % 2 == 0 { b"POST /ec" } else { b"" };
            stream.write_all(head).await.unwrap();
            slow.push(stream);
        }

        let heard = hears(address, b"GET / HTTP/1.0\r\n\r\n").await;

        assert!(heard.starts_with("HTTP/1.0 200 OK") && heard.ends_with("here"), "{heard}");
        drop(slow);
    }

    #[tokio::test]
    async fn a_head_beyond_all_measure_is_refused() {
        let address = server().await;
        let long =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(4 * LARGEST_HEAD));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
        let path = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(4 * LARGEST_HEAD));

        for head in [long, many, path] {
            let heard = hears(address, head.leak().as_bytes()).await;
            // Whoever goes on sending to somebody who has hung up may not hear the answer.
            assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 4"), "{heard}");
        }
        assert!(hears(address, b"GET / HTTP/1.0\r\n\r\n").await.ends_with("here"));
    }

    #[tokio::test]
    async fn what_is_in_flight_when_it_stops_is_answered() {
        let (began, begins) = oneshot::channel::<()>();
        let (stop, stopped) = oneshot::channel::<()>();
        let (finish, finished) = oneshot::channel::<()>();
        let parts = Arc::new(std::sync::Mutex::new(Some((began, finished))));
        let router = Router::new().route(
            "/",
            get(move || {
                let (began, finished) = parts.lock().unwrap().take().unwrap();
                async move {
                    began.send(()).unwrap();
                    finished.await.unwrap();
                    "done"
                }
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();

        let client = async {
            let heard = hears(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let (heard, ()) = tokio::join!(heard, async {
                begins.await.unwrap();
                drop(stop);
                finish.send(()).unwrap();
            });
            heard
        };
        let ((), heard) =
            tokio::join!(serve(listener, router, async { drop(stopped.await) }), client);

        assert!(heard.ends_with("done"), "{heard}");
        assert!(TcpStream::connect(address).is_err());
    }
}
