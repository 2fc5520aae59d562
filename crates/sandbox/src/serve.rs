//! Serves a router on the loopback interface, with the desk's time standing still while a request is
//! worked on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::ListenerExt;
use seam::serve::serve;
use tls_listener::TlsListener;
use tls_listener::rustls::TlsAcceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::certificate::Certificate;
use crate::desk::{Holds, RequestHold};

/// How long requests in flight may take once a server is to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// A port that is bound and not yet served: its address can be told to those who need it first.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Certificate>,
}

impl Door {
    /// Binds `port` of the loopback interface; 0 lets the system choose.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(port: u16) -> io::Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Door { listener, address, certificate: None })
    }

    /// The same door, for https.
    pub fn showing(self, certificate: &Certificate) -> Door {
        Door { certificate: Some(certificate.clone()), ..self }
    }

    /// `http://127.0.0.1:{port}`; with a certificate `https://`.
    pub fn url(&self) -> String {
        url(self.certificate.is_some(), self.address)
    }

    /// `127.0.0.1:{port}`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until the returned value is stopped or dropped.
    #[expect(clippy::disallowed_methods, reason = "a server is a task of its own")]
    pub fn open(self, router: Router, holds: &Holds) -> Server {
        let Door { listener, address, certificate } = self;
        let (holds, secure) = (holds.clone(), certificate.is_some());
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let holds = holds.clone();
            async move { held(&holds, secure, request, next).await }
        }));
        let (stop, stopped) = oneshot::channel::<()>();
        // A server that was dropped without a word stops too.
        let stopped = async move { drop(stopped.await) };
        // Without `prompt` every small answer waits for an acknowledgement of the one before.
        let task = match certificate {
            None => {
                let listener = listener.tap_io(|stream| prompt(stream));
                tokio::spawn(serve(listener, router, stopped))
            }
            Some(certificate) => {
                let tls = TlsAcceptor::from(certificate.server());
                let listener = TlsListener::new(tls, listener);
                let listener = listener.tap_io(|stream| prompt(stream.get_ref().0));
                tokio::spawn(serve(listener, router, stopped))
            }
        };
        Server { url: url(secure, address), stop: Some(stop), task }
    }
}

fn url(secure: bool, address: SocketAddr) -> String {
    format!("{}://{address}", if secure { "https" } else { "http" })
}

/// Small packets are sent at once.
fn prompt(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

async fn held(holds: &Holds, secure: bool, mut request: Request, next: Next) -> Response {
    if secure {
        let https = HeaderValue::from_static("https");
        request.headers_mut().insert("x-forwarded-proto", https);
    }
    let hold = RequestHold::take(holds);
    request.extensions_mut().insert(hold.clone());
    let response = next.run(request).await;
    drop(hold);
    response
}

/// A router that is being served.
#[derive(Debug)]
pub struct Server {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `http://127.0.0.1:{port}`; with a certificate `https://`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Takes no more requests and returns once those in flight are answered, or after 5 s.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = tokio::time::timeout(LAST_REQUESTS, &mut self.task).await;
        self.task.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Extension;
    use axum::routing::get;
    use bytes::Bytes;
    use chrono::{DateTime, TimeDelta};
    use seam::{Clock, Internet, SystemClock, Wire};

    use super::*;
    use crate::database::Database;
    use crate::desk::{DeskClock, Speed};

    async fn get_text(url: String) -> (u16, String) {
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        let answer = Internet::default().send(request).await.unwrap();
        let (status, _, body) = answer.collect(1 << 20).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn time_stands_still_while_a_request_is_worked_on() {
        let database = Arc::new(Database::open(None).unwrap());
        let start = DateTime::from_timestamp(1_789_000_000, 0).unwrap();
        let clock = DeskClock::open(database, start, Speed::Jump).unwrap();
        let (held, waits) = (Arc::clone(&clock), Arc::clone(&clock));
        let in_an_hour = start + TimeDelta::hours(1);
        let router = Router::new()
            .route(
                "/held",
                get(async move || {
                    let nap = held.sleep_until(in_an_hour);
                    tokio::time::timeout(Duration::from_millis(50), nap).await.is_err().to_string()
                }),
            )
            .route(
                "/waits",
                get(async move |Extension(hold): Extension<RequestHold>| {
                    hold.while_waiting(waits.sleep_until(in_an_hour)).await;
                    "done"
                }),
            );

        let server = Door::bind(0).await.unwrap().open(router, &Holds::of(&clock));

        assert_eq!(get_text(format!("{}/held", server.url())).await, (200, "true".to_owned()));
        assert_eq!(clock.now(), start);
        assert_eq!(get_text(format!("{}/waits", server.url())).await, (200, "done".to_owned()));
        assert_eq!(clock.now(), in_an_hour);
        server.stop().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_said() {
        let first = Door::bind(0).await.unwrap();

        assert!(Door::bind(first.address().port()).await.is_err());
    }

    /// A client that trusts `authority` alone, and how its GET of `url` ends.
    async fn trusting(authority: &str, url: &str) -> Result<String, String> {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy();
        let answer = client.build().unwrap().get(url).send().await;
        match answer {
            Ok(answer) => Ok(answer.text().await.unwrap()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    async fn https(certificate: &Certificate) -> Server {
        let scheme = get(async |headers: axum::http::HeaderMap| {
            headers["x-forwarded-proto"].to_str().unwrap().to_owned()
        });
        let door = Door::bind(0).await.unwrap().showing(certificate);
        door.open(Router::new().route("/scheme", scheme), &Holds::none())
    }

    #[tokio::test]
    async fn an_https_door_is_trusted_by_whoever_trusts_its_authority_under_both_names() {
        let certificate = Certificate::issue(SystemClock.now()).unwrap();
        let server = https(&certificate).await;
        assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());

        let by_address = format!("{}/scheme", server.url());
        let by_name = by_address.replace("127.0.0.1", "localhost");

        for url in [by_address, by_name] {
            let answer = trusting(certificate.authority(), &url).await;
            assert_eq!(answer.as_deref(), Ok("https"), "{url}");
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn an_authority_vouches_for_its_own_desk_alone_and_not_for_ever() {
        let now = SystemClock.now();
        let another = Certificate::issue(now).unwrap();
        let long_ago = Certificate::issue(now - TimeDelta::days(400)).unwrap();
        let server = https(&Certificate::issue(now).unwrap()).await;
        let old = https(&long_ago).await;

        let url = |server: &Server| format!("{}/scheme", server.url());
        let of_another = trusting(another.authority(), &url(&server)).await.unwrap_err();
        let expired = trusting(long_ago.authority(), &url(&old)).await.unwrap_err();

        assert!(of_another.contains("InvalidCertificate"), "{of_another}");
        assert!(expired.contains("Expired"), "{expired}");
    }

    #[tokio::test]
    async fn a_handshake_that_never_ends_holds_nobody_up() {
        let certificate = Certificate::issue(SystemClock.now()).unwrap();
        let server = https(&certificate).await;
        let address = server.url().replace("https://", "");
        let _silent = TcpStream::connect(&address).await.unwrap();

        let url = format!("{}/scheme", server.url());
        let answer = trusting(certificate.authority(), &url);
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;

        assert_eq!(answer.unwrap().as_deref(), Ok("https"));
    }
}
