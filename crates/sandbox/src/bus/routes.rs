//! The REST interface of the queues.
//!
//! Paths are matched by hand, since the service compares them without regard to case and a queue's
//! name may hold slashes. <https://learn.microsoft.com/rest/api/servicebus/>

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::authorization::Guard;
use super::message::{Delivery, Property};
use super::properties::{self, Sent};
use super::refusal::{not_allowed, refusal};
use super::{Bus, BusError, Commit};
use crate::desk::RequestHold;

/// How long a receiver waits when it does not say, and at most. Seconds.
const LONGEST_WAIT_SECS: i64 = 60;
/// A batch may be larger than a message; this is where reading stops.
const LARGEST_BODY_BYTES: usize = 4 * 1024 * 1024;
const BATCH: &str = "application/vnd.microsoft.servicebus.json";

pub(super) fn router(bus: Arc<Bus>, guard: Guard) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state((bus, guard))
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// `/{queue}/messages`
    Messages { queue: String },
    /// `/{queue}/messages/head`
    Head { queue: String },
    /// `/{queue}/messages/{message id or sequence number}/{lock token}`
    Locked { queue: String, id: String, token: String },
}

async fn answer(State((bus, guard)): State<(Arc<Bus>, Guard)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(reason) = guard.check(&parts) {
        return refusal(StatusCode::UNAUTHORIZED, reason);
    }
    let Some(target) = target(parts.uri.path()) else {
        let text = format!("there is nothing at {}", parts.uri.path());
        return refusal(StatusCode::NOT_FOUND, &text);
    };
    let sends = parts.method == Method::POST && matches!(target, Target::Messages { .. });
    if let Some(refused) = bus.conditions.trouble(&parts, sends, bus.clock.now()) {
        return refused;
    }
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY_BYTES).await else {
        return refused(&bus, &BusError::TooLarge(LARGEST_BODY_BYTES));
    };

    let wait = wait(parts.uri.query().unwrap_or_default());
    let hold = parts.extensions.get::<RequestHold>().cloned().unwrap_or_default();
    let answered = match (&parts.method, target) {
        (&Method::POST, Target::Messages { queue }) => {
            let served = parts.extensions.get::<RequestHold>().is_some();
            let commit = if served { Commit::Together } else { Commit::AtOnce };
            send(&bus, &queue, &parts.headers, &body, commit).await
        }
        (&Method::POST, Target::Head { queue }) => {
            receive(&bus, &queue, &parts.headers, wait, &hold, true).await
        }
        (&Method::DELETE, Target::Head { queue }) => {
            receive(&bus, &queue, &parts.headers, wait, &hold, false).await
        }
        (method, Target::Locked { queue, id, token }) => settle(&bus, method, &queue, &id, &token),
        (method, _) => Ok(not_allowed(method)),
    };
    answered.unwrap_or_else(|error| refused(&bus, &error))
}

fn refused(bus: &Bus, error: &BusError) -> Response {
    refusal(bus.conditions.status(error), &error.to_string())
}

async fn send(
    bus: &Bus,
    queue: &str,
    headers: &HeaderMap,
    body: &[u8],
    commit: Commit,
) -> Result<Response, BusError> {
    if queue.to_ascii_lowercase().ends_with("/$deadletterqueue") {
        let text = "messages cannot be sent to a dead-letter queue";
        return Ok(refusal(StatusCode::BAD_REQUEST, text));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let messages = match content_type {
        Some(it) if is_batch(it) => batch(body),
        _ => Sent::read(headers).and_then(|sent| {
            let own = properties::own(headers);
            let message = sent.message(body.to_vec(), content_type.map(str::to_owned), own)?;
            Ok(vec![message])
        }),
    };
    let messages = match messages {
        Ok(messages) => messages,
        Err(text) => return Ok(refusal(StatusCode::BAD_REQUEST, &text)),
    };

    bus.send_all(queue, messages, commit).await?;
    Ok(StatusCode::CREATED.into_response())
}

fn is_batch(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(BATCH)
}

/// One message of a batch.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    body: String,
    #[serde(default)]
    broker_properties: Sent,
    #[serde(default)]
    user_properties: Map<String, Value>,
}

fn batch(body: &[u8]) -> Result<Vec<super::Message>, String> {
    let items: Vec<Item> = serde_json::from_slice(body)
        .map_err(|error| format!("the batch is not a list of messages: {error}"))?;
    let message = |item: Item| {
        let own = item.user_properties.into_iter().filter_map(|(name, value)| {
            let value = serde_json::from_value::<Property>(value).ok()?;
            Some((name.to_ascii_lowercase(), value))
        });
        item.broker_properties.message(item.body.into_bytes(), None, own.collect())
    };
    items.into_iter().map(message).collect()
}

async fn receive(
    bus: &Bus,
    queue: &str,
    headers: &HeaderMap,
    wait: TimeDelta,
    hold: &RequestHold,
    lock: bool,
) -> Result<Response, BusError> {
    if bus.needs_session(queue)? {
        let text = "a queue with sessions cannot be received from over HTTP";
        return Ok(refusal(StatusCode::BAD_REQUEST, text));
    }

    let deadline = bus.clock.now() + wait;
    let mut changes = bus.changes();
    loop {
        changes.mark_unchanged();
        let delivery = if lock { bus.receive(queue)? } else { bus.take(queue)? };
        if let Some(delivery) = delivery {
            return Ok(delivered(delivery, headers, lock));
        }
        if bus.clock.now() >= deadline {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }

        let due = bus.next_due([queue])?.map_or(deadline, |due| due.min(deadline));
        let waited = async {
            tokio::select! {
                biased;
                // Fails only when the bus is gone, and then nobody waits here.
                _ = changes.changed() => {}
                () = bus.clock.sleep_until(due) => {}
            }
        };
        hold.while_waiting(waited).await;
    }
}

fn delivered(delivery: Delivery, request: &HeaderMap, locked: bool) -> Response {
    let status = if locked { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = status.into_response();
    let headers = response.headers_mut();
    properties::write(&delivery, locked, headers);
    if let Some(value) = delivery.content_type.as_ref().and_then(|it| it.parse().ok()) {
        headers.insert(CONTENT_TYPE, value);
    }
    if locked {
        let text = |name: &str| request.get(name).and_then(|it| it.to_str().ok());
        let scheme = text("x-forwarded-proto").unwrap_or("http");
        let host = text(HOST.as_str()).unwrap_or("localhost");
        let Delivery { queue, sequence, lock_token, .. } = &delivery;
        let location = format!("{scheme}://{host}/{queue}/messages/{sequence}/{lock_token}");
        if let Ok(value) = HeaderValue::try_from(location) {
            headers.insert(LOCATION, value);
        }
    }
    *response.body_mut() = Body::from(delivery.body);
    response
}

fn settle(
    bus: &Bus,
    method: &Method,
    queue: &str,
    id: &str,
    token: &str,
) -> Result<Response, BusError> {
    if ![Method::DELETE, Method::PUT, Method::POST].contains(method) {
        return Ok(not_allowed(method));
    }
    let Some(delivery) = bus.locked(queue, id, token)? else {
        return Err(BusError::LockLost(id.to_owned()));
    };

    match *method {
        Method::DELETE => bus.complete(&delivery)?,
        Method::PUT => {
            bus.abandon(&delivery)?;
        }
        _ => {
            bus.renew(&delivery)?;
        }
    }
    Ok(StatusCode::OK.into_response())
}

fn target(path: &str) -> Option<Target> {
    let decode = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();
    let segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let messages = segments.iter().position(|it| it.eq_ignore_ascii_case("messages"))?;
    let queue = decode(&segments[..messages].join("/"));
    if queue.is_empty() {
        return None;
    }

    match segments[messages + 1..] {
        [] => Some(Target::Messages { queue }),
        [head] if head.eq_ignore_ascii_case("head") => Some(Target::Head { queue }),
        [id, token] => Some(Target::Locked { queue, id: decode(id), token: decode(token) }),
        _ => None,
    }
}

fn wait(query: &str) -> TimeDelta {
    let parameters = query.split('&').filter_map(|it| it.split_once('='));
    let mut asked = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("timeout"));
    let seconds = asked.next().and_then(|(_, value)| value.parse().ok());
    TimeDelta::seconds(seconds.unwrap_or(LONGEST_WAIT_SECS).clamp(0, LONGEST_WAIT_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_without_regard_to_case() {
        let queue = || "a/b".to_owned();

        assert_eq!(target("/a/b/Messages"), Some(Target::Messages { queue: queue() }));
        assert_eq!(target("/a/b/messages/HEAD"), Some(Target::Head { queue: queue() }));
        assert_eq!(
            target("/a/b/messages/m%2F1/T"),
            Some(Target::Locked { queue: queue(), id: "m/1".into(), token: "T".into() })
        );
        assert_eq!(target("/messages"), None);
        assert_eq!(target("/a/other"), None);
    }

    #[test]
    fn nobody_waits_longer_than_a_minute() {
        assert_eq!(wait("timeout=5"), TimeDelta::seconds(5));
        assert_eq!(wait("api-version=2017-04&timeout=0"), TimeDelta::zero());
        assert_eq!(wait("timeout=900"), TimeDelta::seconds(60));
        assert_eq!(wait(""), TimeDelta::seconds(60));
        assert_eq!(wait("timeout=-4"), TimeDelta::zero());
    }
}
