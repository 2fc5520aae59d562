//! Redirects, which the host follows unasked, as .NET's `HttpClient` does.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};
use seam::{Fault, Request, Response, Wire};

/// .NET's `HttpClient` follows no more.
const MOST_REDIRECTS: usize = 50;

/// Sends `request`, and on to wherever the answer points, as .NET's client does unasked.
pub(super) async fn follow(wire: &dyn Wire, mut request: Request) -> Result<Response, Fault> {
    for _ in 0..MOST_REDIRECTS {
        let before = request.clone();
        let response = wire.send(request).await?;
        match redirected(before, response.status, &response.headers) {
            Some(next) => request = next,
            None => return Ok(response),
        }
    }
    wire.send(request).await
}

/// The request that an answer points at; None when it points nowhere.
fn redirected(request: Request, status: StatusCode, headers: &HeaderMap) -> Option<Request> {
    let repeats = match status.as_u16() {
        300..=303 => false,
        307 | 308 => true,
        _ => return None,
    };
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let target = url::Url::parse(&request.uri().to_string()).ok()?.join(location).ok()?;
    let safe = target.scheme() == "https"
        || (target.scheme() == "http" && request.uri().scheme_str() == Some("http"));
    if !safe {
        return None;
    }
    let (mut parts, mut body) = request.into_parts();
    parts.uri = target.as_str().parse::<Uri>().ok()?;
    parts.headers.remove(HOST);
    if !repeats && parts.method == Method::POST {
        parts.method = Method::GET;
        body = Bytes::new();
        for name in [TRANSFER_ENCODING, CONTENT_TYPE, CONTENT_LENGTH] {
            parts.headers.remove(name);
        }
    }
    Some(Request::from_parts(parts, body))
}
