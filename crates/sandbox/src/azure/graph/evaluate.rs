//! Runs a parsed query over rows. Values are JSON, as Resource Graph's dynamic columns are; what is
//! absent is null, and null as a text is empty.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::effort::{Effort, weight};
use super::parser::{Expression, Operator, Order, Query, Step};

/// Rows with named columns, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

/// What a query means that cannot be: a column or a function that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaningless(pub(super) String);

/// Runs `query` over `table`.
pub(super) fn run(query: &Query, table: Table) -> Result<Table, Meaningless> {
    let effort = Effort::of_a_query();
    query.steps.iter().try_fold(table, |table, operator| {
        let whole: u64 = table.rows.iter().flatten().map(weight).sum();
        effort.spend(whole)?;
        step(&effort, table, operator)
    })
}

fn step(effort: &Effort, mut table: Table, step: &Step) -> Result<Table, Meaningless> {
    match step {
        Step::Where(condition) => {
            let mut rows = Vec::new();
            for row in table.rows {
                if is_true(&value(effort, condition, &table.columns, &row)?) {
                    rows.push(row);
                }
            }
            table.rows = rows;
            check(condition, &table.columns)?;
            Ok(table)
        }
        Step::Extend(list) => {
            for (name, expression) in list {
                check(expression, &table.columns)?;
                extend(effort, &mut table, name, expression)?;
            }
            Ok(table)
        }
        Step::Project(list) => project(effort, &table, list),
        Step::ProjectAway(names) => {
            let keep: Vec<usize> = (0..table.columns.len())
                .filter(|it| !names.contains(&table.columns[*it]))
                .collect();
            Ok(Table {
                columns: keep.iter().map(|it| table.columns[*it].clone()).collect(),
                rows: table
                    .rows
                    .iter()
                    .map(|row| keep.iter().map(|it| row[*it].clone()).collect())
                    .collect(),
            })
        }
        Step::Order(orders) => order(effort, table, orders),
        Step::Top(most, orders) => {
            let mut table = order(effort, table, orders)?;
            table.rows.truncate(*most);
            Ok(table)
        }
        Step::Take(most) => {
            table.rows.truncate(*most);
            Ok(table)
        }
        Step::Count => Ok(Table {
            columns: vec!["Count".to_owned()],
            rows: vec![vec![json!(table.rows.len())]],
        }),
        Step::Summarize { count, by } => summarize(effort, &table, count, by),
        Step::Distinct(list) => {
            let mut distinct = project(effort, &table, list)?;
            let mut seen = std::collections::BTreeSet::new();
            distinct.rows.retain(|row| seen.insert(json!(row).to_string()));
            Ok(distinct)
        }
    }
}

fn extend(
    effort: &Effort,
    table: &mut Table,
    name: &str,
    expression: &Expression,
) -> Result<(), Meaningless> {
    let position = table.columns.iter().position(|it| it == name);
    for row in &mut table.rows {
        let value = value(effort, expression, &table.columns, row)?;
        match position {
            Some(position) => row[position] = value,
            None => row.push(value),
        }
    }
    if position.is_none() {
        table.columns.push(name.to_owned());
    }
    Ok(())
}

fn project(
    effort: &Effort,
    table: &Table,
    list: &[(String, Expression)],
) -> Result<Table, Meaningless> {
    for (_, expression) in list {
        check(expression, &table.columns)?;
    }
    let mut rows = Vec::new();
    for row in &table.rows {
        let values: Result<Vec<Value>, Meaningless> =
            list.iter().map(|it| value(effort, &it.1, &table.columns, row)).collect();
        rows.push(values?);
    }
    Ok(Table { columns: list.iter().map(|it| it.0.clone()).collect(), rows })
}

fn order(
    effort: &Effort,
    mut table: Table,
    orders: &[(Expression, Order)],
) -> Result<Table, Meaningless> {
    let mut keyed = Vec::new();
    for (expression, _) in orders {
        check(expression, &table.columns)?;
    }
    for row in table.rows {
        let keys: Result<Vec<Value>, Meaningless> =
            orders.iter().map(|it| value(effort, &it.0, &table.columns, &row)).collect();
        keyed.push((keys?, row));
    }
    // Each key is looked at about as often as the number of keys has digits.
    let keys: u64 = keyed.iter().flat_map(|it| &it.0).map(weight).sum();
    effort.spend(keys * u64::from(keyed.len().checked_ilog2().unwrap_or(0)))?;
    keyed.sort_by(|one, other| {
        for (index, (_, order)) in orders.iter().enumerate() {
            let found = compare(&one.0[index], &other.0[index]);
            let found = if *order == Order::Descending { found.reverse() } else { found };
            if found != Ordering::Equal {
                return found;
            }
        }
        Ordering::Equal
    });
    table.rows = keyed.into_iter().map(|it| it.1).collect();
    Ok(table)
}

fn summarize(
    effort: &Effort,
    table: &Table,
    count: &str,
    by: &[(String, Expression)],
) -> Result<Table, Meaningless> {
    let groups = project(effort, table, by)?;
    let mut counts: BTreeMap<String, (Vec<Value>, u64)> = BTreeMap::new();
    for row in groups.rows {
        let key = json!(row).to_string();
        counts.entry(key).or_insert_with(|| (row, 0)).1 += 1;
    }
    if by.is_empty() {
        counts = BTreeMap::from([(String::new(), (Vec::new(), table.rows.len() as u64))]);
    }
    let mut columns = groups.columns;
    columns.push(count.to_owned());
    let rows = counts.into_values().map(|(mut row, count)| {
        row.push(json!(count));
        row
    });
    Ok(Table { columns, rows: rows.collect() })
}

/// Whether every column and function of `expression` is there, also when there is no row.
fn check(expression: &Expression, columns: &[String]) -> Result<(), Meaningless> {
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

fn value(
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

fn is_true(value: &Value) -> bool {
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

fn compare(one: &Value, other: &Value) -> Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
        _ => text(one).cmp(&text(other)),
    }
}

fn holds(operator: Operator, left: &Value, right: &Value) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::graph::parser::parse;

    fn machines() -> Table {
        let row = |name: &str, kind: &str, properties: Value| {
            vec![json!(format!("/subscriptions/S/{name}")), json!(name), json!(kind), properties]
        };
        Table {
            columns: ["id", "name", "type", "properties"].map(str::to_owned).to_vec(),
            rows: vec![
                row(
                    "a",
                    "microsoft.compute/virtualmachines",
                    json!({ "size": 2, "ref": { "id": "/G/images/D" } }),
                ),
                row(
                    "b",
                    "microsoft.compute/virtualmachines",
                    json!({ "ref": { "id": "/g/images/d/versions/1.0.0" } }),
                ),
                row(
                    "c",
                    "microsoft.compute/disks",
                    json!({ "size": 10, "shared": "/SharedGalleries/6f96-GALCONTOSO/Images/x" }),
                ),
                row("d", "Microsoft.Other/things", json!({ "tags": ["x", "y"] })),
            ],
        }
    }

    /// The names of the rows that `query` leaves, or what it answers instead.
    fn names(query: &str) -> String {
        let parsed = match parse(query) {
            Ok(parsed) => parsed,
            Err(error) => return format!("{}:{} {}", error.line, error.column, error.token),
        };
        match run(&parsed, machines()) {
            Ok(table) => {
                let rows: Vec<String> = table
                    .rows
                    .iter()
                    .map(|row| {
                        row.iter()
                            .filter(|it| !it.is_object())
                            .map(text)
                            .collect::<Vec<_>>()
                            .join(",")
                    })
                    .collect();
                format!("{}: {}", table.columns.join(","), rows.join(" "))
            }
            Err(Meaningless(why)) => why,
        }
    }

    fn chosen(condition: &str) -> String {
        names(&format!("resources | where {condition} | project name"))
    }

    #[test]
    fn conditions_choose_rows() {
        let table = [
            ("name == 'a'", "name: a"),
            ("name == 'A'", "name: "),
            ("name =~ 'A'", "name: a"),
            ("name != 'a'", "name: b c d"),
            ("name !~ 'A'", "name: b c d"),
            ("type in~ ('MICROSOFT.compute/disks', 'microsoft.other/things')", "name: c d"),
            ("type in ('microsoft.other/things')", "name: "),
            ("type !in~ ('microsoft.compute/disks')", "name: a b d"),
            ("type contains 'COMPUTE'", "name: a b c"),
            ("type !contains 'compute'", "name: d"),
            ("type startswith 'Microsoft.Compute/v'", "name: a b"),
            ("type endswith 'S'", "name: a b c d"),
            ("tolower(tostring(properties.ref.id)) startswith '/g/images/d/'", "name: b"),
            ("tolower(properties.ref.id) == '/g/images/d'", "name: a"),
            ("properties.shared has 'galcontoso'", "name: c"),
            ("properties.shared has 'contoso'", "name: "),
            ("properties.size >= 2", "name: a c"),
            ("properties.size > 2", "name: c"),
            ("isnotempty(properties.ref)", "name: a b"),
            ("isempty(properties.ref) and not(name == 'd')", "name: c"),
            ("name == 'a' or name == 'b' and type has 'disks'", "name: a"),
            ("(name == 'a' or name == 'c') and type has 'disks'", "name: c"),
            ("properties.tags[1] == 'y'", "name: d"),
            ("properties['size'] == 10", "name: c"),
            ("coalesce(properties.missing, properties.shared, name) == 'd'", "name: d"),
            ("name == 'a' // and nothing else\n", "name: a"),
        ];
        for (condition, expected) in table {
            assert_eq!(chosen(condition).trim_end(), expected.trim_end(), "{condition}");
        }
    }

    #[test]
    fn operators_shape_the_answer() {
        let table = [
            (
                "resources | project name, size = properties.size | where size == 10",
                "name,size: c,10",
            ),
            ("resources | extend upper = toupper(name) | project upper", "upper: A B C D"),
            ("resources | project name | order by name", "name: d c b a"),
            ("resources | project name | sort by name asc | take 2", "name: a b"),
            ("resources | project name | top 1 by name desc", "name: d"),
            ("resources | count", "Count: 4"),
            (
                "resources | summarize count() by kind = tolower(type) | order by kind asc | project count_",
                "count_: 1 2 1",
            ),
            ("resources | summarize total = count()", "total: 4"),
            ("resources | distinct type | count", "Count: 3"),
            ("resources | project-away id, type, properties | limit 1", "name: a"),
            ("resources | project properties.ref.id | take 1", "properties_ref_id: /G/images/D"),
        ];
        for (query, expected) in table {
            assert_eq!(names(query), expected, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        assert_eq!(names("resources | where"), "1:17 <EOF>");
        assert_eq!(names("resources | fly away"), "1:12 fly");
        assert_eq!(names("resources\n| where name = 'a'"), "2:13 =");
        assert_eq!(
            names("resources | where nme == 'a'"),
            "Failed to resolve column or scalar expression named 'nme'"
        );
        assert_eq!(
            names("resources | where fly(name)"),
            "'fly' is not a function that is known here"
        );
    }
}
