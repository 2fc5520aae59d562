//! Tells people: one line of JSON to the webhook of the settings.

use bytes::Bytes;
use http::{Method, Request, header};
use rules::event::Event;
use rules::wake::Subject;
use serde_json::json;

use crate::{Context, Done, Failure, Step, Visit};

/// The longest answer that is read from a webhook.
const LONGEST_ANSWER: usize = 64 << 10;

/// Posts one notice. Without an address there is nobody to tell.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let Subject::Notice(seq) = visit.wake.subject else {
        return Err(Failure::never("the wish is not about a notice"));
    };
    let notice = visit.state().notices.iter().find(|it| it.task.seq == seq);
    let Some(notice) = notice else { return Ok(Done::Nothing) };
    let told = Ok(Done::Record(vec![Event::PeopleTold { seq }]));
    let Some(webhook) = &cx.settings.webhook else { return told };

    let text = format!("{}: {}", visit.image, notice.text);
    let body = json!({ "text": text, "image": visit.image, "at": notice.at });
    let request = Request::builder()
        .method(Method::POST)
        .uri(webhook.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body.to_string()))
        .map_err(|_| Failure::never("the webhook's address cannot be used"))?;

    // A person may be told twice; that is better than never.
    let answer =
        cx.outbound.send(request).await.map_err(|fault| Failure::later(fault.to_string()))?;
    let (status, _, _) =
        answer.collect(LONGEST_ANSWER).await.map_err(|fault| Failure::later(fault.to_string()))?;
    if status.is_success() {
        return told;
    }
    let why = format!("the webhook answered {status}");
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(Failure::later(why));
    }
    Err(Failure::never(format!("{why}; check the setting `GOLDSMITH_WEBHOOK`")))
}
