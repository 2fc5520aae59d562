//! The lock of a message that is worked on.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_lock_is_renewed_while_the_handler_works() {
    let desk = Desk::paused();
    let host = desk.host(&[queue("a")], |call: Call| async move {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(250)).await;
        good(call).await
    });
    desk.send("a", "long", 0);

    run(&host, after(1)).await;

    assert_eq!(desk.calls().len(), 1);
    assert_eq!(desk.bus.counts().unwrap()["a"], crate::bus::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn past_the_renewal_the_message_is_given_to_another_while_the_first_still_works() {
    let desk = Desk::paused();
    let host =
        desk.host_with("00:10:00", "00:01:00", None, &[queue("a")], |call: Call| async move {
            let work = if call.seconds() == 0 { 300 } else { 1 };
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(work)).await;
            good(call).await
        });
    desk.send("a", "long", 0);

    run(&host, after(2)).await;

    let times: Vec<i64> = desk.calls().iter().map(Call::seconds).collect();
    assert_eq!(times, [0, 105], "renewed once at 45 s for 60 s more, and not at 90 s");
}
