//! Sends messages to the queues of one Service Bus namespace.

use std::sync::Arc;

use azure_core_legacy::date::parse_rfc3339;
use azure_messaging_servicebus::service_bus::{
    QueueClient, SendMessageOptions, SettableBrokerProperties,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use seam::legacy::{LegacyClient, NotAccepted};
use seam::{Endpoint, Outbound};
use sha2::{Digest, Sha256};

use crate::{BODY_LIMIT, BusError, Pointer};

/// Service Bus allows 128 characters,
/// <https://learn.microsoft.com/rest/api/servicebus/message-headers-and-properties>.
const ID_LIMIT: usize = 128;

/// The client takes the name of a namespace and a key; the transport under it puts the configured
/// address and a bearer token in their place.
const REPLACED: &str = "replaced";

/// A Service Bus namespace to send to.
#[derive(Clone, Debug)]
pub struct Bus {
    transport: Arc<LegacyClient>,
    outbound: Outbound,
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The same message has the same id, by which the queue drops what it has had; hashed when
    /// longer than 128 bytes.
    pub id: String,
    /// JSON, at most [`BODY_LIMIT`] bytes.
    pub body: String,
    /// When it may be received, never before; at once when absent or past.
    pub due: Option<DateTime<Utc>>,
}

impl Outgoing {
    /// The message that carries `pointer`.
    pub fn pointing(pointer: &Pointer, due: Option<DateTime<Utc>>) -> Outgoing {
        Outgoing { id: pointer.to_string(), body: pointer.to_body(), due }
    }
}

impl Bus {
    /// Sends through `outbound` to the namespace at `endpoint`
    /// (`https://name.servicebus.windows.net`), which `outbound` must trust.
    pub fn new(outbound: Outbound, endpoint: Endpoint) -> Bus {
        let transport = Arc::new(LegacyClient::new(outbound.clone(), endpoint));
        Bus { transport, outbound }
    }

    /// Sends `message` to `queue`, and returns once the service has it.
    ///
    /// # Errors
    /// [`BusError`] says whether the same message may be accepted later. After any error the
    /// message may be sent again: it has the same id.
    pub async fn send(&self, queue: &str, message: &Outgoing) -> Result<(), BusError> {
        let options = self.options(queue, message)?;
        let client = QueueClient::new(
            Arc::clone(&self.transport) as _,
            REPLACED,
            queue,
            REPLACED,
            REPLACED.to_owned(),
        )
        .map_err(|error| BusError::never(format!("no client for queue `{queue}`: {error}")))?;

        client.send_message(&message.body, Some(options)).await.map_err(|error| {
            match error.downcast_ref::<NotAccepted>() {
                Some(cause) => BusError::not_accepted(queue, cause),
                None => BusError::never(format!("no message to queue `{queue}`: {error}")),
            }
        })
    }

    fn options(&self, queue: &str, message: &Outgoing) -> Result<SendMessageOptions, BusError> {
        // The client pastes the name into the address.
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        let traversal = queue.split('/').any(|it| it.is_empty() || it == "." || it == "..");
        if queue.len() > 260 || traversal || !queue.bytes().all(good) {
            return Err(BusError::never(format!("`{queue}` is not the name of a queue")));
        }
        if message.id.is_empty() {
            return Err(BusError::never(format!("a message to queue `{queue}` has no id")));
        }
        if message.body.len() > BODY_LIMIT {
            return Err(BusError::never(format!(
                "message `{}` has {} bytes and may have {BODY_LIMIT}; put what is large among the \
                 blobs and point at it",
                message.id,
                message.body.len()
            )));
        }

        let due = message.due.filter(|due| *due > self.outbound.now());
        let scheduled = due.map(whole_second_after).map(|due| parse_rfc3339(&due.to_rfc3339()));
        let scheduled = scheduled.transpose().map_err(|_| {
            BusError::never(format!("message `{}` is due at no date of the calendar", message.id))
        })?;

        Ok(SendMessageOptions {
            content_type: Some("application/json".to_owned()),
            broker_properties: Some(SettableBrokerProperties {
                message_id: Some(short_id(&message.id)),
                scheduled_enqueue_time_utc: scheduled,
                ..SettableBrokerProperties::default()
            }),
            custom_properties: None,
        })
    }
}

/// Service Bus reads whole seconds, and a message must not be early.
fn whole_second_after(due: DateTime<Utc>) -> DateTime<Utc> {
    let whole = due.trunc_subsecs(0);
    if whole == due {
        return due;
    }
    whole.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(due)
}

fn short_id(id: &str) -> String {
    if id.len() <= ID_LIMIT {
        return id.to_owned();
    }
    HEXLOWER.encode(&Sha256::digest(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode, Uri};
    use seam::{Local, Tokens, ToldClock};
    use serde_json::{Value, json};

    use super::*;

    type Seen = Arc<Mutex<Vec<(String, Value, String)>>>;

    /// It is noon.
    fn noon() -> DateTime<Utc> {
        "2026-09-08T12:00:00Z".parse().unwrap()
    }

    /// A namespace that remembers paths, broker properties and bodies, and answers `status`.
    fn namespace(status: u16, body: &'static str) -> (Bus, Seen) {
        let seen = Seen::default();
        let memory = Arc::clone(&seen);
        let router =
            Router::new().fallback(move |uri: Uri, headers: HeaderMap, text: String| async move {
                assert_eq!(headers["authorization"], "Bearer hush");
                assert_eq!(headers["content-type"], "application/json");
                let properties = headers["brokerproperties"].to_str().unwrap();
                let properties = serde_json::from_str(properties).unwrap();
                memory.lock().unwrap().push((uri.path().to_owned(), properties, text));
                (StatusCode::from_u16(status).unwrap(), body)
            });
        (bus(Local::to([("bus.test".to_owned(), router)])), seen)
    }

    fn bus(wire: Local) -> Bus {
        let (clock, tokens) = (Arc::new(ToldClock(noon())), Arc::new(Tokens::fixed("hush")));
        let outbound = Outbound::new(Arc::new(wire), clock, tokens, ["bus.test".to_owned()]);
        Bus::new(outbound, "https://bus.test".parse().unwrap())
    }

    fn message() -> Outgoing {
        Outgoing { id: "web:1:notify:0.0".to_owned(), body: "{}".to_owned(), due: None }
    }

    #[tokio::test]
    async fn a_message_carries_its_id_and_its_body() {
        let (bus, seen) = namespace(201, "");

        bus.send("notify", &message()).await.unwrap();

        let expected = (
            "/notify/messages".to_owned(),
            json!({"MessageId": "web:1:notify:0.0"}),
            "{}".to_owned(),
        );
        assert_eq!(*seen.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn a_message_is_never_early_and_a_past_due_is_none() {
        let (bus, seen) = namespace(201, "");
        let dues = [
            (TimeDelta::milliseconds(1500), json!("Tue, 08 Sep 2026 12:00:02 GMT")),
            (TimeDelta::nanoseconds(1), json!("Tue, 08 Sep 2026 12:00:01 GMT")),
            (TimeDelta::seconds(90), json!("Tue, 08 Sep 2026 12:01:30 GMT")),
            (TimeDelta::zero(), Value::Null),
            (TimeDelta::hours(-1), Value::Null),
        ];

        for (wait, expected) in dues {
            let due = Some(noon() + wait);
            bus.send("notify", &Outgoing { due, ..message() }).await.unwrap();

            let (_, properties, _) = seen.lock().unwrap().pop().unwrap();
            assert_eq!(properties["ScheduledEnqueueTimeUtc"], expected, "{wait}");
        }
    }

    #[tokio::test]
    async fn a_due_time_beyond_the_calendar_is_refused_before_it_is_sent() {
        let (bus, seen) = namespace(201, "");

        let error = bus
            .send("notify", &Outgoing { due: Some(DateTime::<Utc>::MAX_UTC), ..message() })
            .await
            .unwrap_err();

        assert!(!error.later, "{error}");
        assert!(seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_long_id_is_hashed_to_the_same_text_each_time() {
        let (bus, seen) = namespace(201, "");
        let long = Outgoing { id: "x".repeat(129), ..message() };

        bus.send("notify", &long).await.unwrap();
        bus.send("notify", &long).await.unwrap();
        bus.send("notify", &Outgoing { id: "x".repeat(128), ..message() }).await.unwrap();

        let seen = seen.lock().unwrap();
        let ids: Vec<_> = seen.iter().map(|it| it.1["MessageId"].as_str().unwrap()).collect();
        assert_eq!(ids[0].len(), 64);
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[2], "x".repeat(128));
    }

    #[tokio::test]
    async fn a_refusal_says_whether_to_try_again_and_what_to_do() {
        let cases = [
            (400, false, "require sessions"),
            (401, false, "Azure Service Bus Data Sender"),
            (403, false, "the queue is full"),
            (404, false, "create it"),
            (410, false, "create it"),
            (302, false, "address of the namespace"),
            (200, true, "only 201"),
            (408, true, "408"),
            (429, true, "429"),
            (500, true, "500"),
            (503, true, "50009 wait"),
        ];
        for (status, later, expected) in cases {
            let (bus, _) = namespace(status, "<Detail>50009\n wait</Detail>");

            let error = bus.send("notify", &message()).await.unwrap_err();

            assert_eq!(error.later, later, "{error}");
            assert!(error.text.contains(expected), "{error}");
            assert!(error.text.contains("`notify`"), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_bus_that_cannot_be_reached_may_be_there_later() {
        let error = bus(Local::default()).send("notify", &message()).await.unwrap_err();

        assert!(error.later, "{error}");
        assert!(error.text.contains("nothing listens on `bus.test`"), "{error}");
    }

    #[tokio::test]
    async fn what_would_change_the_request_is_not_sent() {
        let (bus, seen) = namespace(201, "");
        let long = Outgoing { body: "x".repeat(1025), ..message() };
        let anonymous = Outgoing { id: String::new(), ..message() };

        for queue in ["", "a?b=c", "a#b", "../a", "a//b", "a/../b", "a b", "ä"] {
            assert!(!bus.send(queue, &message()).await.unwrap_err().later, "{queue}");
        }
        assert!(bus.send("notify", &long).await.unwrap_err().text.contains("1025 bytes"));
        assert!(bus.send("notify", &anonymous).await.unwrap_err().text.contains("has no id"));

        assert!(seen.lock().unwrap().is_empty());
    }
}
