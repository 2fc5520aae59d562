//! `goldsmith status`: where every image stands, folded from its ledger and from nothing else.

use std::io;
use std::path::PathBuf;

use rules::ImageName;
use rules::standing::Standing;
use rules::state::{State, Version};
use rules::{Region, VersionNumber};
use serde_json::json;

use crate::page;
use crate::story::instant;
use crate::terminal::{Exit, Terminal};
use crate::told::{Folded, NotTold, Told};
use crate::up::place_of;

/// The arguments of `goldsmith status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
examples:\n  \
    goldsmith status                         every image, of the state in .goldsmith\n  \
    goldsmith status ubuntu-2204-base --state desk\n  \
    goldsmith status --json                  one line of JSON for each image\n\n\
exit codes: 0 told, 2 there is no ledger, no such image, or a broken entry")]
pub struct StatusArgs {
    /// The image; all of them without one.
    pub image: Option<String>,
    /// The state folder; `.goldsmith` without one.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Answer with one line of JSON for each image.
    #[arg(long)]
    pub json: bool,
}

/// The widest line, unless the name of an image needs more.
const WIDTH: usize = 100;

/// The versions that are shown beside the open runs.
const NEWEST: usize = 4;

/// Tells where the images stand.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(args: &StatusArgs, terminal: &mut Terminal) -> io::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let streams_or_why = runtime.block_on(async {
        let told = Told::open(args.state.as_deref())?;
        let streams = told.streams(args.image.as_deref()).await?;
        Ok::<_, NotTold>(streams)
    });
    let (mut streams, mut untold) = (Vec::new(), Vec::new());
    match streams_or_why {
        Ok(told) => told.into_iter().for_each(|it| match it {
            Ok(folded) => streams.push(folded),
            Err(error) => untold.push(error),
        }),
        Err(error) => return Ok(error.say(terminal)),
    }

    let mut text = String::new();
    if args.json {
        for Folded { image, head, state } in &streams {
            text.push_str(&format!("{}\n", to_json(image, *head, state)));
        }
    } else {
        let width = streams.iter().map(|it| it.image.as_str().len()).max();
        for Folded { image, state, .. } in &streams {
            let all = args.image.is_some();
            text.push_str(&render(image, state, width.unwrap_or_default(), all));
        }
    }
    terminal.print(&text)?;
    // One image's broken stream hides no other image.
    let exits = untold.iter().map(|it| it.say(terminal));
    Ok(exits.max().unwrap_or(Exit::Done))
}

/// An image: a line for each open run, each newest version, and what else is to be known. With
/// `all`, every version.
fn render(image: &ImageName, state: &State, width: usize, all: bool) -> String {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    let plain = |what: &str, text: String| (String::new(), what.to_owned(), text);

    if let Some(hold) = &state.hold {
        let until = hold.until.map(|it| format!(" until {}", instant(it))).unwrap_or_default();
        rows.push(plain("held", format!("by {}{until}: {}", hold.by, hold.why)));
    }
    for trigger in &state.pending {
        rows.push(plain("due", trigger.to_string()));
    }
    for run in state.runs() {
        let since = match (&run.stage, run.build_started_at) {
            (rules::state::Stage::Replicated { since, .. }, _)
            | (rules::state::Stage::Paused { since, .. }, _) => *since,
            (_, Some(started)) => started,
            (_, None) => run.opened_at,
        };
        let next = match &run.task {
            Some(task) => format!("`{}` is due {}", task.function, instant(task.due)),
            None => "it waits for a person".to_owned(),
        };
        let text = format!(
            "{} since {}; {next}; {}, from {}",
            place_of(run),
            instant(since),
            run.why,
            run.base.version()
        );
        rows.push((run.version.to_string(), "running".to_owned(), text));
    }

    let open = |number: &VersionNumber| state.run(*number).is_some();
    let versions = state.versions.iter().rev().filter(|(number, _)| !open(number));
    let shown = if all { usize::MAX } else { NEWEST };
    let mut older = 0;
    for (index, (number, version)) in versions.enumerate() {
        if index >= shown {
            older += 1;
            continue;
        }
        let mut text = told_of(version);
        if let Some(kept) = state.kept.get(number)
            && version.standing != Standing::Deleted
        {
            text.push(format!("kept: {}", kept.join(", ")));
        }
        if let Some(pin) = state.pins.get(number) {
            text.push(format!("pinned by {}: {}", pin.by, pin.why));
        }
        rows.push((number.to_string(), version.standing.to_string(), text.join("; ")));
    }
    // Versions that were there before the ledger, and of which only the sweep speaks.
    for (number, reasons) in state.kept.iter().rev() {
        if !state.versions.contains_key(number) {
            rows.push((number.to_string(), "kept".to_owned(), reasons.join(", ")));
        }
    }
    if older > 0 {
        rows.push(plain("", format!("and {older} older; `goldsmith status {image}` shows them")));
    }
    if rows.is_empty() {
        rows.push(plain("quiet", "nothing has happened to it yet".to_owned()));
    }

    let mut text = String::new();
    for (index, (number, what, about)) in rows.iter().enumerate() {
        let name = if index == 0 { image.as_str() } else { "" };
        let head = format!("{name:width$}  {number:8}  {what:10}  ");
        text.push_str(&page::wrap(WIDTH.max(head.len() + 40), &head, head.len(), about));
    }
    text
}

/// What there is to say of a version: where it is, why, and what is being done to it.
fn told_of(version: &Version) -> Vec<String> {
    let mut told = Vec::new();
    let regions: Vec<&str> = version.released_at.keys().map(Region::as_str).collect();
    if !regions.is_empty() {
        told.push(format!("in {}", regions.join(" ")));
    }
    told.extend(version.base.as_ref().map(|it| format!("from {}", it.version())));
    told.extend(version.why.clone());
    let ended = version.standing == Standing::Deleted || version.is_condemned();
    if ended || version.deprecated_at.is_some() {
        told.extend(version.reasons.iter().cloned());
    }
    if let Some(at) = version.deprecated_at {
        told.push(format!("deprecated {}", instant(at)));
    }
    if let Some(retiring) = &version.retiring {
        let asked = if retiring.requested { "asked for" } else { "due" };
        let stage = format!("{:?}", retiring.stage).to_lowercase();
        told.push(format!("{stage} {asked}: {}", retiring.reasons.join(", ")));
    }
    told
}

fn to_json(image: &ImageName, head: u64, state: &State) -> serde_json::Value {
    let runs = state.runs().map(|run| {
        json!({
            "version": run.version,
            "doing": place_of(run),
            "why": run.why,
            "base": run.base.version(),
            "openedAt": run.opened_at,
            "waitsFor": run.task.as_ref().map(|task| json!({
                "function": task.function,
                "due": task.due,
                "seq": task.seq,
            })),
        })
    });
    let versions = state.versions.iter().rev().map(|(number, version)| {
        json!({
            "version": number,
            "standing": version.standing,
            "regions": version.released_at.keys().collect::<Vec<_>>(),
            "base": version.base.as_ref().map(|it| it.version()),
            "why": version.why,
            "reasons": version.reasons,
            "gatePassed": version.gate_passed,
            "deprecatedAt": version.deprecated_at,
        })
    });
    json!({
        "image": image,
        "entries": head,
        "quiet": state.is_quiet(),
        "pending": state.pending,
        "runs": runs.collect::<Vec<_>>(),
        "versions": versions.collect::<Vec<_>>(),
        "kept": state.kept,
        "pins": state.pins,
        "hold": state.hold,
        "judgedAt": state.judged_at,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use rules::event::Event;
    use rules::event::PinnedBase;
    use rules::state::Stamp;
    use rules::trigger::Trigger;

    use super::*;

    fn state(events: &[Event]) -> State {
        let at = DateTime::UNIX_EPOCH;
        events.iter().enumerate().fold(State::default(), |state, (seq, event)| {
            state.after(Stamp { seq: seq as u64 + 1, at }, event).unwrap()
        })
    }

    fn opened() -> Vec<Event> {
        let trigger = Trigger::Base { version: "2".to_owned() };
        let id = trigger.id();
        vec![
            Event::ImageAdopted {},
            Event::TriggerAccepted { trigger },
            Event::RunOpened {
                version: "1.1.0".parse().unwrap(),
                triggers: vec![id],
                why: "new base 2".to_owned(),
                base: PinnedBase::Platform { version: "2".to_owned() },
                spec: String::new(),
                template: String::new(),
            },
        ]
    }

    #[test]
    fn an_open_run_says_what_it_does_since_when_and_what_it_waits_for() {
        let text = render(&"web".parse().unwrap(), &state(&opened()), 3, false);

        assert_eq!(
            text,
            "web  1.1.0     running     opened since 1970-01-01 00:00; `create_template` is due \
             1970-01-01 00:00;\n                           new base 2, from 2\n"
        );
    }

    #[test]
    fn a_version_from_before_the_ledger_is_shown_with_why_it_is_kept() {
        let kept = BTreeMap::from([("1.0.0".parse().unwrap(), vec!["a scale set".to_owned()])]);
        let text =
            render(&"web".parse().unwrap(), &state(&[Event::VersionsJudged { kept }]), 3, false);

        assert_eq!(text, "web  1.0.0     kept        a scale set\n");
    }

    #[test]
    fn a_deleted_version_is_shown_with_why() {
        let version = "1.0.0".parse().unwrap();
        let reasons = vec!["it was old".to_owned()];
        let deleted = state(&[Event::VersionDeleted { version, reasons }]);

        let text = render(&"web".parse().unwrap(), &deleted, 3, false);

        assert_eq!(text, "web  1.0.0     deleted     it was old\n");
    }

    #[test]
    fn the_line_for_machines_says_what_a_run_waits_for() {
        let line = to_json(&"web".parse().unwrap(), 3, &state(&opened()));

        assert_eq!(line["runs"][0]["waitsFor"]["function"], "create_template");
        assert_eq!(line["quiet"], false);
    }
}
