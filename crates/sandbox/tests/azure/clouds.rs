//! What a cloud is like where clouds and days differ: lists in pages, the newest api-version not yet
//! there, Resource Graph behind, a region's replication that fails.

use http::StatusCode;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, GALLERY, SUBSCRIPTION, TEMPLATE, WEB, desk, desk_of, desk_with};
use crate::desk::{template, version};

/// Every page of a list, from the first on.
async fn pages(desk: &Desk, path: &str) -> Vec<Vec<Value>> {
    let mut answer = desk.get(path).await;
    let mut pages = Vec::new();
    loop {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        pages.push(answer.body["value"].as_array().unwrap().clone());
        let Some(next) = answer.body["nextLink"].as_str() else { return pages };
        answer = desk.follow(next).await;
    }
}

fn sizes(pages: &[Vec<Value>]) -> Vec<usize> {
    pages.iter().map(Vec::len).collect()
}

/// `paging_empty_pages.json`: the first page of `/resources?$filter` is empty, and so is the last.
#[tokio::test]
async fn a_filtered_list_of_resources_begins_and_ends_with_an_empty_page() {
    let desk = desk();
    let filter =
        "$filter=resourceType%20eq%20%27Microsoft.Compute%2Fgalleries%27&api-version=2022-09-01";

    let pages = pages(&desk, &format!("/subscriptions/{SUBSCRIPTION}/resources?{filter}")).await;

    assert_eq!(sizes(&pages), [0, 1, 0]);
    assert_eq!(pages[1][0]["name"], "galTest");
    let first = desk.get(&format!("/subscriptions/{SUBSCRIPTION}/resources?{filter}")).await;
    let link = first.body["nextLink"].as_str().unwrap();
    assert!(link.contains("%24filter=resourceType+eq+%27") && link.contains("%24skiptoken="));
}

#[tokio::test]
async fn every_list_can_be_cut_into_pages() {
    let desk = desk_with("cloud: { itemsPerPage: 2 }");
    desk.put(TEMPLATE, template(json!({}))).await;

    let versions = pages(&desk, &format!("{WEB}/versions")).await;
    let templates = TEMPLATE.rsplit_once('/').unwrap().0;
    let templates = pages(&desk, templates).await;

    assert_eq!(sizes(&versions), [0, 2, 1, 0]);
    assert_eq!(versions[2][0]["name"], "1.2.0");
    assert_eq!(sizes(&templates), [0, 1, 0]);
    let forged = desk.get(&format!("{WEB}/versions?$skiptoken=x")).await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_list_is_one_page_where_nobody_says_otherwise() {
    let answer = desk().get(&format!("{WEB}/versions")).await;

    assert_eq!(answer.body["value"].as_array().unwrap().len(), 3);
    assert_eq!(answer.body.get("nextLink"), None);
}

#[tokio::test]
async fn a_cloud_that_lacks_an_api_version_names_those_that_it_has() {
    let desk = desk_with("cloud: { lacksApiVersions: [2026-03-03] }");

    let newest = desk.get(&format!("{GALLERY}?api-version=2026-03-03")).await;
    let older = desk.get(&format!("{GALLERY}?api-version=2025-03-03")).await;
    let provider =
        desk.get(&format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute")).await;

    assert_eq!(newest.code(), "NoRegisteredProviderFound");
    let offered = newest.message().split("are '").nth(1).unwrap();
    assert!(offered.starts_with("2025-12-03, 2025-03-03"), "{}", newest.message());
    assert_eq!(older.status, StatusCode::OK);
    let told = provider.body.to_string();
    assert!(!told.contains("2026-03-03") && told.contains("2025-03-03"));
}

/// The rows of Resource Graph: number and state of each version of web.
async fn rows(desk: &Desk) -> Vec<String> {
    let query = "resources | where type =~ 'microsoft.compute/galleries/images/versions' | project id, name, state = properties.provisioningState | order by id asc";
    let answer = desk.graph(query).await;
    let rows = answer.body["data"].as_array().unwrap().iter();
    rows.map(|it| format!("{} {}", it["name"], it["state"]).replace('"', "")).collect()
}

#[tokio::test]
async fn resource_graph_tells_what_was_there_some_minutes_ago() {
    let desk = desk_with("cloud: { graphLagMinutes: 10 }");
    let before = ["1.0.0 Succeeded", "1.10.0 Succeeded", "1.2.0 Succeeded"];
    assert_eq!(rows(&desk).await, before, "the estate has been there for long");

    desk.put(&format!("{WEB}/versions/3.0.0"), version(&["westeurope"])).await;
    desk.delete(&format!("{WEB}/versions/1.2.0")).await;
    desk.wait(599.0);
    let early = rows(&desk).await;
    desk.wait(2.0);
    let late = rows(&desk).await;
    desk.wait(600.0);
    let last = rows(&desk).await;

    assert_eq!(early, before);
    assert_eq!(late, ["1.0.0 Succeeded", "1.10.0 Succeeded", "1.2.0 Deleting", "3.0.0 Creating"]);
    assert_eq!(last, ["1.0.0 Succeeded", "1.10.0 Succeeded", "3.0.0 Succeeded"]);
}

/// Offsets, not a snapshot: what is made between two pages moves a row from one into the next.
#[tokio::test]
async fn rows_move_between_the_pages_of_resource_graph() {
    let desk = desk();
    let query = "resources | where type startswith 'microsoft.compute/galleries/images/versions' | project id, name | order by id asc";
    let path = "/providers/Microsoft.ResourceGraph/resources";
    let ask = |options: Value| desk.post(path, json!({ "query": query, "options": options }));

    let first = ask(json!({ "$top": 2 })).await;
    desk.put(&format!("{WEB}/versions/0.9.0"), version(&["westeurope"])).await;
    let token = first.body["$skipToken"].clone();
    let second = ask(json!({ "$skipToken": token })).await;

    assert_eq!((&first.body["totalRecords"], &second.body["totalRecords"]), (&json!(3), &json!(4)));
    let again = &first.body["data"][1]["name"];
    assert_eq!(&second.body["data"][0]["name"], again, "a row of the first page comes again");
}

/// What one region of a version says of its replication.
async fn region(desk: &Desk, id: &str, name: &str) -> (String, String) {
    let answer: Answer = desk.get(&format!("{id}?$expand=ReplicationStatus")).await;
    let summary = answer.body["properties"]["replicationStatus"]["summary"].as_array().unwrap();
    let found = summary.iter().find(|it| it["region"] == name).unwrap();
    (answer.state().to_owned(), found["state"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_region_can_fail_although_its_version_succeeded_and_the_same_put_cures_it() {
    let desk = desk_with(
        "outages: [{ region: uksouth, from: 2026-09-07T00:00:00Z, until: 2026-09-07T08:00:00Z, versionSucceeds: true }]",
    );
    let id = format!("{WEB}/versions/3.0.0");
    let body = version(&["westeurope", "uksouth"]);

    desk.put(&id, body.clone()).await;
    desk.wait(600.0);
    let failed = region(&desk, &id, "uksouth").await;
    desk.wait_until("2026-09-07T09:00:00Z");
    desk.put(&id, body).await;
    desk.wait(600.0);
    let cured = region(&desk, &id, "uksouth").await;

    assert_eq!(failed, ("Succeeded".to_owned(), "Failed".to_owned()));
    assert_eq!(cured, ("Succeeded".to_owned(), "Completed".to_owned()));
}

#[tokio::test]
async fn an_older_api_version_does_not_know_how_to_bypass_the_soft_deletion() {
    let kept = "softDelete: { retentionDays: 31, graceDays: 8 }";
    let desk = desk_of(kept, "", sandbox::azure::AzureOptions::default());
    let bypass = "bypassSoftDelete=true";

    desk.delete(&format!("{WEB}/versions/1.0.0?{bypass}&api-version=2025-03-03")).await;
    desk.delete(&format!("{WEB}/versions/1.2.0?{bypass}&api-version=2026-03-03")).await;
    desk.wait(200.0);

    let list = format!("{GALLERY}/softdeletedartifacttypes/images/artifacts/web/versions");
    let list = desk.get(&list).await;
    let kept: Vec<&Value> =
        list.body["value"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(kept, ["1.0.0"]);
}
