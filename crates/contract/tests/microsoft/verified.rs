//! The layer as tests put it around what they talk to.

use std::panic::catch_unwind;

use bytes::Bytes;
use contract::{Checked, Exchange, Verified};
use http::{HeaderMap, Method, StatusCode};

use crate::reference::folder;

/// A list of resource groups, asked for in this way and answered with what no list is.
fn listed(query: &str) -> Exchange {
    let mut told = HeaderMap::new();
    told.insert("content-type", "application/json".parse().unwrap());
    Exchange {
        method: Method::GET,
        path: format!("/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups?{query}"),
        asked: HeaderMap::new(),
        sent: Bytes::new(),
        status: StatusCode::OK,
        told,
        answered: Bytes::from_static(b"{ \"valeu\": [] }"),
    }
}

fn fails(checked: Checked, query: &str) -> bool {
    catch_unwind(|| Verified::new(checked).heard(&listed(query))).is_err()
}

#[test]
fn a_test_in_which_the_wire_was_violated_fails_at_its_end() {
    if folder().is_none() {
        return;
    }

    assert!(fails(Checked::Both, "api-version=2025-04-01"));
    assert!(fails(Checked::Answers, "api-version=2025-04-01"));
    assert!(!fails(Checked::Requests, "api-version=2025-04-01"), "the request is right");
    assert!(fails(Checked::Requests, "api-version=2025-04-01&$tpo=1"));
}
