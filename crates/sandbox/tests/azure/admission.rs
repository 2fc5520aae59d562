//! What ARM asks before anything else, and how it refuses.

use axum::body::Body;
use http::{Request, StatusCode};
use sandbox::azure::Calls;

use crate::desk::{GALLERY, GROUP, SUBSCRIPTION, WEB, desk};

#[tokio::test]
async fn a_request_without_a_token_is_challenged() {
    let request = Request::get(format!("{GALLERY}?api-version=2026-03-03"));

    let answer = desk().send(request.body(Body::empty()).unwrap()).await;

    assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "AuthenticationFailed"));
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer authorization_uri="));
}

#[tokio::test]
async fn an_api_version_is_required() {
    let request = Request::get(GALLERY).header("authorization", "Bearer x");

    let answer = desk().send(request.body(Body::empty()).unwrap()).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.code(), "MissingApiVersionParameter");
    assert_eq!(answer.header("x-ms-failure-cause"), Some("gateway"));
}

#[tokio::test]
async fn an_unknown_api_version_is_refused_with_those_that_exist() {
    let desk = desk();

    let provider = desk.get(&format!("{GALLERY}?api-version=1999-01-01")).await;
    let arm = desk.get("/subscriptions?api-version=1999-01-01").await;

    assert_eq!(provider.status, StatusCode::BAD_REQUEST);
    assert_eq!(provider.code(), "NoRegisteredProviderFound");
    assert!(provider.message().contains("2026-03-03"), "{}", provider.message());
    assert_eq!(arm.code(), "InvalidApiVersionParameter");
}

#[tokio::test]
async fn paths_are_matched_without_regard_to_case() {
    let desk = desk();

    let path = format!("{}?api-version=2026-03-03", WEB.to_ascii_uppercase());
    let answer = desk.get(&path).await;

    // The id comes back as it was created.
    assert_eq!(answer.body["id"], WEB, "{}", answer.body);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let desk = desk();

    let gallery = desk.get(&format!("{GROUP}/providers/Microsoft.Compute/galleries/none")).await;
    let group = desk.get(&GALLERY.replace("rg-images", "rg-none")).await;
    let subscription =
        desk.get(&GALLERY.replace(SUBSCRIPTION, "d2a94b60-71c8-4e35-8f0d-9b5e6c7a8d19")).await;
    let operation =
        desk.get(&format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Web/sites")).await;

    assert_eq!((gallery.status, gallery.code()), (StatusCode::NOT_FOUND, "ResourceNotFound"));
    assert_eq!(
        gallery.message(),
        "The Resource 'Microsoft.Compute/galleries/none' under resource group 'rg-images' was not \
         found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    assert_eq!(group.code(), "ResourceGroupNotFound");
    assert_eq!(group.message(), "Resource group 'rg-none' could not be found.");
    assert_eq!(subscription.code(), "SubscriptionNotFound");
    assert_eq!(operation.status, StatusCode::NOT_FOUND);
    assert!(operation.message().contains("Microsoft.Web/sites"), "{}", operation.message());
}

#[tokio::test]
async fn a_subscription_that_may_not_be_read_is_missing_in_the_list() {
    let answer = desk().get("/subscriptions").await;

    let names: Vec<&str> = answer.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["displayName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["images", "shop"]);
}

#[tokio::test]
async fn providers_tell_the_api_versions_of_nested_types_newest_first() {
    let answer =
        desk().get(&format!("/subscriptions/{SUBSCRIPTION}/providers/microsoft.compute")).await;

    let kinds = answer.body["resourceTypes"].as_array().unwrap();
    let versions =
        kinds.iter().find(|it| it["resourceType"] == "galleries/images/versions").unwrap();
    assert_eq!(versions["apiVersions"][0], "2026-03-03");
}

#[tokio::test]
async fn locations_have_their_region_type() {
    let answer = desk().get(&format!("/subscriptions/{SUBSCRIPTION}/locations")).await;

    let first = &answer.body["value"][0];
    assert_eq!(first["metadata"]["regionType"], "Physical");
}

#[tokio::test]
async fn a_group_lives_and_dies() {
    let desk = desk();
    let group = GROUP.replace("rg-images", "rg-new").replace("resourceGroups", "resourcegroups");

    assert_eq!(desk.head(&group).await.status, StatusCode::NOT_FOUND);
    let created = desk.put(&group, serde_json::json!({ "location": "westus" })).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(desk.head(&group).await.status, StatusCode::NO_CONTENT);

    let deleted = desk.delete(&group).await;
    assert_eq!((deleted.status, deleted.header("retry-after")), (StatusCode::ACCEPTED, Some("15")));
    assert_eq!(deleted.header("azure-asyncoperation"), None);
    assert_eq!(desk.get(&group).await.state(), "Deleting");
    desk.wait(5.0);
    let polled = desk.follow(deleted.header("location").unwrap()).await;
    assert_eq!(polled.status, StatusCode::ACCEPTED);
    assert_ne!(polled.header("location"), deleted.header("location"), "each 202 brings a new one");
    desk.wait(60.0);
    assert_eq!(desk.follow(polled.header("location").unwrap()).await.status, StatusCode::OK);
    assert_eq!(desk.head(&group).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn calls_are_counted_by_what_they_do() {
    let desk = desk();

    desk.get(GALLERY).await;
    desk.graph("resources | count").await;
    desk.put(
        &format!("{GROUP}/providers/Microsoft.Compute/galleries/g2"),
        serde_json::json!({ "location": "westus" }),
    )
    .await;
    desk.delete(GALLERY).await;

    assert_eq!(desk.azure.calls(), Calls { read: 2, write: 1, delete: 1, throttled: 0 });
}

#[tokio::test]
async fn a_quota_runs_out_and_says_when_to_come_again() {
    let desk = desk();
    let list = format!("{GROUP}/providers/Microsoft.Compute/galleries");

    let first = desk.get(&list).await;
    for _ in 0..99 {
        desk.get(&list).await;
    }
    let refused = desk.get(&list).await;
    desk.wait(180.0);
    let again = desk.get(&list).await;

    assert_eq!(
        first.header("x-ms-ratelimit-remaining-resource"),
        Some(
            "Microsoft.Compute/ListGalleryInResourceGroup3Min;99,Microsoft.Compute/ListGalleryInResourceGroup30Min;999"
        )
    );
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.body["error"]["details"][0]["code"], "TooManyRequests");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=181).contains(&wait), "{wait}");
    assert_eq!(again.status, StatusCode::OK);
}
