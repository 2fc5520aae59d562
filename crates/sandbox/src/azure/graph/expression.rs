//! What an expression is worth in a row: columns, members, comparisons, and the functions that are
//! known here.

use serde_json::{Value, json};

use super::effort::{Effort, weight};
use super::parser::{Expression, Operator};
use super::value::{holds, is_true, text};

/// What a query means that cannot be: a column or a function that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaningless(pub(super) String);

/// Whether every column and function of `expression` is there, also when there is no row.
pub(super) fn check(expression: &Expression, columns: &[String]) -> Result<(), Meaningless> {
    match expression {
        Expression::Literal(_) => Ok(()),
        Expression::Column(name) => column(name, columns).map(|_| ()),
        Expression::Member(value, member) => {
            check(value, columns)?;
            check(member, columns)
        }
        Expression::Call(name, arguments) => {
            if !FUNCTIONS.contains(&name.as_str()) {
                return Err(Meaningless(format!("'{name}' is not a function that is known here")));
            }
            arguments.iter().try_for_each(|it| check(it, columns))
        }
        Expression::All(list) | Expression::Any(list) => {
            list.iter().try_for_each(|it| check(it, columns))
        }
        Expression::Binary(_, left, right) => {
            check(left, columns)?;
            check(right, columns)
        }
        Expression::In { value, list, .. } => {
            check(value, columns)?;
            list.iter().try_for_each(|it| check(it, columns))
        }
    }
}

fn column(name: &str, columns: &[String]) -> Result<usize, Meaningless> {
    let found = columns.iter().position(|it| it == name);
    found.ok_or_else(|| {
        Meaningless(format!("Failed to resolve column or scalar expression named '{name}'"))
    })
}

/// What `expression` is worth in `row`.
pub(super) fn value(
    effort: &Effort,
    expression: &Expression,
    columns: &[String],
    row: &[Value],
) -> Result<Value, Meaningless> {
    let found = evaluated(effort, expression, columns, row)?;
    effort.spend(weight(&found))?;
    Ok(found)
}

fn evaluated(
    effort: &Effort,
    expression: &Expression,
    columns: &[String],
    row: &[Value],
) -> Result<Value, Meaningless> {
    let value = |expression| value(effort, expression, columns, row);
    match expression {
        Expression::Literal(value) => Ok(value.clone()),
        Expression::Column(name) => Ok(row[column(name, columns)?].clone()),
        Expression::Member(inside, member) => {
            let inside = value(inside)?;
            let member = value(member)?;
            Ok(match (&member, &inside) {
                (Value::String(name), Value::Object(_)) => inside[name.as_str()].clone(),
                (Value::Number(index), Value::Array(items)) => {
                    let index = index.as_u64().and_then(|it| usize::try_from(it).ok());
                    index.and_then(|it| items.get(it)).cloned().unwrap_or(Value::Null)
                }
                _ => Value::Null,
            })
        }
        Expression::Call(name, arguments) => {
            let values: Result<Vec<Value>, Meaningless> = arguments.iter().map(value).collect();
            call(name, &values?)
        }
        Expression::All(conditions) => {
            for condition in conditions {
                if !is_true(&value(condition)?) {
                    return Ok(json!(false));
                }
            }
            Ok(json!(true))
        }
        Expression::Any(conditions) => {
            for condition in conditions {
                if is_true(&value(condition)?) {
                    return Ok(json!(true));
                }
            }
            Ok(json!(false))
        }
        Expression::Binary(operator, left, right) => {
            let (left, right) = (value(left)?, value(right)?);
            Ok(json!(holds(*operator, &left, &right)))
        }
        Expression::In { value: inside, list, folded, negated } => {
            let found = value(inside)?;
            let mut is_there = false;
            for item in list {
                let item = value(item)?;
                let operator = if *folded { Operator::EqualFolded } else { Operator::Equal };
                is_there |= holds(operator, &found, &item);
            }
            Ok(json!(is_there != *negated))
        }
    }
}

/// The functions that are known here.
const FUNCTIONS: [&str; 16] = [
    "tolower",
    "toupper",
    "tostring",
    "coalesce",
    "isempty",
    "isnotempty",
    "isnull",
    "isnotnull",
    "not",
    "strcat",
    "strlen",
    "split",
    "array_length",
    "iif",
    "iff",
    "toint",
];

fn call(name: &str, values: &[Value]) -> Result<Value, Meaningless> {
    let argument = |index: usize| values.get(index).unwrap_or(&Value::Null);
    let empty = |value: &Value| text(value).is_empty();
    Ok(match name {
        "tolower" => json!(text(argument(0)).to_lowercase()),
        "toupper" => json!(text(argument(0)).to_uppercase()),
        "tostring" => json!(text(argument(0))),
        // Kusto's coalesce takes the first that is not null, of texts the first that is not empty.
        "coalesce" => values.iter().find(|it| !empty(it)).cloned().unwrap_or(Value::Null),
        "isempty" => json!(empty(argument(0))),
        "isnotempty" => json!(!empty(argument(0))),
        "isnull" => json!(argument(0).is_null()),
        "isnotnull" => json!(!argument(0).is_null()),
        "not" => json!(!is_true(argument(0))),
        "strcat" => json!(values.iter().map(text).collect::<String>()),
        "strlen" => json!(text(argument(0)).chars().count()),
        "split" => {
            let (whole, by) = (text(argument(0)), text(argument(1)));
            let parts: Vec<&str> =
                if by.is_empty() { vec![&whole] } else { whole.split(&by).collect() };
            match values.get(2).and_then(Value::as_u64) {
                Some(index) => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    parts.get(index).map_or(json!([]), |it| json!([it]))
                }
                None => json!(parts),
            }
        }
        "array_length" => argument(0).as_array().map_or(Value::Null, |it| json!(it.len())),
        "iif" | "iff" => argument(if is_true(argument(0)) { 1 } else { 2 }).clone(),
        "toint" => text(argument(0)).parse::<i64>().map_or(Value::Null, |it| json!(it)),
        _ => return Err(Meaningless(format!("'{name}' is not a function that is known here"))),
    })
}
