//! Templates that are no good: one that Image Builder never gets ready is given up, since those who
//! wait for a place among the builds wait for it too; one that is gone has perhaps run.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_template_that_never_becomes_ready_ends_its_run_and_is_tidied() {
    for state in ["Creating", "Updating"] {
        let change: Change = Box::new(move |asked, body| {
            if of_template(asked, "POST") {
                let why = format!("run is not allowed in provisioning state: '{state}'.");
                *body = refusal("OperationNotAllowed", &why);
                return Some(409);
            }
            if of_template(asked, "GET") && asked.status == 200 {
                let properties = body["properties"].as_object_mut().unwrap();
                properties.insert("provisioningState".to_owned(), json!(state));
                properties.remove("lastRunStatus");
            }
            None
        });
        let (mut desk, heard) = desk(|_| {}, change).await;

        // Its base comes within two days.
        desk.run_to(desk.now() + TimeDelta::days(3)).await;
        let events = desk.events(IMAGE).await;
        let failed = events.into_iter().find(|it| matches!(it, Event::BuildFailed { .. }));
        let Some(Event::BuildFailed { version, published, reason, .. }) = failed else {
            panic!("{}", desk.story().await)
        };
        assert!(!published && reason.contains(&format!("still {state} after 3 hours")), "{reason}");
        until(&mut desk, |it| *it == Event::BuildTidied { version }).await;

        let heard = heard.lock().unwrap();
        let template = format!("/imageTemplates/{IMAGE}-{version}?");
        let when = |method: &str| heard.iter().find(|it| it.is(method, &template)).unwrap().at;
        let took = when("DELETE") - when("PUT");
        assert!(took >= TimeDelta::hours(3) && took < TimeDelta::hours(4), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_answer_was_lost_with_its_template_has_perhaps_published_a_version() {
    let lost: Mutex<bool> = Mutex::default();
    let change: Change = Box::new(move |asked, body| {
        let mut lost = lost.lock().unwrap();
        if of_template(asked, "POST") {
            *lost = true;
            *body = refusal("GatewayTimeout", "The gateway did not receive a response.");
            return Some(504);
        }
        (*lost && of_template(asked, "GET")).then(|| {
            *body = refusal("ResourceNotFound", "The Resource was not found.");
            404
        })
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    desk.run_to(desk.now() + TimeDelta::days(3)).await;

    let failed = desk.events(IMAGE).await.into_iter().find_map(|it| match it {
        Event::BuildFailed { published, reason, .. } => Some((published, reason)),
        _ => None,
    });
    let (published, reason) = failed.unwrap();
    assert!(published && reason.contains("is gone"), "{reason}");
}

/// The step may not look at the template any more, and gives up while the build goes on.
#[tokio::test(start_paused = true)]
async fn a_version_that_is_published_after_its_run_was_given_up_is_hidden_too() {
    let lost: Mutex<bool> = Mutex::default();
    let once = first(1);
    let change: Change = Box::new(move |asked, body| {
        let mut lost = lost.lock().unwrap();
        if of_template(asked, "POST") && !*lost {
            *lost = true;
            *body = refusal("GatewayTimeout", "The gateway did not receive a response.");
            return Some(504);
        }
        (*lost && of_template(asked, "GET") && once()).then(|| {
            *body = refusal("AuthorizationFailed", "The client does not have authorization.");
            403
        })
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    desk.run_to(desk.now() + TimeDelta::days(3)).await;

    let (events, story) = (desk.events(IMAGE).await, desk.story().await);
    let failed = events.iter().find(|it| matches!(it, Event::StepFailed { .. }));
    assert!(failed.is_some(), "{story}");
    let hidden = events.iter().find_map(|it| match it {
        Event::VersionDeprecated { version, .. } => Some(version.to_string()),
        _ => None,
    });
    assert_eq!(hidden.as_deref(), Some("1.0.0"), "{story}");
}
