//! Reasons to build that came while a run was building: those that it serves are accounted for, and
//! the others get a run of their own at once.

use chrono::TimeDelta;
use ledger::{Draft, StreamName};
use rules::event::{Event, PinnedBase};
use rules::trigger::Trigger;

use crate::desk::Desk;
use crate::events::{CHILD, desk};

/// Lets the desk go on until `what` has happened to the child; when it did.
async fn until(desk: &mut Desk, what: impl Fn(&Event) -> bool) -> chrono::DateTime<chrono::Utc> {
    for _ in 0..200 {
        let entries = desk.entries(&CHILD.parse().unwrap()).await;
        if let Some(entry) = entries.iter().find(|it| it.events.iter().any(&what)) {
            return entry.at;
        }
        desk.run_to(desk.now() + TimeDelta::minutes(2)).await;
    }
    panic!("it never happened:\n{}", desk.story().await);
}

/// The parent's release that the run of the child was built from is told late.
async fn late(desk: &Desk) {
    let name = StreamName::Image(CHILD.parse().unwrap());
    let mut stream = desk.ledger.read(&name).await.unwrap();
    let Some(PinnedBase::Image { image, version }) =
        stream.state.building.as_ref().map(|it| it.base.clone())
    else {
        panic!("{}", desk.story().await)
    };
    let trigger = Trigger::Parent { image, version };
    let draft = Draft {
        id: "late.0".to_owned(),
        cause: "late".to_owned(),
        by: "receive_events".to_owned(),
        at: desk.now(),
        policy: "policy".to_owned(),
        events: vec![Event::TriggerAccepted { trigger }],
    };
    desk.ledger.append(&mut stream, draft).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_run_does_not_serve_is_built_at_once_though_it_serves_the_rest() {
    let (mut desk, _) = desk().await;
    let rebuild = format!("images/{CHILD}/rebuild");
    assert_eq!(desk.ask(&rebuild, r#"{"why":"one"}"#).await, 202);
    until(&mut desk, |it| matches!(it, Event::BuildStarted { .. })).await;
    late(&desk).await;
    assert_eq!(desk.ask(&rebuild, r#"{"why":"another"}"#).await, 202);

    let served = until(&mut desk, |it| matches!(it, Event::TriggerCoalesced { .. })).await;
    let another =
        |it: &Event| matches!(it, Event::RunOpened { why, .. } if why.contains("another"));
    let opened = until(&mut desk, another).await;

    assert!(opened - served < TimeDelta::minutes(1), "{}", desk.story().await);
}
