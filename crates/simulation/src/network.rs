//! The network between the handlers and the world: requests take time, get lost, arrive twice, and
//! land although nobody waits for them any more. One thing it never does, our one assumption about
//! it: no request lands later than the time-out of whoever sent it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use seam::{Body, Clock, Fault, Request, Response, Wire};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::bad_days::BadDays;
use crate::fault::{Faults, Kind};
use crate::people::WorstMoment;
use crate::record::Record;
use crate::store::duration;
use crate::world::{ARM, BUS};

/// How long a client waits for an answer (`seam::internet::REQUEST_TIMEOUT`).
const TIMEOUT: TimeDelta = TimeDelta::seconds(30);
/// How long an answer usually takes at most.
const USUAL: TimeDelta = TimeDelta::milliseconds(900);
/// A message may come again within so many hours; the bus remembers ids for part of them.
pub(crate) const AGAIN_WITHIN: TimeDelta = TimeDelta::hours(5);
/// The longest that everything is refused with 429.
const STORM: TimeDelta = TimeDelta::minutes(20);
/// The longest that a message stays in the bus before it is given to anybody.
const DELAYED: TimeDelta = TimeDelta::minutes(30);
/// The longest that a scheduled message is late.
const LATE: TimeDelta = TimeDelta::hours(5);

/// How Azure says that a change is not allowed.
const FORBIDS: [(u16, &str); 3] =
    [(403, "AuthorizationFailed"), (403, "RequestDisallowedByPolicy"), (409, "ScopeLocked")];

/// The network of one seed.
#[derive(Clone, Debug)]
pub struct Network {
    world: Arc<dyn Wire>,
    faults: Faults,
    clock: Arc<dyn Clock>,
    bad_days: Arc<BadDays>,
    worst_moment: Arc<WorstMoment>,
    record: Record,
}

/// What happens to one request.
struct Passage {
    there: TimeDelta,
    back: TimeDelta,
    lost: bool,
    /// An answer that comes instead of the world's, which is not asked.
    instead: Option<Answer>,
    /// An answer that comes instead of the world's, which has been asked.
    afterwards: Option<Answer>,
    answer_lost: bool,
    again: Option<TimeDelta>,
}

/// An answer of whoever stands before the service.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Network {
    /// The network to `world`. Whoever waits for `worst_moment` is told while a write is on its way.
    pub fn new(
        world: Arc<dyn Wire>,
        faults: Faults,
        clock: Arc<dyn Clock>,
        worst_moment: Arc<WorstMoment>,
        record: Record,
    ) -> Network {
        Network { world, faults, clock, bad_days: Arc::default(), worst_moment, record }
    }

    fn passage(&self, request: &Request) -> Passage {
        let now = self.clock.now();
        let what = format!("{} {}", request.method(), request.uri().path());
        let strikes = |kind| self.faults.strikes(kind, now, &what);
        let chance = self.faults.chance();

        let slow = strikes(Kind::RequestSlow);
        let longest = if slow { TIMEOUT } else { USUAL };
        let (there, back) = (chance.delay(longest), chance.delay(longest));
        let is_arm = request.uri().authority().is_some_and(|it| it.as_str() == ARM);
        let is_bus = request.uri().authority().is_some_and(|it| it.as_str() == BUS);
        let instead = if strikes(Kind::Throttled)
            || self.faults.goes_on(Kind::ThrottlingStorm, STORM, now, &what)
        {
            Some(throttled(chance.within(0..3), is_arm))
        } else if is_arm
            && request.method() != Method::GET
            && self.bad_days.forbid(request.uri().path(), &self.faults, now)
        {
            let (status, code) = *chance.pick(&FORBIDS);
            Some(error(status, code, "It is not allowed."))
        } else if is_arm && self.bad_days.cancel(request.uri().path(), now) {
            Some(answer(204, "application/json", String::new()))
        } else if strikes(Kind::ServerError) {
            Some(broken(*chance.pick(&[500, 502, 503, 504])))
        } else if strikes(Kind::HtmlAnswer) {
            Some(page(*chance.pick(&[200, 404, 502, 503])))
        } else {
            None
        };
        let afterwards =
            strikes(Kind::ServerErrorAfterwards).then(|| broken(*chance.pick(&[500, 504])));
        // What was refused is not carried out behind its sender's back: nobody could know of it.
        let again = if instead.is_some() {
            None
        } else if request.method() == Method::PUT && strikes(Kind::RequestTwice) {
            Some(chance.delay(TIMEOUT - there))
        } else if is_bus && strikes(Kind::MessageAgain) {
            Some(chance.delay(AGAIN_WITHIN))
        } else {
            None
        };
        Passage {
            there,
            back,
            lost: strikes(Kind::RequestLost),
            instead,
            afterwards,
            answer_lost: strikes(Kind::AnswerLost),
            again,
        }
    }

    /// Carries a request there and its answer back.
    #[expect(clippy::disallowed_methods, reason = "the network is what takes time here")]
    async fn carry(
        self,
        request: Request,
        passage: Passage,
        answered: oneshot::Sender<Result<Response, Fault>>,
    ) {
        tokio::time::sleep(duration(passage.there)).await;
        if passage.lost {
            // Kept, so that whoever waits waits for the time-out.
            tokio::time::sleep(duration(TIMEOUT)).await;
            return drop(answered);
        }
        let again = passage.again.map(|after| (after, request.clone()));
        let answer = match passage.instead {
            Some(instead) => Ok(instead.into_response()),
            None => {
                let answer = self.asked(request).await;
                match passage.afterwards {
                    Some(afterwards) => Ok(afterwards.into_response()),
                    None => answer,
                }
            }
        };
        let back = async {
            tokio::time::sleep(duration(passage.back)).await;
            if passage.answer_lost {
                drop(answered);
            } else {
                // Nobody may be waiting any more.
                let _ = answered.send(answer);
            }
        };
        let again = async {
            if let Some((after, request)) = again {
                tokio::time::sleep(duration(after)).await;
                let _ = self.world.send(request).await;
            }
        };
        futures::future::join(back, again).await;
    }

    /// What the world answers, as it says it today.
    async fn asked(&self, request: Request) -> Result<Response, Fault> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_arm = request.uri().authority().is_some_and(|it| it.as_str() == ARM);
        let answer = self.world.send(request).await?;
        // Whole, so that nothing happens in the world while it is read.
        let (status, headers, mut body) = answer.collect(usize::MAX).await?;
        if is_arm
            && status == StatusCode::OK
            && let Ok(mut said) = serde_json::from_slice(&body)
        {
            let now = self.clock.now();
            if self.bad_days.change(&method, &path, &mut said, &self.faults, now) {
                body = said.to_string().into();
            }
            self.record.said(&path, &said, now);
        }
        Ok(Response { status, headers, body: Body::full(body) })
    }

    /// A message comes when it comes, after others that were sent later.
    fn misplace(&self, request: &mut Request) {
        let Some(text) = request.headers().get("brokerproperties") else { return };
        let Ok(mut properties) = serde_json::from_slice::<Value>(text.as_bytes()) else { return };
        let now = self.clock.now();
        let what = properties["MessageId"].as_str().unwrap_or_default().to_owned();
        let strikes = |kind| self.faults.strikes(kind, now, &what);
        let shifted = match properties["ScheduledEnqueueTimeUtc"].as_str() {
            Some(at) => {
                let Ok(at) = DateTime::parse_from_rfc2822(at) else { return };
                if strikes(Kind::MessageEarly) {
                    at.to_utc() - TimeDelta::seconds(1)
                } else if strikes(Kind::MessageLate) {
                    at.to_utc() + self.faults.chance().delay(LATE)
                } else {
                    return;
                }
            }
            None if strikes(Kind::MessageDelayed) => now + self.faults.chance().delay(DELAYED),
            None => return,
        };
        let text = shifted.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        properties["ScheduledEnqueueTimeUtc"] = Value::String(text);
        if let Ok(value) = HeaderValue::try_from(properties.to_string()) {
            request.headers_mut().insert("brokerproperties", value);
        }
    }
}

#[async_trait]
impl Wire for Network {
    async fn send(&self, mut request: Request) -> Result<Response, Fault> {
        let now = self.clock.now();
        let what = format!("{} {}", request.method(), request.uri().path());
        if self.faults.strikes(Kind::RequestRefused, now, &what) {
            return Err(Fault::NotSent("the connection was refused".to_owned()));
        }
        self.misplace(&mut request);
        let passage = self.passage(&request);
        let is_write = matches!(*request.method(), Method::PUT | Method::PATCH | Method::DELETE);
        if is_write && self.faults.strikes(Kind::WorstMoment, now, &what) {
            self.worst_moment.comes(request.uri().path());
        }
        if let Some(id) = retires(&request)
            && self.faults.strikes(Kind::WorstMoment, now, &id)
        {
            self.worst_moment.comes(&id);
        }
        let (answered, answer) = oneshot::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "a request that is under way lands, though nobody waits for it any more"
        )]
        tokio::spawn(self.clone().carry(request, passage, answered));

        let timed_out = tokio::time::timeout(duration(TIMEOUT), answer);
        match timed_out.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Fault::PerhapsDone("the connection was reset".to_owned())),
            Err(_) => Err(Fault::PerhapsDone("the request timed out".to_owned())),
        }
    }
}

/// The id of a message that lets a version be deprecated, trimmed or deleted.
fn retires(request: &Request) -> Option<String> {
    let queue = request.uri().path().split('/').nth(1)?;
    if !matches!(queue, "deprecate_version" | "trim_version" | "delete_version") {
        return None;
    }
    let text = request.headers().get("brokerproperties")?;
    let properties: Value = serde_json::from_slice(text.as_bytes()).ok()?;
    properties["MessageId"].as_str().map(str::to_owned)
}

impl Answer {
    fn into_response(self) -> Response {
        Response { status: self.status, headers: self.headers, body: Body::full(self.body) }
    }
}

fn answer(status: u16, media: &'static str, body: String) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers =
        HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(media))]);
    Answer { status, headers, body: body.into() }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "error": { "code": code, "message": message } });
    answer(status, "application/json; charset=utf-8", body.to_string())
}

fn throttled(how: u64, is_arm: bool) -> Answer {
    let mut throttled = if is_arm {
        error(429, "SubscriptionRequestsThrottled", "Number of requests exceeded the limit.")
    } else {
        answer(429, "application/xml; charset=utf-8", "<Error><Code>429</Code></Error>".to_owned())
    };
    let wait = match how {
        0 => None,
        1 => Some("17"),
        _ => Some("840"),
    };
    if let Some(wait) = wait {
        throttled.headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(wait));
    }
    throttled
}

fn broken(status: u16) -> Answer {
    error(status, "InternalServerError", "An internal error happened.")
}

fn page(status: u16) -> Answer {
    let body = "<html><head><title>Our services aren't available right now</title></head></html>";
    answer(status, "text/html", body.to_owned())
}
