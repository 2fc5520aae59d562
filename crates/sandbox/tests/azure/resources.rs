//! Lists of resources and groups, what filters them, tags at a scope: what `az resource`, `az tag`
//! and Microsoft's libraries ask whatever a resource's kind is.

use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, GALLERY, GROUP, SUBSCRIPTION, WEB, desk};

const VERSION_KIND: &str = "Microsoft.Compute/galleries/images/versions";

fn filtered(filter: &str) -> String {
    let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    format!("/subscriptions/{SUBSCRIPTION}/resources?api-version=2025-04-01&$filter={filter}")
}

fn tags_of(id: &str) -> String {
    format!("{id}/providers/Microsoft.Resources/tags/default?api-version=2025-04-01")
}

fn names(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["value"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

/// What a filter finds, page by page.
async fn listed(desk: &Desk, filter: &str) -> Vec<Value> {
    let mut answer = desk.get(&filtered(filter)).await;
    let mut listed = Vec::new();
    loop {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        listed.extend(answer.body["value"].as_array().unwrap().iter().cloned());
        let Some(next) = answer.body["nextLink"].as_str() else { return listed };
        answer = desk.follow(next).await;
    }
}

async fn found(desk: &Desk, filter: &str) -> Vec<String> {
    let name = |it: &Value| it["name"].as_str().unwrap().to_owned();
    listed(desk, filter).await.iter().map(name).collect()
}

#[tokio::test]
async fn a_resource_inside_another_is_listed_under_both_names() {
    let found = found(&desk(), &format!("resourceType eq '{VERSION_KIND}'")).await;

    assert_eq!(found, ["galTest/web/1.0.0", "galTest/web/1.10.0", "galTest/web/1.2.0"]);
}

#[tokio::test]
async fn lists_are_filtered_by_type_name_group_and_location() {
    let desk = desk();
    let of_type = format!("resourceType eq '{VERSION_KIND}'");

    assert_eq!(
        found(&desk, &format!("{of_type} and name eq '1.2.0'")).await,
        ["galTest/web/1.2.0"]
    );
    assert_eq!(
        found(&desk, "resourceGroup eq 'RG-IMAGES' and name eq 'GALTEST'").await,
        ["galTest"]
    );
    assert_eq!(found(&desk, "location eq 'West Europe' and name eq 'galTest'").await, ["galTest"]);
    assert!(found(&desk, "resourceGroup eq 'rg-empty'").await.is_empty());
    assert!(found(&desk, "location eq 'uksouth'").await.is_empty());
    // `az resource list` without any argument.
    assert!(found(&desk, "").await.len() >= 6);
}

#[tokio::test]
async fn lists_are_filtered_by_tags_and_then_tell_none() {
    let desk = desk();

    let by_value = listed(&desk, "tagname eq 'keep' and tagvalue eq 'ME'").await;
    let by_name = listed(&desk, "tagName eq 'keep'").await;

    assert_eq!(by_value[0]["name"], "galTest/web/1.0.0");
    assert_eq!(by_value[0].get("tags"), None, "documented for Resources_List");
    assert_eq!(by_name[0]["tags"], json!({ "keep": "me" }));
    assert_eq!(found(&desk, "startswith(tagname, 'ke')").await, ["galTest/web/1.0.0"]);
    assert!(found(&desk, "tagname eq 'keep' and tagvalue eq 'you'").await.is_empty());
}

#[tokio::test]
async fn name_and_value_must_be_of_the_same_tag() {
    let desk = desk();
    let tags = json!({ "properties": { "tags": { "one": "1", "two": "2" } } });
    desk.patch(&tags_of(&format!("{WEB}/versions/1.2.0")), tags).await;

    assert_eq!(found(&desk, "tagname eq 'one' and tagvalue eq '1'").await, ["galTest/web/1.2.0"]);
    assert!(found(&desk, "tagname eq 'one' and tagvalue eq '2'").await.is_empty());
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_refused_and_never_passed_over() {
    let desk = desk();

    for filter in ["name ne 'a'", "tagvalue eq 'a'", "name eq a", "colour eq 'red'", "nonsense"] {
        let answer = desk.get(&filtered(filter)).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{filter}");
        assert_eq!(answer.code(), "InvalidFilterInQueryString", "{filter}");
    }
}

/// `paging_empty_pages`: the CLI asks for the resources of a type with a name.
#[tokio::test]
async fn the_filter_that_the_cli_was_recorded_sending_is_understood() {
    let file = "../../../shared/reference/recordings/paging_empty_pages.json";
    let Ok(text) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)) else {
        println!("skipped: the recording paging_empty_pages is not here");
        return;
    };
    let recording: Value = serde_json::from_slice(&text).unwrap();
    let path = recording["interactions"][0]["request"]["path"].as_str().unwrap();
    let path = path.replace("00000000-0000-0000-0000-000000000000", SUBSCRIPTION);
    assert!(path.contains("/resources?$filter=resourceType%20eq%20"), "{path}");

    let answer = desk().get(&path).await;

    assert!(names(&answer).is_empty());
}

#[tokio::test]
async fn groups_are_filtered_by_tag() {
    let desk = desk();
    let group = GROUP.replace("rg-images", "rg-new").replace("resourceGroups", "resourcegroups");
    desk.put(&group, json!({ "location": "westus", "tags": { "By": "az" } })).await;
    let list = |filter: &str| {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        format!("/subscriptions/{SUBSCRIPTION}/resourcegroups?$filter={filter}")
    };

    let tagged = desk.get(&list("tagname eq 'by' and tagvalue eq 'az'")).await;
    let all = desk.get(&list("")).await;

    assert_eq!(names(&tagged), ["rg-new"]);
    assert_eq!(names(&all), ["rg-empty", "rg-images", "rg-new"]);
}

#[tokio::test]
async fn tags_at_a_scope_are_merged_deleted_and_replaced() {
    let desk = desk();
    let version = format!("{WEB}/versions/1.0.0");
    let scope = tags_of(&version);
    let change = |operation: &str, tags: Value| json!({ "operation": operation, "properties": { "tags": tags } });

    let merged = desk.patch(&scope, change("Merge", json!({ "a": "1" }))).await;
    assert_eq!(merged.body["properties"]["tags"], json!({ "a": "1", "keep": "me" }));
    let deleted = desk.patch(&scope, change("Delete", json!({ "keep": "me" }))).await;
    assert_eq!(deleted.body["properties"]["tags"], json!({ "a": "1" }));
    let replaced = desk.patch(&scope, change("Replace", json!({ "b": "2" }))).await;
    assert_eq!(replaced.body["properties"]["tags"], json!({ "b": "2" }));

    assert_eq!(desk.get(&version).await.body["tags"], json!({ "b": "2" }));
}

#[tokio::test]
async fn tags_of_what_is_not_there_name_all_of_it() {
    let answer = desk().get(&tags_of(&format!("{WEB}/versions/9.9.9"))).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "ResourceNotFound"));
    let named = "'Microsoft.Compute/galleries/galTest/images/web/versions/9.9.9'";
    assert!(answer.message().contains(named), "{}", answer.message());
}

#[tokio::test]
async fn head_says_whether_a_resource_is_there_and_nothing_else() {
    let desk = desk();

    let there = desk.head(GALLERY).await;
    let not_there = desk.head(&format!("{WEB}/versions/9.9.9")).await;

    assert_eq!((there.status, there.body), (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!((not_there.status, not_there.body), (StatusCode::NOT_FOUND, Value::Null));
}
