//! Functions that an event wakes: the webhook of the Event Grid extension
//! (`HttpRequestProcessor.cs`). The handshakes of both schemas end here; a handler never sees them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;

use super::envelope::Payload;
use super::http::{LARGEST_BODY_BYTES, pairs, shows_key};
use super::invocation::Result as Invoked;
use super::json::{Json, Members};
use super::{Function, Host, Trigger};

/// Where Event Grid delivers: with `?functionName=…` and the system key as `code`.
pub(super) const PATH: &str = "/runtime/webhooks/eventgrid";

const KIND: &str = "aeg-event-type";
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const EVENT_GRID: &str = "eventgrid.azure.net";

/// Answers Event Grid: 202 when every event went well, else 500, and Event Grid sends all of them
/// again.
pub(super) async fn answer(host: &Host, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let query = pairs(parts.uri.query().unwrap_or_default());
    if host.options.function_key.is_some() && !shows_key(host, &parts.headers, &query) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let name = query.iter().find(|(name, _)| name.eq_ignore_ascii_case("functionName"));
    let name = name.map(|(_, value)| value.as_str()).unwrap_or_default();
    let known = host.package.functions.iter().find_map(|function| match &function.trigger {
        Trigger::EventGrid { many } if function.name.eq_ignore_ascii_case(name) => {
            Some((function, *many))
        }
        _ => None,
    });
    let Some((function, many)) = known else {
        return (StatusCode::NOT_FOUND, format!("cannot find function: '{name}'")).into_response();
    };
    if parts.method == Method::OPTIONS {
        return (StatusCode::OK, [(ALLOWED_ORIGIN, EVENT_GRID)]).into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match kind(&parts.headers).as_str() {
        "subscriptionvalidation" => validate(&body),
        "notification" => match events(&body) {
            Ok(events) => notify(host, function, many, events).await,
            Err(why) => failed(&why),
        },
        "unsubscribe" => StatusCode::ACCEPTED.into_response(),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(KIND).and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase()
}

/// The handshake of the Event Grid schema; the other one is the OPTIONS request.
fn validate(body: &[u8]) -> Response {
    let code = events(body).ok().and_then(|events| match events.first()?.get("data")? {
        Json::Object(data) => data.get("validationCode").cloned(),
        _ => None,
    });
    let Some(code) = code else { return StatusCode::BAD_REQUEST.into_response() };
    let answer = Json::Object(Members::default().with("validationResponse", code)).to_string();
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], answer).into_response()
}

/// An event, or an array of them.
fn events(body: &[u8]) -> Result<Vec<Members>, String> {
    let unreadable = |error: serde_json::Error| format!("the events cannot be read: {error}");
    match serde_json::from_slice(body).map_err(unreadable)? {
        Json::Object(event) => Ok(vec![event]),
        Json::List(events) => events
            .into_iter()
            .map(|event| match event {
                Json::Object(event) => Ok(event),
                _ => Err("an event is not an object".to_owned()),
            })
            .collect(),
        _ => Err("neither an event nor an array of them".to_owned()),
    }
}

/// Wakes the function once for each event, all at the same time, or once for all of them.
async fn notify(host: &Host, function: &Function, many: bool, events: Vec<Members>) -> Response {
    let payloads = match many {
        true => vec![Payload::Events(events)],
        false => events.into_iter().map(Payload::Event).collect(),
    };
    let calls = payloads.into_iter().map(|payload| async {
        let invocation = host.invocation(function, payload).map_err(|error| error.to_string())?;
        match host.call_for_a_request(&invocation).await {
            Invoked::Succeeded(_) | Invoked::Passed(_) => Ok(()),
            Invoked::Failed(why) => Err(why),
            Invoked::TimedOut => Err("the function's time was out".to_owned()),
        }
    });
    match join_all(calls).await.into_iter().find_map(Result::err) {
        Some(why) => failed(&why),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, why.to_owned()).into_response()
}
