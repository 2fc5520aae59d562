//! azure_core 0.21's `HttpClient` over the seam, for `azure_messaging_servicebus`, which only
//! ever sends.
//!
//! The crate is not maintained any more; its faults that concern sending are cured here. It knows
//! one cloud (the address is rewritten), one kind of key (its signature is replaced by a bearer
//! token), writes a scheduled time in a zone that the service does not document, puts raw
//! non-ASCII text in a header, makes headers of custom properties, pastes a queue's name into the
//! address, and forgets what the service said when it refused. Receiving has graver ones (a lock
//! that is taken and lost, a refusal that looks like a message): it is not let through.

use std::pin::Pin;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::headers::Headers;
use azure_core::{BytesStream, CollectedResponse, HttpClient, Request, Response};
use azure_core_legacy as azure_core;
use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::outbound::Audience;
use crate::{Endpoint, Fault, Outbound};

/// The audience of Service Bus in every Azure cloud.
const SERVICE_BUS: Audience = Audience("https://servicebus.azure.net");

/// A refusal is an XML document of a few hundred bytes.
const REFUSAL_LIMIT: usize = 1024;

/// What becomes of a message that was not accepted; found inside the crate's error with
/// `downcast_ref`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The service answered, but not with 201.
    #[error("answered {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first kilobyte of the body, in one line.
        detail: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The transport to hand to `QueueClient::new`.
#[derive(Clone, Debug)]
pub struct LegacyClient {
    outbound: Outbound,
    bus: Endpoint,
}

impl LegacyClient {
    /// Sends through `outbound` to the namespace at `bus`, whatever namespace the crate's client
    /// was given.
    pub fn new(outbound: Outbound, bus: Endpoint) -> LegacyClient {
        LegacyClient { outbound, bus }
    }

    async fn send(&self, request: &Request) -> Result<(StatusCode, HeaderMap), NotAccepted> {
        let request = mended(request, &self.bus).map_err(Fault::NotSent)?;
        let answer = self.outbound.send(request).await?;
        if answer.status == StatusCode::CREATED {
            // 201 says that the message is there; what follows it does not matter.
            return Ok((answer.status, answer.headers));
        }

        let status = answer.status.as_u16();
        let detail = answer.excerpt(REFUSAL_LIMIT).await;
        tracing::debug!(status, detail, "Service Bus refused a message with {status}: {detail}");
        Err(NotAccepted::Refused { status, detail })
    }
}

#[async_trait]
impl HttpClient for LegacyClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let (status, headers) = self.send(request).await.map_err(legacy_error)?;
        let empty = Pin::from(Box::new(BytesStream::new_empty()));
        Ok(Response::new(legacy_status(status)?, legacy_headers(&headers), empty))
    }

    /// The crate's own check throws the refusal away; ours has made an error of it already.
    async fn execute_request_check_status(
        &self,
        request: &Request,
    ) -> azure_core::Result<CollectedResponse> {
        let (status, headers) = self.send(request).await.map_err(legacy_error)?;
        Ok(CollectedResponse::new(legacy_status(status)?, legacy_headers(&headers), Bytes::new()))
    }
}

/// The request as it should have been.
fn mended(request: &Request, bus: &Endpoint) -> Result<crate::Request, String> {
    let azure_core::Body::Bytes(body) = request.body() else {
        return Err("a message is not a stream".to_owned());
    };
    let method = http::Method::from_bytes(request.method().as_ref().as_bytes())
        .map_err(|error| format!("`{}` is not a method: {error}", request.method()))?;

    let url = request.url();
    if method != http::Method::POST || !url.path().ends_with("/messages") || url.query().is_some() {
        return Err(format!("`{method} {}` does not send a message", url.path()));
    }

    let mut ours = http::Request::new(body.clone());
    *ours.method_mut() = method;
    *ours.uri_mut() = bus.at(url.path())?;
    ours.extensions_mut().insert(SERVICE_BUS);

    // The crate keeps headers in a hash map; sorted, every process sends the same bytes.
    let mut headers: Vec<_> = request.headers().iter().collect();
    headers.sort_by_key(|(name, _)| *name);
    for (name, value) in headers {
        let name: HeaderName = name
            .as_str()
            .parse()
            .map_err(|error| format!("`{}` is not the name of a header: {error}", name.as_str()))?;
        let text = match name.as_str() {
            "brokerproperties" => mended_properties(value.as_str())?,
            "content-type" => value.as_str().to_owned(),
            // Ours to say: the bearer token, and what follows from the address and the body.
            "authorization" | "host" | "content-length" => continue,
            // The crate makes a header of each custom property, unquoted, whatever its name.
            _ => return Err(format!("a message carries no header `{name}`; put it in the body")),
        };
        let value = HeaderValue::try_from(text)
            .map_err(|error| format!("the value of `{name}` cannot be sent: {error}"))?;
        ours.headers_mut().append(name, value);
    }
    Ok(ours)
}

/// BrokerProperties as Service Bus documents them: ASCII, and a scheduled time in `GMT`.
fn mended_properties(text: &str) -> Result<String, String> {
    let mut properties: Value = serde_json::from_str(text)
        .map_err(|error| format!("BrokerProperties are not JSON: {error}"))?;

    if let Some(Value::String(due)) = properties.get_mut("ScheduledEnqueueTimeUtc") {
        let parsed = DateTime::parse_from_rfc2822(due)
            .map_err(|error| format!("`{due}` is not a time to schedule a message at: {error}"))?;
        *due = parsed.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    }

    Ok(ascii(&properties.to_string()))
}

/// JSON text with every character outside ASCII escaped; they occur in its strings only.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}

fn legacy_error(cause: NotAccepted) -> azure_core::Error {
    let kind = match &cause {
        NotAccepted::Refused { status, .. } => match azure_core::StatusCode::try_from(*status) {
            Ok(status) => ErrorKind::http_response(status, None),
            Err(_) => ErrorKind::Other,
        },
        NotAccepted::Fault(_) => ErrorKind::Io,
    };
    azure_core::Error::new(kind, cause)
}

fn legacy_status(status: StatusCode) -> azure_core::Result<azure_core::StatusCode> {
    azure_core::StatusCode::try_from(status.as_u16())
        .map_err(|error| azure_core::Error::message(ErrorKind::Other, error.to_string()))
}

fn legacy_headers(headers: &HeaderMap) -> Headers {
    let mut legacy = Headers::new();
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            legacy.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    legacy
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes as AxumBytes;
    use axum::http::Uri;
    use axum::http::header::AUTHORIZATION;
    use chrono::Utc;

    use super::*;
    use crate::{Local, Tokens, ToldClock};

    type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

    /// A namespace that remembers what it is sent and answers `status` and `body`.
    fn namespace(status: StatusCode, body: &'static str) -> (LegacyClient, Seen) {
        let seen = Seen::default();
        let memory = Arc::clone(&seen);
        let router = Router::new().fallback(
            move |method: http::Method, uri: Uri, headers: HeaderMap, body_seen: AxumBytes| async move {
                let text = String::from_utf8(body_seen.to_vec()).unwrap();
                memory.lock().unwrap().push((format!("{method} {uri}"), headers, text));
                (status, body)
            },
        );
        (client(Local::to([("bus.test".to_owned(), router)])), seen)
    }

    fn client(wire: Local) -> LegacyClient {
        let tokens = Arc::new(Tokens::fixed("hush"));
        let clock = Arc::new(ToldClock(DateTime::<Utc>::UNIX_EPOCH));
        let trusted = ["bus.test".to_owned()];
        let outbound = Outbound::new(Arc::new(wire), clock, tokens, trusted);
        LegacyClient::new(outbound, "https://bus.test/base".parse().unwrap())
    }

    /// What the crate builds for a message to the queue `judge_image`.
    fn message() -> Request {
        let url = "https://any.servicebus.windows.net/judge_image/messages";
        let mut request = Request::new(url.parse().unwrap(), azure_core::Method::Post);
        request.insert_header("authorization", "SharedAccessSignature sr=…");
        let properties = "{\"Label\":\"Müll +0000 \u{1f600}\",\"MessageId\":\"web:1\",\
            \"ScheduledEnqueueTimeUtc\":\"Sun, 06 Nov 1994 08:49:37 +0000\"}";
        request.insert_header("brokerproperties", properties.to_owned());
        request.insert_header("content-type", "application/json");
        request.set_body("{}");
        request
    }

    #[tokio::test]
    async fn a_message_reaches_the_configured_bus_with_a_bearer_token() {
        let (client, seen) = namespace(StatusCode::CREATED, "");

        client.execute_request_check_status(&message()).await.unwrap();

        let seen = seen.lock().unwrap();
        let (line, headers, body) = &seen[0];
        assert_eq!(line, "POST https://bus.test/base/judge_image/messages");
        assert_eq!(headers[AUTHORIZATION], "Bearer hush");
        assert_eq!(headers.get_all(AUTHORIZATION).iter().count(), 1);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(body, "{}");
    }

    #[tokio::test]
    async fn broker_properties_are_ascii_and_their_time_is_in_gmt() {
        let (client, seen) = namespace(StatusCode::CREATED, "");

        client.execute_request(&message()).await.unwrap();

        let seen = seen.lock().unwrap();
        let text = seen[0].1["brokerproperties"].to_str().unwrap();
        assert!(text.is_ascii(), "{text}");
        let properties: Value = serde_json::from_str(text).unwrap();
        assert_eq!(properties["Label"], "Müll +0000 \u{1f600}");
        assert_eq!(properties["ScheduledEnqueueTimeUtc"], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(properties["MessageId"], "web:1");
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_status_and_the_beginning_of_its_body() {
        const LONG: &str = include_str!("legacy.rs");
        let (client, _) = namespace(StatusCode::GONE, LONG);

        let error = client.execute_request_check_status(&message()).await.unwrap_err();

        let Some(NotAccepted::Refused { status, detail }) = error.downcast_ref() else {
            panic!("{error:?}");
        };
        assert_eq!(*status, 410);
        assert!(detail.starts_with("//! azure_core 0.21's"), "{detail}");
        assert!(detail.len() <= REFUSAL_LIMIT && detail.len() > 800, "{}", detail.len());
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_created_is_not_an_acceptance() {
        let (client, _) = namespace(StatusCode::OK, "<html>welcome</html>");

        let error = client.execute_request_check_status(&message()).await.unwrap_err();

        assert!(error.to_string().contains("answered 200"), "{error}");
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_has_not_been_sent_anything() {
        let client = client(Local::default());

        let error = client.execute_request_check_status(&message()).await.unwrap_err();

        let cause = error.downcast_ref::<NotAccepted>();
        assert!(matches!(cause, Some(NotAccepted::Fault(Fault::NotSent(_)))), "{error:?}");
    }
}
