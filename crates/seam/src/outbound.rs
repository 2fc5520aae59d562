//! What every client of ours sends through: the wire, the guard of the sending time, the token,
//! and the list of hosts that may ever see one.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::HeaderValue;
use http::header::AUTHORIZATION;

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
    /// # Errors
    /// [`Fault::NotSent`] when it is too late, the host is not ours, or no token can be had;
    /// else what the wire says.
    pub async fn send(&self, mut request: Request) -> Result<Response, Fault> {
        if let Some(Audience(audience)) = request.extensions().get::<Audience>().cloned() {
            let authority = request.uri().authority().map(|it| it.as_str().to_ascii_lowercase());
            let authority = authority.unwrap_or_default();
            if !self.trusted.contains(&authority) {
                let text = format!("`{authority}` is not a host that is sent our tokens");
                return Err(Fault::NotSent(text));
            }
            let token = self.tokens.bearer(audience).await.map_err(Fault::NotSent)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Fault::NotSent("the token is not a header value".to_owned()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }

        // Last, since fetching a token takes time.
        if let Some(SendBefore(limit)) = request.extensions().get::<SendBefore>()
            && self.clock.now() >= *limit
        {
            return Err(Fault::NotSent(format!("its intent was good until {limit} only")));
        }

        self.wire.send(request).await
    }
}
