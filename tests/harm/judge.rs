//! Whether a desk that was harmed has kept its promises: what the ledger's files say, held against
//! what the simulated Azure remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use crate::azure::Azure;
use crate::offered;
use crate::stream::{self, Happened, IMAGES, Stream};

/// An intent and what became of it.
#[derive(Debug)]
struct Intent {
    what: String,
    provider: &'static str,
    at: DateTime<Utc>,
    send_before: DateTime<Utc>,
    outcome: Option<String>,
}

/// Whether nothing is under way on the desk in `state`.
pub(crate) fn is_quiet(state: &Path) -> bool {
    let rests = |image: &&str| open_runs(&stream::read(state, image)).is_empty();
    Azure::of(state).messages().is_empty() && IMAGES.iter().all(rests)
}

/// How many runs of `image` were released everywhere.
pub(crate) fn releases(state: &Path, image: &str) -> usize {
    stream::read(state, image).all("runReleased").count()
}

/// Everything that should not be so on a desk where nothing is under way.
pub(crate) fn faults(state: &Path) -> Vec<String> {
    let azure = Azure::of(state);
    let mut faults = stream::read(state, "_catalog").faults;
    let mut intents = Vec::new();
    for image in IMAGES {
        let stream = stream::read(state, image);
        faults.extend(stream.faults.iter().cloned());
        faults.extend(triggers(image, &stream));
        faults.extend(occurrences(image, &stream));
        let open = open_runs(&stream);
        faults.extend(open.iter().map(|it| format!("{image}: the run of {it} has not ended")));
        faults.extend(runs_end_once(image, &stream));
        let (found, unsettled) = intents_of(image, &stream);
        intents.extend(found);
        faults.extend(unsettled);
        faults.extend(offered::faults(&azure, image, &stream));
    }
    faults.extend(untold(state));
    faults.extend(effects(&azure, &intents));
    faults.extend(births(&azure));
    faults.extend(left_behind(&azure));
    for (id, deliveries) in azure.dead_letters() {
        faults.push(format!("`{id}` is a dead letter after {deliveries} deliveries"));
    }
    let refused = fs::read_dir(state.join("blobs/goldsmith/goldsmith/refused"));
    for file in refused.into_iter().flatten().flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        faults.push(format!("a message was refused: {}", &text[..text.len().min(300)]));
    }
    faults
}

/// Each accepted trigger ends in exactly one run, coalesced run, or refusal.
fn triggers(image: &str, stream: &Stream) -> Vec<String> {
    let accepted: Vec<String> = stream.all("triggerAccepted").map(trigger_id).collect();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for it in &stream.events {
        match it.text("event") {
            "runOpened" => {
                for id in it.event["triggers"].as_array().into_iter().flatten() {
                    *ends.entry(id.as_str().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
            "triggerRefused" => *ends.entry(trigger_id(it)).or_default() += 1,
            "triggerCoalesced" => *ends.entry(it.text("trigger").to_owned()).or_default() += 1,
            _ => {}
        }
    }
    let mut faults = Vec::new();
    let distinct: BTreeSet<&String> = accepted.iter().collect();
    if distinct.len() < accepted.len() {
        faults.push(format!("{image}: a trigger was accepted twice: {accepted:?}"));
    }
    for trigger in distinct {
        let count = ends.get(trigger).copied().unwrap_or_default();
        if count != 1 {
            faults.push(format!("{image}: `{trigger}` ended {count} times"));
        }
    }
    faults
}

fn trigger_id(it: &Happened) -> String {
    let trigger = &it.event["trigger"];
    let text = |name: &str| trigger[name].as_str().unwrap_or_default();
    match text("kind") {
        "schedule" => format!("schedule:{}", text("occurrence")),
        "base" => format!("base:{}", text("version")),
        "parent" => format!("parent:{}:{}", text("image"), text("version")),
        other => format!("{other}:{trigger}"),
    }
}

/// Each night between the first look and the last one that was judged is a trigger, once.
fn occurrences(image: &str, stream: &Stream) -> Vec<String> {
    let adopted = stream.all("imageAdopted").next().map(|it| instant(&it.at));
    let judged = stream.all("scheduleJudged").last().map(|it| instant(it.text("through")));
    let (Some(adopted), Some(judged)) = (adopted, judged) else { return Vec::new() };
    let mut told: BTreeMap<DateTime<Utc>, u32> = BTreeMap::new();
    for it in &stream.events {
        let id = match it.text("event") {
            "triggerAccepted" | "triggerRefused" => trigger_id(it),
            // One that was accepted before was told then.
            "triggerCoalesced" if it.text("into").starts_with("schedule:") => {
                it.text("trigger").to_owned()
            }
            _ => continue,
        };
        if let Some(at) = id.strip_prefix("schedule:") {
            *told.entry(instant(at)).or_default() += 1;
        }
    }
    let mut faults = Vec::new();
    let mut night = adopted.date_naive().and_hms_opt(2, 0, 0).unwrap().and_utc();
    while night <= judged {
        if night > adopted && told.get(&night) != Some(&1) {
            let count = told.get(&night).copied().unwrap_or_default();
            faults.push(format!("{image}: the night of {night} was told {count} times"));
        }
        night += TimeDelta::days(1);
    }
    faults
}

/// Each version of `base` that passed is a reason for `app` to be built (`childrenBuildWhen`).
fn untold(state: &Path) -> Vec<String> {
    let (parent, child) = (stream::read(state, "base"), stream::read(state, "app"));
    let told: BTreeSet<String> = child
        .events
        .iter()
        .filter_map(|it| match it.text("event") {
            "triggerAccepted" | "triggerRefused" => Some(trigger_id(it)),
            "triggerCoalesced" => Some(it.text("trigger").to_owned()),
            _ => None,
        })
        .collect();
    let passed = parent.all("gatePassed").map(|it| format!("parent:base:{}", it.text("version")));
    let untold = passed.filter(|it| !told.contains(it));
    untold.map(|it| format!("app has never heard of `{it}`")).collect()
}

const ENDS: [&str; 4] = ["runReleased", "runFailed", "runSuperseded", "imageRejected"];

/// The versions whose runs were opened and have not ended.
fn open_runs(stream: &Stream) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for it in &stream.events {
        if it.is("runOpened") {
            open.insert(it.text("version").to_owned());
        } else if ENDS.iter().any(|end| it.is(end)) {
            open.remove(it.text("version"));
        }
    }
    open
}

/// A number is taken once, and its run ends once.
fn runs_end_once(image: &str, stream: &Stream) -> Vec<String> {
    let mut faults = Vec::new();
    for names in [&["runOpened"][..], &ENDS[..]] {
        let mut seen = BTreeSet::new();
        for it in stream.events.iter().filter(|it| names.iter().any(|name| it.is(name))) {
            if !seen.insert(it.text("version")) {
                faults.push(format!("{image} {}: {names:?} twice", it.text("version")));
            }
        }
    }
    faults
}

/// The intents of a stream. At most one of a target is open at a time, and in the end none is.
fn intents_of(image: &str, stream: &Stream) -> (Vec<Intent>, Vec<String>) {
    let (mut intents, mut faults): (Vec<Intent>, _) = (Vec::new(), Vec::new());
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for it in &stream.events {
        let what = format!("{image} {} {}", it.text("operation"), it.text("target"));
        if it.is("intentRecorded") {
            let provider = match it.text("operation") {
                "createTemplate" | "runTemplate" | "deleteTemplate" => "Builder",
                "createDefinition" | "updateVersion" | "deleteVersion" => "Gallery",
                _ => "none",
            };
            if let Some(before) = open.insert(it.text("target").to_owned(), intents.len()) {
                let before: &Intent = &intents[before];
                faults.push(format!("{what} {}: another is open still: {before:?}", it.seq));
            }
            intents.push(Intent {
                what,
                provider,
                at: instant(&it.at),
                send_before: instant(it.text("sendBefore")),
                outcome: None,
            });
        } else if it.is("effectSettled") {
            let Some(intent) = open.remove(it.text("target")) else {
                faults.push(format!("{what} {}: settled without an intent", it.seq));
                continue;
            };
            intents[intent].outcome = it.event["outcome"]["kind"].as_str().map(str::to_owned);
        }
    }
    let unsettled = open.values().map(|it| format!("{} is open in the end", intents[*it].what));
    faults.extend(unsettled);
    (intents, faults)
}

/// Azure has begun an operation for each accepted intent, within its time, and no other.
fn effects(azure: &Azure, intents: &[Intent]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut operations: Vec<(String, DateTime<Utc>)> =
        azure.operations().into_iter().map(|(of, at)| (of, instant(&at))).collect();
    operations.sort();
    for provider in ["Builder", "Gallery"] {
        let mut accepted: Vec<&Intent> = intents
            .iter()
            .filter(|it| it.provider == provider && it.outcome.as_deref() == Some("accepted"))
            .collect();
        // The intent whose time ends first takes the first operation that lies within it.
        accepted.sort_by_key(|it| it.send_before);
        let mut begun: Vec<DateTime<Utc>> =
            operations.iter().filter(|(of, _)| of == provider).map(|(_, at)| *at).collect();
        for intent in accepted {
            let fits = |at: &DateTime<Utc>| intent.at <= *at && *at <= intent.send_before;
            match begun.iter().position(fits) {
                Some(index) => drop(begun.remove(index)),
                None => faults.push(format!("{intent:?} was accepted, and Azure began nothing")),
            }
        }
        for at in begun {
            faults.push(format!("Azure began something of {provider} at {at} that nobody meant"));
        }
    }
    faults
}

/// Versions, templates: each comes into being once, and each template runs once.
fn births(azure: &Azure) -> Vec<String> {
    let mut faults = Vec::new();
    let kinds = [
        "microsoft.compute/galleries/images/versions",
        "microsoft.virtualmachineimages/imagetemplates",
    ];
    for kind in kinds {
        for (key, count) in azure.births(kind) {
            if count != 1 {
                faults.push(format!("{key} came into being {count} times"));
            }
        }
    }
    for (template, runs) in azure.runs() {
        if runs.len() != 1 {
            faults.push(format!("{template} ran {} times", runs.len()));
        }
    }
    faults
}

/// Nothing of a build stays: no template, no staging group, no machine.
fn left_behind(azure: &Azure) -> Vec<String> {
    let of_a_build = |key: &String| {
        ["/imagetemplates/", "/resourcegroups/it_", "/virtualmachines/"]
            .iter()
            .any(|part| key.contains(part))
    };
    let left = azure.resources().into_iter().filter(of_a_build);
    left.map(|it| format!("`{it}` was left behind")).collect()
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn the_judge_finds_nothing_on_a_calm_desk_and_sees_what_should_not_be() {
    let (_home, state) = crate::spoiled::desk();
    assert_eq!(faults(&state), Vec::<String>::new());
    let template = "microsoft.virtualmachineimages/imagetemplates";
    let version = "microsoft.compute/galleries/images/versions";
    let cases = [
        (
            format!(
                "INSERT INTO azure_history (key, at, kind, record)
                 SELECT key, at, kind, record FROM azure_history WHERE kind = '{template}' LIMIT 1"
            ),
            "came into being 2 times",
        ),
        (
            format!(
                "INSERT INTO azure_history (key, at, kind, record)
                 SELECT key, at, kind, json_set(record, '$.last_run.id', 'again')
                 FROM azure_history WHERE kind = '{template}'
                 AND json_extract(record, '$.last_run.id') IS NOT NULL LIMIT 1"
            ),
            "ran 2 times",
        ),
        (
            format!(
                "INSERT INTO azure_resource
                 SELECT key, kind, record FROM azure_history WHERE kind = '{template}' LIMIT 1"
            ),
            "was left behind",
        ),
        (
            "INSERT INTO azure_operation
             SELECT 'again', json_set(record, '$.started', '2026-05-04T00:00:01Z')
             FROM azure_operation LIMIT 1"
                .to_owned(),
            "that nobody meant",
        ),
        (
            "DELETE FROM azure_operation WHERE id = (SELECT min(id) FROM azure_operation)"
                .to_owned(),
            "and Azure began nothing",
        ),
        (
            "INSERT INTO bus_messages SELECT queue, 1, 1, 1, 1, 'lost', '', NULL, NULL, '', '', 0,
             NULL, NULL, 10, NULL FROM bus_sequences LIMIT 1"
                .to_owned(),
            "`lost` is a dead letter after 10 deliveries",
        ),
    ];
    for (change, expected) in cases {
        let (_home, state) = crate::spoiled::desk();
        let database = rusqlite::Connection::open(state.join("sandbox.sqlite")).unwrap();
        assert_eq!(database.execute(&change, []).unwrap(), 1, "{change}");
        let found = faults(&state);
        assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
    }

    for (event, becomes, expected) in [
        ("runOpened", "runForgotten", "ended 0 times"),
        ("runReleased", "runForgotten", "has not ended"),
        ("scheduleJudged", "triggerAccepted", "ended 0 times"),
        ("effectSettled", "effectForgotten", "is open in the end"),
    ] {
        let (_home, state) = crate::spoiled::desk();
        let holds = |path: &std::path::PathBuf| {
            fs::read_to_string(path).unwrap().contains(&format!("\"event\":\"{event}\""))
        };
        let (_, path) =
            stream::files(&state, "base").into_iter().rfind(|(_, it)| holds(it)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(event, becomes)).unwrap();

        let found = faults(&state);
        assert!(found.iter().any(|it| it.contains(expected)), "{event}: {found:?}");
        assert!(found.iter().any(|it| it.contains("is not the hash before")), "{event}: {found:?}");
    }
    assert!(Azure::of(&state).births(version).len() >= 4);

    let (_home, state) = crate::spoiled::desk();
    for (_, path) in stream::files(&state, "app") {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"kind\":\"parent\"", "\"kind\":\"advisory\"")).unwrap();
    }
    let found = faults(&state);
    assert!(found.iter().any(|it| it.contains("has never heard of `parent:base:")), "{found:?}");
}
