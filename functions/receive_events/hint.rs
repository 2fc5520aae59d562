//! What an event from outside hints at. Both schemas of Event Grid are read, one event or several;
//! of an event only its type, its subject and its id are looked at, since anybody who may write in
//! the subscription can cause one.

use rules::plain::is_plain;
use serde::Deserialize;

/// The most events of one message: what Event Grid puts in one delivery at most
/// (<https://learn.microsoft.com/azure/event-grid/delivery-and-retry#output-batching>).
const MOST_EVENTS: usize = 5000;

/// What an event hints at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// A resource was written, deleted or acted on.
    Changed {
        resource: String,
        /// Whether it may be there now, and was not before.
        written: bool,
    },
    /// A pipeline wants an image rebuilt: a CloudEvent of the type `Goldsmith.RebuildRequested`
    /// whose subject is the image.
    Rebuild { image: String, request: String, by: String },
    /// Nothing that we follow.
    Other,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Several(Vec<Envelope>),
    One(Envelope),
}

/// The members of both schemas that say what happened to what.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    id: String,
    #[serde(alias = "eventType")]
    r#type: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    source: String,
}

/// Reads the events of a message.
///
/// # Errors
/// When it is no event of either schema.
pub(super) fn read(body: &[u8]) -> Result<Vec<Hint>, String> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|_| "neither a pointer into the ledger nor an event of Event Grid".to_owned())?;
    let events = match body {
        Body::Several(events) => events,
        Body::One(event) => vec![event],
    };
    if events.len() > MOST_EVENTS {
        return Err(format!("{} events in one message; at most {MOST_EVENTS}", events.len()));
    }
    Ok(events.into_iter().map(hint).collect())
}

fn hint(event: Envelope) -> Hint {
    let Envelope { id, r#type, subject, source } = event;
    if r#type == "Goldsmith.RebuildRequested" {
        let cut = |text: String| text.chars().filter(|it| is_plain(*it)).take(128).collect();
        return Hint::Rebuild { image: subject, request: cut(id), by: cut(source) };
    }
    let followed = [
        "Microsoft.Resources.ResourceWrite",
        "Microsoft.Resources.ResourceAction",
        "Microsoft.Resources.ResourceDelete",
        "Microsoft.ResourceNotifications.Resources.",
    ];
    if !followed.iter().any(|it| r#type.starts_with(it)) {
        return Hint::Other;
    }
    // A run's event names the action below the template.
    let subject = subject.trim_end_matches('/');
    let resource = subject.strip_suffix("/run").unwrap_or(subject).to_owned();
    let written = r#type == "Microsoft.Resources.ResourceWriteSuccess"
        || r#type.ends_with(".CreatedOrUpdated");
    Hint::Changed { resource, written }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/web-1.0.0";

    #[test]
    fn both_schemas_and_both_forms_are_read() {
        let cloud = format!(
            r#"{{"specversion":"1.0","id":"1","type":"Microsoft.Resources.ResourceActionSuccess","source":"/subscriptions/s","subject":"{TEMPLATE}/run","data":{{}}}}"#
        );
        let grid = format!(
            r#"[{{"id":"1","topic":"t","eventType":"Microsoft.Resources.ResourceWriteSuccess","subject":"{TEMPLATE}","dataVersion":"2"}}]"#
        );

        let expected = |written| vec![Hint::Changed { resource: TEMPLATE.to_owned(), written }];
        assert_eq!(read(cloud.as_bytes()).unwrap(), expected(false));
        assert_eq!(read(grid.as_bytes()).unwrap(), expected(true));
    }

    #[test]
    fn other_events_hint_at_nothing() {
        let event = br#"{"id":"1","type":"Microsoft.ContainerRegistry.ImagePushed","subject":"a"}"#;

        assert_eq!(read(event).unwrap(), [Hint::Other]);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in [&b""[..], b"{}", b"3", b"[{}]", b"\"text\"", b"\xff\xfe"] {
            assert!(read(body).is_err(), "{body:?}");
        }
    }
}
