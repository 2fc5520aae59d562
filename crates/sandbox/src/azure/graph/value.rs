//! Values as Kusto compares them: as numbers where both are, else as texts.

use std::cmp::Ordering;

use serde_json::Value;

use super::parser::Operator;

/// Whether a condition that is worth this holds.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_f64().is_some_and(|it| it != 0.0),
        Value::String(value) => value.eq_ignore_ascii_case("true"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A value as a text: null is empty, texts have no quotes.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Their order.
pub(super) fn compare(one: &Value, other: &Value) -> Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
        _ => text(one).cmp(&text(other)),
    }
}

/// Whether `left operator right`.
pub(super) fn holds(operator: Operator, left: &Value, right: &Value) -> bool {
    let folded = |value: &Value| text(value).to_lowercase();
    match operator {
        Operator::Equal => compare(left, right) == Ordering::Equal,
        Operator::NotEqual => compare(left, right) != Ordering::Equal,
        Operator::EqualFolded => folded(left) == folded(right),
        Operator::NotEqualFolded => folded(left) != folded(right),
        Operator::Less => compare(left, right) == Ordering::Less,
        Operator::LessOrEqual => compare(left, right) != Ordering::Greater,
        Operator::Greater => compare(left, right) == Ordering::Greater,
        Operator::GreaterOrEqual => compare(left, right) != Ordering::Less,
        Operator::Contains => folded(left).contains(&folded(right)),
        Operator::NotContains => !folded(left).contains(&folded(right)),
        Operator::Has => has(&folded(left), &folded(right)),
        Operator::NotHas => !has(&folded(left), &folded(right)),
        Operator::StartsWith => folded(left).starts_with(&folded(right)),
        Operator::NotStartsWith => !folded(left).starts_with(&folded(right)),
        Operator::EndsWith => folded(left).ends_with(&folded(right)),
        Operator::NotEndsWith => !folded(left).ends_with(&folded(right)),
    }
}

/// Whether `term` is in `text` as whole words: no letter or digit stands beside it.
fn has(text: &str, term: &str) -> bool {
    if term.is_empty() {
        return true;
    }
    text.match_indices(term).any(|(index, found)| {
        let before = text[..index].chars().next_back();
        let after = text[index + found.len()..].chars().next();
        let alone = |it: Option<char>| !it.is_some_and(char::is_alphanumeric);
        alone(before) && alone(after)
    })
}
