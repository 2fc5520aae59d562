//! Functions that a request wakes: `/api/{route}`. By default the handler is told of the request;
//! where host.json wants it, it gets the request itself.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::Reply;
use super::envelope::{HttpCall, Payload};
use super::event_grid;
use super::invocation::{Asked, Forwarded, Passed, Result as Invoked};
use super::{Function, Host, Trigger};

/// What the platform lets through.
pub(super) const LARGEST_BODY_BYTES: usize = 210 * 1024 * 1024;

pub(super) fn router(host: Arc<Host>) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(host)
}

async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response {
    if request.uri().path().eq_ignore_ascii_case(event_grid::PATH) {
        return event_grid::answer(&host, request).await;
    }
    let (parts, body) = request.into_parts();
    let found = host.package.functions.iter().filter_map(|function| {
        let Trigger::Http { route, methods, anonymous } = &function.trigger else { return None };
        let allowed = methods.is_empty() || methods.iter().any(|it| it == parts.method.as_str());
        let path = match host.package.settings.route_prefix.as_str() {
            "" => parts.uri.path(),
            prefix => under(parts.uri.path(), prefix)?,
        };
        let (rank, params) = matched(route, path)?;
        allowed.then_some((rank, function, *anonymous, params))
    });
    let Some((_, function, anonymous, params)) = found.min_by_key(|(rank, ..)| rank.clone()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let query = pairs(parts.uri.query().unwrap_or_default());
    let keyed = shows_key(&host, &parts.headers, &query);
    if host.options.function_key.is_some() && !anonymous && !keyed {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };

    let asked = if function.forwarded {
        Asked::Forwarded(forwarded(&parts, &query, body))
    } else {
        Asked::Told(Payload::Http(HttpCall {
            url: url(&parts),
            method: parts.method.to_string(),
            query,
            headers: headers(&parts.headers),
            params,
            body: (!body.is_empty()).then(|| body.to_vec()),
            keyed,
        }))
    };
    let invocation = match host.asking(function, asked) {
        Ok(invocation) => invocation,
        Err(error) => {
            tracing::error!(%error, "A request cannot be numbered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    match host.call_for_a_request(&invocation).await {
        Invoked::Succeeded(reply) => response(function, &reply),
        Invoked::Passed(passed) => pass(passed),
        Invoked::Failed(_) | Invoked::TimedOut => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The request itself. A body of unknown length is dropped, as the host does it.
fn forwarded(parts: &Parts, query: &[(String, String)], body: bytes::Bytes) -> Forwarded {
    let mut path = parts.uri.path().to_owned();
    if !query.is_empty() {
        // Written anew from what was read.
        let mut written = url::form_urlencoded::Serializer::new(String::new());
        written.extend_pairs(query);
        path = format!("{path}?{}", written.finish().replace('+', "%20"));
    }
    let mut headers = parts.headers.clone();
    headers.remove(CONNECTION);
    let has_length = headers.contains_key(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    let body = if has_length { body } else { bytes::Bytes::new() };
    Forwarded { method: parts.method.clone(), path, headers, body }
}

fn pass(passed: Passed) -> Response {
    let Passed { status, mut headers, body } = passed;
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().extend(headers);
    response
}

/// What the caller gets: the handler's `http` output.
fn response(function: &Function, reply: &Reply) -> Response {
    let output = function.http_output.as_ref().and_then(|name| reply.outputs.get(name));
    let Some(output) = output else {
        let nothing = reply.outputs.is_empty();
        return if nothing { StatusCode::NO_CONTENT } else { StatusCode::OK }.into_response();
    };
    let Value::Object(output) = output else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };

    let status = match member(output, "statusCode") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let status = status.and_then(|it| u16::try_from(it).ok()).unwrap_or(200);
    let Ok(status) = StatusCode::from_u16(status) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = match member(output, "body") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        // The host writes it out indented.
        Some(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
    };
    let mut response = (status, Body::from(body)).into_response();
    if let Some(Value::Object(headers)) = member(output, "headers") {
        for (name, value) in headers {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                other => other.to_string(),
            };
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(text).ok());
            if let Some((name, value)) = header {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What follows the first part of a path.
fn under<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let path = path.strip_prefix('/')?;
    let (first, rest) = path.split_at_checked(prefix.len())?;
    (first.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('/')))
        .then_some(rest)
}

/// How well a route fits, part by part; the smallest is the best.
type Rank = Vec<u8>;
type Params = Vec<(String, String)>;

/// The parameters of a path that `route` matches, and how well: a literal part beats a parameter,
/// and that a rest, part by part.
fn matched(route: &str, path: &str) -> Option<(Rank, Params)> {
    let mut parts = path.split('/').filter(|it| !it.is_empty());
    let (mut rank, mut params) = (Vec::new(), Vec::new());
    let decoded = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();

    for piece in route.split('/').filter(|it| !it.is_empty()) {
        let parameter = piece.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        let Some(parameter) = parameter else {
            let part = parts.next()?;
            if !decoded(part).eq_ignore_ascii_case(piece) {
                return None;
            }
            rank.push(0);
            continue;
        };
        if let Some(name) = parameter.strip_prefix('*') {
            let rest: Vec<String> = parts.by_ref().map(decoded).collect();
            params.push((name.to_owned(), rest.join("/")));
            rank.push(2);
            continue;
        }
        // Constraints such as `{id:int}` are not checked.
        let name = parameter.split(':').next().unwrap_or_default();
        let is_optional = parameter.ends_with('?');
        match parts.next() {
            Some(part) => params.push((name.trim_end_matches('?').to_owned(), decoded(part))),
            None if is_optional => {}
            None => return None,
        }
        rank.push(1);
    }
    parts.next().is_none().then_some((rank, params))
}

pub(super) fn shows_key(host: &Host, headers: &HeaderMap, query: &[(String, String)]) -> bool {
    let Some(key) = &host.options.function_key else {
        return false;
    };
    let in_header =
        headers.get("x-functions-key").is_some_and(|it| it.as_bytes() == key.as_bytes());
    in_header || query.iter().any(|(name, value)| name.eq_ignore_ascii_case("code") && value == key)
}

fn url(parts: &Parts) -> String {
    let text = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
    let scheme = text("x-forwarded-proto").unwrap_or("http");
    let host = text(HOST.as_str()).unwrap_or("localhost");
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    format!("{scheme}://{host}{path}")
}

/// The headers, those that .NET knows spelled its way.
fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    const KNOWN: [&str; 9] = [
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Content-Length",
        "Content-Type",
        "Host",
        "Traceparent",
        "User-Agent",
        "X-Forwarded-For",
    ];
    let headers = headers.iter().map(|(name, value)| {
        let known = KNOWN.iter().find(|it| it.eq_ignore_ascii_case(name.as_str()));
        let name = known.map_or(name.as_str(), |it| *it).to_owned();
        (name, String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    headers.collect()
}

pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_takes_its_parameters_from_the_path() {
        let params = |route, path| matched(route, path).map(|(_, params)| params);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());

        assert_eq!(params("images/{id}", "/Images/ubuntu%20x"), Some(vec![pair("id", "ubuntu x")]));
        assert_eq!(params("images/{id}", "/images"), None);
        assert_eq!(params("images/{id?}", "/images"), Some(vec![]));
        assert_eq!(params("images/{id:int}/x", "/images/4/x"), Some(vec![pair("id", "4")]));
        assert_eq!(params("{*rest}", "/a/b"), Some(vec![pair("rest", "a/b")]));
        assert_eq!(params("a", "/a/b"), None);
    }

    #[test]
    fn a_literal_part_beats_a_parameter_and_that_a_rest() {
        let rank = |route| matched(route, "/images/x").map(|(rank, _)| rank);

        assert!(rank("images/x") < rank("images/{id}"));
        assert!(rank("images/{id}") < rank("{*rest}"));
    }

    #[test]
    fn only_paths_under_the_prefix_are_routes() {
        assert_eq!(under("/API/images", "api"), Some("/images"));
        assert_eq!(under("/apix/images", "api"), None);
        assert_eq!(under("/é", "api"), None);
    }
}
