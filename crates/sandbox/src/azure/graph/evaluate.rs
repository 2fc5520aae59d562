//! Runs a parsed query over rows. Values are JSON, as Resource Graph's dynamic columns are; what is
//! absent is null, and null as a text is empty.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::effort::{Effort, weight};
use super::expression::{Meaningless, check, value};
use super::parser::{Expression, Order, Query, Step};
use super::value::{compare, is_true};

/// Rows with named columns, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::graph::parser::parse;
    use crate::azure::graph::value::text;

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
