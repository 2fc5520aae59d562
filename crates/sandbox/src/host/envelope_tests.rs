//! The encoder against small cases of its own, and against every vector of the reference that it
//! covers, where that is at hand.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::bus::Message;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn system() -> System {
    System {
        function: "judge_image".to_owned(),
        now: at("2026-09-08T06:00:00.1234567Z"),
        random_guid: "9d1f2a5e-7a55-4f0e-8b1c-2f1f8f5a0c11".to_owned(),
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

fn encoded(data_type: DataType, body: &str) -> Value {
    let bytes = message("message", data_type, &delivery(body), "desk", &system());
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn bytes_travel_as_base64_and_do_not_leak() {
    let body = encoded(DataType::Binary, r#"{"messageId":"EVIL","extra":1}"#);

    assert_eq!(body["Data"]["message"], "eyJtZXNzYWdlSWQiOiJFVklMIiwiZXh0cmEiOjF9");
    assert_eq!(body["Metadata"]["MessageId"], "\"web:7:judge_image:0.0\"");
    assert!(body["Metadata"].get("extra").is_none());
}

#[test]
fn everything_that_is_not_bytes_a_date_or_an_object_is_json_in_a_string() {
    let metadata = &encoded(DataType::Binary, "x")["Metadata"];

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
    let body = encoded(DataType::String, text);

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

    let bytes = timer("timer", true, Some(status), false, &system());

    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "{\"Data\":{\"timer\":{\"IsPastDue\":false,\"Schedule\":{\"AdjustForDST\":true},\
         \"ScheduleStatus\":{\"Last\":\"0001-01-01T00:00:00+00:00\",\
         \"LastUpdated\":\"0001-01-01T00:00:00+00:00\",\"Next\":\"2026-09-08T06:00:00+00:00\"}}},\
         \"Metadata\":{\"sys\":{\"MethodName\":\"judge_image\",\
         \"RandGuid\":\"9d1f2a5e-7a55-4f0e-8b1c-2f1f8f5a0c11\",\
         \"UtcNow\":\"2026-09-08T06:00:00.1234567Z\"}}}"
    );
}

#[test]
fn a_binary_request_body_travels_as_base64() {
    let call = HttpCall {
        headers: vec![("Content-Type".into(), "application/octet-stream".into())],
        body: Some(vec![0, 255]),
        ..HttpCall::default()
    };

    let body: Value = serde_json::from_slice(&http("req", &call, &system())).unwrap();

    assert_eq!(body["Data"]["req"]["Body"], "AP8=");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that looks at nothing says so")]
fn the_vectors_of_the_reference_are_reproduced() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/custom-handler-vectors");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the reference is not beside this repository");
        return;
    };

    let mut compared = 0;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("req-") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if let Some((mine, theirs)) = rebuilt(&vector) {
            assert_eq!(mine, theirs, "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "only {compared} vectors were understood");
}

/// What this encodes from the parts of a vector, and the vector; None for what the desk lacks.
fn rebuilt(vector: &Value) -> Option<(Value, Value)> {
    let function = &vector["function_json"];
    let binding = function["bindings"].as_array()?.first()?;
    let unknown = ["cardinality", "isSessionsEnabled"];
    if function.get("retry").is_some() || unknown.iter().any(|it| binding.get(*it).is_some()) {
        return None;
    }
    let mut theirs: Value = serde_json::from_str(vector["request"]["body_raw"].as_str()?).unwrap();
    let name = binding["name"].as_str()?;
    let (data, metadata) = (&theirs["Data"][name], &theirs["Metadata"]);
    let system = System {
        function: text(&metadata["sys"]["MethodName"]),
        now: at(metadata["sys"]["UtcNow"].as_str().unwrap_or("2026-11-20T09:00:00Z")),
        random_guid: text(&metadata["sys"]["RandGuid"]),
    };

    let mine = match binding["type"].as_str()? {
        "timerTrigger" => {
            let status = &data["ScheduleStatus"];
            let status = status.is_object().then(|| TimerStatus {
                last: Some(at(&text(&status["Last"]))).filter(|it| it.timestamp() > 0),
                next: at(&text(&status["Next"])),
            });
            let adjusts = data["Schedule"]["AdjustForDST"].as_bool()?;
            timer(name, adjusts, status, data["IsPastDue"].as_bool()?, &system)
        }
        "serviceBusTrigger" => {
            let data_type = binding.get("dataType").cloned().unwrap_or(json!("string"));
            let data_type: DataType = serde_json::from_value(data_type).unwrap();
            let namespace = text(&metadata["Client"]["FullyQualifiedNamespace"]);
            message(name, data_type, &received(data, data_type, metadata), &namespace, &system)
        }
        "httpTrigger" if data.is_object() => http(name, &called(data), &system),
        _ => return None,
    };
    let mine: Value = serde_json::from_slice(&mine).unwrap();
    if let Some(client) = theirs["Metadata"].get_mut("Client") {
        // It ends in a random GUID.
        client["Identifier"] = mine["Metadata"]["Client"]["Identifier"].clone();
    }
    Some((mine, theirs))
}

fn received(data: &Value, data_type: DataType, metadata: &Value) -> Delivery {
    let inner = |name: &str| -> Option<String> {
        metadata.get(name).map(|it| serde_json::from_str(it.as_str().unwrap()).unwrap())
    };
    let data = data.as_str().unwrap();
    let body = match data_type {
        DataType::Binary => STANDARD.decode(data).unwrap(),
        DataType::String => serde_json::from_str::<String>(data).unwrap().into_bytes(),
    };
    let enqueued_at = at(metadata["EnqueuedTime"].as_str().unwrap());
    let expires_at = at(metadata["ExpiresAt"].as_str().unwrap());
    let properties: BTreeMap<String, Property> =
        serde_json::from_value(metadata["ApplicationProperties"].clone()).unwrap();
    Delivery {
        message_id: inner("MessageId").unwrap(),
        body,
        content_type: inner("ContentType"),
        sequence: metadata["SequenceNumber"].as_str().unwrap().parse().unwrap(),
        enqueued_at,
        time_to_live: Some(expires_at - enqueued_at),
        delivery_count: metadata["DeliveryCount"].as_str().unwrap().parse().unwrap(),
        lock_token: inner("LockToken").unwrap(),
        said: crate::bus::Said {
            correlation_id: inner("CorrelationId"),
            label: inner("Label"),
            ..Default::default()
        },
        properties,
        ..delivery("")
    }
}

fn called(data: &Value) -> HttpCall {
    let pairs = |name: &str| -> Vec<(String, String)> {
        let members = data[name].as_object().unwrap().iter();
        let first = |value: &Value| text(value.get(0).unwrap_or(value));
        members.map(|(name, value)| (name.clone(), first(value))).collect()
    };
    HttpCall {
        url: text(&data["Url"]),
        method: text(&data["Method"]),
        query: pairs("Query"),
        headers: pairs("Headers"),
        params: pairs("Params"),
        body: data.get("Body").map(|it| text(it).into_bytes()),
        keyed: true,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
