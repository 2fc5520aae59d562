//! `goldsmith log`: the story of an image, a sentence for each event, in the order of the ledger.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use ledger::{Entry, StreamName};
use rules::event::Event;

use crate::page;
use crate::story::{self, Kept, Weight, instant};
use crate::terminal::{Exit, Terminal};
use crate::told::{NotTold, Told};
use crate::up::json_lines;

/// The arguments of `goldsmith log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What happened in a run is indented below its beginning. At the end of each line is who did it, and\n\
the number of the ledger's entry. Of a sweep only what it changed is told, and book-keeping is left\n\
out; --all and --json tell everything.\n\n\
examples:\n  \
    goldsmith log ubuntu-2204-base\n  \
    goldsmith log ubuntu-2204-base --state desk --json\n\n\
exit codes: 0 told, 2 there is no ledger, no such image, or a broken entry")]
pub struct LogArgs {
    /// The image.
    pub image: String,
    /// The state folder; `.goldsmith` without one.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Tell everything, book-keeping too.
    #[arg(long)]
    pub all: bool,
    /// A line of JSON for each event.
    #[arg(long)]
    pub json: bool,
}

/// Tells the story of an image.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &LogArgs, terminal: &mut Terminal) -> io::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entries = runtime.block_on(async {
        let told = Told::open(args.state.as_deref())?;
        let entries = told.entries(&args.image).await?;
        Ok::<_, NotTold>(entries)
    });
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => return Ok(error.say(terminal)),
    };

    let text = if args.json { lines(&args.image, entries)? } else { tell(&entries, args.all) };
    terminal.print(&text)?;
    Ok(Exit::Done)
}

fn lines(image: &str, entries: Vec<(u64, Entry)>) -> io::Result<String> {
    let image = image.parse().map_err(io::Error::other)?;
    let stream = StreamName::Image(image);
    let mut text = String::new();
    for (seq, entry) in entries {
        for line in json_lines(stream.clone(), seq, entry)? {
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// Where a line breaks.
const WIDTH: usize = 100;

/// The story as text; with `all`, book-keeping too.
fn tell(entries: &[(u64, Entry)], all: bool) -> String {
    let mut text = String::new();
    let mut open = BTreeSet::new();
    let mut kept = Kept::new();
    for (seq, entry) in entries {
        let mut told = false;
        for event in &entry.events {
            let sentence = if all {
                Some(story::sentence(event, &entry.by))
            } else {
                news(event, &entry.by, &mut kept)
            };
            let number = story::version(event);
            let inside = number.is_some_and(|it| open.contains(&it));
            if let (Event::RunOpened { .. }, Some(number)) = (event, number) {
                open.insert(number);
            }
            if let Some(sentence) = sentence {
                let version = number.map(|it| it.to_string()).unwrap_or_default();
                // An entry's time is told once.
                let at = if told { String::new() } else { instant(entry.at) };
                let indent = if inside { "  " } else { "" };
                let head = format!("{at:16}  {version:8}  {indent}");
                let sentence = format!("{sentence} · {} {seq}", entry.by);
                text.push_str(&page::wrap(WIDTH, &head, head.len() + 2, &sentence));
                told = true;
            }
            if let (Some(number), true) = (number, ends_a_run(event)) {
                open.remove(&number);
            }
        }
    }
    text
}

/// What `event` adds to the story; `kept` is what the sweep before it kept.
fn news(event: &Event, by: &str, kept: &mut Kept) -> Option<String> {
    if let Event::VersionsJudged { kept: now } = event {
        let before = std::mem::replace(kept, now.clone());
        return story::sweep_change(&before, now);
    }
    (story::weight(event) > Weight::Bookkeeping).then(|| story::sentence(event, by))
}

fn ends_a_run(event: &Event) -> bool {
    matches!(
        event,
        Event::RunReleased { .. }
            | Event::RunFailed { .. }
            | Event::RunSuperseded { .. }
            | Event::ImageRejected { .. }
            | Event::BuildFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ledger::FORMAT;
    use rules::event::PinnedBase;

    use super::*;

    fn entry(events: Vec<Event>) -> Entry {
        Entry {
            v: FORMAT,
            id: String::new(),
            prev: String::new(),
            cause: String::new(),
            by: "follow_build".to_owned(),
            at: DateTime::UNIX_EPOCH,
            policy: String::new(),
            events,
        }
    }

    #[test]
    fn what_happened_in_a_run_is_indented_below_its_beginning() {
        let version = "1.1.0".parse().unwrap();
        let opened = Event::RunOpened {
            version,
            triggers: Vec::new(),
            why: "new base 2".to_owned(),
            base: PinnedBase::Platform { version: "2".to_owned() },
            spec: String::new(),
            template: String::new(),
        };
        let built = Event::ImageBuilt { version, minutes: 17, staging_group: None };

        let text = tell(
            &[(1, entry(vec![Event::ImageAdopted {}])), (2, entry(vec![opened, built]))],
            false,
        );

        assert_eq!(
            text,
            "1970-01-01 00:00            adopted: its schedule counts from here · follow_build 1\n\
             1970-01-01 00:00  1.1.0     run opened (new base 2), from 2 · follow_build 2\n\
             \u{20}                 1.1.0       built in 17 min · follow_build 2\n"
        );
    }

    #[test]
    fn a_long_sentence_is_wrapped_below_itself() {
        let reasons = vec!["word ".repeat(40)];
        let version = "1.1.0".parse().unwrap();

        let text = tell(&[(1, entry(vec![Event::ImageRejected { version, reasons }]))], false);

        assert!(text.lines().all(|it| it.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with(&" ".repeat(30)), "{text}");
    }

    #[test]
    fn bookkeeping_and_sweeps_that_change_nothing_are_left_out_unless_all_is_wanted() {
        let kept = Kept::from([("1.0.0".parse().unwrap(), vec!["the newest".to_owned()])]);
        let judged = || Event::VersionsJudged { kept: kept.clone() };
        let through = DateTime::UNIX_EPOCH;
        let entries = [
            (1, entry(vec![Event::ScheduleJudged { through }, judged()])),
            (2, entry(vec![judged()])),
        ];

        assert_eq!(
            tell(&entries, false),
            "1970-01-01 00:00            judged: 1.0.0 is kept: the newest · follow_build 1\n"
        );
        assert_eq!(tell(&entries, true).lines().count(), 3);
    }
}
