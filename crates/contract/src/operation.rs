//! One operation of a document: its method, the template of its path, its parameters, its answers.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::document::{At, Documents, Unreadable};

/// One operation as a document declares it.
#[derive(Debug)]
pub struct Operation {
    /// Microsoft's name for it.
    pub id: String,
    pub method: Method,
    /// The template of its path, as `/subscriptions/{subscriptionId}/...`, without a query.
    pub template: String,
    /// The API version of the document.
    pub api_version: String,
    pub(crate) file: String,
    /// What the query must begin with, for templates that have one: `$expand` and `Properties`.
    pub(crate) chosen_by: Option<(String, String)>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Payload>,
    /// By status.
    pub(crate) answers: BTreeMap<u16, Declared>,
    /// The schema of every refusal.
    pub(crate) refusal: Option<At>,
    pub(crate) is_long_running: bool,
}

/// A parameter that is no body.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// `path`, `query` or `header`.
    pub(crate) place: String,
    pub(crate) required: bool,
    pub(crate) declared: Value,
}

/// A body that is sent.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) schema: At,
    pub(crate) required: bool,
}

/// An answer that is declared.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) schema: Option<At>,
    /// In lower case.
    pub(crate) headers: Vec<String>,
}

const METHODS: [Method; 6] =
    [Method::GET, Method::PUT, Method::PATCH, Method::POST, Method::DELETE, Method::HEAD];

/// A parameter that stands for several segments of a path.
const WHOLE_IDS: [&str; 2] = ["{scope}", "{resourceId}"];

/// Stands for the operations of every provider, under their own API versions: no operation of its
/// own.
const ANY_PROVIDER: &str = "{resourceProviderNamespace}/{parentResourcePath}";

/// Every operation of every document.
pub(crate) fn all(documents: &Documents) -> Result<Vec<Operation>, Unreadable> {
    let mut operations = Vec::new();
    for (file, document) in documents.iter() {
        for paths in ["paths", "x-ms-paths"] {
            let all = document.get(paths).and_then(Value::as_object);
            for (template, item) in all.into_iter().flatten() {
                if template.contains(ANY_PROVIDER) {
                    continue;
                }
                let escaped = template.replace('~', "~0").replace('/', "~1");
                let path = At { file: file.clone(), pointer: format!("/{paths}/{escaped}") };
                for method in METHODS {
                    let name = method.as_str().to_ascii_lowercase();
                    if item.get(&name).is_some() {
                        let at = path.below(&name);
                        operations.push(read(documents, document, template, method, &path, &at)?);
                    }
                }
            }
        }
    }
    Ok(operations)
}

impl At {
    fn below(&self, part: &str) -> At {
        At { file: self.file.clone(), pointer: format!("{}/{part}", self.pointer) }
    }
}

fn read(
    documents: &Documents,
    document: &Value,
    template: &str,
    method: Method,
    path: &At,
    at: &At,
) -> Result<Operation, Unreadable> {
    let text = |pointer: &str| {
        let value = documents.get(&at.below(pointer)).or(document.pointer("/info/version"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (template, query) = template.split_once('?').unwrap_or((template, ""));
    let (mut parameters, mut body) = (Vec::new(), None);
    for declared in [path.below("parameters"), at.below("parameters")] {
        let list = documents.get(&declared).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..list {
            let mut at = declared.below(&index.to_string());
            if let Some(reference) = documents.get(&at.below("$ref")).and_then(Value::as_str) {
                at = documents.resolve(&at.file, reference)?;
            }
            let Some(declared) = documents.get(&at) else { continue };
            let required = declared.get("required") == Some(&Value::Bool(true));
            let text = |name: &str| declared.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("in") {
                "body" => body = Some(Payload { schema: at.below("schema"), required }),
                place => parameters.push(Parameter {
                    name: text("name").to_owned(),
                    place: place.to_owned(),
                    required,
                    declared: declared.clone(),
                }),
            }
        }
    }

    let (mut answers, mut refusal) = (BTreeMap::new(), None);
    let responses = at.below("responses");
    let listed = documents.get(&responses).and_then(Value::as_object);
    for (status, declared) in listed.into_iter().flatten() {
        let schema = declared.get("schema").map(|_| responses.below(status).below("schema"));
        match status.parse() {
            Ok(status) => {
                let headers = declared.get("headers").and_then(Value::as_object);
                let headers = headers.into_iter().flatten().map(|(it, _)| it.to_ascii_lowercase());
                answers.insert(status, Declared { schema, headers: headers.collect() });
            }
            Err(_) => refusal = schema,
        }
    }

    let long_running = documents.get(&at.below("x-ms-long-running-operation"));
    Ok(Operation {
        id: text("operationId"),
        method,
        template: template.to_owned(),
        api_version: text("x-api-version"),
        file: at.file.clone(),
        chosen_by: query.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
        parameters,
        body,
        answers,
        refusal,
        is_long_running: long_running == Some(&Value::Bool(true)),
    })
}

impl Operation {
    /// The values of the template's parameters in `path`, when it is a path of this operation.
    /// Literal parts are compared without regard to case, as Azure does.
    pub(crate) fn values(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut wanted: Vec<&str> = self.template.trim_matches('/').split('/').collect();
        let mut given: Vec<&str> = path.trim_matches('/').split('/').collect();
        if WHOLE_IDS.contains(&wanted[0]) {
            wanted.remove(0);
            let scope = given.len().checked_sub(wanted.len()).filter(|it| *it > 0)?;
            given.drain(..scope);
        }
        if wanted.len() != given.len() {
            return None;
        }
        let mut values = Vec::new();
        for (wanted, given) in wanted.into_iter().zip(given) {
            match wanted.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                Some(name) if !given.is_empty() => {
                    let value = percent_decode_str(given).decode_utf8_lossy().into_owned();
                    values.push((name.to_owned(), value));
                }
                None if wanted.eq_ignore_ascii_case(given) => {}
                _ => return None,
            }
        }
        Some(values)
    }

    /// How many parts of the template are literal: among several that fit, the one with most wins.
    pub(crate) fn literals(&self) -> usize {
        let parts = self.template.trim_matches('/').split('/');
        parts.filter(|it| !it.starts_with('{')).count() + usize::from(self.chosen_by.is_some())
    }

    /// Whether `query` chooses this operation. A value that goes on after the one of the template
    /// chooses it too: `properties/imageDeprecationStatus` answers with properties
    /// (recordings/platform_images_list.json).
    pub(crate) fn is_chosen(&self, query: &[(String, String)]) -> bool {
        let Some((name, wanted)) = &self.chosen_by else { return true };
        query.iter().any(|(given, value)| {
            let begins =
                value.get(..wanted.len()).is_some_and(|it| it.eq_ignore_ascii_case(wanted));
            given.eq_ignore_ascii_case(name) && begins
        })
    }

    /// True for a document that was made from an SDK, and so has lost some of the original.
    pub(crate) fn is_derived(&self) -> bool {
        self.file.contains(".derived")
    }
}
