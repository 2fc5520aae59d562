//! Timers: when they fire, what they skip, and what is remembered of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_timer_fires_at_its_times_whatever_became_of_the_last() {
    let desk = Desk::paused();
    let host = desk.host(&[timer("t", "0 */10 * * * *")], bad);

    run(&host, after(3)).await;

    let calls = desk.calls();
    assert_eq!(calls.iter().map(Call::seconds).collect::<Vec<_>>(), [600, 1200, 1800]);
    let status = |it: &Call| it.body["Data"]["timer"]["ScheduleStatus"].clone();
    assert_eq!(status(&calls[0])["Last"], "0001-01-01T00:00:00+00:00");
    assert_eq!(status(&calls[0])["Next"], "2026-09-07T06:10:00+00:00");
    assert_eq!(status(&calls[2])["Last"], "2026-09-07T06:20:00+00:00");
}

#[tokio::test(start_paused = true)]
async fn a_timer_does_not_overlap_itself_and_skips_what_it_missed() {
    let desk = Desk::paused();
    let host = desk.host(&[timer("t", "0 * * * * *")], |call: Call| async move {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(150)).await;
        good(call).await
    });

    run(&host, after(3)).await;

    // At 210 s the occurrences of 120 s and 180 s are past: one of them fires, at once.
    assert_eq!(desk.calls().iter().map(Call::seconds).collect::<Vec<_>>(), [60, 210, 360]);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_nothing_ran_fires_once() {
    let desk = Desk::paused();
    let functions = [timer("t", "0 */10 * * * *")];
    run(&desk.host(&functions, good), after(1)).await;
    tokio::time::advance(Duration::from_secs(3600)).await;

    run(&desk.host(&functions, good), after(2)).await;

    let calls = desk.calls();
    assert_eq!(calls.iter().map(Call::seconds).collect::<Vec<_>>(), [600, 4200, 4800]);
    let past_due: Vec<bool> =
        calls.iter().map(|it| it.body["Data"]["timer"]["IsPastDue"].as_bool().unwrap()).collect();
    assert_eq!(past_due, [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_schedule_is_not_past_due() {
    let desk = Desk::paused();
    run(&desk.host(&[timer("t", "0 */10 * * * *")], good), after(1)).await;
    tokio::time::advance(Duration::from_secs(3600)).await;

    run(&desk.host(&[timer("t", "0 0 */3 * * *")], good), after(1)).await;

    assert_eq!(desk.calls()[1].seconds(), 3 * 3600);
    assert_eq!(desk.calls()[1].body["Data"]["timer"]["IsPastDue"], false);
}

#[tokio::test(start_paused = true)]
async fn a_fast_timer_has_no_status() {
    let desk = Desk::paused();
    run(&desk.host(&[timer("t", "*/10 * * * * *")], good), after(2)).await;

    assert_eq!(desk.calls()[1].body["Data"]["timer"]["ScheduleStatus"], Value::Null);
}
