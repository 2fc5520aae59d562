//! Resource Graph: scopes, pages, formats, refusals.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{Desk, WEB, desk};

const PATH: &str = "/providers/Microsoft.ResourceGraph/resources";
const SHOP: &str = "b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70";
const LEGAL: &str = "d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19";

/// Who uses web 1.0.0 or its definition, as the notes on Azure ask it.
const USERS: &str = "resources
| where type in~ ('microsoft.compute/virtualmachines','microsoft.compute/virtualmachinescalesets','microsoft.compute/disks')
| extend vm = properties.storageProfile.imageReference, ss = properties.virtualMachineProfile.storageProfile.imageReference
| extend ref = tolower(tostring(coalesce(vm.id, ss.id, properties.creationData.imageReference.id)))
| extend exact = tostring(coalesce(vm.exactVersion, ss.exactVersion))
| where ref == '%ID%' or ref startswith '%ID%/'
| project id, name, type, subscriptionId, ref, exact | order by id asc";

async fn ask(desk: &Desk, body: Value) -> crate::desk::Answer {
    desk.post(PATH, body).await
}

fn names(answer: &crate::desk::Answer) -> Vec<&str> {
    answer.body["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_users_of_an_image_are_found() {
    let desk = desk();
    let query = USERS.replace("%ID%", &WEB.to_ascii_lowercase());

    let answer = desk.graph(&query).await;
    let shorter = USERS.replace("%ID%", WEB.to_ascii_lowercase().strip_suffix('b').unwrap());
    let shorter = desk.graph(&shorter).await;

    assert_eq!(names(&shorter), Vec::<&str>::new(), "an image `we` has none of them");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let machines: Vec<&str> =
        names(&answer).into_iter().filter(|it| !it.contains("OsDisk")).collect();
    assert_eq!(machines, ["vmss0", "vmss1", "vm1", "vm2"], "capitals before small letters");
    let rows = answer.body["data"].as_array().unwrap();
    let vm1 = rows.iter().find(|it| it["name"] == "vm1").unwrap();
    assert_eq!(
        (vm1["exact"].as_str(), vm1["type"].as_str()),
        (Some("1.2.0"), Some("microsoft.compute/virtualmachines"))
    );
    assert_eq!(answer.header("x-ms-user-quota-remaining"), Some("14"));
}

#[tokio::test]
async fn pages_are_followed_by_their_token_although_nothing_is_truncated() {
    let desk = desk();
    let query = "resources | where type startswith 'microsoft.compute/virtual' | project id, name | order by id asc";

    let first = ask(&desk, json!({ "query": query, "options": { "$top": 3 } })).await;
    let token = first.body["$skipToken"].as_str().unwrap();
    let second = ask(&desk, json!({ "query": query, "options": { "$skipToken": token } })).await;

    assert_eq!(
        (first.body["count"].as_i64(), first.body["totalRecords"].as_i64()),
        (Some(3), Some(4))
    );
    assert_eq!(first.body["resultTruncated"], "false");
    assert_eq!(names(&second), ["vm2"]);
    assert_eq!(second.body.get("$skipToken"), None);
}

#[tokio::test]
async fn without_an_id_there_is_no_token_and_the_answer_is_truncated() {
    let desk = desk();

    let answer =
        ask(&desk, json!({ "query": "resources | project name", "options": { "$top": 1 } })).await;

    assert_eq!(answer.body["resultTruncated"], "true");
    assert_eq!(answer.body.get("$skipToken"), None);
}

#[tokio::test]
async fn what_may_not_be_read_is_silently_missing_and_refused_alone() {
    let desk = desk();
    let query =
        "resourcecontainers | where type =~ 'microsoft.resources/subscriptions' | project id, name";

    let some = ask(&desk, json!({ "query": query, "subscriptions": [SHOP, LEGAL] })).await;
    let group = ask(&desk, json!({ "query": query, "managementGroups": ["MG-ALL"] })).await;
    let none = ask(&desk, json!({ "query": query, "subscriptions": [LEGAL] })).await;

    assert_eq!(names(&some), ["shop"]);
    assert_eq!(names(&group), ["shop"]);
    assert_eq!((none.status, none.code()), (StatusCode::FORBIDDEN, "AccessDenied"));
}

#[tokio::test]
async fn a_bad_query_is_refused_with_its_place() {
    let answer = desk().graph("resources | where").await;

    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BadRequest"));
    let details = &answer.body["error"]["details"];
    assert_eq!(details[0]["code"], "InvalidQuery");
    assert_eq!(details[1]["code"], "ParserFailure");
    assert_eq!(
        (details[1]["line"].as_i64(), details[1]["token"].as_str()),
        (Some(1), Some("<EOF>"))
    );
}

#[tokio::test]
async fn a_page_of_more_than_16_mib_is_refused_with_its_size() {
    // Four letters, doubled 20 times: 4 MiB.
    let doubled = " | extend a = strcat(a, a)".repeat(20);
    let query = |rows| format!("resources | take {rows} | extend a = 'abcd'{doubled} | project a");

    let some = desk().graph(&query(3)).await;
    let more = desk().graph(&query(4)).await;

    assert_eq!(some.status, StatusCode::OK);
    assert_eq!((more.status, more.code()), (StatusCode::BAD_REQUEST, "BadRequest"));
    let detail = &more.body["error"]["details"][0];
    assert_eq!(detail["code"], "ResponsePayloadTooLarge");
    let said = "Response payload size is 16777253, and has exceeded the limit of 16777216. Please \
                consider querying less data at a time and make paginated call if needed.";
    assert_eq!(detail["message"], said);
}

#[tokio::test]
async fn an_old_api_version_answers_everything_as_a_table() {
    let desk = desk();

    let table = desk
        .post(
            &format!("{PATH}?api-version=2020-04-01-preview"),
            json!({ "query": "", "subscriptions": [SHOP] }),
        )
        .await;
    let asked =
        ask(&desk, json!({ "query": "resources | count", "options": { "resultFormat": "table" } }))
            .await;

    assert_eq!(table.body["data"]["columns"][0]["name"], "id");
    assert_eq!(table.body["data"]["rows"].as_array().unwrap().len(), 6);
    assert_eq!(asked.body["data"]["columns"][0]["type"], "integer");
}

#[tokio::test]
async fn versions_and_templates_are_rows_too() {
    let desk = desk();
    desk.ready_template(json!({})).await;

    let versions = desk.graph("resources | where type == 'microsoft.compute/galleries/images/versions' | project id, name, tags | order by name asc").await;
    let template = desk.graph("resources | where type =~ 'microsoft.virtualmachineimages/imagetemplates' | project id, name, exact = properties.source.exactVersion").await;

    assert_eq!(names(&versions), ["1.0.0", "1.10.0", "1.2.0"]);
    assert_eq!(template.body["data"][0]["exact"], "22.04.2026082801");
}

#[tokio::test]
async fn fifteen_queries_in_five_seconds_are_enough() {
    let desk = desk();
    for _ in 0..15 {
        assert_eq!(desk.graph("resources | count").await.status, StatusCode::OK);
    }

    let refused = desk.graph("resources | count").await;
    desk.wait(5.0);

    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "RateLimiting"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(refused.header("x-ms-user-quota-remaining"), Some("0"));
    assert_eq!(refused.header("x-ms-user-quota-resets-after"), Some("00:00:05"));
    assert_eq!(desk.graph("resources | count").await.status, StatusCode::OK);
}
