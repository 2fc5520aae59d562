//! Tells what happens while it happens: lines of JSON, plain lines, or the live screen.

use std::io;

use chrono::{DateTime, Utc};
use contract::Violation;
use ledger::StreamName;
use rules::catalog::Catalog;
use rules::event::Event;
use rules::plain::one_line;
use sandbox::azure::Calls;

use super::follower::{Follower, Lost, Noted};
use super::lines::{self, Ready};
use super::screen::Screen;
use super::summary::Summary;
use super::wire::Verified;
use crate::page;
use crate::story::{self, Weight};
use crate::terminal::Terminal;

/// Where what happens is told.
pub struct Reporter<'a> {
    terminal: &'a mut Terminal,
    manner: Manner,
    /// How wide an image with its version is.
    subject_width: usize,
    /// Nobody reads stdout any more.
    failed: Option<io::Error>,
}

enum Manner {
    Json,
    Plain,
    Drawn(Screen),
}

impl<'a> Reporter<'a> {
    /// A reporter on `terminal`; in JSON, drawn where a person watches, else in plain lines.
    pub fn on(
        terminal: &'a mut Terminal,
        json: bool,
        follower: &Follower,
        catalog: &Catalog,
    ) -> Reporter<'a> {
        let longest = follower.images().map(|(image, _)| image.as_str().len()).max();
        let manner = if json {
            Manner::Json
        } else if terminal.fancy_talk && !is_pipeline() {
            Manner::Drawn(Screen::of(follower, catalog))
        } else {
            Manner::Plain
        };
        let subject_width = longest.unwrap_or_default() + 8;
        Reporter { terminal, manner, subject_width, failed: None }
    }

    /// True for a live screen, which must be shown again as time passes.
    pub fn is_drawn(&self) -> bool {
        matches!(self.manner, Manner::Drawn(_))
    }

    /// Why stdout cannot be written, once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// True once stdout cannot be written.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Everything is served and the handler answers.
    pub fn ready(&mut self, ready: &Ready) {
        if let Manner::Json = self.manner {
            return self.json(lines::ready(ready));
        }
        let Ready { arm, bus, blob, host, identity, handler_pid, cloud, .. } = ready;
        self.say(&format!(
            "Azure on this desk   ARM {arm}   Service Bus {bus}\n\
             \u{20}                    blobs {blob}   identity {identity}\n\
             Functions host       {host}, handler process {handler_pid}"
        ));
        if let Some(cloud) = cloud {
            self.say(&cloud.invitation());
        }
    }

    /// The handler was started again.
    pub fn handler_started(&mut self, pid: u32) {
        match self.manner {
            Manner::Json => self.json(lines::handler_started(pid)),
            Manner::Plain | Manner::Drawn(_) => {
                self.say(&format!("the handler was started again, process {pid}"));
            }
        }
    }

    /// Something was recorded in the ledger.
    pub fn noted(&mut self, noted: &Noted) {
        if let Manner::Json = self.manner {
            match lines::happened(noted) {
                Ok(lines) => lines.into_iter().for_each(|line| self.json(Ok(line))),
                Err(error) => self.json(Err(error)),
            }
            return;
        }
        for event in &noted.entry.events {
            let told = match &self.manner {
                Manner::Drawn(_) => is_an_end(event),
                Manner::Json | Manner::Plain => story::weight(event) == Weight::Headline,
            };
            if told {
                let line = self.line(noted, event);
                self.say(&line);
            }
        }
    }

    fn line(&self, noted: &Noted, event: &Event) -> String {
        let subject = match (&noted.stream, story::version(event)) {
            (StreamName::Catalog, _) => "catalog".to_owned(),
            (StreamName::Image(image), Some(version)) => format!("{image} {version}"),
            (StreamName::Image(image), None) => image.to_string(),
        };
        let (at, width) = (story::instant(noted.entry.at), self.subject_width);
        let head = format!("{at}  {subject:width$}  ");
        let sentence = story::sentence(event, &noted.entry.by);
        match self.manner {
            Manner::Drawn(_) => page::wrap(self.terminal.width, &head, head.len(), &sentence),
            // A line for each, whoever reads them.
            Manner::Json | Manner::Plain => format!("{head}{}", one_line(&sentence)),
        }
    }

    /// A message was dead-lettered.
    pub fn dead_lettered(&mut self, queue: &str, message_id: &str, reason: &str) {
        match self.manner {
            Manner::Json => self.json(lines::dead_lettered(queue, message_id, reason)),
            Manner::Plain | Manner::Drawn(_) => {
                let text = format!("message {message_id} of {queue} was dead-lettered: {reason}");
                self.say(&one_line(&text));
            }
        }
    }

    /// A stream is followed no further; the others are.
    pub fn lost(&mut self, stream: &StreamName, lost: &Lost) {
        match self.manner {
            Manner::Json => self.json(lines::stream_lost(stream, lost)),
            Manner::Plain | Manner::Drawn(_) => {
                self.say(&format!("`{stream}` is followed no further: {lost}"));
            }
        }
    }

    /// How things are at `now`, for the live screen.
    pub fn show(&mut self, now: DateTime<Utc>, follower: &Follower, calls: Calls) {
        if let Manner::Drawn(screen) = &self.manner {
            screen.show(now, follower, calls);
        }
    }

    /// The end.
    pub fn summary(&mut self, summary: &Summary) {
        match &self.manner {
            Manner::Json => return self.json(summary.to_json()),
            Manner::Drawn(screen) => screen.clear(),
            Manner::Plain => {}
        }
        let fancy = self.terminal.fancy_out;
        // A file has no width.
        let width = if fancy { self.terminal.width } else { 100 };
        let page = summary.render(width, fancy);
        self.print(&page);
    }

    /// Something on the wire is not what Microsoft's documents say, for the first time.
    pub fn violated(&mut self, violation: &Violation) {
        match self.manner {
            Manner::Json => self.json(lines::violated(violation)),
            Manner::Plain | Manner::Drawn(_) => self.say(&format!("wire: {violation}")),
        }
    }

    /// What was checked on the wire, and every violation.
    pub fn verified(&mut self, verified: &Verified) {
        self.clear();
        if let Manner::Json = self.manner {
            return self.json(verified.to_json());
        }
        let width = if self.terminal.fancy_out { self.terminal.width } else { 100 };
        self.print(&verified.render(width));
    }

    /// It was stopped at `at`, with so many runs open, and `command` goes on.
    pub fn goodbye(&mut self, at: DateTime<Utc>, open_runs: usize, command: &str) {
        self.clear();
        let runs = match open_runs {
            0 => "no run is open".to_owned(),
            1 => "1 run is open".to_owned(),
            more => format!("{more} runs are open"),
        };
        let at = at.format("%a %Y-%m-%d %H:%M UTC");
        self.say(&format!("stopped on {at}; {runs}\n`{command}` goes on from here"));
    }

    /// Talk, on stderr.
    pub fn say(&mut self, text: &str) {
        match &self.manner {
            Manner::Drawn(screen) => screen.say(text),
            Manner::Json | Manner::Plain => self.terminal.say(&format!("{}\n", text.trim_end())),
        }
    }

    /// Takes the live lines away.
    pub fn clear(&self) {
        if let Manner::Drawn(screen) = &self.manner {
            screen.clear();
        }
    }

    /// What went wrong, and the next move.
    pub fn error(&mut self, message: &str, hint: Option<&str>) {
        self.clear();
        self.terminal.error(message, hint);
    }

    fn json(&mut self, line: serde_json::Result<String>) {
        match line {
            Ok(line) => self.print(&format!("{line}\n")),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    fn print(&mut self, text: &str) {
        if let Err(error) = self.terminal.print(text) {
            self.failed.get_or_insert(error);
        }
    }
}

/// Ends of runs and of versions stay above the live lines.
fn is_an_end(event: &Event) -> bool {
    matches!(
        event,
        Event::RunReleased { .. }
            | Event::ImageRejected { .. }
            | Event::BuildFailed { .. }
            | Event::RunFailed { .. }
            | Event::RunSuperseded { .. }
            | Event::StepFailed { .. }
            | Event::VersionDeprecated { .. }
            | Event::VersionTrimmed { .. }
            | Event::VersionDeleted { .. }
            | Event::DeletionPlanProposed { .. }
    )
}

/// Pipelines give their logs a terminal, and keep every line.
#[expect(clippy::disallowed_methods, reason = "no setting, but who is watching")]
fn is_pipeline() -> bool {
    std::env::var("CI").is_ok_and(|it| !it.is_empty() && it != "false")
}
