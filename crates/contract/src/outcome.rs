//! What a long-running operation comes to, behind the links that its answers hand out: its status,
//! and its result.

use http::{Method, StatusCode};

use crate::contract::{Contract, json_type};
use crate::document::At;
use crate::finding::{Finding, What};
use crate::operation::Operation;
use crate::schema::Direction;
use crate::watch::Exchange;

/// What the status of a long-running operation looks like; no provider's document has it.
const STATUS_SCHEMA: (&str, &str) =
    ("common-types/resource-management/v5/types.json", "/definitions/OperationStatusResult");

/// What a refusal looks like where a document does not say.
const REFUSAL_SCHEMA: (&str, &str) =
    ("common-types/resource-management/v5/types.json", "/definitions/ErrorResponse");

impl Contract {
    /// Every way in which an answer is not the status of a long-running operation.
    pub fn status(&self, exchange: &Exchange) -> Vec<Finding> {
        if exchange.status.as_u16() >= 400 {
            return self.refusal(None, exchange);
        }
        if exchange.status != StatusCode::OK {
            return vec![Finding::new(
                What::Status,
                "status",
                "a status URL answers with 200, whatever its operation has come to",
            )];
        }
        let mut findings = self.body(&at(STATUS_SCHEMA), Direction::Answer, &exchange.answered);
        findings.extend(json_type(&exchange.told));
        findings
    }

    /// Every way in which an answer is not what `Location` leads to: 202 without a body while
    /// `operation` goes on; then 204, or 200 with nothing, with the status once more, or with what
    /// `operation` declares that it makes (recordings/ib_create_list_delete.json, gallery_e2e.json).
    pub fn result(&self, operation: Option<&Operation>, exchange: &Exchange) -> Vec<Finding> {
        let empty = exchange.answered.is_empty();
        match exchange.status {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT if empty => Vec::new(),
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                vec![Finding::new(What::Body, "body", "is there and should be empty")]
            }
            StatusCode::OK | StatusCode::CREATED if empty => Vec::new(),
            StatusCode::OK | StatusCode::CREATED => {
                let status = self.body(&at(STATUS_SCHEMA), Direction::Answer, &exchange.answered);
                let mut findings = match operation.and_then(made) {
                    _ if status.is_empty() => status,
                    Some(schema) => self.body(schema, Direction::Answer, &exchange.answered),
                    None => status,
                };
                findings.extend(json_type(&exchange.told));
                findings
            }
            refused if refused.as_u16() >= 400 => {
                self.refusal(operation.and_then(|it| it.refusal.as_ref()), exchange)
            }
            _ => {
                let text = "is none of 200, 201, 202 and 204";
                vec![Finding::new(What::Status, "status", text)]
            }
        }
    }

    /// Every way in which an answer is not a refusal in the form of `schema`.
    pub(crate) fn refusal(&self, schema: Option<&At>, exchange: &Exchange) -> Vec<Finding> {
        if exchange.method == Method::HEAD || exchange.answered.is_empty() {
            return Vec::new();
        }
        let common = at(REFUSAL_SCHEMA);
        let mut findings =
            self.body(schema.unwrap_or(&common), Direction::Answer, &exchange.answered);
        findings.extend(json_type(&exchange.told));
        findings
    }
}

/// The schema of what `operation` makes: of its 200, else of another good answer.
fn made(operation: &Operation) -> Option<&At> {
    let good = operation.answers.iter().filter(|(status, _)| **status < 300);
    good.filter_map(|(_, declared)| declared.schema.as_ref()).next()
}

fn at((file, pointer): (&str, &str)) -> At {
    At { file: file.to_owned(), pointer: pointer.to_owned() }
}
