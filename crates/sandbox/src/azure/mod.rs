//! The simulated Azure Resource Manager: image templates, galleries, Marketplace images, machines
//! and Resource Graph, as recorded traffic and Microsoft's documents show them.
//!
//! Its state is a function of its records and of the time: nothing runs in the background. Whatever
//! became due is settled, in order, at the start of the next request; a request does its whole
//! effect in one transaction.

mod answer;
mod pages;
mod moment;
mod records;
mod call;
mod operation;
pub(crate) mod region;
mod bucket;
mod arm_budget;
mod throttle;
mod route;
mod settle;
mod seed;
mod subscription;
mod provider;
mod filter;
mod group;
mod plain;
mod gallery;
mod definition;
mod version;
mod version_body;
mod version_change;
mod version_regions;
mod version_source;
mod version_deletion;
mod soft_deleted;
mod template;
mod template_shape;
mod template_ready;
mod run;
mod build;
mod publish;
mod package_version;
mod software;
mod scan;
mod platform;
mod compute;
mod machine;
mod graph;
mod event;
mod onlooker;
mod bystander;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};
use seam::Clock;

use crate::blob::Blobs;
use crate::bus::Bus;
use crate::database::Database;
use crate::estate::Estate;
use crate::guid;
use answer::{Refusal, Reply, Trouble};
use call::Call;
pub use onlooker::{SeenRegion, SeenResource, SeenVersion};
use records::Records;

/// The longest body that is read; ARM's own limit is 4 MB.
const BODY_LIMIT: usize = 4 << 20;

/// The queue that Event Grid delivers to.
pub const INGRESS: &str = "ingress";

/// How the simulated Azure behaves beside what the estate says.
#[derive(Clone, Copy, Debug, Default)]
pub struct AzureOptions {
    /// True: every answer about a running operation carries `Retry-After: 1`, for clients that
    /// sleep 30 seconds of wall time without one. Else it is there where it was recorded.
    pub retry_after_always: bool,
}

/// An extension of a request: every answer about a running operation carries `Retry-After: 1`, as
/// with [`AzureOptions::retry_after_always`], for this client alone.
#[derive(Clone, Copy, Debug)]
pub struct RetryAfterAlways;

/// How many requests of the control plane were answered, since the estate began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// GET, HEAD and queries of Resource Graph.
    pub read: u64,
    /// PUT, PATCH and POST.
    pub write: u64,
    /// DELETE.
    pub delete: u64,
    /// How many of all these were refused with 429.
    pub throttled: u64,
}

/// A version in one of its regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The version's number, `1.2.3`.
    pub number: String,
    /// The region's short name.
    pub region: String,
    /// True: its replication there is Completed.
    pub completed: bool,
    /// True: *latest* may mean it there, as the estate's variants have it.
    pub offered: bool,
}

/// Why the simulated Azure does not start or cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AzureError {
    /// The database was begun with another estate.
    #[error("this state was begun with another estate; give that estate, or an empty state folder")]
    OtherEstate,
    /// The database or the blob storage is ill.
    #[error("{0}")]
    Broken(String),
}

impl From<Trouble> for AzureError {
    fn from(trouble: Trouble) -> AzureError {
        AzureError::Broken(trouble.to_string())
    }
}

/// The simulated Azure Resource Manager.
#[derive(Debug)]
pub struct Azure {
    database: Arc<Database>,
    estate: Estate,
    clock: Arc<dyn Clock>,
    blobs: Arc<Blobs>,
    bus: Arc<Bus>,
    options: AzureOptions,
}

/// What one request sees: the records, the instant, the estate.
#[derive(Clone, Copy, Debug)]
struct World<'a> {
    records: Records<'a>,
    now: DateTime<Utc>,
    estate: &'a Estate,
    blobs: &'a Blobs,
    bus: &'a Bus,
    options: AzureOptions,
    /// The subscription that a request is about, in lower case, whose budgets it is taken from;
    /// empty when it is about none.
    subscription: &'a str,
}

impl<'a> World<'a> {
    /// The same at another instant.
    fn at(&self, now: DateTime<Utc>) -> World<'a> {
        let lags = self.estate.cloud.graph_lag_minutes > 0;
        let records = if lags { self.records.noting(now) } else { self.records };
        World { now, records, ..*self }
    }

    /// How far Resource Graph is behind.
    fn graph_lag(&self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.estate.cloud.graph_lag_minutes))
    }
}

impl Azure {
    /// Opens Azure on `database`. The estate is put in place when the database is empty; later it
    /// must be the same one, since releases and advisories to come are read from it.
    ///
    /// # Errors
    /// [`AzureError::OtherEstate`] for another estate than the one it was begun with;
    /// [`AzureError::Broken`] when the database cannot be read or written.
    pub fn open(
        database: Arc<Database>,
        estate: &Estate,
        clock: Arc<dyn Clock>,
        blobs: Arc<Blobs>,
        bus: Arc<Bus>,
        options: AzureOptions,
    ) -> Result<Arc<Azure>, AzureError> {
        let azure = Azure { database, estate: estate.clone(), clock, blobs, bus, options };
        let begun = azure.within(|world| {
            world.records.create()?;
            let digest = serde_json::to_string(world.estate)?;
            let digest = guid::of(&["estate", &digest]);
            match world.records.value("estate")? {
                Some(begun) => Ok(begun == digest),
                None => {
                    // Resource Graph has known the estate for long.
                    seed::seed(&world.at(world.estate.start - world.graph_lag()))?;
                    world.records.set_value("estate", &digest)?;
                    Ok(true)
                }
            }
        })?;
        if begun { Ok(Arc::new(azure)) } else { Err(AzureError::OtherEstate) }
    }

    /// The routes of `https://management.azure.com`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .fallback(serve)
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::clone(self))
    }

    /// How many requests were answered. Durable. Zeros when the database cannot be read.
    pub fn calls(&self) -> Calls {
        let calls = self.within(|world| {
            Ok(Calls {
                read: world.records.counter("calls.read")?,
                write: world.records.counter("calls.write")?,
                delete: world.records.counter("calls.delete")?,
                throttled: world.records.counter("calls.throttled")?,
            })
        });
        calls.unwrap_or_else(|error| {
            tracing::error!(%error, "Could not read the count of calls");
            Calls::default()
        })
    }

    /// Settles what has become due, and has Event Grid tell of it. Every request does so first; somebody
    /// who waits for events without asking Azure anything calls this at [`Azure::next_due`].
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database or the blob storage is ill.
    pub fn settle(&self) -> Result<(), AzureError> {
        Ok(self.within(settle::settle)?)
    }

    /// The instant at which something becomes due next, if anything does.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn next_due(&self) -> Result<Option<DateTime<Utc>>, AzureError> {
        Ok(self.within(|world| world.records.next_due())?)
    }

    /// The version number that *latest* of the image definition `definition_id` means in `region`:
    /// what a new machine there would get. It follows the estate's variants.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn latest(&self, definition_id: &str, region: &str) -> Result<Option<String>, AzureError> {
        let latest = self.within(|world| {
            settle::settle(world)?;
            version::latest(world, definition_id, region)
        })?;
        Ok(latest.map(|it| it.number().to_owned()))
    }

    /// Where the versions of the image definition `definition_id` are, and what a new machine there
    /// could get: the versions, lowest number first, with each of their regions.
    ///
    /// # Errors
    /// [`AzureError::Broken`] when the database is ill.
    pub fn offers(&self, definition_id: &str) -> Result<Vec<Offer>, AzureError> {
        Ok(self.within(|world| {
            settle::settle(world)?;
            version::offers(world, definition_id)
        })?)
    }

    /// Runs `work` in one transaction.
    fn within<T>(&self, work: impl FnOnce(&World<'_>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let now = self.clock.now();
        self.database.write(|transaction| {
            let world = World {
                records: Records::new(transaction),
                now,
                estate: &self.estate,
                blobs: &self.blobs,
                bus: &self.bus,
                options: self.options,
                subscription: "",
            };
            work(&world.at(now))
        })
    }

    /// Answers one request: settles, routes and counts in one transaction.
    fn answer(&self, call: &Call, headers: &HeaderMap, options: AzureOptions) -> Reply {
        let answered = self.within(|world| {
            let world = &World { options, ..*world };
            settle::settle(world)?;
            let sequence = world.records.count("requests")?.to_string();
            let subscription = match call.lower.as_slice() {
                [first, subscription, ..] if first == "subscriptions" => subscription,
                _ => "",
            };
            let world = &World { subscription, ..*world };
            let answered = admit(world, call, headers).and_then(|()| {
                let left = arm_budget::take(world, call, headers)?;
                Ok(arm_budget::told(refused_or(throttled_or_routed(world, call))?, left))
            });
            let reply = refused_or(answered)?;
            world.records.count(counter(call))?;
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                world.records.count("calls.throttled")?;
            }
            let id = guid::of(&["request", &sequence]);
            Ok(reply
                .header("x-ms-request-id", id.clone())
                .header("x-ms-correlation-request-id", id))
        });
        answered.unwrap_or_else(|trouble| {
            tracing::error!(%trouble, "The sandbox's Azure could not answer");
            Refusal::gateway(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                format!("Encountered internal server error: {trouble}."),
            )
            .reply()
        })
    }
}

async fn serve(State(azure): State<Arc<Azure>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(body) => body.to_vec(),
        Err(_) => {
            let message = format!("The request is larger than {BODY_LIMIT} bytes.");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Refusal::gateway(status, "RequestEntityTooLarge", message)
                .reply()
                .into_response();
        }
    };

    let head = parts.method == Method::HEAD;
    let call = Call::new(parts.method, &parts.uri, &parts.headers, body);
    let always = parts.extensions.get::<RetryAfterAlways>().is_some();
    let options = AzureOptions { retry_after_always: azure.options.retry_after_always || always };
    let mut reply = azure.answer(&call, &parts.headers, options);
    if head {
        reply.body = None;
    }
    reply.into_response()
}

/// The provider's answer, unless it has had too many requests for its taste.
fn throttled_or_routed(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    throttle::builder_action(world, call)?;
    let reply = route::route(world, call)?;
    Ok(pages::cut(world, call, reply)?)
}

/// A refusal is an answer too.
fn refused_or(answered: Result<Reply, Trouble>) -> Result<Reply, Trouble> {
    match answered {
        Err(Trouble::Refused(refusal)) => Ok(refusal.reply()),
        other => other,
    }
}

/// What ARM asks before it looks at the path: a bearer token, an api-version.
fn admit(world: &World<'_>, call: &Call, headers: &HeaderMap) -> Result<(), Trouble> {
    let token = headers.get(http::header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let bearer = token.and_then(|it| it.get(..7).filter(|it| it.eq_ignore_ascii_case("bearer ")));
    let has_token = token.is_some_and(|it| it.len() > 7);
    if bearer.is_none() || !has_token {
        let tenant = &world.estate.tenant;
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.microsoftonline.com/{tenant}\", \
             error=\"invalid_token\", error_description=\"The access token is missing or invalid.\""
        );
        let message = if token.is_none() {
            "Authentication failed. The 'Authorization' header is missing."
        } else {
            "Authentication failed. The 'Authorization' header is provided in an invalid format."
        };
        let refusal = Refusal::gateway(StatusCode::UNAUTHORIZED, "AuthenticationFailed", message);
        return Err(refusal.header("www-authenticate", challenge).into());
    }
    if call.api_version().is_empty() {
        let message =
            "The api-version query parameter (?api-version=) is required for all requests.";
        let code = "MissingApiVersionParameter";
        return Err(Refusal::gateway(StatusCode::BAD_REQUEST, code, message).into());
    }
    Ok(())
}

fn counter(call: &Call) -> &'static str {
    let query = call.lower.iter().any(|it| it == "microsoft.resourcegraph");
    match call.method {
        Method::GET | Method::HEAD => "calls.read",
        Method::POST if query => "calls.read",
        Method::DELETE => "calls.delete",
        _ => "calls.write",
    }
}
