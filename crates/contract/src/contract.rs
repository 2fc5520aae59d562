//! The documents as one contract: which operation a request is of, and every way in which a request
//! or an answer deviates from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, StatusCode};
use jsonschema::Validator;
use serde_json::Value;

use crate::document::{At, Documents, Unreadable};
use crate::exception::{EXCEPTIONS, Exception};
use crate::finding::{Finding, What};
use crate::later;
use crate::operation::{self, Operation, Parameter};
use crate::report::Side;
use crate::schema::{self, Direction};
use crate::watch::Exchange;

/// The headers that tell where a long-running operation can be followed.
const POLLING: [&str; 2] = ["azure-asyncoperation", "location"];

/// Microsoft's documents, ready to be held against.
#[derive(Debug)]
pub struct Contract {
    documents: Documents,
    operations: Vec<Operation>,
    exceptions: &'static [Exception],
    compiled: Mutex<BTreeMap<(At, Direction), Arc<Validator>>>,
}

/// What a request is of.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// This operation, in its API version.
    Operation(&'a Operation),
    /// This operation, which no document at hand has in the API version that was asked for.
    OtherVersion(&'a Operation),
    /// No operation of any document.
    Nothing,
}

impl Contract {
    /// Reads the documents in `folder/specs`, or in `folder` itself.
    ///
    /// # Errors
    /// A folder or file that cannot be read, that holds no document or a reference to nothing.
    pub fn read(folder: &Path) -> Result<Contract, Unreadable> {
        let specs = folder.join("specs");
        let documents = Documents::read(if specs.is_dir() { &specs } else { folder })?;
        let operations = operation::all(&documents)?;
        if operations.is_empty() {
            return Err(Unreadable::Empty(folder.to_owned()));
        }
        let compiled = Mutex::default();
        Ok(Contract { documents, operations, exceptions: EXCEPTIONS, compiled })
    }

    /// The same without any allowed exception: what a recording would be if its answer were not
    /// known.
    #[must_use]
    pub fn without_exceptions(self) -> Contract {
        Contract { exceptions: &[], ..self }
    }

    /// How many documents declare operations.
    pub fn documents(&self) -> usize {
        let files: std::collections::BTreeSet<&str> =
            self.operations.iter().map(|it| it.file.as_str()).collect();
        files.len()
    }

    /// Every operation.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that `method` of `path`, with its query, is.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let (path, query) = split(path);
        let fits = |it: &&Operation| {
            it.method == *method && it.is_chosen(&query) && it.values(path).is_some()
        };
        let most = self.operations.iter().filter(fits).map(Operation::literals).max();
        let candidates =
            self.operations.iter().filter(fits).filter(|it| Some(it.literals()) == most);
        let version = value(&query, "api-version").unwrap_or_default();
        // Microsoft's own text before what was derived from an SDK.
        let exact = candidates
            .clone()
            .filter(|it| it.api_version == version)
            .min_by_key(|it| it.is_derived());
        match exact {
            Some(operation) => Found::Operation(operation),
            None => match candidates.max_by_key(|it| (&it.api_version, !it.is_derived())) {
                Some(operation) if self.admits(operation, version) => Found::Operation(operation),
                Some(operation) => Found::OtherVersion(operation),
                None => Found::Nothing,
            },
        }
    }

    /// Every way in which the request of `exchange` is not one of `operation`.
    pub fn request(&self, operation: &Operation, exchange: &Exchange) -> Vec<Finding> {
        let (path, query) = split(&exchange.path);
        let mut findings = Vec::new();
        let values = operation.values(path).unwrap_or_default();
        for parameter in &operation.parameters {
            let given = match parameter.place.as_str() {
                "path" => value(&values, &parameter.name).map(str::to_owned),
                "query" => value(&query, &parameter.name).map(str::to_owned),
                _ => header(&exchange.asked, &parameter.name),
            };
            findings.extend(self.parameter(operation, parameter, given));
        }
        for (name, _) in &query {
            let declared = operation
                .parameters
                .iter()
                .any(|it| it.place == "query" && it.name.eq_ignore_ascii_case(name));
            if !declared && name != "api-version" {
                findings.push(Finding::new(
                    What::Query,
                    format!("query {name}"),
                    "is not declared",
                ));
            }
        }

        let version = value(&query, "api-version").unwrap_or_default();
        findings.extend(later::queries(operation, version, &query));
        findings.extend(later::members(operation, version, &exchange.sent));
        match (&operation.body, exchange.sent.is_empty()) {
            (Some(body), false) => {
                findings.extend(self.body(&body.schema, Direction::Request, &exchange.sent));
                findings.extend(json_type(&exchange.asked));
            }
            (Some(body), true) if body.required => {
                findings.push(Finding::new(What::Body, "body", "is required and was not sent"));
            }
            (None, false) => {
                findings.push(Finding::new(What::Body, "body", "was sent and is not declared"));
            }
            (Some(_) | None, true) => {}
        }
        self.unexcused(operation, Side::Request, findings)
    }

    /// Every way in which the answer of `exchange` is not one of `operation`.
    pub fn answer(&self, operation: &Operation, exchange: &Exchange) -> Vec<Finding> {
        let status = exchange.status.as_u16();
        let (_, query) = split(&exchange.path);
        let version = value(&query, "api-version").unwrap_or_default();
        let mut findings = later::members(operation, version, &exchange.answered);
        match operation.answers.get(&status) {
            Some(declared) => {
                findings.extend(polling(operation, &declared.headers, exchange));
                match (&declared.schema, exchange.answered.is_empty()) {
                    (Some(schema), false) => {
                        findings.extend(self.body(schema, Direction::Answer, &exchange.answered));
                        findings.extend(json_type(&exchange.told));
                    }
                    (Some(_), true) => {
                        findings.push(Finding::new(What::Body, "body", "is declared and empty"));
                    }
                    (None, false) => {
                        findings.push(Finding::new(
                            What::Body,
                            "body",
                            "is there and not declared",
                        ));
                    }
                    (None, true) => {}
                }
            }
            None if status >= 400 => {
                findings.extend(self.refusal(operation.refusal.as_ref(), exchange));
            }
            None => {
                let declared: Vec<String> =
                    operation.answers.keys().map(ToString::to_string).collect();
                let declared = declared.join(", ");
                let text = format!("{status} is not declared; {declared} are");
                findings.push(Finding::new(What::Status, "status", text));
            }
        }
        self.unexcused(operation, Side::Answer(status), findings)
    }

    fn parameter(
        &self,
        operation: &Operation,
        parameter: &Parameter,
        given: Option<String>,
    ) -> Vec<Finding> {
        let what = match parameter.place.as_str() {
            "path" => What::Path,
            "query" => What::Query,
            _ => What::Header,
        };
        let Parameter { name, place, required, declared } = parameter;
        let place = format!("{place} {name}");
        let Some(given) = given else {
            let missing = Finding::new(what, place, "is required");
            return if *required { vec![missing] } else { Vec::new() };
        };
        // The value that chose the operation is more than the template's.
        if operation.chosen_by.as_ref().is_some_and(|(it, _)| it == name) {
            return Vec::new();
        }
        let typed = match declared.get("type").and_then(Value::as_str) {
            Some("string") | None => Value::String(given),
            Some(_) => serde_json::from_str(&given).unwrap_or(Value::String(given)),
        };
        match schema::compile_parameter(&operation.file, declared) {
            Ok(limits) => limits
                .iter_errors(&typed)
                .map(|error| Finding::new(what, place.clone(), error.masked().to_string()))
                .collect(),
            Err(error) => vec![Finding::new(what, place, error.to_string())],
        }
    }

    /// Every way in which `bytes` are not the schema `at`.
    pub(crate) fn body(&self, at: &At, direction: Direction, bytes: &[u8]) -> Vec<Finding> {
        let body: Value = match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(_) => return vec![Finding::new(What::Body, "body", "is no JSON")],
        };
        match self.validator(at, direction) {
            Ok(validator) => validator.iter_errors(&body).flat_map(|it| Finding::of(&it)).collect(),
            Err(error) => vec![Finding::new(What::Operation, "document", error.to_string())],
        }
    }

    fn validator(&self, at: &At, direction: Direction) -> Result<Arc<Validator>, Unreadable> {
        let key = (at.clone(), direction);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(&key) {
            return Ok(Arc::clone(validator));
        }
        let validator = Arc::new(schema::compile(&self.documents, at, direction)?);
        compiled.insert(key, Arc::clone(&validator));
        Ok(validator)
    }

    /// Whether an exception lets `operation` be asked for in this API version.
    fn admits(&self, operation: &Operation, version: &str) -> bool {
        self.exceptions.iter().any(|it| it.admits(operation, version))
    }

    /// Those of `findings` that no recording excuses.
    fn unexcused(&self, operation: &Operation, side: Side, findings: Vec<Finding>) -> Vec<Finding> {
        let excused = |finding: &Finding| {
            self.exceptions.iter().any(|it| it.excuses(operation, side, finding))
        };
        findings.into_iter().filter(|it| !excused(it)).collect()
    }
}

/// The headers of a long-running operation's answer: those declared, no other, and at least one
/// where something goes on.
fn polling(operation: &Operation, declared: &[String], exchange: &Exchange) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut any = false;
    for name in POLLING {
        let told = exchange.told.contains_key(name);
        any |= told;
        let (what, text) = match (declared.iter().any(|it| it == name), told) {
            (true, false) => (What::HeaderMissing, "is declared and not there"),
            (false, true) => (What::Header, "is there and not declared"),
            (true, true) | (false, false) => continue,
        };
        findings.push(Finding::new(what, format!("header {name}"), text));
    }
    let goes_on = matches!(exchange.status, StatusCode::CREATED | StatusCode::ACCEPTED);
    if operation.is_long_running && goes_on && !any {
        let text = "neither Azure-AsyncOperation nor Location tells where it can be followed";
        findings.push(Finding::new(What::Header, "headers", text));
    }
    if let Some(wait) = exchange.told.get("retry-after")
        && !wait.to_str().is_ok_and(|it| it.parse::<u32>().is_ok())
    {
        let text = "is no number of seconds";
        findings.push(Finding::new(What::Header, "header retry-after", text));
    }
    findings
}

/// A body that does not say that it is JSON.
pub(crate) fn json_type(headers: &HeaderMap) -> Option<Finding> {
    let is_json = header(headers, "content-type")
        .is_some_and(|it| it.to_ascii_lowercase().starts_with("application/json"));
    let finding =
        || Finding::new(What::Header, "header content-type", "does not say `application/json`");
    (!is_json).then(finding)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

/// A path and the parameters of its query.
fn split(path: &str) -> (&str, Vec<(String, String)>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (path, url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

fn value<'a>(values: &'a [(String, String)], name: &str) -> Option<&'a str> {
    values.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
