//! Answers that are not answers.

use arm::Error;

use crate::script::{Script, permit, template, version};

#[tokio::test]
async fn what_is_not_json_is_malformed_and_made_readable() {
    let page = format!("<html>\u{1b}[31m\n{}", "x".repeat(1000));
    let script = Script::answering(200, page);

    let error = script.arm().version(&version()).await.unwrap_err();

    let Error::Malformed { excerpt, .. } = &error else { panic!("{error}") };
    assert!(excerpt.starts_with("<html>\\u{1b}[31m\\nxxx"), "{excerpt}");
    assert!(excerpt.chars().count() <= 201 + 20, "{excerpt}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn an_empty_answer_to_a_question_is_malformed() {
    let script = Script::answering(200, "");

    assert!(matches!(script.arm().version(&version()).await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn a_date_that_is_none_is_named() {
    let body = r#"{"name":"1.2.3","location":"westus","properties":{"provisioningState":"Succeeded","publishingProfile":{"publishedDate":"yesterday"}}}"#;
    let script = Script::answering(200, body);

    let error = script.arm().version(&version()).await.unwrap_err();

    assert!(error.to_string().contains("`yesterday` is not a date"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let script = Script::default().with(307, &[("location", "https://evil.example/?t=hush")], "");

    let error = script.arm().version(&version()).await.unwrap_err();

    assert!(matches!(error, Error::Malformed { .. }));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn a_gateway_that_gave_up_may_have_passed_the_write_on() {
    let script = Script::answering(
        504,
        r#"{"error":{"code":"GatewayTimeout","message":"The gateway did not receive a response from 'Microsoft.VirtualMachineImages' within the specified time period."}}"#,
    );

    let error = script.arm().run_template(&permit(), &template()).await.unwrap_err();

    assert!(error.perhaps_done() && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_throttled_write_was_not_done() {
    let script = Script::default().with(
        429,
        &[("retry-after", "17"), ("x-ms-ratelimit-remaining-subscription-writes", "0")],
        r#"{"error":{"code":"SubscriptionRequestsThrottled","message":"Please try again after '6' seconds."}}"#,
    );

    let error = script.arm().run_template(&permit(), &template()).await.unwrap_err();

    assert!(!error.perhaps_done() && error.is_transient());
    assert_eq!(error.retry_after().unwrap().as_secs(), 17);
    assert!(error.to_string().ends_with("try again in 17 s"), "{error}");
}

#[tokio::test]
async fn a_name_that_climbs_is_not_sent() {
    let script = Script::default();
    let id = arm::TemplateId::new("s", "..", "t");

    let error = script.arm().template(&id).await.unwrap_err();

    assert!(matches!(error, Error::NotSent { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let script = Script::answering(200, "x".repeat((16 << 20) + 1));

    let error = script.arm().version(&version()).await.unwrap_err();

    assert!(matches!(error, Error::PerhapsDone { .. }), "{error}");
}

#[tokio::test]
async fn a_page_of_a_front_door_says_nothing_of_the_resource_whatever_its_status() {
    let page = "<html><title>Our services aren't available right now</title></html>";
    for status in [200, 202, 204, 404, 409] {
        let script = || {
            let headers = [("content-type", "text/html; charset=utf-8")];
            Script::default().with(status, &headers, page)
        };

        let deleted = script().arm().delete_template(&permit(), &template()).await;
        let ran = script().arm().run_template(&permit(), &template()).await;
        let read = script().arm().version(&version()).await;

        assert!(deleted.unwrap_err().perhaps_done(), "deleted with {status}");
        assert!(ran.unwrap_err().perhaps_done(), "run with {status}");
        let error = read.unwrap_err();
        assert!(
            error.is_transient() && !matches!(error, Error::NotFound { .. }),
            "{status}: {error}"
        );
    }
}
