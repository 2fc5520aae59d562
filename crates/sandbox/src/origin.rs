//! The address under which a client knows us. Absolute addresses in answers are made from it: a
//! client follows them as they are, so they must never name the port that we happen to listen on
//! behind a proxy, nor `http` to one that came over https.

use http::{HeaderMap, Uri};

/// `https://127.0.0.1:8443`, from Host and X-Forwarded-Proto, else from the request's own address.
pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let host = text("host").or_else(|| uri.authority().map(|it| it.as_str()));
    let scheme = text("x-forwarded-proto").or(uri.scheme_str()).unwrap_or("http");
    let scheme = scheme.split(',').next().unwrap_or("http").trim();
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}
