//! One call of the handler: what is sent, how long is waited, and what counts as its end.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use seam::{Fault, Request};
use tokio::time::Instant;

use super::activity::{Activity, Outcome};
use super::answer::{self, Answer, Reply};
use super::envelope::{self, Payload, System};
use super::redirect;
use super::renewal::Renewal;
use super::{Function, Host};
use crate::bus::Delivery;
use crate::database::Database;
use crate::desk::Hold;

/// The host this follows.
const VERSION: &str = "4.1037.0.0";
/// The longest answer that is read; the real host has no limit.
const LARGEST_ANSWER_BYTES: usize = 64 * 1024 * 1024;

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
    /// The same for every attempt; a redelivery gets another.
    pub(super) id: String,
    pub(super) number: i64,
    pub(super) function: Function,
    pub(super) began: DateTime<Utc>,
    pub(super) asked: Asked,
}

/// What the handler is called with.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Told(Payload),
    Forwarded(Forwarded),
}

/// A request that is passed on as it came.
#[derive(Clone, Debug)]
pub(super) struct Forwarded {
    pub(super) method: Method,
    /// With its query; the prefix of the route is in it.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer that is passed on as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Passed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Result {
    Succeeded(Reply),
    /// Whatever its status: the host does not judge what it forwards.
    Passed(Passed),
    Failed(String),
    TimedOut,
}

/// What came back.
enum Came {
    Answer(Answer),
    Passed(Passed),
}

impl Invocation {
    /// The messages that woke it.
    pub(super) fn deliveries(&self) -> &[Delivery] {
        match &self.asked {
            Asked::Told(Payload::Message { delivery, .. }) => std::slice::from_ref(delivery),
            Asked::Told(Payload::Messages { deliveries, .. }) => deliveries,
            Asked::Told(
                Payload::Timer { .. } | Payload::Event(_) | Payload::Events(_) | Payload::Http(_),
            )
            | Asked::Forwarded(_) => &[],
        }
    }

    fn message_id(&self) -> Option<String> {
        self.deliveries().first().map(|it| it.message_id.clone())
    }

    pub(super) fn started(&self) -> Activity {
        Activity::Started {
            function: self.function.name.clone(),
            invocation: self.id.clone(),
            message_id: self.message_id(),
            at: self.began,
        }
    }

    pub(super) fn ended(&self, result: &Result, at: DateTime<Utc>) -> Activity {
        let outcome = match result {
            Result::Succeeded(_) | Result::Passed(_) => Outcome::Succeeded,
            Result::Failed(reason) => Outcome::Failed(reason.clone()),
            Result::TimedOut => Outcome::TimedOut,
        };
        Activity::Ended {
            function: self.function.name.clone(),
            invocation: self.id.clone(),
            message_id: self.message_id(),
            outcome,
            took: at - self.began,
            at,
        }
    }

    /// The request of one attempt.
    fn request(&self, host: &Host, attempt: &Attempt) -> std::result::Result<Request, String> {
        let agent = format!("Azure-Functions-Host/{VERSION}");
        let mut request = match &self.asked {
            Asked::Told(payload) => {
                let system = host.system(self, attempt);
                let body = envelope::encoded(&self.function.binding, payload, &system)?;
                http::Request::post(format!(
                    "{}/{}",
                    host.handler_of(&self.function.name),
                    self.function.name
                ))
                .header(CONTENT_TYPE, "application/json; charset=utf-8")
                // The host streams what it serialises, so its length is not known.
                .header(TRANSFER_ENCODING, "chunked")
                .header(USER_AGENT, agent)
                .body(Bytes::from(body))
            }
            Asked::Forwarded(asked) => {
                let mut request = http::Request::builder()
                    .method(asked.method.clone())
                    .uri(format!("{}{}", host.handler_of(&self.function.name), asked.path));
                for (name, value) in &asked.headers {
                    request = request.header(name, value);
                }
                let theirs = asked.headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
                let agent = theirs.map_or(agent.clone(), |theirs| format!("{theirs} {agent}"));
                let mut request = request.body(asked.body.clone());
                if let (Ok(request), Ok(agent)) = (&mut request, HeaderValue::try_from(agent)) {
                    request.headers_mut().insert(USER_AGENT, agent);
                }
                request
            }
        }
        .map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.insert("x-azure-functions-hostversion", HeaderValue::from_static(VERSION));
        if let Ok(id) = HeaderValue::try_from(&self.id) {
            headers.insert("x-azure-functions-invocationid", id);
        }
        if host.options.desk_time {
            let now = attempt.at.to_rfc3339_opts(SecondsFormat::Nanos, true);
            if let Ok(now) = HeaderValue::try_from(now) {
                headers.insert("x-goldsmith-now", now);
            }
        }
        Ok(request)
    }
}

/// One of the times that a call is made.
struct Attempt {
    /// 0 for the first.
    number: u32,
    at: DateTime<Utc>,
    /// Why the one before failed.
    failure: Option<String>,
}

/// What ended a wait for the handler.
enum Woken {
    Answered(std::result::Result<Came, Fault>),
    Killed,
    LockDue,
    TimeOut,
}

impl Host {
    /// Calls the handler until it has succeeded or its function's retries are used up.
    pub(super) async fn call(&self, invocation: &Invocation, mut hold: Hold) -> (Result, Hold) {
        let mut renewal = Renewal::of(invocation, self.package.settings.max_auto_lock_renewal);
        let mut attempt = Attempt { number: 0, at: invocation.began, failure: None };
        loop {
            let result;
            (result, hold) = self.attempt(invocation, &attempt, &mut renewal, hold).await;
            let failure = match &result {
                Result::Succeeded(_) | Result::Passed(_) => return (result, hold),
                Result::Failed(reason) => reason.clone(),
                Result::TimedOut => "the function's time was out".to_owned(),
            };
            let retry = invocation.function.retry.as_ref();
            let Some(pause) = retry.and_then(|it| it.pause_after(attempt.number)) else {
                return (result, hold);
            };
            hold = self.wait(Some(self.clock.now() + pause), &mut renewal, hold).await;
            let (number, at) = (attempt.number + 1, self.clock.now());
            attempt = Attempt { number, at, failure: Some(failure) };
        }
    }

    /// Calls the handler and waits for its answer, no longer than a function may take. Time stands
    /// still until the handler has answered; after an answer that means nothing it runs on, to the
    /// function's end.
    async fn attempt(
        &self,
        invocation: &Invocation,
        attempt: &Attempt,
        renewal: &mut Renewal<'_>,
        hold: Hold,
    ) -> (Result, Hold) {
        let function = invocation.function.name.as_str();
        let mut kills = self.kills_of(function);
        let timeout = self.package.settings.function_timeout;
        let deadline = timeout.map(|it| attempt.at + it);
        // On a desk time stands still now, so that a handler that never answers is found out by the
        // machine's clock.
        let patience = timeout.and_then(|it| it.to_std().ok()).map(|it| Instant::now() + it);

        let mut answer = std::pin::pin!(self.answer(invocation, attempt));
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
                Woken::Answered(Ok(Came::Passed(passed))) => (Result::Passed(passed), hold),
                Woken::Answered(Ok(Came::Answer(Answer::Success(reply)))) => {
                    (Result::Succeeded(reply), hold)
                }
                Woken::Answered(Ok(Came::Answer(Answer::Failure(reason)))) => {
                    (Result::Failed(reason), hold)
                }
                Woken::Answered(Err(fault)) => (Result::Failed(fault.to_string()), hold),
                Woken::Answered(Ok(Came::Answer(Answer::Hang))) => {
                    tokio::select! {
                        biased;
                        _ = kills.changed() => (killed(), self.holds.take()),
                        hold = self.wait(deadline, renewal, hold) => (self.time_out(function), hold),
                    }
                }
                Woken::Killed => (killed(), hold),
                Woken::TimeOut => (self.time_out(function), hold),
                Woken::LockDue => {
                    renewal.renew(&self.bus);
                    continue;
                }
            };
        }
    }

    /// Lets time pass until then, for ever without one, and keeps the lock meanwhile.
    async fn wait(
        &self,
        until: Option<DateTime<Utc>>,
        renewal: &mut Renewal<'_>,
        mut hold: Hold,
    ) -> Hold {
        loop {
            let Some(next) = [renewal.due(), until].into_iter().flatten().min() else {
                drop(hold);
                return std::future::pending().await;
            };
            hold = self.holds.sleep_until(&*self.clock, next, hold).await;
            if until.is_some_and(|until| self.clock.now() >= until) {
                return hold;
            }
            renewal.renew(&self.bus);
        }
    }

    /// What a call is told of its host: new in each attempt.
    fn system(&self, invocation: &Invocation, attempt: &Attempt) -> System {
        let (number, again) = (invocation.number.to_string(), attempt.number.to_string());
        let function = &invocation.function;
        let failure = attempt.failure.as_deref().map(|why| (function.name.as_str(), why));
        System {
            function: function.name.clone(),
            now: attempt.at,
            random_guid: crate::guid::of(&["random", &number, &again]),
            namespace: self.options.namespace.clone(),
            retry: function.retry.map(|it| it.context(attempt.number, failure)),
        }
    }

    /// Sends the call once the handler is ready.
    async fn answer(
        &self,
        invocation: &Invocation,
        attempt: &Attempt,
    ) -> std::result::Result<Came, Fault> {
        let request = invocation.request(self, attempt).map_err(Fault::NotSent)?;
        loop {
            let function = invocation.function.name.as_str();
            let state = self.handler_is_up(function).await?;
            let sent = match &invocation.asked {
                Asked::Told(_) => redirect::follow(&*self.wire, request.clone()).await,
                Asked::Forwarded(_) => self.wire.send(request.clone()).await,
            };
            match sent {
                Err(Fault::NotSent(reason)) => {
                    if !self.comes_back(function, state).await {
                        return Err(Fault::NotSent(reason));
                    }
                }
                Err(fault) => return Err(fault),
                Ok(response) => {
                    let (status, headers, body) = response.collect(LARGEST_ANSWER_BYTES).await?;
                    return Ok(match &invocation.asked {
                        Asked::Told(_) => Came::Answer(answer::read(status, &headers, &body)),
                        Asked::Forwarded(_) => Came::Passed(Passed { status, headers, body }),
                    });
                }
            }
        }
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
