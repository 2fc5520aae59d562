//! What every client of ours sends through: the wire, the guard of the sending time, the token,
//! and the list of hosts that may ever see one.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, StatusCode, Uri};

use crate::endpoint::is_loopback;
use crate::{Clock, Fault, Request, Response, Tokens, Wire};

/// A request extension: after this instant the request must not leave any more, since whoever
/// recorded its intent may have been overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendBefore(pub DateTime<Utc>);

/// A request extension: the audience (`https://management.azure.com`) whose bearer token it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience(pub &'static str);

/// Sends requests for the clients of ARM, Service Bus, blobs and webhooks.
#[derive(Clone, Debug)]
pub struct Outbound {
    wire: Arc<dyn Wire>,
    clock: Arc<dyn Clock>,
    tokens: Arc<Tokens>,
    trusted: Arc<BTreeSet<String>>,
}

impl Outbound {
    /// `trusted` are the authorities (`host` or `host:port`, lower case) that may be sent a token.
    pub fn new(
        wire: Arc<dyn Wire>,
        clock: Arc<dyn Clock>,
        tokens: Arc<Tokens>,
        trusted: impl IntoIterator<Item = String>,
    ) -> Outbound {
        Outbound { wire, clock, tokens, trusted: Arc::new(trusted.into_iter().collect()) }
    }

    /// The same, with another clock: an invocation that was told its time.
    pub fn at(&self, clock: Arc<dyn Clock>) -> Outbound {
        Outbound { clock, ..self.clone() }
    }

    /// The instant it is, by the clock that also guards [`SendBefore`].
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The same, which also sends our tokens to `authority`: a host that Azure itself has named in
    /// an answer about a resource of ours.
    pub fn trusting(&self, authority: String) -> Outbound {
        let trusted = self.trusted.iter().cloned().chain([authority]).collect();
        Outbound { trusted: Arc::new(trusted), ..self.clone() }
    }

    /// Sends `request`, with a bearer token when it carries an [`Audience`], never after its
    /// [`SendBefore`].
    ///
    /// A token that is refused (401) is replaced, and the request sent once more: whoever refuses
    /// the token has done nothing. The refusal is the answer when there is no other token.
    ///
    /// # Errors
    /// [`Fault::NotSent`] when it is too late, the host is not ours, or no token can be had;
    /// else what the wire says.
    pub async fn send(&self, request: Request) -> Result<Response, Fault> {
        let Some(Audience(audience)) = request.extensions().get::<Audience>().cloned() else {
            return self.send_in_time(request).await;
        };
        self.check_host(request.uri())?;
        let tokens = self.tokens.of(request.method());
        let token = tokens.bearer(audience).await.map_err(Fault::NotSent)?;
        let answer = self.send_in_time(bearing(&token, request.clone())?).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }

        match tokens.instead_of(&token, audience).await {
            Ok(Some(other)) => self.send_in_time(bearing(&other, request)?).await,
            Ok(None) => Ok(answer),
            Err(why) => {
                tracing::warn!("A token was refused, and there is no other: {why}");
                Ok(answer)
            }
        }
    }

    /// A token is sent to hosts of ours only, and over a network never in the clear.
    fn check_host(&self, uri: &Uri) -> Result<(), Fault> {
        let authority = uri.authority().map(|it| it.as_str().to_ascii_lowercase());
        let authority = authority.unwrap_or_default();
        if !self.trusted.contains(&authority) {
            let text = format!("`{}` is not a host that is sent our tokens", host(&authority));
            return Err(Fault::NotSent(text));
        }
        if uri.scheme() != Some(&Scheme::HTTPS) && !is_loopback(uri.host().unwrap_or_default()) {
            let text = format!("`{authority}` is sent our tokens over https only");
            return Err(Fault::NotSent(text));
        }
        Ok(())
    }

    /// The last thing before the wire, since fetching a token takes time.
    async fn send_in_time(&self, request: Request) -> Result<Response, Fault> {
        if let Some(SendBefore(limit)) = request.extensions().get::<SendBefore>()
            && self.clock.now() >= *limit
        {
            return Err(Fault::NotSent(format!("its intent was good until {limit} only")));
        }
        self.wire.send(request).await
    }
}

fn bearing(token: &str, mut request: Request) -> Result<Request, Fault> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Fault::NotSent("the token is not a header value".to_owned()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(request)
}

/// An authority without its user, which may be a secret.
fn host(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use axum::Router;
    use bytes::Bytes;
    use chrono::TimeDelta;
    use http::Method;

    use super::*;
    use crate::{Body, Local, ToldClock};

    const ARM: Audience = Audience("https://management.azure.com");

    /// A wire that answers whoever is asked, and remembers where and with which token.
    #[derive(Clone, Debug, Default)]
    struct Listens {
        seen: Arc<Mutex<Vec<(String, String)>>>,
        /// Tokens that are refused.
        refuses: &'static [&'static str],
    }

    #[async_trait]
    impl Wire for Listens {
        async fn send(&self, request: Request) -> Result<Response, Fault> {
            let token = request.headers().get(AUTHORIZATION);
            let token = token.map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default();
            let refused = self.refuses.iter().any(|it| token == format!("Bearer {it}"));
            self.seen.lock().unwrap().push((request.uri().to_string(), token));
            let status = if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            Ok(Response { status, headers: http::HeaderMap::new(), body: Body::full(Bytes::new()) })
        }
    }

    /// A machine's metadata service whose tokens are numbered from 0.
    fn numbered() -> Tokens {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let route = axum::routing::get(move || async move {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            format!(
                r#"{{"access_token":"t{number}","expires_on":"4102444800","resource":"r",
                "token_type":"Bearer"}}"#
            )
        });
        let router = Router::new().route("/metadata/identity/oauth2/token", route);
        Tokens::managed(Arc::new(Local::to([("169.254.169.254".to_owned(), router)])), None)
    }

    fn outbound(wire: &Listens, tokens: Tokens, trusted: &[&str]) -> Outbound {
        let clock = Arc::new(ToldClock(DateTime::UNIX_EPOCH));
        let trusted = trusted.iter().map(|it| (*it).to_owned());
        Outbound::new(Arc::new(wire.clone()), clock, Arc::new(tokens), trusted)
    }

    fn get(uri: &str) -> Request {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri.parse().unwrap();
        request.extensions_mut().insert(ARM);
        request
    }

    #[tokio::test]
    async fn a_token_goes_to_a_configured_host_and_to_no_other_however_it_is_written() {
        let wire = Listens::default();
        let trusted = ["management.azure.com", "127.0.0.1:4001", "[::1]:4001"];
        let outbound = outbound(&wire, Tokens::fixed("hush"), &trusted);

        for ours in [
            "https://management.azure.com/x",
            "https://MANAGEMENT.Azure.com/x",
            "http://127.0.0.1:4001/x",
            "http://[::1]:4001/x",
        ] {
            assert!(outbound.send(get(ours)).await.is_ok(), "{ours}");
        }
        assert!(wire.seen.lock().unwrap().drain(..).all(|(_, token)| token == "Bearer hush"));

        for not_ours in [
            "https://evil.example/x",
            "https://management.azure.com.evil.example/x",
            "https://management.azure.com@evil.example/x",
            "https://management.azure.com:443@evil.example/x",
            "https://me:hush@management.azure.com/x",
            "https://management.azure.com./x",
            "https://management.azure.com:444/x",
            "https://evil.example/management.azure.com",
            "https://evil.example/?https://management.azure.com/",
            "http://management.azure.com/x",
            "//management.azure.com/x",
            "/x",
            "https://127.0.0.1/x",
            "http://127.0.0.1:4002/x",
            "http://[::1]/x",
            "http://[::ffff:127.0.0.1]:4001/x",
        ] {
            let fault = outbound.send(get(not_ours)).await.unwrap_err();
            assert!(matches!(fault, Fault::NotSent(_)), "{not_ours}: {fault:?}");
            assert!(!fault.to_string().contains("hush"), "{fault}");
        }
        assert!(wire.seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_request_for_no_audience_carries_no_token() {
        let wire = Listens::default();
        let outbound = outbound(&wire, Tokens::fixed("hush"), &[]);
        let mut request = get("https://hooks.example/x");
        request.extensions_mut().remove::<Audience>();

        outbound.send(request).await.unwrap();

        assert_eq!(wire.seen.lock().unwrap()[0].1, "");
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_and_the_request_sent_once_more() {
        let wire = Listens { refuses: &["t0"], ..Listens::default() };
        let outbound = outbound(&wire, numbered(), &["management.azure.com"]);

        let sends = (0..20).map(|_| outbound.send(get("https://management.azure.com/x")));
        let answers = futures::future::join_all(sends).await;

        assert!(answers.iter().all(|it| it.as_ref().unwrap().status == StatusCode::OK));
        let seen = wire.seen.lock().unwrap();
        assert!(seen.iter().all(|(_, token)| token == "Bearer t0" || token == "Bearer t1"));
        assert_eq!(seen.iter().filter(|(_, token)| token == "Bearer t1").count(), 20);
    }

    #[tokio::test]
    async fn a_refusal_of_every_token_is_the_answer_after_two() {
        let wire = Listens { refuses: &["t0", "t1", "t2"], ..Listens::default() };
        let outbound = outbound(&wire, numbered(), &["management.azure.com"]);

        let answer = outbound.send(get("https://management.azure.com/x")).await.unwrap();

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(wire.seen.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_request_whose_only_token_is_refused_is_sent_once() {
        let wire = Listens { refuses: &["hush"], ..Listens::default() };
        let outbound = outbound(&wire, Tokens::fixed("hush"), &["management.azure.com"]);

        let answer = outbound.send(get("https://management.azure.com/x")).await.unwrap();

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(wire.seen.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_request_that_deletes_carries_the_deleting_identitys_token() {
        let wire = Listens::default();
        let tokens = Tokens::fixed("ours").deleting_as(Tokens::fixed("deleting"));
        let outbound = outbound(&wire, tokens, &["management.azure.com"]);
        let mut delete = get("https://management.azure.com/x");
        *delete.method_mut() = Method::DELETE;

        outbound.send(delete).await.unwrap();
        outbound.send(get("https://management.azure.com/x")).await.unwrap();

        let seen = wire.seen.lock().unwrap();
        assert_eq!((seen[0].1.as_str(), seen[1].1.as_str()), ("Bearer deleting", "Bearer ours"));
    }

    #[tokio::test]
    async fn an_intent_that_has_run_out_is_not_sent() {
        let wire = Listens::default();
        let outbound = outbound(&wire, Tokens::fixed("hush"), &["management.azure.com"]);
        let mut request = get("https://management.azure.com/x");
        request.extensions_mut().insert(SendBefore(DateTime::UNIX_EPOCH));
        let mut good = get("https://management.azure.com/x");
        good.extensions_mut().insert(SendBefore(DateTime::UNIX_EPOCH + TimeDelta::seconds(1)));

        assert!(matches!(outbound.send(request).await, Err(Fault::NotSent(_))));
        assert!(outbound.send(good).await.is_ok());
        assert_eq!(wire.seen.lock().unwrap().len(), 1);
    }
}
