//! A person's request: rebuild, approve, hold, resume, revoke, roll back, pin, unpin an image, or
//! approve a plan of deletions. It is recorded before 202 is answered.

use axum::http::StatusCode;
use chrono::Datelike;
use ledger::{Stream, StreamName};
use rules::ImageName;
use rules::event::Event;
use rules::plain::is_plain;
use rules::request::{Details, Verb, Verdict, judge};
use serde_json::json;

use crate::invocation::{HttpAnswer, HttpRequest};
use crate::{Context, Failure};

/// The longest reason, in characters: it is kept for ever, told to people and put on a tag.
const LONGEST_WHY: usize = 1000;

/// The last year in which a hold or a pin may end: no message can be due after the year 9999.
const LAST_YEAR: i32 = 9998;

/// Judges a request; what is to be recorded comes with its stream.
pub async fn handle(
    cx: &Context,
    request: &HttpRequest,
) -> Result<(HttpAnswer, Option<(Stream, Vec<Event>)>), Failure> {
    let part = |name: &str| request.params.get(name).map(String::as_str).unwrap_or_default();
    let (kind, name, verb) = (part("kind"), part("name"), part("verb"));
    if !request.method.eq_ignore_ascii_case("post") {
        return Ok((refused(StatusCode::METHOD_NOT_ALLOWED, "ask with POST"), None));
    }
    let details = match details(request) {
        Ok(details) => details,
        Err(why) => return Ok((refused(StatusCode::BAD_REQUEST, &why), None)),
    };
    let by = caller(request);

    match kind {
        "images" => image(cx, name, verb, &by, &details).await,
        "plans" if verb == "approve" => plan(cx, name, by).await,
        _ => {
            let why = "ask `images/<image>/<verb>` or `plans/<plan>/approve`";
            Ok((refused(StatusCode::NOT_FOUND, why), None))
        }
    }
}

async fn image(
    cx: &Context,
    name: &str,
    verb: &str,
    by: &str,
    details: &Details,
) -> Result<(HttpAnswer, Option<(Stream, Vec<Event>)>), Failure> {
    let Some(verb) = Verb::from_word(verb) else {
        let words: Vec<&str> = Verb::ALL.iter().map(|(word, _)| *word).collect();
        let why = format!("an image can be asked to {}", words.join(", "));
        return Ok((refused(StatusCode::NOT_FOUND, &why), None));
    };
    let unknown = || Ok((refused(StatusCode::NOT_FOUND, "the catalog has no such image"), None));
    let Ok(image) = name.parse::<ImageName>() else { return unknown() };
    let stream = cx.stream(&image).await?;
    // An image that left the catalog may still be offered: all but a rebuild can be asked of it.
    let in_catalog = cx.catalog.image(&image).is_some();
    if !in_catalog && (verb == Verb::Rebuild || stream.head == 0) {
        return unknown();
    }
    match judge(&stream.state, verb, by, &cx.invocation, details) {
        Verdict::Record { events, answer } => {
            let body = json!({ "image": image, "accepted": answer });
            let answer = HttpAnswer { status: StatusCode::ACCEPTED, body };
            Ok((answer, Some((stream, events))))
        }
        Verdict::Refuse { because } => Ok((refused(StatusCode::CONFLICT, &because), None)),
    }
}

async fn plan(
    cx: &Context,
    plan: &str,
    by: String,
) -> Result<(HttpAnswer, Option<(Stream, Vec<Event>)>), Failure> {
    let stream = cx.ledger.read(&StreamName::Catalog).await?;
    if !stream.state.plans.contains_key(plan) {
        return Ok((refused(StatusCode::NOT_FOUND, "no such plan was proposed"), None));
    }
    let body = json!({ "plan": plan, "accepted": "the next sweep may carry it out" });
    let event = Event::DeletionPlanApproved { plan: plan.to_owned(), by };
    Ok((HttpAnswer { status: StatusCode::ACCEPTED, body }, Some((stream, vec![event]))))
}

fn details(request: &HttpRequest) -> Result<Details, String> {
    let body = request.body.as_deref().unwrap_or_default();
    if body.trim().is_empty() {
        return Ok(Details::default());
    }
    let details: Details = serde_json::from_str(body).map_err(|error| {
        format!("the body is not as expected: {error}; write `{{\"why\":\"…\"}}`")
    })?;
    if details.why.chars().count() > LONGEST_WHY {
        return Err(format!("`why` has at most {LONGEST_WHY} characters; link to what is longer"));
    }
    if details.until.is_some_and(|it| it.year() > LAST_YEAR) {
        return Err(format!(
            "`until` ends after the year {LAST_YEAR}; leave it out to mean for good"
        ));
    }
    Ok(details)
}

/// Whom the platform has signed in; whoever only holds the function's key is `a key holder`.
fn caller(request: &HttpRequest) -> String {
    let header = request
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-ms-client-principal-name"));
    let name = header.and_then(|(_, values)| values.first());
    let name: String = name
        .map(|it| it.chars().filter(|it| is_plain(*it)).take(128).collect())
        .unwrap_or_default();
    if name.is_empty() { "a key holder".to_owned() } else { name }
}

fn refused(status: StatusCode, why: &str) -> HttpAnswer {
    HttpAnswer { status, body: json!({ "error": why }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(body: &serde_json::Value) -> Result<Details, String> {
        let request = serde_json::json!({ "Method": "POST", "Body": body.to_string() });
        details(&serde_json::from_value(request).unwrap())
    }

    fn with_why(why: &str) -> Result<Details, String> {
        with(&json!({ "why": why }))
    }

    #[test]
    fn a_reason_that_is_a_book_is_refused_and_says_what_to_do() {
        assert!(with_why(&"é".repeat(LONGEST_WHY)).is_ok());

        let why = with_why(&"é".repeat(LONGEST_WHY + 1)).unwrap_err();

        assert!(why.contains("at most 1000 characters; link to"), "{why}");
    }

    #[test]
    fn an_end_that_no_bus_can_wait_for_is_refused_and_says_what_to_do() {
        for far in ["9999-01-01T00:00:00Z", "+262142-12-31T23:59:59Z"] {
            let why = with(&json!({ "until": far })).unwrap_err();
            assert!(why.contains("leave it out"), "{far}: {why}");
        }
        for near in ["9998-12-31T23:59:59Z", "2026-09-08T00:00:00Z", "-262142-01-01T00:00:00Z"] {
            assert!(with(&json!({ "until": near })).is_ok(), "{near}");
        }
    }
}
