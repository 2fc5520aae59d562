//! The encoder against small cases of its own, and against every vector of the reference that it
//! covers, where that is at hand.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::bus::{Message, Property};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn system() -> System {
    System {
        function: "judge_image".to_owned(),
        now: at("2026-09-08T06:00:00.1234567Z"),
        random_guid: "9d1f2a5e-7a55-4f0e-8b1c-2f1f8f5a0c11".to_owned(),
        namespace: "desk".to_owned(),
        retry: None,
    }
}

fn delivery(body: &str) -> Delivery {
    let message = Message { body: body.as_bytes().to_vec(), ..Message::default() };
    Delivery {
        queue: "judge_image".to_owned(),
        message_id: "web:7:judge_image:0.0".to_owned(),
        body: message.body,
        content_type: None,
        session_id: None,
        sequence: 5,
        enqueued_sequence: 5,
        enqueued_at: at("2026-09-08T05:59:58.75Z"),
        time_to_live: None,
        delivery_count: 2,
        lock_token: "0b6b2d0e-3b0f-4d58-9f0e-7d5d7c8f2a31".to_owned(),
        locked_until: at("2026-09-08T06:01:00Z"),
        said: message.said,
        properties: message.properties,
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn message(data_type: DataType, body: &str) -> Value {
    let payload =
        Payload::Message { delivery: Box::new(delivery(body)), data_type, in_session: false };
    read(&encoded("message", &payload, &system()).unwrap())
}

#[test]
fn bytes_travel_as_base64_and_do_not_leak() {
    let body = message(DataType::Binary, r#"{"messageId":"EVIL","extra":1}"#);

    assert_eq!(body["Data"]["message"], "eyJtZXNzYWdlSWQiOiJFVklMIiwiZXh0cmEiOjF9");
    assert_eq!(body["Metadata"]["MessageId"], "\"web:7:judge_image:0.0\"");
    assert!(body["Metadata"].get("extra").is_none());
}

#[test]
fn everything_that_is_not_bytes_a_date_or_an_object_is_json_in_a_string() {
    let metadata = &message(DataType::Binary, "x")["Metadata"];

    assert_eq!(metadata["MessageId"].as_str().map(|it| it.starts_with('"')), Some(true));
    assert_eq!(metadata["DeliveryCount"], "2");
    assert_eq!(metadata["SequenceNumber"], "5");
    assert_eq!(metadata["EnqueuedTimeUtc"], "2026-09-08T05:59:58");
    assert_eq!(metadata["EnqueuedTime"], "2026-09-08T05:59:58+00:00");
    assert_eq!(metadata["ExpiresAtUtc"], "9999-12-31T23:59:59");
    assert_eq!(metadata["ApplicationProperties"], json!({}));
    assert_eq!(metadata["sys"]["UtcNow"], "2026-09-08T06:00:00.1234567Z");
    assert!(metadata.get("ContentType").is_none(), "what is null is absent");
}

#[test]
fn a_text_leaks_its_members_over_what_the_host_said() {
    let text = r#"{"messageId":"EVIL","sys":{"MethodName":"Other"},"httpTrigger":"x","count":2,
        "dry":false,"none":null,"tags":["a"],"when":"2026-11-20T09:00:00Z"}"#;
    let body = message(DataType::String, text);

    let metadata = &body["Metadata"];
    assert_eq!(body["Data"]["message"], serde_json::to_string(text).unwrap());
    assert_eq!(metadata["MessageId"], "\"EVIL\"");
    assert!(metadata.get("messageId").is_none(), "the first spelling stays");
    assert_eq!(metadata["sys"], json!({ "MethodName": "Other" }));
    assert_eq!((&metadata["count"], &metadata["dry"]), (&json!("\"2\""), &json!("\"False\"")));
    assert_eq!(metadata["when"], "\"11/20/2026 09:00:00\"");
    for absent in ["httpTrigger", "none", "tags"] {
        assert!(metadata.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn a_timer_is_told_its_status_before_this_run() {
    let status = TimerStatus { last: None, next: at("2026-09-08T06:00:00Z") };

    let payload =
        Payload::Timer { adjusts_for_dst: true, status: Some(status), is_past_due: false };

    assert_eq!(
        String::from_utf8(encoded("timer", &payload, &system()).unwrap()).unwrap(),
        "{\"Data\":{\"timer\":{\"Schedule\":{\"AdjustForDST\":true},\
         \"ScheduleStatus\":{\"Last\":\"0001-01-01T00:00:00+00:00\",\
         \"Next\":\"2026-09-08T06:00:00+00:00\",\
         \"LastUpdated\":\"0001-01-01T00:00:00+00:00\"},\"IsPastDue\":false}},\
         \"Metadata\":{\"sys\":{\"MethodName\":\"judge_image\",\
         \"UtcNow\":\"2026-09-08T06:00:00.1234567Z\",\
         \"RandGuid\":\"9d1f2a5e-7a55-4f0e-8b1c-2f1f8f5a0c11\"}}}"
    );
}

#[test]
fn a_binary_request_body_travels_as_base64() {
    let call = HttpCall {
        headers: vec![("Content-Type".into(), "application/octet-stream".into())],
        body: Some(vec![0, 255]),
        ..HttpCall::default()
    };

    let body = read(&encoded("req", &Payload::Http(call), &system()).unwrap());

    assert_eq!(body["Data"]["req"]["Body"], "AP8=");
}

#[test]
fn a_batch_without_a_type_fails_on_a_message_that_is_not_json() {
    let batch = |data_type| Payload::Messages {
        deliveries: vec![delivery("{\"a\":1}"), delivery("hi")],
        data_type,
    };
    let data = |data_type| {
        let bytes = encoded("messages", &batch(data_type), &system());
        bytes.map(|it| read(&it)["Data"]["messages"].as_str().unwrap().to_owned())
    };

    assert_eq!(data(DataType::Binary).unwrap(), r#"["eyJhIjoxfQ==","aGk="]"#);
    assert_eq!(data(DataType::String).unwrap(), r#"["{\"a\":1}","hi"]"#);
    assert!(data(DataType::Untyped).unwrap_err().contains("not JSON"));
}

#[test]
fn an_event_is_an_object_and_its_data_is_told_twice() {
    let event = |data: &str| -> Value {
        let event: Members =
            serde_json::from_str(&format!(r#"{{"id":"1","data":{data},"a":true}}"#)).unwrap();
        read(&encoded("event", &Payload::Event(event), &system()).unwrap())
    };

    assert_eq!(event(r#"{"x":1}"#)["Data"]["event"]["data"]["x"], 1);
    assert_eq!(event(r#"{"x":1}"#)["Metadata"]["data"], json!({ "x": 1 }));
    assert_eq!(event(r#""plain""#)["Metadata"]["data"], r#""plain""#);
    assert!(event("null")["Metadata"].get("data").is_none());
}

/// The requests whose certainty is not the source's own; what is guessed of each is told apart from
/// what is not by the reference, and the host follows the guess.
const INFERRED: [&str; 6] = [
    "eventgrid-batch",
    "eventgrid-cloudevents-scalar-data",
    "http-not-forwarded",
    "servicebus-batch-untyped",
    "servicebus-session",
    "timer-retry-attempt1",
];

#[test]
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn the_vectors_of_the_reference_are_reproduced_to_the_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/custom-handler-vectors");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the reference is not beside this repository");
        return;
    };

    let (mut certain, mut inferred, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("req-") else { continue };
        let vector = read(&std::fs::read(&path).unwrap());
        let Some((mine, theirs)) = rebuilt(&vector) else {
            left.push(name.to_owned());
            continue;
        };
        assert_eq!(mine, theirs, "{name}");
        let list = if INFERRED.contains(&name) { &mut inferred } else { &mut certain };
        list.push(name.to_owned());
    }

    // The ping has no body, what is forwarded is not encoded, and a desk has no storage queues.
    left.sort();
    assert_eq!(left, ["http-forwarded", "queue-json", "ready-ping"]);
    assert_eq!((certain.len(), inferred.len()), (15, 6), "{certain:?} {inferred:?}");
}

/// What this encodes from the parts of a vector, and the vector's own text.
fn rebuilt(vector: &Value) -> Option<(String, String)> {
    let function = &vector["function_json"];
    let binding = function["bindings"].as_array()?.first()?;
    let many = binding["cardinality"] == "many";
    let text_of_theirs = vector["request"]["body_raw"].as_str()?;
    let theirs: Value = serde_json::from_str(text_of_theirs).unwrap();
    let in_order: Members = serde_json::from_str(text_of_theirs).unwrap();
    let name = binding["name"].as_str()?;
    let (data, metadata) = (&theirs["Data"][name], &theirs["Metadata"]);
    let sys = &metadata["sys"];
    let system = System {
        function: text(&sys["MethodName"]),
        now: at(sys["UtcNow"].as_str().unwrap_or("2026-11-20T09:00:00Z")),
        random_guid: text(&sys["RandGuid"]),
        namespace: text(&metadata["Client"]["FullyQualifiedNamespace"]),
        retry: retry_context(function, metadata),
    };

    let payload = match binding["type"].as_str()? {
        "timerTrigger" => {
            let status = &data["ScheduleStatus"];
            let status = status.is_object().then(|| TimerStatus {
                last: Some(at(&text(&status["Last"]))).filter(|it| it.timestamp() > 0),
                next: at(&text(&status["Next"])),
            });
            let adjusts_for_dst = data["Schedule"]["AdjustForDST"].as_bool()?;
            let is_past_due = data["IsPastDue"].as_bool()?;
            Payload::Timer { adjusts_for_dst, status, is_past_due }
        }
        "serviceBusTrigger" => {
            let data_type = match binding["dataType"].as_str() {
                Some("binary") => DataType::Binary,
                None if many => DataType::Untyped,
                _ => DataType::String,
            };
            if many {
                let deliveries = batch(data, data_type, metadata);
                Payload::Messages { deliveries, data_type }
            } else {
                let in_session = binding["isSessionsEnabled"] == true;
                let delivery = Box::new(received(data, data_type, metadata));
                Payload::Message { delivery, data_type, in_session }
            }
        }
        "eventGridTrigger" if many => {
            Payload::Events(serde_json::from_str(data.as_str()?).unwrap())
        }
        "eventGridTrigger" => {
            let Some(Json::Object(data)) = in_order.get("Data") else { panic!("no Data") };
            let Some(Json::Object(event)) = data.get(name) else { panic!("no event") };
            Payload::Event(event.clone())
        }
        "httpTrigger" if data.is_object() => Payload::Http(called(&in_order, name)),
        _ => return None,
    };
    let mine = String::from_utf8(encoded(name, &payload, &system).unwrap()).unwrap();
    Some((comparable(&mine), comparable(text_of_theirs)))
}

/// The text without what is nobody's input: the random end of the client's identifier, and the
/// order of a sender's properties, which the bus does not keep.
fn comparable(text: &str) -> String {
    let mut body: Members = serde_json::from_str(text).unwrap();
    assert_eq!(Json::Object(body.clone()).to_string(), text, "what is compared is all there is");
    if let Some((_, Json::Object(metadata))) = body.0.iter_mut().find(|it| it.0 == "Metadata") {
        for (name, value) in &mut metadata.0 {
            let Json::Object(members) = value else { continue };
            if name.ends_with("Properties") {
                members.0.sort_by_key(|(name, _)| name.to_ascii_lowercase());
            }
            members.0.retain(|(member, _)| !(name == "Client" && member == "Identifier"));
        }
    }
    Json::Object(body).to_string()
}

fn retry_context(function: &Value, metadata: &Value) -> Option<Members> {
    let written: crate::host::retry::Written =
        serde_json::from_value(function.get("retry")?.clone()).unwrap();
    let context = &metadata["RetryContext"];
    let attempt = u32::try_from(context["RetryCount"].as_u64()?).unwrap();
    let why = context["Exception"]["InnerException"]["Message"].as_str();
    let failure = why.map(|why| (metadata["sys"]["MethodName"].as_str().unwrap(), why));
    Some(written.read().unwrap().context(attempt, failure))
}

fn batch(data: &Value, data_type: DataType, metadata: &Value) -> Vec<Delivery> {
    let list = |name: &str| -> Vec<Value> {
        serde_json::from_str(metadata[&format!("{name}Array")].as_str().unwrap()).unwrap()
    };
    let bodies: Vec<Value> = serde_json::from_str(data.as_str().unwrap()).unwrap();
    let one = |(place, body): (usize, &Value)| {
        let of = |name: &str| list(name)[place].clone();
        let body = match data_type {
            DataType::Binary => STANDARD.decode(body.as_str().unwrap()).unwrap(),
            DataType::String => text(body).into_bytes(),
            DataType::Untyped => body.to_string().into_bytes(),
        };
        let enqueued_at = at(&text(&of("EnqueuedTime")));
        Delivery {
            message_id: text(&of("MessageId")),
            body,
            content_type: of("ContentType").as_str().map(str::to_owned),
            sequence: of("SequenceNumber").as_i64().unwrap(),
            enqueued_at,
            time_to_live: Some(at(&text(&of("ExpiresAt"))) - enqueued_at),
            delivery_count: u32::try_from(of("DeliveryCount").as_u64().unwrap()).unwrap(),
            lock_token: text(&of("LockToken")),
            properties: serde_json::from_value(of("ApplicationProperties")).unwrap(),
            ..delivery("")
        }
    };
    bodies.iter().enumerate().map(one).collect()
}

fn received(data: &Value, data_type: DataType, metadata: &Value) -> Delivery {
    let inner = |name: &str| -> Option<String> {
        metadata.get(name).map(|it| serde_json::from_str(it.as_str().unwrap()).unwrap())
    };
    let data = data.as_str().unwrap();
    let body = match data_type {
        DataType::Binary => STANDARD.decode(data).unwrap(),
        DataType::String | DataType::Untyped => {
            serde_json::from_str::<String>(data).unwrap().into_bytes()
        }
    };
    let enqueued_at = at(metadata["EnqueuedTime"].as_str().unwrap());
    let expires_at = at(metadata["ExpiresAt"].as_str().unwrap());
    let properties: BTreeMap<String, Property> =
        serde_json::from_value(metadata["ApplicationProperties"].clone()).unwrap();
    let locked_until = metadata["MessageReceiver"]["SessionLockedUntil"].as_str().map(at);
    Delivery {
        message_id: inner("MessageId").unwrap(),
        body,
        content_type: inner("ContentType"),
        session_id: inner("SessionId"),
        sequence: metadata["SequenceNumber"].as_str().unwrap().parse().unwrap(),
        enqueued_at,
        time_to_live: Some(expires_at - enqueued_at),
        delivery_count: metadata["DeliveryCount"].as_str().unwrap().parse().unwrap(),
        lock_token: inner("LockToken").unwrap(),
        locked_until: locked_until.unwrap_or(expires_at),
        said: crate::bus::Said {
            correlation_id: inner("CorrelationId"),
            label: inner("Label"),
            ..Default::default()
        },
        properties,
        ..delivery("")
    }
}

fn called(body: &Members, name: &str) -> HttpCall {
    let inside = |members: &Members, name: &str| match members.get(name) {
        Some(Json::Object(members)) => members.clone(),
        _ => Members::default(),
    };
    let data = inside(&inside(body, "Data"), name);
    let plain = |value: &Json| match value {
        Json::Text(text) => text.clone(),
        Json::List(values) => match &values[..] {
            [Json::Text(text)] => text.clone(),
            _ => panic!("{values:?}"),
        },
        other => panic!("{other:?}"),
    };
    let pairs = |name: &str| -> Vec<(String, String)> {
        inside(&data, name).0.iter().map(|(name, it)| (name.clone(), plain(it))).collect()
    };
    HttpCall {
        url: plain(data.get("Url").unwrap()),
        method: plain(data.get("Method").unwrap()),
        query: pairs("Query"),
        headers: pairs("Headers"),
        params: pairs("Params"),
        body: data.get("Body").map(|it| plain(it).into_bytes()),
        keyed: true,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
