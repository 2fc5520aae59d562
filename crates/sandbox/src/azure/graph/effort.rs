//! What one query may cost. A few lines can double a text thirty times, or compare a thousand texts
//! of a megabyte with one another: Azure refuses such a query, and so does the desk.

use std::cell::Cell;

use serde_json::Value;

use super::expression::Meaningless;

/// The most bytes that values have which a query makes or looks at: what its tables hold is part of
/// it. A query for the users of an image over a thousand machines takes about eighty million.
const MOST_BYTES: u64 = 512 << 20;

/// What is left for a query.
#[derive(Debug)]
pub(super) struct Effort {
    left: Cell<u64>,
}

impl Effort {
    /// What a whole query may cost.
    pub(super) fn of_a_query() -> Effort {
        Effort { left: Cell::new(MOST_BYTES) }
    }

    /// Takes `bytes` from what is left.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Meaningless> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(exhausted)?;
        self.left.set(left);
        Ok(())
    }
}

fn exhausted() -> Meaningless {
    Meaningless("Query execution has exceeded the allowed limits.".to_owned())
}

/// About how many bytes `value` takes.
pub(super) fn weight(value: &Value) -> u64 {
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| 32 + name.len() as u64 + weight(value)).sum()
        }
    };
    inside + 32
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::azure::graph::evaluate::{Table, run};
    use crate::azure::graph::parser::parse;

    fn asked(query: &str) -> Result<usize, String> {
        let rows = vec![vec![json!("sixteen letters.")]; 4];
        let table = Table { columns: vec!["a".to_owned()], rows };
        let answer = run(&parse(query).unwrap(), table);
        answer.map(|it| it.rows.len()).map_err(|Meaningless(why)| why)
    }

    #[test]
    fn a_query_that_doubles_a_text_again_and_again_is_refused() {
        let doubled = |times| format!("resources{}", " | extend a = strcat(a, a)".repeat(times));

        assert_eq!(asked(&doubled(8)), Ok(4));
        let why = asked(&doubled(22)).unwrap_err();
        assert!(why.contains("exceeded the allowed limits"), "{why}");
    }

    #[test]
    fn a_query_that_compares_texts_for_ever_is_refused() {
        let long = " | extend a = strcat(a, a)".repeat(12);
        let within = vec!["a"; 3000].join(",");

        let why = asked(&format!("resources{long} | where 'x' in ({within})")).unwrap_err();

        assert!(why.contains("exceeded the allowed limits"), "{why}");
    }

    #[test]
    fn a_query_that_is_deeper_than_any_stack_is_refused() {
        for deep in [
            format!("resources | where {}1{}", "(".repeat(9000), ")".repeat(9000)),
            format!("resources | where {}1{}", "not(".repeat(9000), ")".repeat(9000)),
            format!("resources | where a{}", ".a".repeat(9000)),
            format!("resources | where {}1{}", "a[".repeat(9000), "]".repeat(9000)),
        ] {
            assert!(parse(&deep).is_err(), "{deep:.40}");
        }
        let wide = format!("resources | where a == 1{}", " or a == 1".repeat(9000));
        assert_eq!(asked(&wide), Ok(0));
    }
}
