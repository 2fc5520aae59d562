//! The wire of the cloud and of the desk: reqwest, built at the first request.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;

use crate::wire::{Body, Fault, Request, Response, Wire};

/// A request that has no answer after this time counts as perhaps done.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests over the network. Redirects are never followed: a redirect could carry a token away.
#[derive(Debug)]
pub struct Internet {
    client: OnceLock<reqwest::Client>,
    timeout: Duration,
}

impl Default for Internet {
    fn default() -> Internet {
        Internet::waiting(REQUEST_TIMEOUT)
    }
}

impl Internet {
    /// A wire that waits so long for an answer, instead of [`REQUEST_TIMEOUT`].
    pub fn waiting(timeout: Duration) -> Internet {
        Internet { client: OnceLock::new(), timeout }
    }

    fn client(&self) -> Result<&reqwest::Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("goldsmith/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Fault::NotSent(format!("no HTTP client: {error}")))?;
        Ok(self.client.get_or_init(|| client))
    }
}

#[async_trait]
impl Wire for Internet {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Fault::NotSent(format!("not a request: {}", error.without_url())))?;
        let answer = self.client()?.execute(request).await.map_err(fault)?;

        let status = answer.status();
        let headers = answer.headers().clone();
        let stream = answer.bytes_stream().map(|chunk| {
            chunk.map_err(|error| Fault::PerhapsDone(error.without_url().to_string()))
        });
        Ok(Response { status, headers, body: Body::streamed(stream.boxed()) })
    }
}

/// Status URLs are signed, so no error text may hold one.
fn fault(error: reqwest::Error) -> Fault {
    let not_sent = error.is_connect() || error.is_builder();
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if not_sent { Fault::NotSent(text) } else { Fault::PerhapsDone(text) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_wire_waits_as_long_as_it_was_told_and_then_the_request_is_perhaps_done() {
        // It takes the connection, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let request = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
        let (began, timeout) = (Instant::now(), Duration::from_millis(300));

        let fault = Internet::waiting(timeout).send(request).await.unwrap_err();

        assert!(matches!(fault, Fault::PerhapsDone(_)), "{fault:?}");
        assert!((timeout..REQUEST_TIMEOUT).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_carries_no_token_anywhere() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let location = format!("http://{}/take", elsewhere.local_addr().unwrap());
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", here.local_addr().unwrap());
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = here.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let head = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let request = http::Request::get(url).header("authorization", "Bearer hush");

        let answer =
            Internet::default().send(request.body(bytes::Bytes::new()).unwrap()).await.unwrap();

        assert_eq!(answer.status, 307);
        assert!(answers.join().unwrap().contains("Bearer hush"));
        let nobody = elsewhere.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }
}
