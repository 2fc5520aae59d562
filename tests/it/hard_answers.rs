//! The walk over an Azure that answers as it does on its bad days, and what the walk itself must
//! never ask. Each test is one of the bites that `bites.rs` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use cli::load;
use rules::VersionNumber;
use rules::event::{Event, Operation};
use sandbox::estate::{Estate, Outage};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::changed::{Asked, Change, Changed, Heard};
use crate::desk::{Desk, root};
use crate::spoiled::Spoil;

mod never_ready;
mod overdue;
mod taken_out;

/// The image whose answers are changed. Its gallery is empty: its base is the first reason to build.
const IMAGE: &str = "sles-15";

/// A desk of Fabrikam's, with another estate and other answers.
async fn desk(estate: impl FnOnce(&mut Estate), change: Change) -> (Desk, Heard) {
    let folder = root().join("tests/it/fabrikam");
    let loaded = load::catalog(&folder.join("catalog.yaml")).unwrap();
    let mut other = load::estate(&folder.join("estate.yaml")).unwrap();
    estate(&mut other);
    let heard = Heard::default();
    let (start, listening) = (other.start, Arc::clone(&heard));
    let world = move |wire| Arc::new(Changed::new(wire, start, change, listening)) as _;
    let spoil = Spoil { world: Box::new(world), ..Spoil::default() };
    (Desk::of(loaded, &other, spoil).await, heard)
}

fn nothing() -> Change {
    Box::new(|_, _| None)
}

/// What a walk came to.
struct Walk {
    heard: Vec<Asked>,
    /// The image, when, what.
    events: Vec<(String, DateTime<Utc>, Event)>,
}

impl Walk {
    /// The PUTs of versions.
    fn version_puts(&self) -> impl Iterator<Item = &Asked> {
        self.heard.iter().filter(|it| it.is("PUT", "/versions/"))
    }
}

async fn walk(estate: impl FnOnce(&mut Estate)) -> Walk {
    let (mut desk, heard) = desk(estate, nothing()).await;
    desk.run_to(desk.now() + TimeDelta::days(DAYS)).await;
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
    let mut events = Vec::new();
    for image in desk.images() {
        for entry in desk.entries(&image).await {
            let (name, at) = (image.to_string(), entry.at);
            events.extend(entry.events.into_iter().map(|it| (name.clone(), at, it)));
        }
    }
    let heard = heard.lock().unwrap().clone();
    Walk { heard, events }
}

/// How long the walks are: until a version has been deleted.
const DAYS: i64 = 11;

/// The walk over the estate as it is.
async fn plain() -> &'static Walk {
    static PLAIN: OnceCell<Walk> = OnceCell::const_new();
    PLAIN.get_or_init(|| walk(|_| {})).await
}

/// Lets the desk go on until `what` has happened to the image.
async fn until(desk: &mut Desk, what: impl Fn(&Event) -> bool) -> Event {
    for _ in 0..3000 {
        if let Some(event) = desk.events(IMAGE).await.into_iter().find(&what) {
            return event;
        }
        desk.run_to(desk.now() + TimeDelta::minutes(10)).await;
    }
    panic!("it never happened:\n{}", desk.story().await);
}

fn count(heard: &Heard, method: &str, what: &str) -> usize {
    heard.lock().unwrap().iter().filter(|it| it.is(method, what)).count()
}

fn of_template(asked: &Asked, method: &str) -> bool {
    asked.is(method, &format!("/imageTemplates/{IMAGE}-1."))
}

/// True the first `times` that it is asked.
fn first(times: u32) -> impl Fn() -> bool + Send + Sync {
    let left = Mutex::new(times);
    move || {
        let mut left = left.lock().unwrap();
        let is_first = *left > 0;
        *left = left.saturating_sub(1);
        is_first
    }
}

fn refusal(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

#[tokio::test(start_paused = true)]
async fn no_status_operation_is_ever_asked_for_so_an_expired_one_costs_nothing() {
    let walk = plain().await;

    assert!(walk.heard.len() > 100, "{}", walk.heard.len());
    let operation = |it: &&Asked| it.path.to_ascii_lowercase().contains("operation");
    assert_eq!(walk.heard.iter().find(operation).map(|it| it.path.as_str()), None);
}

#[tokio::test(start_paused = true)]
async fn a_version_is_put_only_after_the_same_step_has_read_it_since_a_put_restores() {
    let walk = plain().await;

    let mut read = BTreeSet::new();
    let mut puts = 0;
    for asked in &walk.heard {
        let key = (asked.id.as_str(), asked.resource());
        if asked.is("GET", "/versions/") && asked.status == 200 {
            read.insert(key);
        } else if asked.is("PUT", "/versions/") {
            puts += 1;
            assert!(read.contains(&key), "{} put what it had not read", asked.id);
        }
    }
    assert!(puts >= 8, "{puts}");
}

#[tokio::test(start_paused = true)]
async fn a_version_is_put_with_its_whole_list_of_regions_home_among_them_and_every_flag() {
    for asked in plain().await.version_puts() {
        let profile = &asked.body["properties"]["publishingProfile"];
        let regions = profile["targetRegions"].as_array().unwrap();
        assert!(regions.iter().any(|it| it["name"] == asked.body["location"]), "{}", asked.body);
        assert!(regions.iter().all(|it| it["excludeFromLatest"].is_boolean()), "{}", asked.body);
        assert!(profile["excludeFromLatest"].is_boolean(), "{}", asked.body);
        assert_eq!(asked.body["properties"]["storageProfile"], json!({}));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_life_that_is_sent_lies_ahead() {
    let mut sent = 0;
    for asked in plain().await.version_puts() {
        let date = &asked.body["properties"]["publishingProfile"]["endOfLifeDate"];
        let Some(date) = date.as_str() else { continue };
        let date: DateTime<Utc> = date.parse().unwrap();
        assert!(date > asked.at, "{date} was sent at {}", asked.at);
        sent += 1;
    }
    assert!(sent > 0, "nothing was deprecated");
}

#[tokio::test(start_paused = true)]
async fn a_region_is_given_up_by_a_second_put_after_the_first_has_lifted_the_safety() {
    let mut lifted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut trimmed = 0;
    for asked in plain().await.version_puts() {
        let properties = &asked.body["properties"];
        let regions = properties["publishingProfile"]["targetRegions"].as_array().unwrap().len();
        let allows = properties["safetyProfile"]["allowDeletionOfReplicatedLocations"] == true;
        let before = lifted.get(asked.resource()).copied();
        if before.is_some_and(|it| regions < it) {
            trimmed += 1;
        } else if allows {
            assert!(regions > 1, "regions were left out by the PUT that lifts: {}", asked.body);
            lifted.insert(asked.resource(), regions);
        }
    }
    assert!(trimmed > 0, "nothing was trimmed");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_never_told_to_bypass_the_soft_one() {
    let walk = plain().await;

    assert!(walk.heard.iter().any(|it| it.is("DELETE", "/versions/")));
    assert!(!walk.heard.iter().any(|it| it.path.contains("bypassSoftDelete")));
}

#[tokio::test(start_paused = true)]
async fn lists_in_pages_of_one_tell_the_same_story() {
    let walk = walk(|estate| estate.cloud.items_per_page = Some(1)).await;

    assert!(walk.heard.iter().any(|it| it.path.contains("skiptoken")));
    assert_eq!(walk.events, plain().await.events);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_without_the_newest_api_versions_is_walked_all_the_same() {
    let lacks = ["2026-03-03", "2025-10-01", "2026-04-01"];
    let estate = move |estate: &mut Estate| {
        estate.cloud.lacks_api_versions = lacks.map(str::to_owned).to_vec();
    };

    let walk = walk(estate).await;

    let good = |it: &&Asked| it.status < 300 && lacks.iter().any(|lacked| it.path.contains(lacked));
    assert_eq!(walk.heard.iter().find(good).map(|it| it.path.as_str()), None);
    assert_eq!(walk.events, plain().await.events);
}

#[tokio::test(start_paused = true)]
async fn a_resource_graph_that_lags_behind_costs_no_version_that_is_in_use() {
    let walk = walk(|estate| estate.cloud.graph_lag_minutes = 180).await;

    let deleted = |walk: &Walk| -> Vec<(String, VersionNumber)> {
        let events = walk.events.iter();
        events
            .filter_map(|(image, _, event)| match event {
                Event::VersionDeleted { version, .. } => Some((image.clone(), *version)),
                _ => None,
            })
            .collect()
    };
    assert!(!deleted(&walk).is_empty());
    assert_eq!(deleted(&walk), deleted(plain().await));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_and_published_all_the_same_is_never_offered_and_is_retired() {
    for state in ["Failed", "PartiallySucceeded"] {
        let change: Change = Box::new(move |asked, body| {
            if of_template(asked, "GET")
                && body["properties"]["lastRunStatus"]["runState"] == "Succeeded"
            {
                let run = &mut body["properties"]["lastRunStatus"];
                run["runState"] = json!(state);
                run["message"] = json!("a validator failed after the distribution");
            }
            None
        });
        let (mut desk, _) = desk(|_| {}, change).await;

        let failed = until(&mut desk, |it| matches!(it, Event::BuildFailed { .. })).await;
        let Event::BuildFailed { version, published, reason, .. } = failed else { panic!() };
        assert!(published && reason.contains(state), "{reason}");
        if state == "PartiallySucceeded" {
            continue;
        }

        let definition = arm::GalleryId::from(&desk.catalog.gallery).definition(IMAGE);
        let gone =
            |it: &Event| matches!(it, Event::VersionDeleted { version: v, .. } if *v == version);
        for day in 0.. {
            let latest =
                desk.sandbox.azure.latest(&definition.to_string(), "swedencentral").unwrap();
            assert_ne!(latest, Some(version.to_string()), "day {day}");
            if desk.events(IMAGE).await.iter().any(gone) {
                break;
            }
            assert!(day < 20, "it was never retired:\n{}", desk.story().await);
            desk.run_to(desk.now() + TimeDelta::days(1)).await;
        }
        let released =
            |it: &Event| matches!(it, Event::RingReleased { version: v, .. } if *v == version);
        assert!(!desk.events(IMAGE).await.iter().any(released));
    }
}

#[tokio::test(start_paused = true)]
async fn states_that_nobody_knows_are_waited_out_and_never_taken_as_good() {
    let unsure: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let noted = Arc::clone(&unsure);
    let seen: Mutex<BTreeMap<(String, &str), u32>> = Mutex::default();
    let change: Change = Box::new(move |asked, body| {
        let of_version = asked.is("GET", &format!("/images/{IMAGE}/versions/"));
        if !of_version && !of_template(asked, "GET") {
            return None;
        }
        let blurs = |what: &'static str, times: u32| {
            let mut seen = seen.lock().unwrap();
            let seen = seen.entry((asked.resource().to_owned(), what)).or_default();
            *seen += 1;
            let blurs = *seen <= times;
            if blurs {
                noted.lock().unwrap().insert(asked.id.clone());
            }
            blurs
        };
        let properties = &mut body["properties"];
        if properties["lastRunStatus"]["runState"] == "Succeeded" && blurs("run", 3) {
            properties["lastRunStatus"]["runState"] = json!("SucceededProbably");
        }
        if of_version && properties["provisioningState"] == "Succeeded" {
            if blurs("version", 3) {
                properties["provisioningState"] = json!("SucceededProbably");
                return None;
            }
            let regions = properties["replicationStatus"]["summary"].as_array_mut();
            for region in regions.into_iter().flatten() {
                if region["state"] == "Completed" && blurs("region", 6) {
                    region["state"] = json!("CompletedProbably");
                }
            }
        }
        None
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    until(&mut desk, |it| matches!(it, Event::RunReleased { .. })).await;

    let unsure = unsure.lock().unwrap().clone();
    assert!(unsure.len() >= 6, "{unsure:?}");
    for entry in desk.entries(&IMAGE.parse().unwrap()).await {
        let invocation = entry.id.rsplit_once('.').unwrap().0;
        let believed = entry.events.iter().any(|it| {
            matches!(
                it,
                Event::ImageBuilt { .. }
                    | Event::VersionReplicated { .. }
                    | Event::RingReleased { .. }
            )
        });
        assert!(!(believed && unsure.contains(invocation)), "{:?}", entry.events);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_refused_because_one_is_running_is_attached_to() {
    let once = first(1);
    let change: Change = Box::new(move |asked, body| {
        let refused = of_template(asked, "POST") && asked.path.contains("/run?") && once();
        refused.then(|| {
            *body = refusal("OperationNotAllowed", "Operation Microsoft.VirtualMachineImages/imageTemplates/run is not allowed in provisioning state: 'Succeeded' or run state: 'Running'.");
            409
        })
    });
    let (mut desk, heard) = desk(|_| {}, change).await;

    until(&mut desk, |it| matches!(it, Event::ImageBuilt { .. })).await;

    let runs = heard.lock().unwrap().clone();
    let runs = runs.iter().filter(|it| of_template(it, "POST")).count();
    assert_eq!(runs, 1, "{}", desk.story().await);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_no_build_that_failed() {
    let ill = first(4);
    let change: Change = Box::new(move |asked, body| {
        let running = body["properties"]["lastRunStatus"]["runState"].is_string();
        (of_template(asked, "GET") && running && ill()).then(|| {
            *body = refusal("InternalServerError", "Internal error occurred.");
            500
        })
    });
    let (mut desk, heard) = desk(|_| {}, change).await;

    until(&mut desk, |it| matches!(it, Event::ImageBuilt { .. })).await;

    let failures = heard.lock().unwrap().iter().filter(|it| it.status == 500).count();
    assert_eq!(failures, 4);
    let failed = |it: &Event| matches!(it, Event::BuildFailed { .. });
    assert!(!desk.events(IMAGE).await.iter().any(failed));
}

/// `ib_create_failed_vmprofile.json`: 201, then Failed with the code "Other".
#[tokio::test(start_paused = true)]
async fn a_template_that_was_made_and_then_failed_ends_its_run_and_is_tidied() {
    let change: Change = Box::new(|asked, body| {
        if of_template(asked, "POST") {
            *body = refusal(
                "OperationNotAllowed",
                "run is not allowed in provisioning state: 'Failed'.",
            );
            return Some(409);
        }
        if of_template(asked, "GET") && asked.status == 200 {
            let properties = body["properties"].as_object_mut().unwrap();
            properties.insert("provisioningState".to_owned(), json!("Failed"));
            properties.remove("lastRunStatus");
            let error = json!({"provisioningErrorCode": "Other", "message": "Not authorized to access the resource: /x."});
            properties.insert("provisioningError".to_owned(), error);
        }
        None
    });
    let (mut desk, heard) = desk(|_| {}, change).await;

    let failed = until(&mut desk, |it| matches!(it, Event::BuildFailed { .. })).await;
    until(&mut desk, |it| matches!(it, Event::BuildTidied { .. })).await;

    let Event::BuildFailed { published, reason, .. } = failed else { panic!() };
    assert!(!published && reason.contains("Other: Not authorized"), "{reason}");
    assert!(heard.lock().unwrap().iter().any(|it| of_template(it, "DELETE")));
}

#[tokio::test(start_paused = true)]
async fn a_template_of_ours_that_is_there_already_is_gone_on_with() {
    let once = first(1);
    let change: Change = Box::new(move |asked, body| {
        (of_template(asked, "PUT") && once()).then(|| {
            *body = refusal(
                "Conflict",
                "Update/Upgrade of image templates is currently not supported.",
            );
            409
        })
    });
    let (mut desk, heard) = desk(|_| {}, change).await;

    until(&mut desk, |it| matches!(it, Event::ImageBuilt { .. })).await;

    let puts = heard.lock().unwrap().iter().filter(|it| of_template(it, "PUT")).count();
    assert_eq!(puts, 1);
}

/// Azure has taken the deletion, and the template is there again with a state that is final.
#[tokio::test(start_paused = true)]
async fn a_template_whose_deletion_failed_is_asked_for_again() {
    let before: Mutex<Value> = Mutex::default();
    let asked_for: Mutex<u32> = Mutex::default();
    let change: Change = Box::new(move |asked, body| {
        if !asked.path.contains(&format!("/imageTemplates/{IMAGE}-1.0.0?")) {
            return None;
        }
        let (mut before, mut asked_for) = (before.lock().unwrap(), asked_for.lock().unwrap());
        match (asked.method.as_str(), asked.status) {
            ("DELETE", _) => {
                *asked_for += 1;
                None
            }
            ("GET", 404) if *asked_for == 1 => {
                *body = before.clone();
                body["properties"]["provisioningState"] = json!("Failed");
                Some(200)
            }
            ("GET", 200) => {
                *before = body.clone();
                None
            }
            _ => None,
        }
    });
    let (mut desk, heard) = desk(|_| {}, change).await;

    let tidied =
        |it: &Event| matches!(it, Event::BuildTidied { version } if version.to_string() == "1.0.0");
    until(&mut desk, tidied).await;

    let heard = heard.lock().unwrap().clone();
    let template = format!("/imageTemplates/{IMAGE}-1.0.0?");
    let deletions: Vec<_> =
        heard.iter().filter(|it| it.is("DELETE", &template)).map(|it| it.at).collect();
    let [first, second] = deletions[..] else { panic!("{deletions:?}") };
    // The first look is due after what a deletion takes.
    assert!(second - first <= TimeDelta::minutes(10), "{first}, {second}");
}

#[tokio::test(start_paused = true)]
async fn a_region_that_failed_in_a_version_that_succeeded_is_asked_for_again() {
    let requested = plain().await.events.iter().find_map(|(image, at, event)| match event {
        Event::ReplicationRequested { .. } if image == IMAGE => Some(*at),
        _ => None,
    });
    let requested = requested.unwrap();
    let outage = Outage {
        region: "norwayeast".to_owned(),
        from: requested - TimeDelta::minutes(1),
        until: requested + TimeDelta::minutes(3),
        version_succeeds: true,
    };
    let spared: Arc<Mutex<bool>> = Arc::default();
    let seen = Arc::clone(&spared);
    let listen: Change = Box::new(move |asked, body| {
        if asked.is("GET", "/versions/") && body["properties"]["provisioningState"] == "Succeeded" {
            let status = body["properties"]["replicationStatus"].to_string();
            *seen.lock().unwrap() |= status.contains("\"Failed\"");
        }
        None
    });
    let (mut desk, heard) = desk(|estate| estate.outages.push(outage), listen).await;

    let failed = until(&mut desk, |it| matches!(it, Event::RegionFailed { .. })).await;
    let Event::RegionFailed { version, region, .. } = failed else { panic!() };
    assert_eq!(region.as_str(), "norwayeast");
    assert!(*spared.lock().unwrap(), "the version was Succeeded, and a region of it Failed");
    let early = desk.events(IMAGE).await;
    assert!(
        !early
            .iter()
            .any(|it| matches!(it, Event::RingReleased { version: v, .. } if *v == version))
    );

    until(&mut desk, |it| matches!(it, Event::RunReleased { version: v } if *v == version)).await;
    let puts = count(&heard, "PUT", &format!("{IMAGE}/versions/{version}"));
    assert!(puts >= 3, "replicated, replicated again, released: {puts}");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_a_soft_deleted_version_counts_as_taken() {
    let change: Change = Box::new(|asked, body| {
        let asks = asked.is("GET", &format!("/artifacts/{IMAGE}/versions"));
        asks.then(|| {
            *body = json!({"value": [{"name": "7.0.0", "properties": {}}]});
            200
        })
    });
    let (mut desk, _) = desk(|_| {}, change).await;

    let opened = until(&mut desk, |it| matches!(it, Event::RunOpened { .. })).await;

    let Event::RunOpened { version, .. } = opened else { panic!() };
    assert!(version > "7.0.0".parse().unwrap(), "{version}");
}
