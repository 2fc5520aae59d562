//! The layer around a router through which everything crosses: each exchange is heard whole, and
//! held against the contract.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Collected};
use serde_json::Value;

use crate::contract::{Contract, Found};
use crate::finding::{Finding, What, next_link};
use crate::link::{self, Began, Leads, Link, Links};
use crate::report::{Report, Side};

/// How our client names itself. Whoever names himself otherwise is another client: Microsoft's, say,
/// whose requests are not ours to judge.
const OURS: &str = "goldsmith/";

/// Which side of an exchange is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Both,
    /// The client's: the answers are a script's.
    Requests,
    /// The service's: the requests may be wrong on purpose.
    Answers,
}

/// One request with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: Method,
    /// With its query, without a host.
    pub path: String,
    pub asked: HeaderMap,
    pub sent: Bytes,
    pub status: StatusCode,
    pub told: HeaderMap,
    pub answered: Bytes,
}

/// Listens, and reports.
#[derive(Clone, Debug)]
pub struct Watch {
    contract: Arc<Contract>,
    checked: Checked,
    report: Arc<Report>,
    links: Arc<Mutex<Links>>,
}

impl Watch {
    /// Holds what it hears against `contract`, and reports to `report`.
    pub fn new(contract: Arc<Contract>, checked: Checked, report: Arc<Report>) -> Watch {
        Watch { contract, checked, report, links: Arc::default() }
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// `router`, listened to.
    pub fn around(&self, router: Router) -> Router {
        let watch = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let watch = watch.clone();
            async move { watch.pass(request, next).await }
        }))
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        // A request that breaks off is none: its sender is gone, and nobody answers for it.
        let Ok(sent) = body.collect().await.map(Collected::to_bytes) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let path = parts.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
        let (method, asked) = (parts.method.clone(), parts.headers.clone());
        let response = next.run(Request::from_parts(parts, Body::from(sent.clone()))).await;

        let (parts, body) = response.into_parts();
        let answered = body.collect().await.map(|it| it.to_bytes()).unwrap_or_default();
        let (status, told) = (parts.status, parts.headers.clone());
        let answer = answered.clone();
        self.heard(&Exchange { method, path, asked, sent, status, told, answered });
        Response::from_parts(parts, Body::from(answer))
    }

    /// Checks one exchange.
    pub fn heard(&self, exchange: &Exchange) {
        let followed =
            self.links.lock().unwrap_or_else(PoisonError::into_inner).followed(&exchange.path);
        let began = match followed {
            Some(link) => {
                self.link(&link, exchange);
                link.began
            }
            None => {
                self.operation(exchange);
                Began { method: exchange.method.clone(), path: exchange.path.clone() }
            }
        };
        self.remember(exchange, &began);
    }

    /// A request that follows a link.
    fn link(&self, link: &Link, exchange: &Exchange) {
        let what = match link.leads {
            Leads::Status => "the status of an operation",
            Leads::Result => "the result of an operation",
            Leads::Page => "the next page of a list",
        };
        let operation = match self.contract.find(&link.began.method, &link.began.path) {
            Found::Operation(operation) | Found::OtherVersion(operation) => Some(operation),
            Found::Nothing => None,
        };
        let mut findings = Vec::new();
        if exchange.method != Method::GET {
            findings.push(Finding::new(What::Link, "method", "a link is followed with GET"));
        }
        self.request(what, exchange, findings);
        let findings = match (link.leads, operation) {
            (Leads::Status, _) => self.contract.status(exchange),
            (Leads::Result, operation) => self.contract.result(operation, exchange),
            (Leads::Page, Some(operation)) => self.contract.answer(operation, exchange),
            (Leads::Page, None) => self.contract.refusal(None, exchange),
        };
        self.answer(what, exchange, findings);
    }

    /// A request of an operation.
    fn operation(&self, exchange: &Exchange) {
        let plain = plain_path(exchange);
        match self.contract.find(&exchange.method, &exchange.path) {
            Found::Operation(operation) => {
                let name = format!("{} {}", operation.method, operation.template);
                self.request(&name, exchange, self.contract.request(operation, exchange));
                self.answer(&name, exchange, self.contract.answer(operation, exchange));
            }
            Found::OtherVersion(operation) => {
                let name = format!("{} {}", operation.method, operation.template);
                let version = api_version(&exchange.path);
                let finding = Finding::new(
                    What::ApiVersion,
                    "query api-version",
                    format!(
                        "no document at hand is of {version}; one is of {}",
                        operation.api_version
                    ),
                );
                self.undocumented(&name, &version, exchange, finding);
            }
            Found::Nothing => {
                let text = if link::is_status(&exchange.path) {
                    "is a status URL that no answer handed out"
                } else {
                    "is a path that no document declares"
                };
                let finding = Finding::new(What::Operation, "path", text);
                let version = api_version(&exchange.path);
                self.undocumented(&plain, &version, exchange, finding);
            }
        }
    }

    /// Nothing is known about what was asked: our client may not ask it. A refusal is one all the
    /// same.
    fn undocumented(&self, name: &str, version: &str, exchange: &Exchange, finding: Finding) {
        if is_ours(exchange) && self.checked != Checked::Answers {
            self.request(name, exchange, vec![finding]);
        } else {
            self.report.without_document(format!("{name}, {version}"));
        }
        if exchange.status.as_u16() >= 400 {
            self.answer(name, exchange, self.contract.refusal(None, exchange));
        }
    }

    fn request(&self, name: &str, exchange: &Exchange, findings: Vec<Finding>) {
        if self.checked != Checked::Answers && is_ours(exchange) {
            self.report.checked(name, Side::Request, &plain_path(exchange), findings);
        }
    }

    fn answer(&self, name: &str, exchange: &Exchange, findings: Vec<Finding>) {
        if self.checked != Checked::Requests {
            let side = Side::Answer(exchange.status.as_u16());
            self.report.checked(name, side, &plain_path(exchange), findings);
        }
    }

    /// Keeps the links that the answer hands out.
    fn remember(&self, exchange: &Exchange, began: &Began) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, leads) in [("azure-asyncoperation", Leads::Status), ("location", Leads::Result)]
        {
            if let Some(link) = exchange.told.get(name).and_then(|it| it.to_str().ok()) {
                links.handed_out(link, leads, began);
            }
        }
        let body = serde_json::from_slice::<Value>(&exchange.answered).ok();
        if let Some(link) = body.as_ref().and_then(next_link) {
            links.handed_out(link, Leads::Page, began);
        }
    }
}

/// Method and path; the query may be a secret.
fn plain_path(exchange: &Exchange) -> String {
    let path = exchange.path.split('?').next().unwrap_or_default();
    format!("{} {path}", exchange.method)
}

fn is_ours(exchange: &Exchange) -> bool {
    let agent = exchange.asked.get(USER_AGENT).map(|it| it.as_bytes());
    agent.is_none_or(|it| it.starts_with(OURS.as_bytes()))
}

fn api_version(path: &str) -> String {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "api-version")
        .map_or("no api-version".to_owned(), |(_, value)| value.into_owned())
}
