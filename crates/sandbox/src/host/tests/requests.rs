//! Functions that a request wakes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_wakes_its_function_and_gets_its_output() {
    let desk = Desk::paused();
    let host = desk.host(&[route("api", "images/{name}/{verb}", "function")], |_| async {
        let res = json!({"statusCode": 202, "headers": {"Content-Type": "application/json"},
            "body": "{\"id\":1}"});
        axum::Json(json!({ "Outputs": { "res": res } })).into_response()
    });

    let answer = post(&host, "/api/images/web/rebuild?force=true", None).await;

    assert_eq!(answer, (202, "{\"id\":1}".to_owned()));
    let call = &desk.calls()[0].body["Data"]["req"];
    assert_eq!(call["Url"], "http://desk/api/images/web/rebuild?force=true");
    assert_eq!(call["Params"], json!({ "name": "web", "verb": "rebuild" }));
    assert_eq!(call["Body"], r#"{"reason":"x"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_request_needs_the_key_unless_the_function_is_anonymous() {
    let desk = Desk::paused();
    let functions = [route("locked", "locked", "function"), route("open", "open", "anonymous")];
    let host = desk.host_with("00:05:00", "00:05:00", Some("key"), &functions, good);

    assert_eq!(post(&host, "/api/locked", None).await.0, 401);
    assert_eq!(post(&host, "/api/locked", Some("guess")).await.0, 401);
    assert_eq!(post(&host, "/api/locked", Some("key")).await.0, 204);
    assert_eq!(post(&host, "/api/locked?code=key", None).await.0, 204);
    assert_eq!(post(&host, "/api/open", None).await.0, 204);
    assert_eq!(post(&host, "/api/none", Some("key")).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_answered_500() {
    let desk = Desk::paused();
    let host = desk.host(&[route("api", "x", "anonymous")], bad);

    assert_eq!(post(&host, "/api/x", None).await, (500, String::new()));
}
