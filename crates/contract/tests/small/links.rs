//! Links that answers hand out.

use http::Method;
use serde_json::{Value, json};

use crate::pets::{CAT, PETS, Said, asked, cat, put, said};

const NONE: [String; 0] = [];
const STATUS: &str =
    "/subscriptions/s/providers/Contoso.Pets/locations/l/operations/1?t=1&s=secret";

fn created() -> Said {
    put(&cat()).answered(201, &cat()).telling("azure-asyncoperation", &format!("http://h{STATUS}"))
}

fn polled() -> Said {
    asked(Method::GET, STATUS).at(STATUS).answered(200, &json!({ "status": "InProgress" }))
}

#[test]
fn a_status_url_that_was_handed_out_may_be_followed() {
    assert_eq!(said(&[created(), polled()]), NONE);
}

#[test]
fn a_status_url_that_nobody_handed_out_is_a_violation() {
    assert_eq!(said(&[polled()]), ["request path is a status URL that no answer handed out"]);
}

#[test]
fn a_status_is_a_status() {
    let strange = polled().answered(200, &json!({ "state": "Running" }));
    let accepted = polled().with_status(202);
    let expired = polled().answered(404, &json!({ "error": { "code": "NotFound" } }));

    assert_eq!(
        said(&[created(), strange]),
        ["answer 200 /state is not declared", "answer 200 /status is required"]
    );
    assert_eq!(said(&[created(), accepted]).len(), 1);
    assert_eq!(said(&[created(), expired]), NONE);
}

#[test]
fn a_location_is_followed_until_it_is_no_longer_accepted() {
    let place = "/subscriptions/s/operationresults/1?s=secret";
    let deleted = asked(Method::DELETE, CAT).with_status(202);
    let deleted = deleted.telling("location", &format!("http://h{place}"));
    let follow = |status| asked(Method::GET, place).at(place).with_status(status);

    assert_eq!(said(&[deleted.clone(), follow(202), follow(200), follow(204)]), NONE);
    assert_eq!(said(&[deleted, follow(302)]).len(), 1);
}

const RESULT: &str = "/subscriptions/s/operationresults/1?s=secret";

/// A write of the cat that goes on, and what its `Location` leads to in the end.
fn ends_with(method: Method, body: &Value) -> [Said; 2] {
    let accepted = asked(method, CAT).with_status(202);
    let accepted = accepted.telling("location", &format!("http://h{RESULT}"));
    [accepted, asked(Method::GET, RESULT).at(RESULT).answered(200, body)]
}

#[test]
fn a_location_leads_to_the_status_or_to_what_its_operation_makes() {
    let status = json!({ "status": "Succeeded" });
    let other = json!({ "status": "Succeeded", "pet": cat() });

    assert_eq!(said(&ends_with(Method::PATCH, &cat())), NONE);
    assert_eq!(said(&ends_with(Method::PATCH, &status)), NONE);
    assert_eq!(said(&ends_with(Method::DELETE, &status)), NONE);
    assert_eq!(
        said(&ends_with(Method::PATCH, &json!({ "kind": cat()["kind"] }))),
        ["answer 200 /location is required"]
    );
    assert_eq!(said(&ends_with(Method::DELETE, &other)), ["answer 200 /pet is not declared"]);
}

#[test]
fn a_location_that_a_location_hands_out_is_of_the_same_operation() {
    let next = "/subscriptions/s/operationresults/2?s=secret";
    let [accepted, _] = ends_with(Method::PATCH, &cat());
    let goes_on = asked(Method::GET, RESULT).at(RESULT).with_status(202);
    let goes_on = goes_on.telling("location", &format!("http://h{next}"));
    let made = |body: &Value| asked(Method::GET, next).at(next).answered(200, body);

    assert_eq!(said(&[accepted.clone(), goes_on.clone(), made(&cat())]), NONE);
    assert_eq!(said(&[accepted, goes_on, made(&json!({}))]).len(), 2);
}

#[test]
fn a_page_is_one_of_its_list_wherever_it_is() {
    let next = "/continued?token=x";
    let first = json!({ "value": [], "nextLink": format!("http://h{next}") });
    let first = asked(Method::GET, PETS).answered(200, &first);
    let page = |body| asked(Method::GET, next).at(next).answered(200, &body);

    assert_eq!(said(&[first.clone(), page(json!({ "value": [cat()] }))]), NONE);
    assert_eq!(said(&[first, page(json!({ "valeu": [] }))]).len(), 2);
}

#[test]
fn a_next_link_is_opaque_and_its_page_is_one_of_the_list() {
    let next = format!("{PETS}?api-version=2025-01-01&$skiptoken=x");
    let first = json!({ "value": [], "nextLink": format!("http://h{next}") });
    let first = asked(Method::GET, PETS).answered(200, &first);
    let page = |body| asked(Method::GET, PETS).at(&next).answered(200, &body);

    assert_eq!(said(&[first.clone(), page(json!({ "value": [cat()] }))]), NONE);
    assert_eq!(said(&[first, page(json!({ "valeu": [] }))]).len(), 2);
}
