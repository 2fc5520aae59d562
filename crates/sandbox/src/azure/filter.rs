//! `$filter` over resources and resource groups: what of it the service's documents allow for lists
//! (the description of Resources_List) and clients send. What is not understood is refused, never
//! passed over.

use http::StatusCode;
use serde_json::Value;

use super::answer::Refusal;
use super::plain;

/// One condition; texts in lower case, as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Type(String),
    /// The resource's own name, without those of what it is in (azure-powershell issue 11692).
    Name(String),
    Group(String),
    Location(String),
    TagName(String),
    TagNameStart(String),
    TagValue(String),
}

/// Conditions that all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Vec<Condition>);

impl Filter {
    /// Reads `resourceType eq 'a/b' and name eq 'c'`, `tagName eq 'd' and tagValue eq 'e'`,
    /// `startswith(tagName, 'f')`. An empty text, as `az` sends it, is no condition.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn parse(text: &str) -> Result<Filter, Refusal> {
        let clauses = text.split(" and ").map(str::trim).filter(|it| !it.is_empty());
        let conditions: Option<Vec<Condition>> = clauses.map(condition).collect();
        let conditions = conditions.ok_or_else(|| invalid(text))?;
        let has_name =
            |it: &Condition| matches!(it, Condition::TagName(_) | Condition::TagNameStart(_));
        let has_value = conditions.iter().any(|it| matches!(it, Condition::TagValue(_)));
        if has_value && !conditions.iter().any(has_name) {
            return Err(invalid(text));
        }
        Ok(Filter(conditions))
    }

    /// Whether all conditions hold for this resource.
    pub(super) fn admits(&self, body: &Value) -> bool {
        let text = |member: &str| body[member].as_str().unwrap_or_default().to_lowercase();
        let id = text("id");
        self.0.iter().all(|condition| match condition {
            Condition::Type(kind) => text("type") == *kind,
            Condition::Name(name) => plain::name_of(&id) == name,
            Condition::Group(group) => plain::group_of(&id) == group,
            Condition::Location(location) => text("location") == *location,
            Condition::TagName(_) | Condition::TagNameStart(_) | Condition::TagValue(_) => {
                self.admits_tags(body)
            }
        })
    }

    /// One tag must fulfil what is said of its name and of its value.
    fn admits_tags(&self, body: &Value) -> bool {
        let tags = body["tags"].as_object();
        tags.into_iter().flatten().any(|(name, value)| {
            let name = name.to_lowercase();
            let value = value.as_str().unwrap_or_default().to_lowercase();
            self.0.iter().all(|condition| match condition {
                Condition::TagName(wanted) => name == *wanted,
                Condition::TagNameStart(start) => name.starts_with(start),
                Condition::TagValue(wanted) => value == *wanted,
                Condition::Type(_)
                | Condition::Name(_)
                | Condition::Group(_)
                | Condition::Location(_) => true,
            })
        })
    }

    /// Whether name and value of a tag are asked for: then lists tell no tags (documented).
    pub(super) fn hides_tags(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Condition::TagValue(_)))
    }
}

fn condition(clause: &str) -> Option<Condition> {
    let lower = clause.to_lowercase();
    if let Some(arguments) = lower.strip_prefix("startswith(").and_then(|it| it.strip_suffix(')')) {
        let (property, start) = arguments.split_once(',')?;
        let start = quoted(start.trim())?;
        return (property.trim() == "tagname").then_some(Condition::TagNameStart(start));
    }
    let (property, value) = lower.split_once(" eq ")?;
    let value = quoted(value.trim())?;
    match property.trim() {
        "resourcetype" => Some(Condition::Type(value)),
        "name" => Some(Condition::Name(value)),
        "resourcegroup" => Some(Condition::Group(value)),
        "location" => Some(Condition::Location(super::region::short(&value))),
        "tagname" => Some(Condition::TagName(value)),
        "tagvalue" => Some(Condition::TagValue(value)),
        _ => None,
    }
}

/// The text between two single quotes, in which a quote is doubled (OData).
fn quoted(text: &str) -> Option<String> {
    let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inside.replace("''", "'"))
}

fn invalid(filter: &str) -> Refusal {
    Refusal::gateway(
        StatusCode::BAD_REQUEST,
        "InvalidFilterInQueryString",
        format!("Invalid $filter '{filter}' specified in the query string."),
    )
}
