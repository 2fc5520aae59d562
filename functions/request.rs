//! A person's request over HTTP: decided, recorded, and then answered.

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use ledger::StreamName;
use tracing::warn;

use crate::api;
use crate::context::Context;
use crate::dispatch::{App, Ill, refused};
use crate::invocation::{self, HttpAnswer};
use crate::record::DECISIONS;
use crate::step::Failure;

impl App {
    /// A person's request.
    pub(crate) async fn request(&self, cx: &mut Context, body: &Bytes) -> Result<Response, Ill> {
        let request = match invocation::http_request(body) {
            Ok(request) => request,
            Err(error) => return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        cx.cause = format!("api:{}", cx.invocation);

        for _ in 0..DECISIONS {
            let (answer, record) = match api::handle(cx, &request).await {
                Ok(decided) => decided,
                Err(Failure::Never { why, .. }) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Overtaken) => continue,
                Err(Failure::Broken(why)) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Later { why, .. } | Failure::Ledger(why)) => return Err(Ill(why)),
            };
            let Some((mut stream, events)) = record else {
                return Ok(invocation::answered(&answer));
            };
            // Recorded before it is answered.
            let before = stream.state.clone();
            match self.ledger.append(&mut stream, cx.draft(events)).await.map_err(Failure::from) {
                Ok(_) => {}
                Err(Failure::Overtaken) => continue,
                Err(Failure::Never { why, .. }) => {
                    return Ok(conflict(why));
                }
                Err(Failure::Later { why, .. } | Failure::Ledger(why) | Failure::Broken(why)) => {
                    return Err(Ill(why));
                }
            }
            if let StreamName::Image(image) = &stream.name {
                let image = image.clone();
                // It is recorded, so it is answered; what could not be sent is sent again later.
                if let Err(Ill(why)) = self.send_new(cx, &image, &before, &stream.state).await {
                    warn!(%image, "What was asked for is recorded and not sent yet: {why}");
                }
            }
            return Ok(invocation::answered(&answer));
        }
        Err(Ill("other steps were faster three times; ask again".to_owned()))
    }
}

/// What a person asked for cannot be, for this reason.
fn conflict(why: String) -> Response {
    let body = serde_json::json!({ "error": why });
    invocation::answered(&HttpAnswer { status: StatusCode::CONFLICT, body })
}
