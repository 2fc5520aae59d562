//! YAML as a tree in which every value and every key knows where it was written. A catalog is
//! checked against it, so that a problem can be shown where a person would mend it.

use std::path::PathBuf;
use std::sync::Arc;

/// A text that was read, and the name under which it is shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the person wrote it.
    pub name: String,
    /// The folder to which paths in the text are relative.
    pub folder: PathBuf,
    pub text: String,
}

/// A stretch of a source, within one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub source: Arc<Source>,
    /// The first byte.
    pub start: usize,
    /// The length in bytes.
    pub length: usize,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

/// What YAML can say, by its core schema.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// One step on the way from a document's root to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Field(String),
    Index(usize),
}

/// The steps of a path that is written as `machines[2].image`.
pub fn steps(path: &str) -> Vec<Step> {
    let parts = path.split(['.', '[']).filter(|it| !it.is_empty());
    parts
        .map(|part| match part.strip_suffix(']').and_then(|it| it.parse().ok()) {
            Some(index) => Step::Index(index),
            None => Step::Field(part.to_owned()),
        })
        .collect()
}

impl Place {
    /// The place from byte `start` to byte `end`, cut at the end of its first line.
    pub fn new(source: &Arc<Source>, start: usize, end: usize) -> Place {
        let text = source.text.get(start..end).unwrap_or_default();
        let first_line = text.lines().next().unwrap_or_default().trim_end();
        Place { source: source.clone(), start, length: first_line.len() }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        let before = self.before();
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        before[line_start..].chars().count() + 1
    }

    /// The text at the place.
    pub fn text(&self) -> &str {
        self.source.text.get(self.start..self.start + self.length).unwrap_or_default()
    }

    fn before(&self) -> &str {
        self.source.text.get(..self.start).unwrap_or(&self.source.text)
    }
}

impl Node {
    /// The entry called `key`, of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|it| it.key == key),
            _ => None,
        }
    }

    /// Where to point for the value at `path`: the value itself when it fits on a line, else the
    /// key or the name of what holds it; where the path leads nowhere, the last that is there.
    pub fn locate(&self, path: &[Step]) -> Place {
        let mut place = self.heading();
        let mut node = self;
        for step in path {
            match (step, &node.value) {
                (Step::Field(field), Value::Map(_)) => {
                    let Some(entry) = node.entry(field) else { return place };
                    node = &entry.value;
                    place = match node.value {
                        Value::Map(_) | Value::List(_) => entry.key_place.clone(),
                        _ if node.place.length == 0 => entry.key_place.clone(),
                        _ => node.place.clone(),
                    };
                }
                (Step::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { return place };
                    node = item;
                    place = node.heading();
                }
                _ => return place,
            }
        }
        place
    }

    /// The value at `path`.
    pub fn at(&self, path: &[Step]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match (step, &node.value) {
            (Step::Field(field), _) => node.entry(field).map(|it| &it.value),
            (Step::Index(index), Value::List(items)) => items.get(*index),
            (Step::Index(_), _) => None,
        })
    }

    /// What stands for the whole value: a mapping's name, else its first key; a list's first item.
    fn heading(&self) -> Place {
        match &self.value {
            Value::Map(entries) => match (self.entry("name"), entries.first()) {
                (Some(name), _) if !matches!(name.value.value, Value::Map(_) | Value::List(_)) => {
                    name.value.place.clone()
                }
                (_, Some(first)) => first.key_place.clone(),
                (_, None) => self.place.clone(),
            },
            Value::List(items) => match items.first() {
                Some(first) => first.heading(),
                None => self.place.clone(),
            },
            _ => self.place.clone(),
        }
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::Text(value) => value.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|it| (it.key.clone(), it.value.to_json())).collect()
            }
        }
    }

    /// How many values it holds, itself among them.
    pub fn size(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|it| it.value.size()).sum::<usize>(),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "c.yaml".into(), folder: ".".into(), text: text.to_owned() })
    }

    #[test]
    fn a_path_is_read_step_by_step() {
        let image = [Step::Field("machines".into()), Step::Index(2), Step::Field("image".into())];

        assert_eq!(steps("machines[2].image"), image);
        assert_eq!(steps(""), []);
    }

    #[test]
    fn a_place_is_found_by_path_or_by_the_last_that_is_there() {
        let source = source("images:\n  - os: linux\n    name: web\n    rings:\n      - x\n");
        let (documents, _) = parse(&source);
        let field = |it: &str| Step::Field(it.to_owned());
        let position = |path: &[Step]| {
            let place = documents[0].locate(path);
            (place.line(), place.column(), place.text().to_owned())
        };

        let image = [field("images"), Step::Index(0)];
        let os = [field("images"), Step::Index(0), field("os")];
        let rings = [field("images"), Step::Index(0), field("rings")];
        let gate = [field("images"), Step::Index(0), field("gate"), field("most")];

        assert_eq!(position(&image), (3, 11, "web".to_owned()));
        assert_eq!(position(&os), (2, 9, "linux".to_owned()));
        assert_eq!(position(&rings), (4, 5, "rings".to_owned()));
        assert_eq!(position(&gate), (3, 11, "web".to_owned()));
    }

    #[test]
    fn columns_count_characters() {
        let (documents, _) = parse(&source("a: { ä: x, b: y }\n"));

        let place = documents[0].locate(&[Step::Field("a".into()), Step::Field("b".into())]);

        assert_eq!((place.line(), place.column()), (1, 15));
    }
}
