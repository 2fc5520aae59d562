//! How many messages a second the bus takes over REST, on a file: from one sender, who makes a commit
//! of each message, and from many at once, who share commits. What counts is the ratio, since both
//! are measured here and now: `cargo bench -p sandbox --bench bus`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may fail, and is read"
)]

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::join_all;
use sandbox::bus::{Bus, SharedKey};
use sandbox::database::Database;
use sandbox::desk::RequestHold;
use seam::{Clock, SystemClock};
use tower::ServiceExt;

const MESSAGES: usize = 4096;
const ROUNDS: usize = 3;

async fn send(router: &Router, message_id: String) {
    let request = Request::post("/builds/messages")
        .header("host", "127.0.0.1")
        .header("authorization", "Bearer x")
        .header("brokerproperties", format!(r#"{{"MessageId":"{message_id}"}}"#))
        .header("content-type", "application/json")
        // As a request over a socket has it.
        .extension(RequestHold::default())
        .body(Body::from(r#"{"image":"ubuntu-web","seq":12,"function":"judge_image"}"#));
    let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
}

/// Messages a second from so many senders, each of which waits for its answer.
async fn rate(senders: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(Some(&folder.path().join("bus.sqlite"))).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bus = Bus::open(database, Arc::clone(&clock), ["builds".parse().unwrap()]).unwrap();
    let router = bus.router(SharedKey::default(), clock);

    let began = Instant::now();
    join_all((0..senders).map(async |sender| {
        for number in 0..MESSAGES / senders {
            send(&router, format!("{sender}:{number}")).await;
        }
    }))
    .await;
    let seconds = began.elapsed().as_secs_f64();

    let there = bus.counts().unwrap()["builds"].active;
    assert_eq!(there, MESSAGES as u64, "every acknowledged message is there");
    MESSAGES as f64 / seconds
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for senders in [8, 64] {
        let (mut alone, mut together) = (0.0_f64, 0.0_f64);
        // By turns, and the best of each: other work on the machine slows either.
        for _ in 0..ROUNDS {
            alone = alone.max(rate(1).await);
            together = together.max(rate(senders).await);
        }
        println!(
            "{senders} senders at once {together:.0}/s, one {alone:.0}/s: {:.2} times as many",
            together / alone
        );
    }
}
