//! Tells people: one line of JSON to the webhook of the settings.

use rules::event::Event;
use rules::wake::Subject;
use serde_json::json;

use crate::{Context, Done, Failure, Step, Visit, webhook};

/// Posts one notice. Without an address there is nobody to tell.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let Subject::Notice(seq) = visit.wake.subject else {
        return Err(Failure::never("the wish is not about a notice"));
    };
    let notice = visit.state().notices.iter().find(|it| it.task.seq == seq);
    let Some(notice) = notice else { return Ok(Done::Nothing) };

    // A person may be told twice; that is better than never.
    if let Some(address) = &cx.settings.webhook {
        let text = format!("{}: {}", visit.image, notice.text);
        let body = json!({ "text": text, "image": visit.image, "at": notice.at });
        webhook::post(cx, address, &body).await?;
    }
    Ok(Done::Record(vec![Event::PeopleTold { seq }]))
}
