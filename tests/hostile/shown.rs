//! Hostile text in every event of a ledger, as `goldsmith log` and `goldsmith status` show it: one
//! line stays one line, nothing is obeyed by a terminal, and JSON still says the same.

use std::path::Path;

use chrono::{DateTime, Utc};
use cli::log::LogArgs;
use cli::state_folder::StateFolder;
use cli::status::StatusArgs;
use cli::terminal::{Exit, Terminal};
use ledger::{Draft, StreamName};
use rules::event::{Event, PinnedBase};
use rules::plain::is_plain;
use rules::trigger::Trigger;

/// Clears the screen, sets its title, links elsewhere, turns the writing round, pretends to be
/// another line.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}8m\u{1b}]8;;https://evil.example\u{7}\0\u{202e}\
                       \u{2066}\r\n2026-09-08 12:00  1.0.0     released everywhere\u{2028}<b>*x*</b>";

fn hostile() -> String {
    HOSTILE.to_owned()
}

/// A state folder whose image has lived through hostile things.
async fn lived(folder: &Path) {
    let ledger = StateFolder::at(folder).ledger("contoso".parse().unwrap()).unwrap();
    let name = StreamName::Image("web".parse().unwrap());
    let mut stream = ledger.read(&name).await.unwrap();
    let at: DateTime<Utc> = "2026-09-08T06:00:00Z".parse().unwrap();
    let version = "1.0.0".parse().unwrap();
    let older = "0.9.0".parse().unwrap();
    let trigger = Trigger::Person { request: hostile(), by: hostile(), why: hostile() };
    let (why, reason) = (hostile(), hostile());
    let reasons = vec![hostile(), "x".repeat(100_000)];
    let events = vec![
        Event::ImageAdopted {},
        Event::TriggerAccepted { trigger: trigger.clone() },
        Event::RunOpened {
            version,
            triggers: vec![trigger.id()],
            why: why.clone(),
            base: PinnedBase::Platform { version: hostile() },
            spec: hostile(),
            template: hostile(),
        },
        Event::NoticeDue { text: hostile() },
        Event::ImageHeld { by: hostile(), why: why.clone(), until: None },
        Event::VersionPinned { version, by: hostile(), why, until: None },
        Event::VersionsJudged { kept: [(older, reasons)].into() },
        Event::BuildFailed { version, reason, published: true, staging_group: Some(hostile()) },
    ];
    for event in events {
        let text = hostile;
        let (id, cause, by, policy) = (text(), text(), text(), text());
        let draft = Draft { id, cause, by, at, policy, events: vec![event] };
        ledger.append(&mut stream, draft).await.unwrap();
    }
}

/// What a command prints on stdout.
fn printed(run: impl FnOnce(&mut Terminal) -> std::io::Result<Exit>) -> String {
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut terminal = Terminal::plain(Box::new(out.reopen().unwrap()), Box::new(std::io::sink()));
    assert_eq!(run(&mut terminal).unwrap(), Exit::Done);
    std::fs::read_to_string(out.path()).unwrap()
}

fn is_shown_plainly(text: &str) {
    let odd: Vec<char> = text.chars().filter(|it| !is_plain(*it) && *it != '\n').collect();
    assert!(odd.is_empty(), "{odd:?} in {text}");
}

#[test]
fn log_and_status_show_it_and_obey_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lived(folder.path()));
    let state = Some(folder.path().to_owned());
    let log = |all, json| {
        let args = LogArgs { image: "web".to_owned(), state: state.clone(), all, json };
        printed(|terminal| cli::log::run(&args, terminal))
    };
    let status = |json| {
        let args = StatusArgs { image: None, state: state.clone(), json };
        printed(|terminal| cli::status::run(&args, terminal))
    };

    for text in [log(false, false), log(true, false), status(false)] {
        is_shown_plainly(&text);
        assert!(text.contains("\\u001b[2J") && text.contains("\\u202e"), "{text}");
        // What pretends to be a line of its own stands inside another.
        let forged = text.lines().find(|it| it.starts_with("2026-09-08 12:00"));
        assert_eq!(forged, None, "{text}");
    }
    for text in [log(true, true), status(true)] {
        is_shown_plainly(&text);
        let values: Vec<serde_json::Value> =
            text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let whole = serde_json::Value::Array(values).to_string();
        let said = serde_json::to_string(HOSTILE).unwrap();
        assert!(whole.contains(said.trim_matches('"')), "{whole:.500}");
    }
}
