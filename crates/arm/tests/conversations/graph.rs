//! Resource Graph: who uses an image, and what could not be read.

use arm::{Error, Sought, Users};
use rules::catalog::Consumers;
use rules::in_use::Kind;
use serde_json::{Value, json};

use crate::script::{Script, gallery};

const DEFINITION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/rg-images/providers/microsoft.compute/galleries/golden/images/ubuntu-web";

fn sought() -> Vec<Sought> {
    let definition = gallery().definition("ubuntu-web");
    vec![Sought { definition, shared_names: vec!["00000000-GOLDEN".to_owned()] }]
}

fn in_subscriptions(ids: &[&str]) -> Consumers {
    let subscriptions = ids.iter().map(|it| (*it).to_owned()).collect();
    Consumers { subscriptions, management_groups: vec![] }
}

fn page(total: u64, data: Value, token: Option<&str>) -> Value {
    let mut page = json!({"totalRecords": total, "count": 1, "data": data, "facets": [], "resultTruncated": "false"});
    if let Some(token) = token {
        page["$skipToken"] = json!(token);
    }
    page
}

fn visible(ids: &[&str]) -> Value {
    let data: Vec<Value> = ids
        .iter()
        .map(|it| json!({"id": format!("/subscriptions/{it}"), "subscriptionId": it}))
        .collect();
    page(ids.len() as u64, json!(data), None)
}

fn row(id: &str, kind: &str, reference: &str) -> Value {
    json!({"id": id, "type": kind, "location": "westeurope", "reference": reference, "shared": "",
        "exact": "", "osDisk": "", "scaleSet": "", "timeCreated": "", "capacity": null})
}

fn machine(id: &str) -> Value {
    row(id, "microsoft.compute/virtualmachines", DEFINITION)
}

async fn users(script: &Script, consumers: &Consumers) -> Result<Users, Error> {
    script.arm().users_of(&sought(), consumers).await
}

#[tokio::test]
async fn the_question_is_of_the_consumers_and_of_this_image_only() {
    let script = Script::answering(200, page(0, json!([]), None)).then(200, visible(&["a", "b"]));

    let found = users(&script, &in_subscriptions(&["a", "b"])).await.unwrap();

    let body = &script.asked()[0].body;
    let query = body["query"].as_str().unwrap();
    assert_eq!(body["subscriptions"], json!(["a", "b"]));
    assert_eq!(body["options"], json!({"resultFormat": "objectArray", "$top": 1000}));
    assert!(body.get("managementGroups").is_none());
    assert!(
        query.contains(&format!(
            "reference == '{DEFINITION}' or reference startswith '{DEFINITION}/'"
        )),
        "{query}"
    );
    assert!(
        query.contains("shared startswith '/sharedgalleries/00000000-golden/images/ubuntu-web/'"),
        "{query}"
    );
    assert!(query.ends_with("| order by id asc"), "{query}");
    assert!(!query.contains("contains"), "{query}");
    assert_eq!(found, Users { complete: true, ..Users::default() });
}

#[tokio::test]
async fn rows_become_evidence() {
    let os_disk = "/subscriptions/a/resourceGroups/r/providers/Microsoft.Compute/disks/Os1";
    let data = json!([
        {"id": "/subscriptions/a/vm1", "type": "microsoft.compute/virtualmachines", "location": "westeurope",
         "reference": DEFINITION, "shared": "", "exact": "1.0.0", "osDisk": os_disk.to_lowercase(),
         "scaleSet": "", "timeCreated": "2024-08-26T09:32:48.9808753Z", "capacity": null},
        {"id": "/subscriptions/a/set1", "type": "microsoft.compute/virtualmachinescalesets", "location": "westeurope",
         "reference": format!("{DEFINITION}/versions/1.0.0"), "shared": "", "exact": "", "osDisk": "",
         "scaleSet": "", "timeCreated": "not a date", "capacity": 0},
        {"id": os_disk, "type": "microsoft.compute/disks", "location": "westeurope",
         "reference": format!("{DEFINITION}/versions/1.0.0"), "shared": "", "exact": "", "osDisk": "",
         "scaleSet": null, "timeCreated": "", "capacity": null},
        {"id": "/subscriptions/a/vm2", "type": "Microsoft.Compute/virtualMachines", "location": "westeurope",
         "reference": "", "shared": "/sharedgalleries/00000000-golden/images/ubuntu-web/versions/1.1.2", "exact": "1.1.2",
         "osDisk": "", "scaleSet": "", "timeCreated": "", "capacity": null},
        {"id": "/subscriptions/a/template", "type": "microsoft.virtualmachineimages/imagetemplates", "location": "westeurope",
         "reference": format!("{DEFINITION}/versions/1.0.0"), "shared": "", "exact": format!("{DEFINITION}/versions/1.0.0"),
         "osDisk": "", "scaleSet": "", "timeCreated": "", "capacity": null}]);
    let script = Script::answering(200, page(5, data, None)).then(200, visible(&["A"]));

    let found = users(&script, &in_subscriptions(&["a"])).await.unwrap();

    let of = |id: &str| found.rows.iter().find(|it| it.id.ends_with(id)).unwrap();
    let vm = of("vm1");
    assert_eq!(vm.kind, Kind::Machine);
    assert_eq!(vm.exact_version.as_deref(), Some("1.0.0"));
    assert_eq!(vm.os_disk_reference, Some(format!("{DEFINITION}/versions/1.0.0")));
    assert_eq!(vm.created_at.unwrap().timestamp_subsec_nanos(), 980_875_300);
    assert_eq!(
        (of("set1").kind, of("set1").size, of("set1").created_at),
        (Kind::ScaleSet, Some(0), None)
    );
    assert_eq!(of("vm2").reference, Some(format!("{DEFINITION}/versions/1.1.2")));
    assert_eq!(of("template").exact_version.as_deref(), Some("1.0.0"));
    assert_eq!(found.unreadable, Vec::<String>::new());
    assert!(found.complete && !found.moved);
}

#[tokio::test]
async fn the_token_is_followed_and_not_the_flag() {
    let script = Script::answering(200, page(2, json!([machine("/1")]), Some("t1")))
        .then(200, page(2, json!([machine("/2")]), None))
        .then(200, visible(&["a"]));

    let found = users(&script, &in_subscriptions(&["a"])).await.unwrap();

    assert_eq!(found.rows.len(), 2);
    assert_eq!(script.asked()[1].body["options"]["$skipToken"], "t1");
    assert_eq!(script.asked()[1].body["query"], script.asked()[0].body["query"]);
    assert!(!found.moved);
}

#[tokio::test]
async fn a_total_that_changes_between_pages_is_told() {
    let script = Script::answering(200, page(3, json!([machine("/1")]), Some("t1")))
        .then(200, page(2, json!([machine("/2")]), None))
        .then(200, visible(&["a"]));

    assert!(users(&script, &in_subscriptions(&["a"])).await.unwrap().moved);
}

#[tokio::test]
async fn fewer_rows_than_there_are_is_told() {
    let script =
        Script::answering(200, page(2, json!([machine("/1")]), None)).then(200, visible(&["a"]));

    assert!(users(&script, &in_subscriptions(&["a"])).await.unwrap().moved);
}

#[tokio::test]
async fn a_truncated_answer_without_a_token_is_not_complete() {
    let mut truncated = page(1, json!([machine("/1")]), None);
    truncated["resultTruncated"] = json!("true");
    let script = Script::answering(200, truncated).then(200, visible(&["a"]));

    assert!(!users(&script, &in_subscriptions(&["a"])).await.unwrap().complete);
}

#[tokio::test]
async fn an_answer_over_too_many_subscriptions_is_not_complete() {
    let script = Script::default()
        .with(200, &[("x-ms-tenant-subscription-limit-hit", "true")], page(0, json!([]), None))
        .then(200, visible(&["a"]));

    assert!(!users(&script, &in_subscriptions(&["a"])).await.unwrap().complete);
}

#[tokio::test]
async fn a_token_that_leads_to_itself_ends() {
    let script = Script::answering(200, page(2, json!([]), Some("t")))
        .then(200, page(2, json!([]), Some("t")));

    let error = users(&script, &in_subscriptions(&["a"])).await.unwrap_err();

    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_declared_subscription_that_nobody_sees_is_unreadable() {
    let script = Script::answering(200, page(0, json!([]), None)).then(200, visible(&["A"]));

    let found = users(&script, &in_subscriptions(&["a", "b"])).await.unwrap();

    assert_eq!(found.unreadable, ["subscription b (not visible to our identity)"]);
}

#[tokio::test]
async fn a_scope_that_is_forbidden_is_unreadable_and_no_error() {
    let refused = json!({"error": {"code": "Forbidden", "message": "m"}});
    let script = Script::answering(403, refused);

    let found = users(&script, &in_subscriptions(&["a", "b"])).await.unwrap();

    assert_eq!(found.unreadable, ["subscription a (Forbidden)", "subscription b (Forbidden)"]);
}

#[tokio::test]
async fn a_management_group_that_shows_nothing_is_unreadable() {
    let script = Script::answering(200, page(0, json!([]), None)).then(200, visible(&[]));
    let consumers = Consumers { subscriptions: vec![], management_groups: vec!["prod".into()] };

    let found = users(&script, &consumers).await.unwrap();

    assert_eq!(script.asked()[0].body["managementGroups"], json!(["prod"]));
    assert_eq!(
        found.unreadable,
        ["management group prod (none of its subscriptions is visible to our identity)"]
    );
}

#[tokio::test]
async fn many_subscriptions_are_asked_in_groups() {
    let ids: Vec<String> = (0..301).map(|it| format!("s{it}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let script = Script::answering(200, page(0, json!([]), None))
        .then(200, visible(&ids[..300]))
        .then(200, page(0, json!([]), None))
        .then(200, visible(&ids[300..]));

    let found = users(&script, &in_subscriptions(&ids)).await.unwrap();

    assert_eq!(script.asked()[2].body["subscriptions"], json!(["s300"]));
    assert!(found.unreadable.is_empty());
}

#[tokio::test]
async fn many_images_are_sought_in_several_questions_and_all_rows_count() {
    let machines = ["/m/one", "/m/two"].map(|id| page(1, json!([machine(id)]), None));
    let [first, second] = machines;
    let script = Script::answering(200, first).then(200, second).then(200, visible(&["a"]));
    let of = |number| Sought {
        definition: gallery().definition(&format!("image-{number}")),
        shared_names: Vec::new(),
    };
    let sought: Vec<Sought> = (0..51).map(of).collect();

    let found = script.arm().users_of(&sought, &in_subscriptions(&["a"])).await.unwrap();

    let asked = script.asked();
    let names = |which: usize, image: &str| {
        asked[which].body["query"].as_str().unwrap().contains(&format!("/images/{image}'"))
    };
    assert!(names(0, "image-0") && names(0, "image-49") && !names(0, "image-50"));
    assert!(!names(1, "image-49") && names(1, "image-50"));
    assert!(asked[0].body["query"].as_str().unwrap().len() < 32_000);
    let rows: Vec<&str> = found.rows.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(rows, ["/m/one", "/m/two"]);
    assert!(found.complete && found.unreadable.is_empty());
}

#[tokio::test]
async fn a_throttled_question_says_when_the_quota_is_back() {
    let script = Script::default().with(
        429,
        &[("x-ms-user-quota-remaining", "0"), ("x-ms-user-quota-resets-after", "00:00:05")],
        r#"{"error":{"code":"RateLimiting","message":"m"}}"#,
    );

    let error = users(&script, &in_subscriptions(&["a"])).await.unwrap_err();

    assert_eq!(error.retry_after().unwrap().as_secs(), 5);
}

fn scale_set(capacity: u64) -> Value {
    let mut set = row(
        "/subscriptions/a/resourceGroups/r/providers/Microsoft.Compute/virtualMachineScaleSets/web",
        "microsoft.compute/virtualmachinescalesets",
        DEFINITION,
    );
    set["capacity"] = json!(capacity);
    set
}

#[tokio::test]
async fn the_instances_of_a_scale_set_are_read_from_the_set() {
    let instances = json!({"value": [{"id": "/subscriptions/a/resourceGroups/R/virtualMachineScaleSets/WEB/virtualMachines/3",
        "instanceId": "3", "location": "westeurope", "properties": {"timeCreated": "2024-08-26T09:32:48.98+00:00",
        "storageProfile": {"imageReference": {"id": format!("{DEFINITION}/versions/0.9.0"), "exactVersion": "0.9.0"}}}}]});
    let script = Script::answering(200, page(1, json!([scale_set(1)]), None))
        .then(200, visible(&["a"]))
        .then(200, instances);

    let found = users(&script, &in_subscriptions(&["a"])).await.unwrap();

    assert_eq!(
        script.asked()[2].path,
        "/subscriptions/a/resourceGroups/r/providers/Microsoft.Compute/virtualMachineScaleSets/web/virtualMachines?api-version=2026-04-01"
    );
    let instance = &found.rows[1];
    assert_eq!(instance.kind, Kind::ScaleSetInstance);
    assert!(instance.id.ends_with("/virtualMachineScaleSets/web/virtualMachines/3"));
    assert_eq!(instance.exact_version.as_deref(), Some("0.9.0"));
}

#[tokio::test]
async fn an_empty_scale_set_is_not_asked_for_instances() {
    let script =
        Script::answering(200, page(1, json!([scale_set(0)]), None)).then(200, visible(&["a"]));

    assert_eq!(users(&script, &in_subscriptions(&["a"])).await.unwrap().rows.len(), 1);
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn a_scale_set_whose_instances_are_forbidden_keeps_its_row() {
    let script = Script::answering(200, page(1, json!([scale_set(4)]), None))
        .then(200, visible(&["a"]))
        .then(403, json!({"error": {"code": "AuthorizationFailed", "message": "m"}}));

    let found = users(&script, &in_subscriptions(&["a"])).await.unwrap();

    assert_eq!(found.rows.len(), 1);
    assert_eq!(found.rows[0].size, Some(4));
}

#[tokio::test]
async fn a_scale_set_whose_instances_must_wait_keeps_its_row_and_nobody_is_asked_on() {
    let other = {
        let mut other = scale_set(2);
        other["id"] = json!(
            "/subscriptions/a/resourceGroups/r/providers/Microsoft.Compute/virtualMachineScaleSets/zzz"
        );
        other
    };
    let script = Script::answering(200, page(2, json!([scale_set(4), other]), None))
        .then(200, visible(&["a"]))
        .then(429, json!({"error": {"code": "OperationNotAllowed", "message": "m"}}));

    let found = users(&script, &in_subscriptions(&["a"])).await.unwrap();

    assert_eq!(found.rows.len(), 2);
    assert!(matches!(found.asked_to_wait, Some(Error::Throttled { .. })), "{found:?}");
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test]
async fn a_quote_in_a_name_stays_in_its_literal() {
    let definition = gallery().definition("a' or 1 == 1 or 'b\\");
    let script = Script::answering(200, page(0, json!([]), None)).then(200, visible(&["a"]));
    let sought = vec![Sought { definition, shared_names: vec![] }];

    script.arm().users_of(&sought, &in_subscriptions(&["a"])).await.unwrap();

    let query = script.asked()[0].body["query"].as_str().unwrap().to_owned();
    assert!(query.contains(r"images/a\' or 1 == 1 or \'b\\'"), "{query}");
}

#[tokio::test]
async fn nothing_sought_is_nothing_asked() {
    let script = Script::default();

    let found = script.arm().users_of(&[], &in_subscriptions(&["a"])).await.unwrap();

    assert!(found.complete && script.asked().is_empty());
}
