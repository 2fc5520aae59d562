//! The REST interface of blobs. <https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api>

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::Blobs;
use super::list::Listing;
use super::place::{Container, Facts, Name, Precondition, Written};

/// The newest version of the service that this follows, when a client names none.
const VERSION: &str = "2023-11-03";
/// Put Blob takes more, but nothing on a desk is larger.
const LARGEST_BLOB_BYTES: usize = 256 * 1024 * 1024;

pub(super) fn router(blobs: Arc<Blobs>) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(blobs)
}

async fn answer(State(blobs): State<Arc<Blobs>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let version = parts.headers.get("x-ms-version").cloned();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BLOB_BYTES).await else {
        return refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestBodyTooLarge",
            "the body is larger than 256 MB or broke off",
        );
    };

    let mut response = route(&blobs, &parts.method, &parts.uri, &parts.headers, body);
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    let version = version.unwrap_or(HeaderValue::from_static(VERSION));
    response.headers_mut().insert("x-ms-version", version);
    response
}

fn route(
    blobs: &Blobs,
    method: &Method,
    uri: &axum::http::Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    if !is_authorized(headers) {
        let mut response = refusal(
            StatusCode::UNAUTHORIZED,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. A bearer token is needed.",
        );
        let challenge = HeaderValue::from_static("Bearer resource_id=https://storage.azure.com");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return response;
    }

    let Ok(path) = percent_decode_str(uri.path()).decode_utf8() else {
        return refusal(StatusCode::BAD_REQUEST, "InvalidUri", "the path is not UTF-8");
    };
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (account, container) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let key = parts.next().unwrap_or("");
    let query = query(uri.query().unwrap_or(""));

    let answered = if key.is_empty() {
        on_container(blobs, method, account, container, &query)
    } else {
        Name::checked(account, container, key)
            .and_then(|name| on_blob(blobs, method, &name, &query, headers, body))
    };
    answered.unwrap_or_else(|error| failed(&error))
}

fn on_container(
    blobs: &Blobs,
    method: &Method,
    account: &str,
    container: &str,
    query: &BTreeMap<String, String>,
) -> io::Result<Response> {
    let container = Container::checked(account, container)?;
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    if text("restype") != "container" {
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "InvalidQueryParameterValue",
            "an operation on a container says restype=container",
        ));
    }

    match (method.as_str(), text("comp")) {
        ("GET", "list") => list(blobs, &container, query),
        // Containers need not be made: every name that is one is there.
        ("PUT", "") => Ok(StatusCode::CREATED.into_response()),
        ("GET" | "HEAD", "") => Ok(StatusCode::OK.into_response()),
        (method, comp) => Ok(unsupported(method, comp)),
    }
}

fn list(
    blobs: &Blobs,
    container: &Container,
    query: &BTreeMap<String, String>,
) -> io::Result<Response> {
    let listing = match Listing::read(query) {
        Ok(listing) => listing,
        Err(parameter) => {
            let text = format!("{parameter} has a value that it may not have");
            return Ok(refusal(StatusCode::BAD_REQUEST, "OutOfRangeQueryParameterValue", &text));
        }
    };
    let xml = listing.answer(&blobs.place, container, &blobs.base_url(&container.account))?;
    Ok(([(CONTENT_TYPE, "application/xml")], xml).into_response())
}

fn on_blob(
    blobs: &Blobs,
    method: &Method,
    name: &Name,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: Bytes,
) -> io::Result<Response> {
    let comp = query.get("comp").map(String::as_str).unwrap_or_default();
    match (method.as_str(), comp) {
        ("PUT", "") => put(blobs, name, headers, body),
        ("GET", "") => get(blobs, name, headers),
        ("HEAD", "") => head(blobs, name, headers),
        ("DELETE", "") => delete(blobs, name, headers),
        (method, comp) => Ok(unsupported(method, comp)),
    }
}

fn put(blobs: &Blobs, name: &Name, headers: &HeaderMap, body: Bytes) -> io::Result<Response> {
    let kind = text(headers, "x-ms-blob-type");
    if kind != Some("BlockBlob") {
        let text = "Put Blob needs the header x-ms-blob-type: BlockBlob";
        return Ok(refusal(StatusCode::BAD_REQUEST, "MissingRequiredHeader", text));
    }
    let precondition = match (text(headers, IF_NONE_MATCH.as_str()), text(headers, "if-match")) {
        (Some("*"), _) => Precondition::Absent,
        (_, Some(etag)) if etag != "*" => Precondition::Matches(etag.to_owned()),
        (_, Some(_)) if blobs.place.facts(name)?.is_none() => {
            return Ok(condition_not_met());
        }
        _ => Precondition::None,
    };

    match blobs.place.put(name, body, blobs.now(), &precondition)? {
        Written::Done(facts) => {
            let mut response = StatusCode::CREATED.into_response();
            describe(response.headers_mut(), &facts);
            Ok(response)
        }
        Written::Exists => Ok(refusal(
            StatusCode::CONFLICT,
            "BlobAlreadyExists",
            "The specified blob already exists.",
        )),
        Written::Changed => Ok(condition_not_met()),
    }
}

fn get(blobs: &Blobs, name: &Name, headers: &HeaderMap) -> io::Result<Response> {
    let Some(blob) = blobs.place.get(name)? else {
        return Ok(not_found());
    };
    if let Some(refused) = unmet(headers, &blob.facts) {
        return Ok(refused);
    }

    let size = blob.facts.size;
    let (status, bytes, range) = match asked_range(headers, size) {
        Asked::All => (StatusCode::OK, blob.bytes, None),
        Asked::Part(range) => {
            let bytes = blob.bytes.slice(range.start as usize..range.end as usize);
            (StatusCode::PARTIAL_CONTENT, bytes, Some(range))
        }
        Asked::Nothing => {
            let text = "The range specified is invalid for the current size of the resource.";
            return Ok(refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", text));
        }
    };
    let mut response = (status, bytes).into_response();
    describe(response.headers_mut(), &blob.facts);
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().insert(CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

fn head(blobs: &Blobs, name: &Name, headers: &HeaderMap) -> io::Result<Response> {
    let Some(facts) = blobs.place.facts(name)? else {
        return Ok(not_found());
    };
    if let Some(refused) = unmet(headers, &facts) {
        return Ok(refused);
    }
    let mut response = StatusCode::OK.into_response();
    describe(response.headers_mut(), &facts);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(facts.size));
    Ok(response)
}

fn delete(blobs: &Blobs, name: &Name, headers: &HeaderMap) -> io::Result<Response> {
    let Some(facts) = blobs.place.facts(name)? else {
        return Ok(not_found());
    };
    if let Some(refused) = unmet(headers, &facts) {
        return Ok(refused);
    }
    if !blobs.place.delete(name)? {
        return Ok(not_found());
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Why a request with these conditions is not carried out.
fn unmet(headers: &HeaderMap, facts: &Facts) -> Option<Response> {
    if text(headers, IF_MATCH.as_str()).is_some_and(|it| it != "*" && it != facts.etag) {
        return Some(condition_not_met());
    }
    if text(headers, IF_NONE_MATCH.as_str()).is_some_and(|it| it == "*" || it == facts.etag) {
        return Some(StatusCode::NOT_MODIFIED.into_response());
    }
    None
}

/// What part of a blob a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(Range<u64>),
    Nothing,
}

/// `x-ms-range` wins over `Range`. Azure knows no ranges from the end, and takes what it does not
/// understand for the whole.
fn asked_range(headers: &HeaderMap, size: u64) -> Asked {
    let value = text(headers, "x-ms-range").or_else(|| text(headers, RANGE.as_str()));
    let Some((first, last)) =
        value.and_then(|it| it.strip_prefix("bytes=")).and_then(|it| it.split_once('-'))
    else {
        return Asked::All;
    };
    let Ok(first) = first.parse::<u64>() else {
        return Asked::All;
    };
    let end = match last {
        "" => size,
        last => match last.parse::<u64>() {
            Ok(last) => last.saturating_add(1).min(size),
            Err(_) => return Asked::All,
        },
    };
    if first >= end { Asked::Nothing } else { Asked::Part(first..end) }
}

fn describe(headers: &mut HeaderMap, facts: &Facts) {
    if let Ok(etag) = HeaderValue::try_from(&facts.etag) {
        headers.insert(ETAG, etag);
    }
    if let Ok(modified) = HeaderValue::try_from(rfc1123(facts.modified)) {
        headers.insert(LAST_MODIFIED, modified);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, whole seconds.
pub(super) fn rfc1123(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn is_authorized(headers: &HeaderMap) -> bool {
    let token = text(headers, AUTHORIZATION.as_str()).and_then(|it| it.split_once(' '));
    token.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok())
}

/// The parameters, their names in lower case.
fn query(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .collect()
}

fn not_found() -> Response {
    refusal(StatusCode::NOT_FOUND, "BlobNotFound", "The specified blob does not exist.")
}

fn condition_not_met() -> Response {
    let text = "The condition specified using HTTP conditional header(s) is not met.";
    refusal(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", text)
}

fn unsupported(method: &str, comp: &str) -> Response {
    let text = format!("the desk does not have {method} with comp=`{comp}`");
    refusal(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb", &text)
}

fn failed(error: &io::Error) -> Response {
    match error.kind() {
        ErrorKind::InvalidInput => {
            refusal(StatusCode::BAD_REQUEST, "InvalidResourceName", &error.to_string())
        }
        // On a disk a name cannot be both a file and a folder.
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => refusal(
            StatusCode::CONFLICT,
            "ResourceTypeMismatch",
            "a part of this name is a blob already, or the name is a folder of blobs",
        ),
        _ => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &error.to_string()),
    }
}

fn refusal(status: StatusCode, code: &'static str, message: &str) -> Response {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let headers = [("content-type", "application/xml"), ("x-ms-error-code", code)];
    (status, headers, body).into_response()
}
