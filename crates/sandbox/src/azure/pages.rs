//! Lists in pages. ARM answers empty pages with a link to the next one: 278 times in the recordings
//! of `/subscriptions/{s}/resources?$filter`, where the match is on the second page and more empty
//! pages follow. Whoever stops at an empty page, or at the first, misses what is there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::World;
use super::answer::{Refusal, Reply};
use super::call::Call;

/// The most items of a page where the estate does not say.
const PAGE: usize = 1000;

/// What stands unescaped in a path.
const IN_A_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'(').remove(b')');

/// The page of `reply`'s list that `call` asks for. What is no list, and what is not cut in this
/// cloud, is left as it is.
pub(super) fn cut(world: &World<'_>, call: &Call, mut reply: Reply) -> Result<Reply, Refusal> {
    let wanted = world.estate.cloud.items_per_page;
    let items =
        reply.body.as_mut().and_then(|it| it.get_mut("value")).and_then(Value::as_array_mut);
    let Some(items) = items.filter(|_| call.method == Method::GET) else { return Ok(reply) };
    if items.is_empty() || (wanted.is_none() && !is_filtered(call)) {
        return Ok(reply);
    }

    let size = wanted.map_or(PAGE, |it| usize::try_from(it).unwrap_or(PAGE)).max(1);
    let number = number(call)?;
    // The first page and the last one are empty.
    let last = items.len().div_ceil(size) + 1;
    let begin = number.saturating_sub(1) * size;
    let page: Vec<Value> = match number {
        0 => Vec::new(),
        _ => items.iter().skip(begin).take(size).cloned().collect(),
    };
    *items = page;
    if number < last
        && let Some(body) = reply.body.as_mut()
    {
        body["nextLink"] = json!(link(call, number + 1));
    }
    Ok(reply)
}

/// A list of all resources of a subscription with a filter.
fn is_filtered(call: &Call) -> bool {
    let path: Vec<&str> = call.lower.iter().map(String::as_str).collect();
    matches!(path[..], ["subscriptions", _, "resources"]) && call.query("$filter").is_some()
}

/// Which page is asked for; the first one has no token.
fn number(call: &Call) -> Result<usize, Refusal> {
    let Some(token) = call.query("$skiptoken") else { return Ok(0) };
    let decoded = STANDARD.decode(token).ok().and_then(|it| String::from_utf8(it).ok());
    decoded.and_then(|it| it.strip_prefix("page=")?.parse().ok()).ok_or_else(|| {
        let message = "The value of '$skiptoken' is not one that was handed out.";
        Refusal::gateway(StatusCode::BAD_REQUEST, "InvalidSkipToken", message)
    })
}

/// The absolute address of a page, with the query of the first one, encoded as it was recorded.
fn link(call: &Call, number: usize) -> String {
    let token = STANDARD.encode(format!("page={number}"));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in call.query.iter().filter(|it| it.0 != "$skiptoken") {
        query.append_pair(name, value);
    }
    query.append_pair("$skiptoken", &token);
    let path = call.segments.iter().map(|it| format!("/{}", utf8_percent_encode(it, IN_A_SEGMENT)));
    format!("{}{}?{}", call.origin, path.collect::<String>(), query.finish())
}
