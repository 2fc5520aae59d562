//! Reads YAML into a document's tree. The parser is a library; this keeps where everything stood,
//! follows aliases, and decides what an unquoted text means.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::document::{Entry, Node, Place, Source, Value};
use crate::problem::Problem;

/// The most values that one document may hold, those behind aliases counted each time: a few
/// lines of nested aliases would otherwise fill the memory.
const MOST_NODES: usize = 100_000;

/// How deep values may stand in values: reading one takes stack, and no catalog is deeper than ten.
const MOST_DEPTH: usize = 64;

/// Reads every document of `source`. The problems are those that are not about a schema: a syntax
/// error (the parser gives one and stops), repeated keys, aliases of nothing, foreign tags.
pub fn parse(source: &Arc<Source>) -> (Vec<Node>, Vec<Problem>) {
    let mut reader = Reader {
        parser: Parser::new_from_str(&source.text),
        source,
        anchors: BTreeMap::new(),
        nodes: 0,
        depth: 0,
        problems: Vec::new(),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next() {
        match event {
            Event::DocumentStart(..) => reader.anchors.clear(),
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            event => match reader.node(event, span) {
                Some(node) => documents.push(node),
                None => break,
            },
        }
    }
    (documents, reader.problems)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    /// How many values stand around the next one.
    depth: usize,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// The next event that carries data; none at the end and after a syntax error.
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        loop {
            match self.parser.next_event()? {
                Ok((Event::Comment(..), _)) => {}
                Ok(event) => return Some(event),
                Err(error) => {
                    let at = error.marker().byte_offset().unwrap_or(self.source.text.len());
                    let place = Place::new(self.source, at, at);
                    self.problems.push(
                        Problem::new(place, format!("this is not YAML: {}", error.info()))
                            .hint(self.syntax_hint(at)),
                    );
                    return None;
                }
            }
        }
    }

    /// The usual causes of a syntax error, told from the line it is on.
    fn syntax_hint(&self, at: usize) -> Option<&'static str> {
        let text = &self.source.text;
        let start = text.get(..at)?.rfind('\n').map_or(0, |it| it + 1);
        let line = text.get(start..)?.lines().next()?;
        if line.len() > line.trim_start().len()
            && line[..line.len() - line.trim_start().len()].contains('\t')
        {
            return Some("YAML is indented with spaces; there is a tab in this line");
        }
        if line.matches(": ").count() > 1 || line.contains(": %") || line.contains(": @") {
            return Some("put a text that holds `: `, or begins with a sign, in quotes");
        }
        None
    }

    /// The value that begins with `event`; none when the text ends in a syntax error before it does.
    fn node(&mut self, event: Event<'a>, span: Span) -> Option<Node> {
        self.count(1, span)?;
        if self.depth == MOST_DEPTH {
            let message = format!("more than {MOST_DEPTH} values, each inside the one before");
            self.problems.push(Problem::new(self.place(span), message));
            return None;
        }
        self.depth += 1;
        let node = self.value(event, span);
        self.depth -= 1;
        node
    }

    fn value(&mut self, event: Event<'a>, span: Span) -> Option<Node> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), span);
                Some(self.keep(anchor, Node { value, place: self.place(span) }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_foreign(tag.as_deref(), &["seq"], span);
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
                Some(self.keep(anchor, Node { value: Value::List(items), place: self.place(span) }))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_foreign(tag.as_deref(), &["map"], span);
                let entries = self.entries()?;
                Some(
                    self.keep(anchor, Node { value: Value::Map(entries), place: self.place(span) }),
                )
            }
            Event::Alias(id) => {
                let Some(size) = self.anchors.get(&id).map(Node::size) else {
                    let message = "an alias inside the very value that it stands for";
                    self.problems.push(Problem::new(self.place(span), message));
                    return Some(Node { value: Value::Null, place: self.place(span) });
                };
                self.count(size, span)?;
                self.anchors.get(&id).cloned()
            }
            // The parser sends nothing else where a value is expected.
            _ => Some(Node { value: Value::Null, place: self.place(span) }),
        }
    }

    /// Counts `more` values; none, and a problem, when they are too many.
    fn count(&mut self, more: usize, span: Span) -> Option<()> {
        self.nodes += more;
        if self.nodes <= MOST_NODES {
            return Some(());
        }
        let message = format!("more than {MOST_NODES} values, those behind aliases counted");
        self.problems.push(Problem::new(self.place(span), message));
        None
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let text = match &event {
                Event::Scalar(text, ..) => Some(text.to_string()),
                _ => None,
            };
            let key_node = self.node(event, span)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span)?;
            let Some(key) = text else {
                let message = "a list, a mapping or an alias cannot be the name of a field";
                self.problems.push(Problem::new(key_node.place, message));
                continue;
            };
            if is_merge {
                merged.push(value);
                continue;
            }
            if let Some(first) = entries.iter().find(|it| it.key == key) {
                let message = format!("`{key}` is here twice");
                let hint = format!("the first is in line {}; keep one", first.key_place.line());
                self.problems.push(Problem::new(key_node.place, message).hint(Some(hint)));
                continue;
            }
            entries.push(Entry { key, key_place: key_node.place, value });
        }
        for node in merged {
            self.merge(node, &mut entries);
        }
        Some(entries)
    }

    /// `<<: *other`: the fields of another mapping, where they are not written here.
    fn merge(&mut self, node: Node, entries: &mut Vec<Entry>) {
        match node.value {
            Value::Map(others) => {
                for other in others {
                    if entries.iter().all(|it| it.key != other.key) {
                        entries.push(other);
                    }
                }
            }
            Value::List(items) => {
                for item in items {
                    self.merge(item, entries);
                }
            }
            _ => {
                let message = "`<<` takes the fields of a mapping, and this is none";
                self.problems.push(
                    Problem::new(node.place, message).hint(Some("write `<<: *name-of-an-anchor`")),
                );
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        let core = tag.and_then(Tag::core_suffix);
        self.refuse_foreign(tag, &["str", "int", "float", "bool", "null"], span);
        if core == Some("str") || (style != ScalarStyle::Plain && core.is_none()) {
            return Value::Text(text.to_owned());
        }
        plain(text)
    }

    fn refuse_foreign(&mut self, tag: Option<&Tag>, known: &[&str], span: Span) {
        let Some(tag) = tag else { return };
        if tag.core_suffix().is_some_and(|it| known.contains(&it)) {
            return;
        }
        let message = format!("the tag `{}` means nothing here", tag.original());
        self.problems.push(Problem::new(self.place(span), message).hint(Some("leave it out")));
    }

    fn keep(&mut self, anchor: usize, node: Node) -> Node {
        // The parser counts anchors from 1; 0 says that there is none.
        if anchor > 0 {
            self.nodes += node.size();
            self.anchors.insert(anchor, node.clone());
        }
        node
    }

    fn place(&self, span: Span) -> Place {
        let range = span.byte_range().unwrap_or_default();
        Place::new(self.source, range.start, range.end)
    }
}

/// What an unquoted text means, by YAML 1.2's core schema (10.3.2). `yes`, `on` and `02:00` are
/// texts.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<serde_json::Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Into::into);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Into::into);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|it: char| it.is_ascii_digit() || it == '.') {
        return None;
    }
    if unsigned.bytes().all(|it| it.is_ascii_digit()) {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if let Ok(value) = digits.parse::<i64>() {
            return Some(value.into());
        }
    }
    let float = unsigned.bytes().all(|it| it.is_ascii_digit() || b".eE+-".contains(&it));
    if !float || !unsigned.bytes().any(|it| it.is_ascii_digit()) {
        return None;
    }
    serde_json::Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "c.yaml".into(), folder: ".".into(), text: text.to_owned() })
    }

    fn json(text: &str) -> serde_json::Value {
        let (documents, problems) = parse(&source(text));
        assert!(problems.is_empty(), "{problems:?}");
        documents[0].to_json()
    }

    fn problems(text: &str) -> Vec<String> {
        parse(&source(text)).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_deeper_than_any_stack_are_a_problem_and_not_a_crash() {
        for text in ["[".repeat(40_000), "a: ".to_owned() + &"{a: ".repeat(40_000)] {
            assert!(!problems(&text).is_empty());
        }
        let indented: Vec<String> = (0..200).map(|it| " ".repeat(it) + "a:").collect();
        assert!(problems(&indented.join("\n"))[0].contains("more than 64 values, each inside"));
        assert!(problems(&format!("a: {}1{}", "[".repeat(60), "]".repeat(60))).is_empty());
    }

    #[test]
    fn unquoted_scalars_follow_the_core_schema() {
        let cases = [
            ("a: 7", serde_json::json!({"a": 7})),
            ("a: -7", serde_json::json!({"a": -7})),
            ("a: 0x10", serde_json::json!({"a": 16})),
            ("a: 1.5", serde_json::json!({"a": 1.5})),
            ("a: 2026-10-31", serde_json::json!({"a": "2026-10-31"})),
            ("a: 02:00", serde_json::json!({"a": "02:00"})),
            ("a: 12-gen2", serde_json::json!({"a": "12-gen2"})),
            ("a: 22_04-lts", serde_json::json!({"a": "22_04-lts"})),
            ("a: yes", serde_json::json!({"a": "yes"})),
            ("a: true", serde_json::json!({"a": true})),
            ("a: '7'", serde_json::json!({"a": "7"})),
            ("a: !!str 7", serde_json::json!({"a": "7"})),
            ("a:", serde_json::json!({"a": null})),
            ("a: |\n  x\n  y\n", serde_json::json!({"a": "x\ny\n"})),
            ("a: 6e", serde_json::json!({"a": "6e"})),
            ("a: .", serde_json::json!({"a": "."})),
        ];
        for (text, expected) in cases {
            assert_eq!(json(text), expected, "{text}");
        }
    }

    #[test]
    fn anchors_aliases_and_merges_are_followed() {
        let text = "old: &old { keep: 2, adopt: true }\nnew: { <<: *old, keep: 3 }\nsame: *old\n";

        assert_eq!(
            json(text),
            serde_json::json!({
                "old": {"keep": 2, "adopt": true},
                "new": {"keep": 3, "adopt": true},
                "same": {"keep": 2, "adopt": true},
            })
        );
    }

    #[test]
    fn several_documents_are_read() {
        let (documents, problems) = parse(&source("a: 1\n---\nb: 2\n"));

        assert!(problems.is_empty());
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].to_json(), serde_json::json!({"b": 2}));
    }

    #[test]
    fn a_repeated_key_is_refused_where_it_is_repeated() {
        assert_eq!(problems("a: 1\nb:\n  c: 1\n  c: 2\n"), ["c.yaml:4:3: `c` is here twice"]);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let found = problems("a:\n  - b\n  c: [1\n");

        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("c.yaml:3:3: this is not YAML: "), "{}", found[0]);
    }

    #[test]
    fn aliases_count_as_often_as_they_are_used() {
        let anchor = vec!["1"; 1_000].join(", ");
        let aliases = vec!["*a"; 200].join(", ");

        let found = problems(&format!("a: &a [{anchor}]\nb: [{aliases}]\n"));

        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("c.yaml:2:"), "{}", found[0]);
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = "l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let alias = vec![format!("*l{}", level - 1); 10].join(", ");
            text.push_str(&format!("l{level}: &l{level} [{alias}]\n"));
        }

        let found = problems(&text);

        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("more than 100000 values"), "{}", found[0]);
    }
}
