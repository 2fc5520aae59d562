//! A message of a queue: the wish that it points at is looked up in the ledger, one step is done for
//! it, and what the step says is recorded. Or it is a hint from outside, or no message at all.

use axum::response::Response;
use bus::Pointer;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ledger::StreamName;
use rules::event::Event;
use rules::pace;
use rules::trigger::Trigger;
use rules::wake::{Function, Subject, is_given_up, was_woken_often};
use tracing::{error, warn};

use crate::context::{Context, Visit};
use crate::dispatch::{App, Ill, ill};
use crate::invocation;
use crate::receive_events::Heard;
use crate::record::DECISIONS;
use crate::refusal::keepable;
use crate::step::{Done, Failure, Step, back_off};
use crate::{
    create_template, delete_version, deprecate_version, follow_build, follow_scan, follow_version,
    judge_image, notify, receive_events, release_version, replicate_version, start_build,
    start_scan, tidy_build, trim_version,
};

/// What a visit came to.
enum Visited {
    Done,
    /// The stream is broken: the message is kept until a person has mended it.
    Refused(String),
}

impl App {
    /// A message of a queue function.
    pub(crate) async fn message(
        &self,
        cx: &mut Context,
        function: Function,
        body: &Bytes,
    ) -> Result<Response, Ill> {
        let message = match invocation::queue_message(body) {
            Ok(message) => message,
            Err(error) => return self.refuse(cx, None, &error.to_string(), body).await,
        };
        let pointer = match Pointer::from_body(&message.body) {
            Ok(pointer) if pointer.function == function => pointer,
            Ok(pointer) => {
                let why = format!("a message of `{}` came to `{function}`", pointer.function);
                return self.refuse(cx, message.said_id.as_deref(), &why, &message.body).await;
            }
            Err(_) if function == Function::ReceiveEvents => {
                return self.hear(cx, message.said_id.as_deref(), &message.body).await;
            }
            Err(error) => {
                let (id, why) = (message.said_id.as_deref(), error.to_string());
                return self.refuse(cx, id, &why, &message.body).await;
            }
        };
        match self.visit(cx, &pointer).await? {
            Visited::Done => Ok(invocation::done()),
            Visited::Refused(why) => {
                self.refuse(cx, Some(&pointer.to_string()), &why, &message.body).await
            }
        }
    }

    /// A hint from outside: what follows from it is recorded.
    async fn hear(
        &self,
        cx: &mut Context,
        said_id: Option<&str>,
        body: &Bytes,
    ) -> Result<Response, Ill> {
        for _ in 0..DECISIONS {
            match receive_events::hear(cx, body).await {
                Ok(Heard { records, missed }) => {
                    if !self.append_all(cx, records).await? {
                        continue;
                    }
                    // What could be decided is safe; the message comes again for the rest.
                    return missed.map_or_else(|| Ok(invocation::done()), |why| Err(Ill(why)));
                }
                Err(Failure::Never { why, .. } | Failure::Broken(why)) => {
                    return self.refuse(cx, said_id, &why, body).await;
                }
                // A hint is nobody's wish yet, so only its message can come again.
                Err(Failure::Later { why, .. } | Failure::Ledger(why)) => return Err(Ill(why)),
                Err(Failure::Overtaken) => {}
            }
        }
        Err(Ill("other steps were faster three times".to_owned()))
    }

    /// A custom handler cannot dead-letter: what is no message is kept and completed.
    async fn refuse(
        &self,
        cx: &Context,
        said_id: Option<&str>,
        why: &str,
        body: &[u8],
    ) -> Result<Response, Ill> {
        let id = said_id.unwrap_or(&cx.invocation);
        warn!(function = cx.by, invocation = %cx.invocation, "Refused a message: {why}");
        self.ledger.refuse(id, why, &keepable(body)).await.map_err(ill)?;
        Ok(invocation::done())
    }

    /// One step for the wish that `pointer` points at.
    async fn visit(&self, cx: &mut Context, pointer: &Pointer) -> Result<Visited, Ill> {
        cx.cause = pointer.to_string();
        let name = StreamName::Image(pointer.image.clone());

        for _ in 0..DECISIONS {
            let stream = match self.ledger.read(&name).await.map_err(Failure::from) {
                Ok(stream) => stream,
                Err(Failure::Broken(why)) => return Ok(Visited::Refused(why)),
                Err(failure) => return Err(Ill(format!("{failure:?}"))),
            };
            if pointer.seq > stream.head {
                let (seq, head) = (pointer.seq, stream.head);
                let why = format!(
                    "entry {seq} of `{name}` is gone: this message speaks of it, and the newest is \
                     {head}; restore it from a copy of the store"
                );
                return Ok(Visited::Refused(why));
            }
            let before = stream.state.clone();
            let wanted = before.wanted(pointer.seq, pointer.function, pointer.generation);
            let Some(wish) = wanted else {
                // Overtaken. Whoever overtook it may have died before it could send.
                self.send_made_since(cx, &pointer.image, &before, pointer.seq).await?;
                return Ok(Visited::Done);
            };
            if pointer.ordinal == 0 && wish.task.due > cx.now {
                self.send(cx, &pointer.next_look(), wish.task.due).await?;
                return Ok(Visited::Done);
            }

            if let Some(until) = self.pauses.of(pointer.function, cx.now) {
                let next = pointer.put_off();
                let at = pace::after_a_pause(&next.to_string(), cx.now, until);
                self.send(cx, &next, at).await?;
                return Ok(Visited::Done);
            }

            let mut visit = Visit::new(pointer, &cx.catalog, wish, stream);
            let step = handle(pointer.function, cx, &mut visit).await;
            let (events, again) = match step {
                Ok(Done::Record(events)) => (events, None),
                Ok(Done::LookAgain(at)) => (Vec::new(), Some((pointer.next_look(), at))),
                Ok(Done::RecordAndLookAgain { events, at }) => {
                    (events, Some((pointer.next_look(), at)))
                }
                Ok(Done::RecordElsewhere { records, events }) => {
                    if !self.append_all(cx, records).await? {
                        continue;
                    }
                    (events, None)
                }
                Ok(Done::Nothing) => (Vec::new(), None),
                Err(Failure::Later { why, at, wait, events })
                    if !is_given_up(pointer.failures, pointer.generation) =>
                {
                    let (image, ordinal) = (&pointer.image, pointer.ordinal);
                    warn!(function = cx.by, %image, ordinal, "Will try again: {why}");
                    // Waiting for a known moment is no failure, unless it does not end.
                    let again = match at {
                        Some(at) if was_woken_often(pointer.generation) => (pointer.next_try(), at),
                        Some(at) => (pointer.next_look(), at),
                        None => self.next_try(cx, pointer, wait),
                    };
                    if wait.is_some() {
                        self.pauses.begin(pointer.function, cx.now, again.1);
                    }
                    (events, Some(again))
                }
                Err(
                    Failure::Never { why, mut events } | Failure::Later { why, mut events, .. },
                ) => {
                    error!(function = cx.by, image = %pointer.image, "Gave up: {why}");
                    if cx.catalog.notify.webhook && function_is_worth_a_notice(pointer.function) {
                        let text = format!("`{}` gave up: {why}", pointer.function);
                        events.push(Event::NoticeDue { text });
                    }
                    events.extend(given_up(&visit, pointer, why));
                    (events, None)
                }
                Err(Failure::Overtaken) => continue,
                Err(Failure::Broken(why)) => return Ok(Visited::Refused(why)),
                Err(Failure::Ledger(why)) => return Err(Ill(why)),
            };

            let before = if events.is_empty() {
                before
            } else {
                match self.record(cx, &mut visit.stream, before, events).await {
                    Ok(before) => before,
                    Err(Failure::Overtaken) => continue,
                    Err(Failure::Ledger(why)) => return Err(Ill(why)),
                    Err(other) => return Err(Ill(format!("{other:?}"))),
                }
            };
            self.send_new(cx, &pointer.image, &before, &visit.stream.state).await?;
            if let Some((next, at)) = again {
                let at = pace::due(&next.to_string(), at, cx.now, &cx.arm.left());
                self.send(cx, &next, at).await?;
            }
            return Ok(Visited::Done);
        }

        let (next, at) = self.next_try(cx, pointer, None);
        self.send(cx, &next, at).await?;
        Ok(Visited::Done)
    }

    /// The message that tries the wish of `pointer` again, and when: after the usual back-off, and
    /// never before the `wait` that Azure asks for.
    fn next_try(
        &self,
        cx: &Context,
        pointer: &Pointer,
        wait: Option<TimeDelta>,
    ) -> (Pointer, DateTime<Utc>) {
        let next = pointer.next_try();
        let (id, left) = (next.to_string(), cx.arm.left());
        let at = pace::retry(&id, cx.now, wait, back_off(pointer.failures), &left);
        (next, at)
    }
}

/// What is recorded when a wish is given up. Every trigger that waited is told why.
fn given_up(visit: &Visit, pointer: &Pointer, reason: String) -> Vec<Event> {
    if visit.wake.subject != Subject::Opening {
        let (seq, function) = (pointer.seq, pointer.function);
        return vec![Event::StepFailed { seq, function, reason }];
    }
    let refused = |trigger: &Trigger| Event::TriggerRefused {
        trigger: trigger.clone(),
        because: reason.clone(),
    };
    visit.state().pending.iter().map(refused).collect()
}

/// A notice that could not be told is not told of.
fn function_is_worth_a_notice(function: Function) -> bool {
    function != Function::Notify
}

/// The step of each function that a message wakes.
async fn handle(function: Function, cx: &Context, visit: &mut Visit) -> Step {
    match function {
        Function::CreateTemplate => Box::pin(create_template::handle(cx, visit)).await,
        Function::StartBuild => Box::pin(start_build::handle(cx, visit)).await,
        Function::FollowBuild => Box::pin(follow_build::handle(cx, visit)).await,
        Function::StartScan => Box::pin(start_scan::handle(cx, visit)).await,
        Function::FollowScan => Box::pin(follow_scan::handle(cx, visit)).await,
        Function::JudgeImage => Box::pin(judge_image::handle(cx, visit)).await,
        Function::ReplicateVersion => Box::pin(replicate_version::handle(cx, visit)).await,
        Function::ReleaseVersion => Box::pin(release_version::handle(cx, visit)).await,
        Function::FollowVersion => Box::pin(follow_version::handle(cx, visit)).await,
        Function::TidyBuild => Box::pin(tidy_build::handle(cx, visit)).await,
        Function::ReceiveEvents => Box::pin(receive_events::handle(cx, visit)).await,
        Function::DeprecateVersion => Box::pin(deprecate_version::handle(cx, visit)).await,
        Function::TrimVersion => Box::pin(trim_version::handle(cx, visit)).await,
        Function::DeleteVersion => Box::pin(delete_version::handle(cx, visit)).await,
        Function::Notify => Box::pin(notify::handle(cx, visit)).await,
    }
}
