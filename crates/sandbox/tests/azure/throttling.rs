//! Budgets that run out and come back as desk time passes: ARM's own, Compute's, Image Builder's.

use std::path::Path;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, GALLERY, GROUP, SUBSCRIPTION, TEMPLATE, WEB, desk, desk_with};

const OWN: &str = "x-ms-ratelimit-remaining-subscription-reads";
const ALL: &str = "x-ms-ratelimit-remaining-subscription-global-reads";
const RESOURCE: &str = "x-ms-ratelimit-remaining-resource";
const SHOP: &str = "/subscriptions/b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70/resourceGroups/rg-shop/providers/Microsoft.Compute";

/// Asks so often that `path` is refused, and how often it was answered before.
async fn until_refused(desk: &Desk, path: &str) -> (usize, Answer) {
    for answered in 0..1000 {
        let answer = desk.get(path).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return (answered, answer);
        }
    }
    panic!("{path} is never refused");
}

async fn as_another(desk: &Desk, path: &str) -> Answer {
    let request = Request::get(format!("{path}?api-version=2025-04-01"))
        .header("authorization", "Bearer somebody-else");
    desk.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_principal_has_250_reads_of_a_subscription_and_25_more_each_second() {
    let desk = desk();
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-images");

    let first = desk.get(&group).await;
    let (answered, refused) = until_refused(&desk, &group).await;
    desk.wait(1.0);
    let (after_a_second, _) = until_refused(&desk, &group).await;

    assert_eq!((first.header(OWN), first.header(ALL)), (Some("249"), Some("3749")));
    assert_eq!((answered, after_a_second), (249, 25));
    assert_eq!(refused.code(), "SubscriptionRequestsThrottled");
    assert!(refused.message().ends_with("Please try again after '1' seconds."), "{}", refused.body);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-ms-failure-cause"), Some("gateway"));
}

#[tokio::test]
async fn principals_and_subscriptions_and_kinds_of_operations_have_budgets_of_their_own() {
    let desk = desk();
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-images");
    until_refused(&desk, &group).await;

    let other_principal = as_another(&desk, &group).await;
    let other_subscription = desk.get(&format!("{SHOP}/virtualMachines/vm1")).await;
    let write = desk.put(&format!("{GALLERY}2"), json!({ "location": "westeurope" })).await;

    // The refused request was no request of all principals together.
    assert_eq!(
        (other_principal.header(OWN), other_principal.header(ALL)),
        (Some("249"), Some("3499"))
    );
    assert_eq!(other_subscription.header(OWN), Some("249"));
    assert_eq!(write.header("x-ms-ratelimit-remaining-subscription-writes"), Some("199"));
    assert_eq!(write.header("x-ms-ratelimit-remaining-subscription-global-writes"), Some("2999"));
}

#[tokio::test]
async fn deletes_have_200_and_10_more_each_second() {
    let desk = desk();
    let gone = format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/none");

    let first = desk.delete(&gone).await;
    for _ in 0..199 {
        assert_eq!(desk.delete(&gone).await.status, StatusCode::NO_CONTENT);
    }
    let refused = desk.delete(&gone).await;
    desk.wait(0.1);
    let again = desk.delete(&gone).await;

    assert_eq!(first.header("x-ms-ratelimit-remaining-subscription-deletes"), Some("199"));
    assert_eq!(refused.code(), "SubscriptionRequestsThrottled");
    assert_eq!(again.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_refused_request_does_nothing_and_is_counted() {
    let desk = desk_with("budgetsPercent: 1");
    let put = |name: &'static str| {
        let desk = &desk;
        async move { desk.put(&format!("{GALLERY}{name}"), json!({ "location": "westeurope" })).await }
    };
    put("b").await;

    let refused = put("c").await;

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let there = desk.get(&format!("{GALLERY}c")).await;
    assert_eq!(there.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.azure.calls().throttled, 1);
}

#[tokio::test]
async fn where_the_wait_is_told_is_a_variant() {
    let desk = desk_with("budgetsPercent: 1\nvariants: { waitTold: inText }");
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-images");

    let (_, refused) = until_refused(&desk, &group).await;

    assert_eq!(refused.header("retry-after"), None);
    assert!(refused.message().contains("try again after '"), "{}", refused.message());
}

#[tokio::test]
async fn a_machine_has_36_reads_and_12_more_each_minute() {
    let desk = desk();
    let machine = format!("{SHOP}/virtualMachines/vm1");

    let first = desk.get(&machine).await;
    let (answered, refused) = until_refused(&desk, &machine).await;
    desk.wait(60.0);
    let (after_a_minute, _) = until_refused(&desk, &machine).await;
    let other = desk.get(&format!("{SHOP}/virtualMachines/vm2")).await;

    assert_eq!(
        first.header(RESOURCE),
        Some(
            "Microsoft.Compute/LowCostGetSubscriptionMaximum;23999,Microsoft.Compute/LowCostGetResource;35"
        )
    );
    assert_eq!((answered, after_a_minute), (35, 12));
    assert_eq!(refused.body["error"]["details"][0]["code"], "TooManyRequests");
    assert_eq!(refused.body["error"]["details"][0]["target"], "LowCostGetResource");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn the_instances_of_a_set_have_a_budget_and_a_list_over_a_subscription_names_none() {
    let desk = desk();

    let instances =
        desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1/virtualMachines")).await;
    let set = desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1")).await;
    let machines = desk.get(&format!("{SHOP}/virtualMachines")).await;
    let everywhere = desk
        .get("/subscriptions/b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70/providers/Microsoft.Compute/virtualMachines")
        .await;

    let of = |name: &str, all: u64, own: Option<u64>| {
        let own = own.map(|it| format!(",Microsoft.Compute/{name}Resource;{it}"));
        format!("Microsoft.Compute/{name}SubscriptionMaximum;{all}{}", own.unwrap_or_default())
    };
    let told = instances.header(RESOURCE).unwrap();
    assert_eq!(told, of("HighCostGetVMScaleSet", 1079, Some(29)));
    assert_eq!(set.header(RESOURCE).unwrap(), of("GetVMScaleSet", 2399, Some(35)));
    assert_eq!(machines.header(RESOURCE).unwrap(), of("HighCostGet", 899, None));
    assert_eq!(everywhere.header(RESOURCE), None);
}

#[tokio::test]
async fn the_actions_of_templates_run_out_in_the_recorded_words_and_in_no_header() {
    let desk = desk_with("budgetsPercent: 1");
    let run = format!("{TEMPLATE}/run");
    let mut refused = None;
    for _ in 0..40 {
        let answer = desk.post(&run, Value::Null).await;
        if answer.code() == "ResourceRequestsThrottled" {
            refused = Some(answer);
            break;
        }
        desk.wait(20.0);
    }

    let refused = refused.expect("12 runs in an hour at 1 percent");
    let message = refused.message();
    assert!(
        message.starts_with(
            "Number of requests for action 'Microsoft.VirtualMachineImages/imageTemplates/run/action' \
             exceeded the limit of '12' for time interval '01:00:00'. Please try again after '"
        ),
        "{message}"
    );
    assert!(message.ends_with("' seconds."), "{message}");
    assert_eq!(refused.header("retry-after"), None);
}

#[tokio::test]
async fn shrunk_budgets_leave_at_least_one_request_of_each() {
    let desk = desk_with("budgetsPercent: 1");

    let first = desk.get(&format!("{GROUP}/providers/Microsoft.Compute/galleries")).await;
    let second = desk.get(&format!("{GROUP}/providers/Microsoft.Compute/galleries")).await;

    assert_eq!(first.header(OWN), Some("1"));
    assert!(
        first
            .header(RESOURCE)
            .unwrap()
            .starts_with("Microsoft.Compute/ListGalleryInResourceGroup3Min;0")
    );
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
}

/// `throttling_policies.json` has, for each name that Compute was recorded to use, the highest
/// number that was left: the budget is at least one more.
#[tokio::test]
async fn the_policies_are_those_of_the_recordings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join("shared/reference/recordings/throttling_policies.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: the recordings are not here");
        return;
    };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let desk = desk();
    let version = format!("{WEB}/versions/1.0.0");
    let platform = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/artifacttypes/vmimage/offers"
    );
    let put = desk.put(&format!("{GALLERY}2"), json!({ "location": "westeurope" })).await;
    let share = put.header("azure-asyncoperation").unwrap().to_owned();
    let answers = [
        put,
        desk.follow(&share).await,
        desk.get(GALLERY).await,
        desk.get(&format!("{GROUP}/providers/Microsoft.Compute/galleries")).await,
        desk.get(WEB).await,
        desk.get(&format!("{GALLERY}/images")).await,
        desk.get(&version).await,
        desk.get(&format!("{WEB}/versions")).await,
        desk.put(&version, json!({ "location": "westeurope" })).await,
        desk.delete(&format!("{WEB}/versions/1.2.0")).await,
        desk.get(&platform).await,
        desk.get(&format!("{platform}/jammy/skus")).await,
        desk.get(&format!("{platform}/jammy/skus/22_04-lts-gen2/versions")).await,
        desk.get(&format!("{SHOP}/virtualMachines/vm1")).await,
        desk.get(&format!("{SHOP}/virtualMachines")).await,
        desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1")).await,
        desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1/virtualMachines")).await,
        desk.get(&format!("{SHOP}/virtualMachineScaleSets/vmss1/virtualMachines/0")).await,
    ];

    let mut compared = 0;
    for answer in &answers {
        let told = answer.header(RESOURCE).unwrap_or_else(|| panic!("no budget: {}", answer.body));
        for budget in told.split(',') {
            let (name, left) = budget.split_once(';').unwrap();
            let most = recorded["policies"][name]["max_remaining_seen"].as_u64();
            let most = most.unwrap_or_else(|| panic!("{name} was never recorded"));
            let left: u64 = left.parse().unwrap();
            // Recorders were rarely the first to ask: the highest number may be a few too low.
            assert!((most..=most + 5).contains(&left), "{name}: {left} here, {most} recorded");
            compared += 1;
        }
    }
    assert!(compared >= 30, "only {compared} were compared");
}
