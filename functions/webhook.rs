//! The webhook that people are told through: one POST of one line of JSON.

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::Value;
use url::Url;

use crate::{Context, Failure};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Posts `body` to `address`.
///
/// # Errors
/// [`Failure::Later`] when it was not reached, is ill or is asked too often; [`Failure::Never`]
/// when it refuses.
pub(crate) async fn post(cx: &Context, address: &Url, body: &Value) -> Result<(), Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(address.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body.to_string()))
        .map_err(|_| Failure::never("the webhook's address cannot be used"))?;

    let answer =
        cx.outbound.send(request).await.map_err(|fault| Failure::later(fault.to_string()))?;
    let (status, _, _) =
        answer.collect(LONGEST_ANSWER).await.map_err(|fault| Failure::later(fault.to_string()))?;
    if status.is_success() {
        return Ok(());
    }
    let why = format!("the webhook answered {status}");
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(Failure::later(why));
    }
    Err(Failure::never(format!("{why}; check the setting `GOLDSMITH_WEBHOOK`")))
}
