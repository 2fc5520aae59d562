//! The timers of a function app: when each fires next, and what is remembered of that over a
//! restart.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension;

use super::envelope::TimerStatus;
use super::package::{Function, Trigger};
use super::schedule::Schedule;
use crate::database::Database;

/// Makes the table. Times are nanoseconds since 1970.
pub(super) fn create(database: &Database) -> rusqlite::Result<()> {
    database.write(|transaction| {
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS host_timers (
                function TEXT PRIMARY KEY,
                schedule TEXT NOT NULL,
                last INTEGER,
                next INTEGER NOT NULL
            ) WITHOUT ROWID;",
        )
    })
}

/// All timers of an app.
#[derive(Debug)]
pub(super) struct Timers {
    timers: Vec<Timer>,
    database: Arc<Database>,
}

#[derive(Debug)]
struct Timer {
    /// Its place in the package.
    function: usize,
    name: String,
    schedule: Schedule,
    text: String,
    monitored: bool,
    /// What is remembered; None when nothing is kept.
    status: Option<TimerStatus>,
    next: Option<DateTime<Utc>>,
    past_due: bool,
    runs: bool,
}

/// An occurrence that is due.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub(super) function: usize,
    /// As it was before this run.
    pub(super) status: Option<TimerStatus>,
    pub(super) is_past_due: bool,
    pub(super) adjusts_for_dst: bool,
}

impl Timers {
    /// Starts the timers: one that missed occurrences while nothing ran fires once, at once.
    pub(super) fn start(
        functions: &[Function],
        database: &Arc<Database>,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<Timers> {
        let mut timers = Vec::new();
        for (place, function) in functions.iter().enumerate() {
            let Trigger::Timer { schedule, text, use_monitor, run_on_startup } = &function.trigger
            else {
                continue;
            };
            let mut timer = Timer {
                function: place,
                name: function.name.clone(),
                schedule: schedule.clone(),
                text: text.clone(),
                monitored: *use_monitor && schedule.may_be_monitored(now),
                status: None,
                next: schedule.after(now),
                past_due: false,
                runs: false,
            };
            timer.recall(database, now)?;
            if *run_on_startup && !timer.past_due {
                timer.next = Some(now);
            }
            timers.push(timer);
        }
        Ok(Timers { timers, database: Arc::clone(database) })
    }

    /// The occurrences that are due; each timer is busy then until it is told otherwise.
    pub(super) fn take_due(&mut self, now: DateTime<Utc>) -> Vec<Occurrence> {
        let due = |it: &&mut Timer| !it.runs && it.next.is_some_and(|next| next <= now);
        let due = self.timers.iter_mut().filter(due).map(|timer| {
            timer.runs = true;
            Occurrence {
                function: timer.function,
                status: timer.status,
                is_past_due: std::mem::take(&mut timer.past_due),
                adjusts_for_dst: matches!(timer.schedule, Schedule::Cron(_)),
            }
        });
        due.collect()
    }

    /// A run that began at `began` is over, however it went. What the schedule had in between is
    /// skipped, but for one.
    pub(super) fn ended(&mut self, function: usize, began: DateTime<Utc>) -> rusqlite::Result<()> {
        let Some(timer) = self.timers.iter_mut().find(|it| it.function == function) else {
            return Ok(());
        };
        timer.runs = false;
        timer.next = timer.schedule.after(began);
        if let Some(next) = timer.next
            && timer.monitored
        {
            timer.remember(&self.database, TimerStatus { last: Some(began), next })?;
        }
        Ok(())
    }

    /// When the next timer that is not busy fires.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.iter().filter(|it| !it.runs).filter_map(|it| it.next).min()
    }
}

impl Timer {
    fn recall(&mut self, database: &Database, now: DateTime<Utc>) -> rusqlite::Result<()> {
        if !self.monitored {
            return Ok(());
        }
        let Some(next) = self.next else {
            return Ok(());
        };
        let kept = database.write(|transaction| {
            transaction
                .query_row(
                    "SELECT schedule, last, next FROM host_timers WHERE function = ?1",
                    [&self.name],
                    |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()
        })?;

        match kept {
            // A first start leaves its next occurrence, so that even that one can be missed.
            None => self.remember(database, TimerStatus { last: None, next }),
            Some((text, last, kept)) => {
                let (last, kept): (Option<i64>, i64) = (last, kept);
                let last = last.map(DateTime::from_timestamp_nanos);
                let kept = DateTime::from_timestamp_nanos(kept);
                if text != self.text {
                    return self.remember(database, TimerStatus { last, next });
                }
                self.status = Some(TimerStatus { last, next: kept });
                if kept < now {
                    self.past_due = true;
                }
                self.next = Some(kept);
                Ok(())
            }
        }
    }

    fn remember(&mut self, database: &Database, status: TimerStatus) -> rusqlite::Result<()> {
        let nanos = |at: DateTime<Utc>| at.timestamp_nanos_opt();
        self.status = Some(status);
        database.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO host_timers (function, schedule, last, next)
                     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (function) DO UPDATE
                     SET schedule = ?2, last = ?3, next = ?4",
                )?
                .execute((
                    &self.name,
                    &self.text,
                    status.last.and_then(nanos),
                    nanos(status.next),
                ))?;
            Ok(())
        })
    }
}
