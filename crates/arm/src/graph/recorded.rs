//! Microsoft's examples and the recorded answers of Resource Graph, read by the very code that
//! decides what nobody uses.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use contract::{Checked, Verified};
use seam::{Local, Outbound, Tokens, ToldClock};
use serde_json::Value;

use super::{Rows, Scope};
use crate::client::Arm;

const HOST: &str = "management.azure.com";

/// A file beside the repository; none, said aloud, where the folder is absent.
fn beside(path: &str) -> Option<Value> {
    let Some(folder) = contract::reference() else {
        eprintln!("skipped: Microsoft's examples and recordings are not here");
        return None;
    };
    let path: PathBuf = folder.join(path);
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// What was asked for and answered with 200 in the recording, in its order.
fn recorded() -> Option<Vec<Value>> {
    let recording = beside("recordings/resource_graph_queries.json")?;
    let interactions = recording["interactions"].as_array().unwrap().iter();
    let answers = interactions
        .filter(|it| it["response"]["status"] == 200)
        .map(|it| it["response"]["body"].clone());
    Some(answers.collect())
}

fn example(name: &str) -> Option<Value> {
    let folder = "specs/Microsoft.ResourceGraph/2024-04-01/examples";
    beside(&format!("{folder}/{name}.json"))
}

/// `page` as the last of its kind: nothing comes after it.
fn without_token(page: &Value) -> Value {
    let mut last = page.clone();
    last.as_object_mut().unwrap().remove("$skipToken").expect("it has a page after it");
    last
}

/// What our client makes of `pages`, and the token that it asked for each of them with.
async fn read(pages: &[Value]) -> (Rows<Value>, Vec<Option<String>>) {
    let left = Arc::new(Mutex::new(pages.iter().rev().map(Value::to_string).collect::<Vec<_>>()));
    let asked: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let tokens = Arc::clone(&asked);
    let answer = async move |body: String| {
        let body: Value = serde_json::from_str(&body).unwrap();
        tokens.lock().unwrap().push(body["options"]["$skipToken"].as_str().map(str::to_owned));
        left.lock().unwrap().pop().expect("it asks on although nothing comes after")
    };
    let verified = Verified::new(Checked::Requests);
    let router = verified.around(Router::new().fallback(answer));
    let wire = Arc::new(Local::to([(HOST.to_owned(), router)]));
    let clock = Arc::new(ToldClock("2026-09-08T06:00:00Z".parse().unwrap()));
    let outbound = Outbound::new(wire, clock, Arc::new(Tokens::fixed("told")), [HOST.to_owned()]);
    let arm = Arm::new(format!("https://{HOST}").parse().unwrap(), outbound);
    let scope = Scope::Subscriptions(vec!["00000000-0000-0000-0000-000000000001".to_owned()]);

    let rows = arm.query(&scope, "resources | project id | order by id asc").await.unwrap();

    let asked = asked.lock().unwrap().clone();
    (rows, asked)
}

fn token(page: &Value) -> Option<String> {
    page["$skipToken"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn the_recorded_token_is_followed_beside_resulttruncated_false_and_a_moved_total_is_told() {
    let Some(answers) = recorded() else { return };
    let total = |wanted: u64| answers.iter().find(|it| it["totalRecords"] == wanted).unwrap();
    let (first, second) = (total(2995), total(2994));
    assert_eq!(first["resultTruncated"], "false");

    let (found, asked) = read(&[first.clone(), second.clone(), without_token(second)]).await;

    assert_eq!(asked, [None, token(first), token(second)]);
    assert!(asked[1].is_some() && asked[1] != asked[2]);
    assert_eq!(found.rows.len(), 9);
    assert_eq!(found.rows[3], second["data"][0]);
    assert_eq!(found.total, 2994);
    assert!(found.moved, "a row went away between the pages");
    assert!(found.complete);
}

#[tokio::test]
async fn every_recorded_answer_that_is_whole_is_taken_as_whole() {
    let Some(answers) = recorded() else { return };
    assert_eq!(answers.len(), 4);
    let whole: Vec<&Value> = answers.iter().filter(|it| token(it).is_none()).collect();
    assert_eq!(whole.len(), 2);

    for answer in whole {
        let (found, asked) = read(std::slice::from_ref(answer)).await;

        assert_eq!(asked, [None]);
        assert_eq!(Some(&found.rows), answer["data"].as_array());
        assert!(found.complete && !found.moved, "{answer}");
    }
}

#[tokio::test]
async fn microsofts_example_of_a_next_page_is_asked_for_with_the_token_of_the_first() {
    let (Some(first), Some(next)) =
        (example("ResourcesFirstPageQuery"), example("ResourcesNextPageQuery"))
    else {
        return;
    };
    let page = |it: &Value| it["responses"]["200"]["body"].clone();
    let pages = [page(&first), page(&next), without_token(&page(&next))];

    let (found, asked) = read(&pages).await;

    let documented = next["parameters"]["query"]["options"]["$skipToken"].as_str();
    assert_eq!(asked[1].as_deref(), documented);
    assert_eq!(asked[2], token(&pages[1]));
    assert_eq!((found.rows.len(), found.total), (9, 386));
    assert!(found.moved, "of 386 rows only 9 came");
}
