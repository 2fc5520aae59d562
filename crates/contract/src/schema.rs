//! Swagger 2.0 schemas as closed JSON Schemas: what `allOf` brings together is one object, a
//! discriminator chooses what it is, and a member that is not declared is refused, except where a
//! map is declared.
//!
//! A request and an answer are not held to the same schema. A member that is read-only is refused in
//! a request. An enumeration is closed in a request; in an answer only where the document says so
//! (`x-ms-enum.modelAsString: false`), since Azure adds values to the others.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::document::{At, Documents, Unreadable};

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Request,
    Answer,
}

/// Compiles the schema at `at`.
pub(crate) fn compile(
    documents: &Documents,
    at: &At,
    direction: Direction,
) -> Result<Validator, Unreadable> {
    let mut writer = Writer { documents, direction, waiting: Vec::new(), known: BTreeSet::new() };
    let root = writer.reference(at.clone());
    let mut definitions = Map::new();
    while let Some(at) = writer.waiting.pop() {
        let schema = writer.definition(&at)?;
        definitions.insert(key(&at), schema);
    }

    let schema = json!({ "$ref": root, "$defs": definitions });
    build(&schema).map_err(|reason| Unreadable::Schema { file: at.file.clone(), reason })
}

/// Compiles the limits of a parameter that is no body: a JSON Schema already.
pub(crate) fn compile_parameter(file: &str, parameter: &Value) -> Result<Validator, Unreadable> {
    let limits = ["type", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum"];
    let schema: Map<String, Value> =
        limits.iter().filter_map(|it| Some(((*it).to_owned(), limit(it, parameter)?))).collect();
    build(&Value::Object(schema))
        .map_err(|reason| Unreadable::Schema { file: file.to_owned(), reason })
}

fn build(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| error.to_string())
}

/// The limit `name` of a schema. Microsoft writes patterns as a browser reads them, where the hyphen
/// in `[\w-.]` is one; elsewhere it must be escaped.
fn limit(name: &str, schema: &Value) -> Option<Value> {
    let limit = schema.get(name)?;
    match limit.as_str() {
        Some(pattern) if name == "pattern" => Some(json!(pattern.replace(r"\w-", r"\w\-"))),
        _ => Some(limit.clone()),
    }
}

/// The name of a definition, without anything that a reference must escape.
fn key(at: &At) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() { it } else { '_' };
    format!("{}{}", at.file, at.pointer).chars().map(plain).collect()
}

/// The members of an object, with those it takes from others.
#[derive(Default)]
struct Members<'a> {
    /// Each with the file it is declared in.
    declared: BTreeMap<&'a str, (String, &'a Value)>,
    required: BTreeSet<&'a str>,
    /// What a map holds: a schema, or `true`.
    map: Option<(String, &'a Value)>,
}

struct Writer<'a> {
    documents: &'a Documents,
    direction: Direction,
    waiting: Vec<At>,
    known: BTreeSet<At>,
}

impl<'a> Writer<'a> {
    /// A reference to the definition at `at`, which is written later.
    fn reference(&mut self, at: At) -> String {
        let reference = format!("#/$defs/{}", key(&at));
        if self.known.insert(at.clone()) {
            self.waiting.push(at);
        }
        reference
    }

    fn definition(&mut self, at: &At) -> Result<Value, Unreadable> {
        let Some(schema) = self.documents.get(at) else {
            return Err(Unreadable::Dangling {
                file: at.file.clone(),
                reference: format!("#{}", at.pointer),
            });
        };
        match schema.get("discriminator").and_then(Value::as_str) {
            Some(member) => self.alternatives(at, schema, member),
            None => self.schema(&at.file, schema),
        }
    }

    /// What is declared as `schema` in `file`.
    fn schema(&mut self, file: &str, schema: &'a Value) -> Result<Value, Unreadable> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let at = self.documents.resolve(file, reference)?;
            return Ok(json!({ "$ref": self.reference(at) }));
        }
        let is_object = ["properties", "allOf", "additionalProperties"]
            .iter()
            .any(|it| schema.get(it).is_some());
        let written = match schema.get("type").and_then(Value::as_str) {
            _ if is_object => self.object(file, schema)?,
            Some("array") => {
                let items = match schema.get("items") {
                    Some(items) => self.schema(file, items)?,
                    None => json!(true),
                };
                json!({ "type": "array", "items": items })
            }
            // Nothing is said about its members: anything, as in `data` of Resource Graph, which is
            // an array (recordings/resource_graph_queries.json).
            Some("object") | None => json!({}),
            Some(_) => self.plain(file, schema),
        };
        Ok(match schema.get("x-nullable") {
            Some(Value::Bool(true)) => json!({ "if": { "type": "null" }, "else": written }),
            _ => written,
        })
    }

    /// A string, number or boolean.
    fn plain(&self, file: &str, schema: &Value) -> Value {
        let mut written = Map::new();
        let mut keep = |name: &str| {
            if let Some(value) = limit(name, schema) {
                written.insert(name.to_owned(), value);
            }
        };
        for name in ["type", "pattern", "minLength", "maxLength", "minimum", "maximum"] {
            keep(name);
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time") {
            keep("format");
        }
        let is_closed = match schema.pointer("/x-ms-enum/modelAsString") {
            Some(open) => open == &json!(false),
            // A document derived from an SDK does not say; then Azure may add values.
            None => !file.contains(".derived"),
        };
        // A list of which Microsoft says itself that it is kept up no more (`vmSize`).
        let is_abandoned = schema
            .get("description")
            .and_then(Value::as_str)
            .is_some_and(|it| it.contains("enum data type is currently deprecated"));
        if (self.direction == Direction::Request || is_closed) && !is_abandoned {
            keep("enum");
        }
        Value::Object(written)
    }

    fn object(&mut self, file: &str, schema: &'a Value) -> Result<Value, Unreadable> {
        let mut members = Members::default();
        self.gather(file, schema, &mut members)?;
        let Members { declared, required, map } = members;

        let mut properties = Map::new();
        let mut read_only = BTreeSet::new();
        for (name, (file, schema)) in declared {
            let written = if self.direction == Direction::Request && is_read_only(schema) {
                read_only.insert(name);
                json!(false)
            } else {
                self.schema(&file, schema)?
            };
            properties.insert(name.to_owned(), written);
        }
        let additional = match map {
            Some((file, schema)) if schema.is_object() => self.schema(&file, schema)?,
            Some(_) => json!(true),
            None => json!(properties.is_empty()),
        };
        let required: Vec<&str> = required.difference(&read_only).copied().collect();
        Ok(json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": additional,
        }))
    }

    /// Adds what `schema` declares, and what it takes from others, to `members`.
    fn gather(
        &self,
        file: &str,
        schema: &'a Value,
        members: &mut Members<'a>,
    ) -> Result<(), Unreadable> {
        for parent in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            match parent.get("$ref").and_then(Value::as_str) {
                Some(reference) => {
                    let at = self.documents.resolve(file, reference)?;
                    if let Some(parent) = self.documents.get(&at) {
                        self.gather(&at.file, parent, members)?;
                    }
                }
                None => self.gather(file, parent, members)?,
            }
        }
        for (name, member) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            members.declared.insert(name, (file.to_owned(), member));
        }
        let required = schema.get("required").and_then(Value::as_array);
        members.required.extend(required.into_iter().flatten().filter_map(Value::as_str));
        match schema.get("additionalProperties") {
            None | Some(Value::Bool(false)) => {}
            Some(map) => members.map = Some((file.to_owned(), map)),
        }
        Ok(())
    }

    /// One of the definitions that name the one at `at` as their parent, chosen by `member`.
    fn alternatives(
        &mut self,
        at: &At,
        schema: &'a Value,
        member: &str,
    ) -> Result<Value, Unreadable> {
        let mut choices = Vec::new();
        let mut values = Vec::new();
        for (value, child) in self.children(at, schema) {
            let chosen =
                json!({ "required": [member], "properties": { member: { "const": value } } });
            choices.push(json!({ "if": chosen, "then": { "$ref": self.reference(child) } }));
            values.push(value);
        }
        if choices.is_empty() {
            return self.object(&at.file, schema);
        }
        Ok(json!({
            "type": "object",
            "required": [member],
            "properties": { member: { "enum": values } },
            "allOf": choices,
        }))
    }

    /// The definitions whose parent is the one at `at`, each with the value that chooses it.
    fn children(&self, at: &At, schema: &Value) -> Vec<(String, At)> {
        let definition = |name: &str| At {
            file: at.file.clone(),
            pointer: format!("/definitions/{}", name.replace('~', "~0").replace('/', "~1")),
        };
        if let Some(subtypes) = schema.get("x-subtypes").and_then(Value::as_object) {
            let child = |(value, name): (&String, &Value)| {
                Some((value.clone(), definition(name.as_str()?)))
            };
            return subtypes.iter().filter_map(child).collect();
        }
        let root = At { file: at.file.clone(), pointer: "/definitions".to_owned() };
        let all = self.documents.get(&root).and_then(Value::as_object);
        let mut children = Vec::new();
        for (name, child) in all.into_iter().flatten() {
            let parents = child.get("allOf").and_then(Value::as_array).into_iter().flatten();
            let mut parents = parents.filter_map(|it| it.get("$ref")?.as_str());
            let is_child =
                parents.any(|it| self.documents.resolve(&at.file, it).is_ok_and(|it| it == *at));
            if is_child {
                let value = child.get("x-ms-discriminator-value").and_then(Value::as_str);
                children.push((value.unwrap_or(name).to_owned(), definition(name)));
            }
        }
        children
    }
}

fn is_read_only(schema: &Value) -> bool {
    schema.get("readOnly") == Some(&json!(true))
}
