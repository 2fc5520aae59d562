//! How Service Bus refuses what is sent to it over REST.

use std::sync::Arc;

use http::{HeaderValue, Method};
use seam::Wire;

/// A namespace, a queue in it, a token that may send and one that may not.
pub(crate) struct Bus {
    pub(crate) address: String,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) queue: String,
    pub(crate) token: String,
    pub(crate) stranger: String,
}

impl Bus {
    async fn send(&self, queue: &str, token: &str, size: usize) -> u16 {
        let mut request = seam::Request::new("x".repeat(size).into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/{queue}/messages", self.address).parse().unwrap();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        bearer.set_sensitive(true);
        request.headers_mut().insert(http::header::AUTHORIZATION, bearer);
        let text = HeaderValue::from_static("text/plain");
        request.headers_mut().insert(http::header::CONTENT_TYPE, text);
        self.wire.send(request).await.unwrap().status.as_u16()
    }
}

pub(crate) async fn refusals(bus: Bus) -> String {
    let missing = bus.send("goldsmith-no-such-queue", &bus.token, 1).await;
    let stranger = bus.send(&bus.queue, &bus.stranger, 1).await;
    let mut largest = 0;
    let mut refusal = 0;
    for kib in [64, 192, 255, 512, 1000, 4000] {
        match bus.send(&bus.queue, &bus.token, kib << 10).await {
            201 => largest = kib,
            status => {
                refusal = status;
                break;
            }
        }
    }
    format!(
        "a missing queue {missing}, a missing role {stranger}, {largest} KiB are taken and more is \
         {refusal}: missingQueue: {}, missingRole: {}, largeMessage: {}",
        named(missing, [(410, "gone"), (404, "notFound")]),
        named(stranger, [(401, "unauthorized"), (403, "forbidden")]),
        named(refusal, [(403, "forbidden"), (413, "tooLarge")]),
    )
}

/// What an estate calls the answer `status`.
fn named(status: u16, variants: [(u16, &'static str); 2]) -> &'static str {
    let found = variants.into_iter().find(|(known, _)| *known == status);
    found.map_or("none of the two; please open an issue", |(_, name)| name)
}
