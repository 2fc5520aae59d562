//! One call of the handler: what is sent, how long is waited, and what counts as its end.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::header::{CONTENT_TYPE, USER_AGENT};
use seam::{Fault, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Host;
use super::activity::{Activity, Outcome};
use super::answer::{self, Answer, Reply};
use super::process::{Process, ProcessState};
use crate::bus::Delivery;
use crate::database::Database;
use crate::desk::Hold;

/// The host this follows.
const VERSION: &str = "4.1037.0.0";
/// The longest answer that is read; the real host has no limit.
const LARGEST_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How long the handler's end may go unnoticed: a refused connection may be its first sign.
const NOTICE: std::time::Duration = std::time::Duration::from_secs(1);

/// Makes the table that numbers invocations.
pub(super) fn create(database: &Database) -> rusqlite::Result<()> {
    database.write(|transaction| {
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS host_invocations (
                one INTEGER PRIMARY KEY CHECK (one = 1),
                number INTEGER NOT NULL
            );
            INSERT INTO host_invocations (one, number) VALUES (1, 0) ON CONFLICT DO NOTHING;",
        )
    })
}

/// The number of the next invocation.
pub(super) fn next_number(database: &Database) -> rusqlite::Result<i64> {
    database.write(|transaction| {
        transaction
            .prepare_cached("UPDATE host_invocations SET number = number + 1 RETURNING number")?
            .query_row([], |row| row.get(0))
    })
}

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) function: String,
    pub(super) message_id: Option<String>,
    pub(super) began: DateTime<Utc>,
    pub(super) body: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Result {
    Succeeded(Reply),
    Failed(String),
    TimedOut,
}

impl Invocation {
    pub(super) fn started(&self) -> Activity {
        Activity::Started {
            function: self.function.clone(),
            invocation: self.id.clone(),
            message_id: self.message_id.clone(),
            at: self.began,
        }
    }

    pub(super) fn ended(&self, result: &Result, at: DateTime<Utc>) -> Activity {
        let outcome = match result {
            Result::Succeeded(_) => Outcome::Succeeded,
            Result::Failed(reason) => Outcome::Failed(reason.clone()),
            Result::TimedOut => Outcome::TimedOut,
        };
        Activity::Ended {
            function: self.function.clone(),
            invocation: self.id.clone(),
            message_id: self.message_id.clone(),
            outcome,
            took: at - self.began,
            at,
        }
    }

    fn request(&self, host: &Host) -> std::result::Result<Request, http::Error> {
        let mut request =
            http::Request::post(format!("{}/{}", host.handler_of(&self.function), self.function))
                .header("x-azure-functions-hostversion", VERSION)
                .header("x-azure-functions-invocationid", &self.id)
                .header(USER_AGENT, format!("Azure-Functions-Host/{VERSION}"))
                .header(CONTENT_TYPE, "application/json; charset=utf-8");
        if host.options.desk_time {
            let now = self.began.to_rfc3339_opts(SecondsFormat::Nanos, true);
            request = request.header("x-goldsmith-now", now);
        }
        request.body(Bytes::from(self.body.clone()))
    }
}

/// The lock of the message that is worked on, kept until a function may have it no longer.
struct Renewal<'a> {
    delivery: Option<&'a Delivery>,
    locked_until: DateTime<Utc>,
    until: DateTime<Utc>,
    lock: TimeDelta,
}

impl<'a> Renewal<'a> {
    fn of(delivery: Option<&'a Delivery>, longest: TimeDelta, now: DateTime<Utc>) -> Renewal<'a> {
        let locked_until = delivery.map_or(now, |it| it.locked_until);
        Renewal { delivery, locked_until, until: now + longest, lock: locked_until - now }
    }

    /// When the lock is to be renewed next: a quarter before its end.
    fn due(&self) -> Option<DateTime<Utc>> {
        self.delivery?;
        let due = self.locked_until - self.lock / 4;
        (due < self.until).then_some(due)
    }

    fn renew(&mut self, host: &Host) {
        let Some(delivery) = self.delivery else { return };
        match host.bus.renew(delivery) {
            Ok(until) => self.locked_until = until,
            Err(error) => {
                let message = &delivery.message_id;
                tracing::warn!(%message, %error, "The lock on {message} cannot be renewed");
                self.delivery = None;
            }
        }
    }
}

/// What ended a wait for the handler.
enum Woken {
    Answered(std::result::Result<Answer, Fault>),
    Killed,
    LockDue,
    TimeOut,
}

impl Host {
    /// Calls the handler and waits for its answer, no longer than a function may take. Time stands
    /// still until the handler has answered; after an answer that means nothing it runs on, to the
    /// function's end.
    pub(super) async fn call(
        &self,
        invocation: &Invocation,
        delivery: Option<&Delivery>,
        hold: Hold,
    ) -> (Result, Hold) {
        let function = invocation.function.as_str();
        let mut kills = self.kills_of(function);
        let settings = &self.package.settings;
        let longest_renewal = settings.max_auto_lock_renewal;
        let mut renewal = Renewal::of(delivery, longest_renewal, invocation.began);
        let deadline = settings.function_timeout.map(|it| invocation.began + it);
        // On a desk time stands still now, so that a handler that never answers is found out by the
        // machine's clock.
        let patience = settings.function_timeout.and_then(|it| it.to_std().ok());
        let patience = patience.map(|it| Instant::now() + it);

        let mut answer = std::pin::pin!(self.answer(invocation));
        loop {
            let woken = tokio::select! {
                biased;
                answer = &mut answer => Woken::Answered(answer),
                _ = kills.changed() => Woken::Killed,
                () = self.reached(renewal.due()) => Woken::LockDue,
                () = self.reached(deadline) => Woken::TimeOut,
                () = passed(patience) => Woken::TimeOut,
            };
            return match woken {
                Woken::Answered(Ok(Answer::Success(reply))) => (Result::Succeeded(reply), hold),
                Woken::Answered(Ok(Answer::Failure(reason))) => (Result::Failed(reason), hold),
                Woken::Answered(Err(fault)) => (Result::Failed(fault.to_string()), hold),
                Woken::Answered(Ok(Answer::Hang)) => {
                    self.hang(function, &mut kills, renewal, deadline, hold).await
                }
                Woken::Killed => (killed(), hold),
                Woken::TimeOut => (self.time_out(function), hold),
                Woken::LockDue => {
                    renewal.renew(self);
                    continue;
                }
            };
        }
    }

    /// Waits for the function's end after an answer that the host makes nothing of.
    async fn hang(
        &self,
        function: &str,
        kills: &mut watch::Receiver<u64>,
        mut renewal: Renewal<'_>,
        deadline: Option<DateTime<Utc>>,
        mut hold: Hold,
    ) -> (Result, Hold) {
        loop {
            let next = [renewal.due(), deadline].into_iter().flatten().min();
            let waiting = async {
                match next {
                    Some(at) => self.holds.sleep_until(&*self.clock, at, hold).await,
                    None => {
                        drop(hold);
                        std::future::pending().await
                    }
                }
            };
            hold = tokio::select! {
                biased;
                _ = kills.changed() => return (killed(), self.holds.take()),
                hold = waiting => hold,
            };
            if deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
                return (self.time_out(function), hold);
            }
            renewal.renew(self);
        }
    }

    /// Sends the call once the handler is ready.
    async fn answer(&self, invocation: &Invocation) -> std::result::Result<Answer, Fault> {
        loop {
            let function = invocation.function.as_str();
            let state = self.handler_is_up(function).await;
            let request = invocation.request(self);
            let request = request.map_err(|error| Fault::NotSent(error.to_string()))?;
            match self.wire.send(request).await {
                Err(Fault::NotSent(reason)) => {
                    if !self.comes_back(function, state).await {
                        return Err(Fault::NotSent(reason));
                    }
                }
                Err(fault) => return Err(fault),
                Ok(response) => {
                    let (status, headers, body) = response.collect(LARGEST_ANSWER_BYTES).await?;
                    return Ok(answer::read(status, &headers, &body));
                }
            }
        }
    }

    /// Waits while the handler's process starts. One that ended for good is not waited for: it
    /// refuses the call.
    async fn handler_is_up(&self, function: &str) -> ProcessState {
        let Some(process) = self.process_of(function) else {
            return ProcessState::Ended;
        };
        let mut state = process.state();
        let up = |it: &ProcessState| match it {
            ProcessState::Ready { .. } | ProcessState::Ended => true,
            ProcessState::Starting => false,
        };
        // Fails only when the supervisor is gone, and then nothing starts any more.
        let state = state.wait_for(up).await.map(|it| it.clone());
        state.unwrap_or(ProcessState::Ended)
    }

    /// Whether a handler that refused a call turns out to be starting again.
    async fn comes_back(&self, function: &str, was: ProcessState) -> bool {
        let Some(process) = self.process_of(function) else {
            return false;
        };
        let mut state = process.state();
        let changed = state.wait_for(|it| *it != was && *it != ProcessState::Ended);
        tokio::time::timeout(NOTICE, changed).await.is_ok_and(|it| it.is_ok())
    }

    /// The process that `function` runs in.
    fn process_of(&self, function: &str) -> Option<&Arc<Process>> {
        self.options.isolated.get(function).or(self.options.process.as_ref())
    }

    /// Where the handler of `function` listens.
    fn handler_of(&self, function: &str) -> String {
        let own = self.options.isolated.get(function);
        own.map_or_else(|| self.options.handler.clone(), |it| it.url())
    }

    /// Hears of each kill of the process that `function` runs in. Of a function that is not of the
    /// package there is none.
    fn kills_of(&self, function: &str) -> watch::Receiver<u64> {
        self.kills
            .get(function)
            .map_or_else(|| watch::Sender::new(0).subscribe(), |it| it.subscribe())
    }

    /// The time of `function` is out: its process is killed, and with it everything in flight there.
    fn time_out(&self, function: &str) -> Result {
        let alone = self.options.isolated.contains_key(function);
        for (name, kills) in &self.kills {
            let shares = !alone && !self.options.isolated.contains_key(name);
            if name == function || shares {
                kills.send_modify(|it| *it += 1);
            }
        }
        if let Some(process) = self.process_of(function) {
            process.kill();
        }
        Result::TimedOut
    }

    async fn reached(&self, at: Option<DateTime<Utc>>) {
        match at {
            Some(at) => self.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

fn killed() -> Result {
    Result::Failed("the handler was killed while it worked on this".to_owned())
}

async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
