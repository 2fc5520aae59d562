//! The client: an address, the wire behind the seam, and what every call has in common.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rules::pace::Left;
use seam::outbound::{Audience, SendBefore};
use seam::{Endpoint, Fault, Outbound};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{At, Error};
use crate::left::Budgets;
use crate::readable::readable;
use crate::{api, refusal};

/// Whose token ARM wants.
const AUDIENCE: &str = "https://management.azure.com";

/// The longest answer that is read, in bytes. A thousand rows of Resource Graph are well below it.
const LONGEST_ANSWER: usize = 16 << 20;

/// The longest request id that is sent, in characters.
const LONGEST_REQUEST_ID: usize = 128;

/// Azure Resource Manager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Arm {
    endpoint: Endpoint,
    outbound: Outbound,
    request_id: Option<HeaderValue>,
    budgets: Budgets,
}

/// The leave to write: an intent was recorded, and it is good until `send_before`. The seam refuses
/// to send the request later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    pub send_before: DateTime<Utc>,
}

/// What a PUT did. Whatever it is, the resource is read until it says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The resource was not there before (201).
    Created,
    /// It was there (200, 202).
    Updated,
}

/// What a DELETE did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It goes on (202); the resource is read until it is not there.
    Accepted,
    /// The resource is not there (200, 204, 404).
    Gone,
}

/// One request: what it is, of what, where.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) at: At,
    pub(crate) method: Method,
    /// Escaped, with its query.
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) permit: Option<&'a Permit>,
}

/// An answer that does not refuse.
pub(crate) struct Answer {
    pub(crate) at: At,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arm {
    /// The ARM at `endpoint`: `https://management.azure.com`, or a simulated one on loopback.
    pub fn new(endpoint: Endpoint, outbound: Outbound) -> Arm {
        Arm { endpoint, outbound, request_id: None, budgets: Budgets::default() }
    }

    /// The same, whose requests carry `request_id` as `x-ms-client-request-id`: Azure's activity
    /// log then names the step that asked. What a header cannot hold is left out.
    pub fn asking_as(&self, request_id: &str) -> Arm {
        let plain: String =
            request_id.chars().filter(char::is_ascii_graphic).take(LONGEST_REQUEST_ID).collect();
        Arm { request_id: HeaderValue::from_str(&plain).ok(), ..self.clone() }
    }

    /// What the answers so far say is left of Azure's budgets, each at its lowest; to this client
    /// and its clones.
    pub fn left(&self) -> Left {
        self.budgets.left()
    }

    /// Makes `call`; in a cloud that lacks the api-version once more, with the newest that both
    /// speak. The refusal comes before the provider has seen the request, so nothing is done twice.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Answer, Error> {
        let mut refused = match self.call_once(&call).await {
            Err(refused @ Error::NoCommonVersion { .. }) => refused,
            answer => return answer,
        };
        if let Error::NoCommonVersion { offered, .. } = &mut refused
            && offered.is_empty()
        {
            *offered = self.api_versions(&call.path).await?;
        }
        let back = match &refused {
            Error::NoCommonVersion { offered, .. } => api::fall_back(&call.path, offered),
            _ => None,
        };
        match back {
            Some(path) => self.call_once(&Call { path, ..call }).await,
            None => Err(refused),
        }
    }

    /// Makes `call` with the api-version that it names.
    pub(crate) async fn call_once(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let Call { at, method, path, body, permit } = call.clone();
        let spoken = api::spoken_of(&path);
        let uri = match self.address(&path) {
            Ok(uri) => uri,
            Err(because) => return Err(Error::NotSent { at, because }),
        };

        let mut request = seam::Request::new(body.clone().map_or(Bytes::new(), Bytes::from));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        request.extensions_mut().insert(Audience(AUDIENCE));
        if let Some(permit) = permit {
            request.extensions_mut().insert(SendBefore(permit.send_before));
        }
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(id) = &self.request_id {
            headers.insert(HeaderName::from_static("x-ms-client-request-id"), id.clone());
        }
        match body {
            Some(_) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            // ARM answers 411 to a POST that does not say how long it is.
            None if method == Method::POST => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            None => {}
        }

        let sent = match self.outbound.send(request).await {
            Ok(response) => response.collect(LONGEST_ANSWER).await,
            Err(fault) => Err(fault),
        };
        let (status, headers, body) = match sent {
            Ok(answer) => answer,
            Err(Fault::NotSent(because)) => {
                return Err(Error::NotSent { at, because: readable(&because, 300) });
            }
            Err(Fault::PerhapsDone(because)) => {
                return Err(Error::PerhapsDone { at, because: readable(&because, 300) });
            }
        };
        self.budgets.note(&headers);
        tracing::debug!(
            operation = at.operation,
            resource = at.resource,
            status = status.as_u16(),
            remaining = remaining(&headers),
            failed = headers.get("x-ms-failure-cause").and_then(|it| it.to_str().ok()),
            "Azure answered {status}"
        );

        if is_a_page(&headers)
            && !status.is_server_error()
            && status != StatusCode::TOO_MANY_REQUESTS
        {
            let because =
                format!("answered {status} with a page, which Azure Resource Manager never does");
            return Err(Error::PerhapsDone { at, because });
        }
        if !status.is_success() {
            return Err(match refusal::offered(&body) {
                Some((code, offered)) => {
                    Error::NoCommonVersion { at, code, spoken: spoken.join(", "), offered }
                }
                None => refusal::error(at, status, &headers, &body),
            });
        }
        Ok(Answer { at, status, headers, body })
    }

    /// Reads one resource.
    pub(crate) async fn get(
        &self,
        operation: &'static str,
        resource: String,
        path: String,
    ) -> Result<Answer, Error> {
        let at = At { operation, resource };
        self.call(Call { at, method: Method::GET, path, body: None, permit: None }).await
    }

    /// Puts `body` where `resource` is.
    pub(crate) async fn put(
        &self,
        permit: &Permit,
        at: At,
        path: String,
        body: &impl Serialize,
    ) -> Result<Written, Error> {
        let body = match serde_json::to_vec(body) {
            Ok(body) => Some(body),
            Err(error) => return Err(Error::NotSent { at, because: error.to_string() }),
        };
        let method = Method::PUT;
        let answer = self.call(Call { at, method, path, body, permit: Some(permit) }).await?;
        let created = answer.status == StatusCode::CREATED;
        Ok(if created { Written::Created } else { Written::Updated })
    }

    /// Deletes `resource`; one that is not there is deleted already.
    pub(crate) async fn delete(
        &self,
        permit: &Permit,
        at: At,
        path: String,
    ) -> Result<Deletion, Error> {
        let method = Method::DELETE;
        match self.call(Call { at, method, path, body: None, permit: Some(permit) }).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => Ok(Deletion::Accepted),
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Deletion::Gone),
            Err(error) => Err(error),
        }
    }

    /// Asks for an action that has no body and whose answer has none.
    pub(crate) async fn post(&self, permit: &Permit, at: At, path: String) -> Result<(), Error> {
        let method = Method::POST;
        self.call(Call { at, method, path, body: None, permit: Some(permit) }).await.map(|_| ())
    }

    /// The path and query of `link` below our endpoint, when it leads there.
    pub(crate) fn own_path(&self, link: &str) -> Option<String> {
        // Which host such a link leads to depends on who reads it.
        if link.contains(|it: char| it == '\\' || !it.is_ascii_graphic()) {
            return None;
        }
        if link.starts_with('/') && !link.starts_with("//") {
            return Some(link.to_owned());
        }
        // Both are normalised the same way: lower case, no default port.
        let link = Url::parse(link).ok()?;
        if !link.username().is_empty() || link.password().is_some() {
            return None;
        }
        let below = link.as_str().strip_prefix(self.endpoint.as_str())?;
        below.starts_with('/').then(|| below.to_owned())
    }

    fn address(&self, path: &str) -> Result<http::Uri, String> {
        let (segments, _) = path.split_once('?').unwrap_or((path, ""));
        if segments.split('/').any(|it| it == "." || it == "..") {
            return Err("a name in its id is `.` or `..`".to_owned());
        }
        self.endpoint.at(path)
    }
}

impl Answer {
    /// The body as `T`, and the facts that `facts` makes of it.
    pub(crate) fn read<T: DeserializeOwned, F>(
        self,
        facts: impl FnOnce(T) -> Result<F, String>,
    ) -> Result<F, Error> {
        let parsed = serde_json::from_slice(&self.body).map_err(|error| error.to_string());
        match parsed.and_then(facts) {
            Ok(facts) => Ok(facts),
            Err(what) => Err(self.malformed(what)),
        }
    }

    /// The error that this answer is not one we know.
    pub(crate) fn malformed(self, what: String) -> Error {
        let excerpt = readable(&String::from_utf8_lossy(&self.body), 200);
        Error::Malformed { at: self.at, what: readable(&what, 300), excerpt }
    }
}

/// Whether the answer is a page for people: of a front door or a proxy, which says nothing of the
/// resource, whatever its status.
fn is_a_page(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    media.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// The budgets that the answer names, for the log.
fn remaining(headers: &HeaderMap) -> String {
    let budgets = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-ratelimit-remaining-"))
        .filter_map(|(name, value)| {
            let name = name.as_str().trim_start_matches("x-ms-ratelimit-remaining-");
            Some(format!("{name}={}", readable(value.to_str().ok()?, 200)))
        });
    budgets.collect::<Vec<_>>().join(" ")
}
