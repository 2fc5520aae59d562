//! The host on a desk, whose time stands still while the handler works.

use super::*;

#[tokio::test(start_paused = true)]
async fn on_a_desk_time_goes_from_one_thing_due_to_the_next() {
    let desk = Desk::jumping();
    let clock = Arc::clone(&desk.clock);
    let host = desk.host(&[queue("a"), timer("t", "0 0 * * * *")], move |call: Call| {
        let clock = Arc::clone(&clock);
        async move {
            // However long the handler takes by the machine's clock, the desk's stands still.
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(100)).await;
            assert_eq!(clock.now(), call.at);
            good(call).await
        }
    });
    desk.send("a", "later", 86_000);
    desk.send("a", "soon", 30);

    run(&host, after(26)).await;

    let calls = desk.calls();
    let messages: Vec<(String, i64)> =
        calls.iter().filter(|it| it.function == "a").map(|it| (it.text(), it.seconds())).collect();
    assert_eq!(messages, [("soon".to_owned(), 30), ("later".to_owned(), 86_000)]);
    let timers: Vec<i64> =
        calls.iter().filter(|it| it.function == "t").map(Call::seconds).collect();
    assert_eq!(timers, (1..=24).map(|hour| hour * 3600).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn on_a_desk_a_hanging_call_does_not_make_time_skip_others() {
    let desk = Desk::jumping();
    let host = desk.host(&[queue("a"), timer("t", "0 * * * * *")], |call: Call| async move {
        if call.function == "a" && call.seconds() == 0 {
            return StatusCode::NO_CONTENT.into_response();
        }
        good(call).await
    });
    desk.send("a", "hangs", 0);

    run(&host, after(7)).await;

    let times: Vec<(String, i64)> =
        desk.calls().iter().map(|it| (it.function.clone(), it.seconds())).collect();
    let expected =
        [("a", 0), ("t", 60), ("t", 120), ("t", 180), ("t", 240), ("a", 300), ("t", 300)];
    let mut sorted = times.clone();
    sorted.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    assert_eq!(sorted, expected.map(|(function, at)| (function.to_owned(), at)));
}

#[tokio::test(start_paused = true)]
async fn the_same_state_gives_the_same_story() {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let desk = Desk::jumping();
        let host = desk.host(&[queue("a"), queue("b"), timer("t", "0 * * * * *")], good);
        for number in 0..20 {
            desk.send(
                if number % 3 == 0 { "a" } else { "b" },
                &number.to_string(),
                number * 7 % 40,
            );
        }
        let mut story = Vec::new();
        run(&host, |activity| {
            story.push(format!("{activity:?}"));
            story.len() >= 60
        })
        .await;
        stories.push(story);
    }

    assert_eq!(stories[0], stories[1]);
}
