//! What only live Azure can answer, asked of it: docs/live.md has the list and the commands. Without
//! its settings each question says that it is skipped. `rehearsal` asks the sandbox the same, under
//! each of its variants: that is how we know that a question can be put, and tells the answers apart.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail, and may say so")]

mod azure;
mod settings;
mod galleries;
mod machines;
mod templates;
mod bus;
mod rehearsal;

use std::future::Future;

use azure::Azure;

/// Puts one question, and prints its answer.
async fn put<F: Future<Output = String>>(question: &str, ask: impl FnOnce(Azure) -> F) {
    match settings::live() {
        Ok(azure) => println!("{question} {}", ask(azure).await),
        Err(missing) => println!("skipped: {question} Set {missing}; see docs/live.md"),
    }
}

#[tokio::test]
async fn exclusion() {
    put("Which flag hides a version from latest?", machines::exclusion).await;
}

#[tokio::test]
async fn latest_while_replicating() {
    let question = "What is latest in a region that the highest version still replicates to?";
    put(question, machines::latest_while_replicating).await;
}

#[tokio::test]
async fn exact_version_of_latest() {
    let question = "Where is the version told of a machine that was made from latest?";
    put(question, machines::exact_version_of_latest).await;
}

#[tokio::test]
async fn update_while_updating() {
    let question = "Is a version written while it is Updating?";
    put(question, galleries::update_while_updating).await;
}

#[tokio::test]
async fn past_end_of_life() {
    let question = "May an end of life that has passed be sent again, and be left out?";
    put(question, galleries::past_end_of_life).await;
}

#[tokio::test]
async fn lift_and_remove_at_once() {
    let question = "May the safety profile be lifted and a region removed in one PUT?";
    put(question, galleries::lift_and_remove_at_once).await;
}

#[tokio::test]
async fn tags_only() {
    put("How long does a PUT take that changes tags alone?", galleries::tags_only).await;
}

#[tokio::test]
async fn bare_update() {
    let question = "What does a PUT of location and tags do to a version that is there?";
    put(question, galleries::bare_update).await;
}

#[tokio::test]
async fn flags_after_a_build() {
    let question = "What does a GET show of the flags of a region that a build published to?";
    put(question, templates::flags_after_a_build).await;
}

#[tokio::test]
async fn template_deleted_while_replicating() {
    let question = "May a template be deleted while its version replicates further?";
    put(question, templates::deleted_while_replicating).await;
}

#[tokio::test]
async fn bus_refusals() {
    let question = "What does Service Bus say of a missing queue, of a missing role, of too much?";
    match settings::bus() {
        Ok(bus) => println!("{question} {}", bus::refusals(bus).await),
        Err(missing) => println!("skipped: {question} Set {missing}; see docs/live.md"),
    }
}
