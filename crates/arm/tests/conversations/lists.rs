//! Lists that come in pages, and where a next page may be.

use arm::{Error, Version};
use serde_json::{Value, json};

use crate::script::{Script, gallery};

fn page(numbers: &[&str], next: Value) -> Value {
    let item = |number: &&str| {
        json!({"name": number, "location": "westus",
        "properties": {"provisioningState": "Succeeded"}})
    };
    let value: Vec<Value> = numbers.iter().map(item).collect();
    match next {
        Value::Null => json!({"value": value}),
        next => json!({"value": value, "nextLink": next}),
    }
}

async fn listed(script: &Script) -> Result<Vec<Version>, Error> {
    script.arm().versions(&gallery().definition("ubuntu-web")).await
}

#[tokio::test]
async fn an_empty_page_with_a_next_link_is_not_the_end() {
    let script = Script::answering(
        200,
        page(&[], json!("https://management.azure.com/a?api-version=1&%24skiptoken=x%2fy")),
    )
    .then(200, page(&["1.0.0"], json!("https://MANAGEMENT.azure.com:443/b?c=1")))
    .then(200, page(&["1.0.1"], json!("/c?$skiptoken=2")))
    .then(200, page(&[], json!("")));

    let versions = listed(&script).await.unwrap();

    assert_eq!(versions.len(), 2);
    let paths: Vec<String> = script.asked().into_iter().skip(1).map(|it| it.path).collect();
    assert_eq!(paths, ["/a?api-version=1&%24skiptoken=x%2fy", "/b?c=1", "/c?$skiptoken=2"]);
}

#[tokio::test]
async fn a_next_link_to_another_host_is_not_followed_and_not_shown() {
    for link in [
        "http://svchost:99/subscriptions/x?sig=hush",
        "https://management.azure.com.evil.example/x?sig=hush",
        "https://management.azure.com@evil.example/x?sig=hush",
        "https://me@management.azure.com/x?sig=hush",
        "http://management.azure.com/x?sig=hush",
        "https://management.azure.com:8443/x?sig=hush",
        "//evil.example/x?sig=hush",
        "///evil.example/x?sig=hush",
        "\\\\evil.example\\x?sig=hush",
        "https:\\\\evil.example\\x?sig=hush",
        "https://evil.example\\@management.azure.com/x?sig=hush",
        "https://management.azure.com./x?sig=hush",
        "https://[::1]/x?sig=hush",
        "x?sig=hush",
    ] {
        let script = Script::answering(200, page(&["1.0.0"], json!(link)));

        let error = listed(&script).await.unwrap_err();

        assert!(matches!(error, Error::Malformed { .. }), "{link}: {error}");
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(script.asked().len(), 1, "{link}");
    }
}

#[tokio::test]
async fn a_list_that_leads_to_itself_ends() {
    let link = json!("https://management.azure.com/a?x=1");
    let script = Script::answering(200, page(&[], link.clone())).then(200, page(&[], link));

    assert!(matches!(listed(&script).await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn a_refusal_on_a_later_page_is_not_half_a_list() {
    let script = Script::answering(200, page(&["1.0.0"], json!("/a"))).with(
        429,
        &[("retry-after", "9")],
        r#"{"error":{"code":"TooManyRequests","message":"m"}}"#,
    );

    let error = listed(&script).await.unwrap_err();

    assert_eq!(error.retry_after().unwrap().as_secs(), 9);
}

#[tokio::test]
async fn a_version_whose_name_is_no_number_is_named() {
    let script = Script::answering(200, page(&["1.0.0", "latest"], Value::Null));

    let error = listed(&script).await.unwrap_err();

    assert!(error.to_string().contains("`latest` is not a version number"), "{error}");
}
