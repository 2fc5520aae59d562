//! Bodies against their schemas.

use serde_json::{Value, json};

use crate::pets::{cat, got, put, said};

fn with(member: &str, value: Value) -> Value {
    let mut cat = cat();
    cat[member] = value;
    cat
}

const NONE: [String; 0] = [];

#[test]
fn what_is_declared_passes_both_ways() {
    assert_eq!(said(&[put(&cat()), got(&with("id", json!("/x")))]), NONE);
}

#[test]
fn a_member_that_is_not_declared_is_a_violation_both_ways() {
    let other = with("locatoin", json!("x"));

    assert_eq!(said(&[put(&other)]), ["request /locatoin is not declared"]);
    assert_eq!(said(&[got(&other)]), ["answer 200 /locatoin is not declared"]);
}

#[test]
fn tags_and_what_is_free_may_hold_anything() {
    let free = with("anything", json!([1, { "a": 2 }]));

    assert_eq!(said(&[put(&free), got(&with("tags", json!({ "a b": "c" })))]), NONE);
    assert_eq!(
        said(&[put(&with("tags", json!({ "a": 1 })))]),
        ["request /tags/a value is not of type \"string\""]
    );
}

#[test]
fn a_discriminator_chooses_which_members_there_are() {
    let dog = with("kind", json!({ "type": "Canine", "barks": true }));
    let mixed = with("kind", json!({ "type": "Feline", "barks": true }));
    let bird = with("kind", json!({ "type": "Bird" }));

    assert_eq!(said(&[put(&dog)]), NONE);
    assert_eq!(said(&[put(&mixed)]), ["request /kind/barks is not declared"]);
    assert_eq!(
        said(&[put(&bird)]),
        ["request /kind/type value is not one of \"Feline\" or \"Canine\""]
    );
}

#[test]
fn a_read_only_member_is_not_to_be_sent() {
    let echoed = with("id", json!("/x"));

    assert_eq!(said(&[put(&echoed)]), ["request /id is read-only and not to be sent"]);
}

#[test]
fn what_is_required_is_required_wherever_it_was_declared() {
    assert_eq!(
        said(&[put(&json!({}))]),
        ["request /kind is required", "request /location is required"]
    );
}

#[test]
fn an_open_enumeration_is_closed_in_requests_and_open_in_answers() {
    let (angry, huge) = (with("mood", json!("Angry")), with("size", json!("Huge")));

    assert_eq!(said(&[put(&angry)]), ["request /mood value is not one of \"Calm\""]);
    assert_eq!(said(&[got(&angry)]), NONE);
    assert_eq!(said(&[got(&huge)]), ["answer 200 /size value is not one of \"Small\""]);
}

#[test]
fn a_list_of_values_that_microsoft_has_given_up_is_open() {
    let new = with("breed", json!("Sphynx"));

    assert_eq!(said(&[put(&new), got(&new)]), NONE);
}

#[test]
fn null_is_no_value_but_where_it_is_declared() {
    assert_eq!(said(&[got(&with("nick", Value::Null))]), NONE);
    assert_eq!(said(&[got(&with("born", Value::Null))]), ["answer 200 /born is null"]);
}

#[test]
fn instants_are_instants_with_as_many_digits_as_azure_likes() {
    for recorded in [
        "0001-01-01T00:00:00Z",
        "2024-05-14T08:39:55.679639302Z",
        "9999-12-31T23:59:59.9999999+00:00",
    ] {
        assert_eq!(said(&[got(&with("born", json!(recorded)))]), NONE, "{recorded}");
    }
    assert_eq!(said(&[got(&with("born", json!("yesterday")))]).len(), 1);
}

#[test]
fn a_violation_never_quotes_a_value() {
    let secret = with("mood", json!("sig=secret"));
    let number = with("location", json!({ "sig": "secret" }));

    let all = said(&[put(&secret), put(&number), got(&with("born", json!("secret")))]);

    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.iter().all(|it| !it.contains("secret")), "{all:?}");
}
