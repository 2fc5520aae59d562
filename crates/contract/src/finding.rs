//! One way in which a request or an answer is not what its document says.

use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// No document knows this method of this path.
    Operation,
    /// No document at hand is of this API version.
    ApiVersion,
    /// A part of the path is not what its parameter allows.
    Path,
    /// A query parameter is missing, undeclared, or not what is allowed.
    Query,
    /// The status is not declared.
    Status,
    /// A header is undeclared, or not what is allowed.
    Header,
    /// A declared header is not there.
    HeaderMissing,
    /// There is a body where none is declared, none where one is, or it is no JSON.
    Body,
    /// A member that is not declared.
    Undeclared,
    /// A member that only answers have.
    ReadOnly,
    /// A required member is not there.
    Missing,
    /// `null` where a value is declared.
    Null,
    /// Another type, form or value than the declared one.
    Value,
    /// A link that no answer handed out, or that is not used as one.
    Link,
}

/// One finding. It never quotes a value: values may be secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub what: What,
    /// A JSON pointer into the body with `*` for the number of an element, or `status`,
    /// `header location`, `query $expand`, `path galleryName`.
    pub place: String,
    /// What is wrong, in a sentence without its place.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(what: What, place: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { what, place: place.into(), text: text.into() }
    }

    /// The findings in one error of the validator.
    pub(crate) fn of(error: &ValidationError<'_>) -> Vec<Finding> {
        let place = starred(error.instance_path().as_str());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
                .iter()
                .map(|name| {
                    let place = format!("{place}/{name}");
                    Finding::new(What::Undeclared, place, "is not declared")
                })
                .collect(),
            ValidationErrorKind::FalseSchema => {
                vec![Finding::new(What::ReadOnly, place, "is read-only and not to be sent")]
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![Finding::new(What::Missing, format!("{place}/{name}"), "is required")]
            }
            _ if error.instance().is_null() => {
                vec![Finding::new(What::Null, place, "is null")]
            }
            _ => vec![Finding::new(What::Value, place, error.masked().to_string())],
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            return f.write_str(&self.text);
        }
        write!(f, "`{}` {}", self.place, self.text)
    }
}

/// A pointer in which elements have no number, so that the same mistake in each is one.
fn starred(pointer: &str) -> String {
    let star = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        if is_number { "*".to_owned() } else { part.to_owned() }
    };
    pointer.split('/').map(star).collect::<Vec<_>>().join("/")
}

/// The link to the next page in `body`.
pub(crate) fn next_link(body: &Value) -> Option<&str> {
    body.get("nextLink")?.as_str()
}
