//! What answers say is left of Azure's budgets, with the headers of the recordings.

use serde_json::json;

use crate::script::{Script, gallery};

#[tokio::test]
async fn what_is_left_is_told_to_the_caller_by_answers_and_by_refusals() {
    let reads = "x-ms-ratelimit-remaining-subscription-reads";
    let resource = "x-ms-ratelimit-remaining-resource";
    let lists = "Microsoft.Compute/ListGalleryImageVersionsInGalleryImage";
    let left = |short: u64, long: u64| format!("{lists}3Min;{short},{lists}30Min;{long}");
    let refusal =
        json!({ "error": { "code": "TooManyRequests", "message": "Too many requests." } });
    let script = Script::default()
        .with(200, &[(reads, "249"), (resource, &left(1499, 9999))], json!({ "value": [] }))
        .with(429, &[(reads, "12"), (resource, &left(0, 8499))], refusal);
    let arm = script.arm();
    let definition = gallery().definition("ubuntu-web");

    arm.versions(&definition).await.unwrap();
    let first = arm.left();
    arm.versions(&definition).await.unwrap_err();
    let second = arm.clone().left();

    assert_eq!(first["subscription-reads"], 249);
    assert_eq!(first["ListGalleryImageVersionsInGalleryImage3Min"], 1499);
    assert_eq!(second["subscription-reads"], 12);
    assert_eq!(second["ListGalleryImageVersionsInGalleryImage3Min"], 0);
    assert_eq!(second["ListGalleryImageVersionsInGalleryImage30Min"], 8499);
}
