//! Watches the desk at work: follows the ledger after everything that happens, tells it, and knows
//! when it is over.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use ledger::StreamName;
use sandbox::azure::Azure;
use sandbox::host::process::Next;
use sandbox::host::{Activity, Level, ProcessEvent};
use seam::Clock;

use super::ending;
use super::follower::{Follower, Lost, News};
use super::outcome::Outcome;
use super::reporter::Reporter;

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Every image has walked.
    Done,
    /// The time it was given has passed.
    TimeUp,
    /// A person stopped it.
    Stopped,
}

/// What watches.
pub struct Watch<'a> {
    pub follower: Follower,
    pub outcome: Outcome,
    pub reporter: Reporter<'a>,
    /// Messages that were dead-lettered, each in a sentence.
    pub dead: Vec<String>,
    pub over: Option<Over>,
    /// Why the catalog's stream cannot be followed any more.
    pub lost: Option<Lost>,
    clock: Arc<dyn Clock>,
    azure: Arc<Azure>,
    /// When time is up; only with an end.
    until: Option<DateTime<Utc>>,
    in_flight: u64,
    log: File,
    verbose: bool,
    /// The newest lines of the handler, for when it does not start.
    lines: Vec<String>,
}

impl<'a> Watch<'a> {
    /// Begins to watch; what `follower` has read already is part of `outcome`.
    pub fn new(
        follower: Follower,
        outcome: Outcome,
        reporter: Reporter<'a>,
        (clock, azure): (Arc<dyn Clock>, Arc<Azure>),
        until: Option<DateTime<Utc>>,
        (log, verbose): (File, bool),
    ) -> Watch<'a> {
        Watch {
            follower,
            outcome,
            reporter,
            dead: Vec::new(),
            over: None,
            lost: None,
            clock,
            azure,
            until,
            in_flight: 0,
            log,
            verbose,
            lines: Vec::new(),
        }
    }

    /// Something happened in the host. True when it is over.
    pub fn heard(&mut self, activity: &Activity) -> bool {
        match activity {
            Activity::Started { .. } => self.in_flight += 1,
            Activity::Ended { .. } => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.look();
                self.end_if_due();
            }
            Activity::DeadLettered { queue, message_id, reason, .. } => {
                self.reporter.dead_lettered(queue, message_id, reason);
                self.dead.push(format!(
                    "message `{message_id}` of `{queue}` was dead-lettered: {reason}"
                ));
            }
        }
        self.is_over()
    }

    /// Reads what is new in the ledger, and tells it.
    pub fn look(&mut self) {
        let News { noted, lost } = self.follower.look();
        for noted in &noted {
            self.outcome.note(noted);
            self.reporter.noted(noted);
        }
        for (stream, lost) in lost {
            self.reporter.lost(&stream, &lost);
            // The other images go on without one of them, and none without the catalog.
            if stream == StreamName::Catalog {
                self.lost = Some(lost);
            }
        }
        self.show();
    }

    fn end_if_due(&mut self) {
        let Some(until) = self.until else { return };
        if self.over.is_some() {
            return;
        }
        if ending::is_over(&self.follower, &self.outcome) {
            self.over = Some(Over::Done);
        } else if self.clock.now() >= until {
            self.over = Some(Over::TimeUp);
        }
    }

    /// True when nothing more is to be begun.
    pub fn is_over(&self) -> bool {
        self.over.is_some() || self.lost.is_some() || self.reporter.has_failed()
    }

    /// A person wants it to stop.
    pub fn stop(&mut self) {
        self.over.get_or_insert(Over::Stopped);
    }

    /// True while no invocation is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Shows the live screen as it is at this moment.
    pub fn show(&mut self) {
        if self.reporter.is_drawn() {
            self.reporter.show(self.clock.now(), &self.follower, self.azure.calls());
        }
    }

    /// Something happened to the handler's process; its pid when it has become ready.
    ///
    /// # Errors
    /// When there will be no handler any more, or its log cannot be written.
    pub fn process(&mut self, event: ProcessEvent) -> anyhow::Result<Option<u32>> {
        match event {
            // What a handler says to its host and to tools is for nobody else.
            ProcessEvent::Line { level: Level::System | Level::Tooling, .. } => Ok(None),
            ProcessEvent::Line { text, .. } => {
                writeln!(self.log, "{text}").context("writing the handler's log")?;
                if self.verbose {
                    self.reporter.say(&text);
                }
                self.lines.push(text);
                if self.lines.len() > 5 {
                    self.lines.remove(0);
                }
                Ok(None)
            }
            ProcessEvent::Ready { pid } => Ok(Some(pid)),
            ProcessEvent::NotStarted { reason } => anyhow::bail!("{reason}"),
            ProcessEvent::Exited { code, then: Next::Nothing, .. } => {
                let code = code.map(|it| it.to_string()).unwrap_or_default();
                let said = self.lines.join("\n  ");
                anyhow::bail!(
                    "the handler left with exit code {code}, after which a Functions host never \
                     starts it again; its last lines:\n  {said}"
                )
            }
            ProcessEvent::Started { .. } | ProcessEvent::Exited { .. } => Ok(None),
        }
    }

    /// The last lines the handler wrote.
    pub fn last_lines(&self) -> String {
        self.lines.join("\n  ")
    }
}
