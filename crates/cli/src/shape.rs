//! A document against a JSON Schema: every unknown, missing and mistyped field at once, each where
//! it is written, with the field that was probably meant. The validator is a library; this says
//! what it found in the words of somebody who writes a catalog.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use crate::document::{Node, Place, Step, Value};
use crate::problem::{Problem, did_you_mean, one_of};
use crate::text_form::{Malformed, TEXT_FORMS};

/// One deviation from the schema.
#[derive(Clone, Debug)]
pub struct Fault {
    pub problem: Problem,
    /// The mapping or value whose schema is not met.
    pub within: Vec<Step>,
    /// The value that must go before the rest can be read; none when something is missing.
    pub bad: Option<Vec<Step>>,
}

/// A schema, compiled.
pub struct Shape {
    schema: Json,
    validator: jsonschema::Validator,
}

impl Shape {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// When it is not a valid JSON Schema.
    pub fn new(schema: Json) -> anyhow::Result<Shape> {
        let mut options = jsonschema::options().should_validate_formats(true);
        for form in TEXT_FORMS {
            options = options.with_format(form.format, move |text| (form.read)(text).is_ok());
        }
        let validator = options.build(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Shape { schema, validator })
    }

    /// Everything in which `root` deviates.
    pub fn faults(&self, root: &Node) -> Vec<Fault> {
        let json = root.to_json();
        let mut report = Report { shape: self, root, faults: Vec::new() };
        for error in self.validator.iter_errors(&json) {
            report.explain(&error);
        }
        report.without_echoes()
    }

    /// The schema in which the keyword at `location` stands.
    fn schema_of(&self, location: &Location) -> Option<&Json> {
        let keyword = location.as_str();
        let (parent, _) = keyword.rsplit_once('/')?;
        self.schema.pointer(parent)
    }

    /// `schema` itself, or what its `$ref` refers to.
    fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        schema
            .get("$ref")
            .and_then(Json::as_str)
            .and_then(|it| self.schema.pointer(it.strip_prefix('#')?))
            .unwrap_or(schema)
    }
}

struct Report<'a> {
    shape: &'a Shape,
    root: &'a Node,
    faults: Vec<Fault>,
}

impl Report<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let path = steps(error.instance_path());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.fields(error.schema_path());
                for field in unexpected {
                    self.unknown_field(&path, field, &known);
                }
            }
            ValidationErrorKind::Required { property } => {
                let field = property.as_str().unwrap_or_default();
                self.missing_field(&path, field, error.schema_path());
            }
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context }
            | ValidationErrorKind::OneOfMultipleValid { context } => {
                self.no_alternative(&path, error, context);
            }
            ValidationErrorKind::Enum { options } => {
                let options: Vec<&str> =
                    options.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                self.not_among(&path, &options);
            }
            ValidationErrorKind::Constant { expected_value } => {
                self.not_among(&path, &expected_value.as_str().into_iter().collect::<Vec<_>>());
            }
            ValidationErrorKind::Type { kind } => self.mistyped(&path, kind),
            ValidationErrorKind::Format { format } => self.malformed(&path, format),
            ValidationErrorKind::Minimum { limit } => {
                let message = format!("{} is too small; at least {limit}", self.shown(&path));
                self.bad_value(&path, message, None);
            }
            ValidationErrorKind::Maximum { limit } => {
                let message = format!("{} is too large; at most {limit}", self.shown(&path));
                self.bad_value(&path, message, None);
            }
            _ => {
                let message = error.to_string();
                let hint = self.meaning(&path, error.schema_path());
                self.bad_value(&path, message, hint);
            }
        }
    }

    fn unknown_field(&mut self, path: &[Step], field: &str, known: &[String]) {
        let hint = match did_you_mean(field, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "the fields here are {}",
                one_of(known.iter().map(String::as_str)).replace(" or ", " and ")
            ),
        };
        let place = self.key_place(path, field);
        let problem = Problem::new(place, format!("unknown field `{field}`")).hint(Some(hint));
        self.push(problem, path, Some(below(path, field)));
    }

    fn missing_field(&mut self, path: &[Step], field: &str, keyword: &Location) {
        // A misspelt field is one problem, not two.
        let misspelt = self.root.at(path).is_some_and(|node| match &node.value {
            Value::Map(entries) => {
                let known = self.fields(keyword);
                entries.iter().any(|it| {
                    !known.contains(&it.key)
                        && did_you_mean(&it.key, known.iter().map(String::as_str)) == Some(field)
                })
            }
            _ => false,
        });
        if misspelt {
            return;
        }
        let meaning = self
            .shape
            .schema_of(keyword)
            .and_then(|it| it.get("properties")?.get(field))
            .and_then(|it| self.description(it));
        let hint = meaning.map(|it| format!("`{field}`: {it}"));
        let problem =
            Problem::new(self.root.locate(path), format!("`{field}` is missing")).hint(hint);
        self.push(problem, path, None);
    }

    /// None of several schemas fits: an enum in Rust's words. Told by what the value looks like.
    fn no_alternative(
        &mut self,
        path: &[Step],
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
    ) {
        let alternatives: Vec<&Json> = self
            .shape
            .schema
            .pointer(error.schema_path().as_str())
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .collect();
        let words: Vec<&str> =
            alternatives.iter().filter_map(|it| it.get("const")?.as_str()).collect();
        if !words.is_empty() && words.len() == alternatives.len() {
            return self.not_among(path, &words);
        }

        // `anyOf [X, null]` is an X that may be left out.
        let not_null = |it: &&Json| it.get("type").and_then(Json::as_str) != Some("null");
        let mut present = alternatives.iter().enumerate().filter(|(_, it)| not_null(it));
        if let (Some((index, _)), None) = (present.next(), present.next()) {
            for error in context.get(index).into_iter().flatten() {
                self.explain(error);
            }
            return;
        }

        // One field that chooses, with its own schema below.
        let choices: Vec<(usize, &str)> = alternatives
            .iter()
            .enumerate()
            .filter_map(|(index, it)| {
                Some((index, it.get("properties")?.as_object()?.keys().next()?.as_str()))
            })
            .collect();
        if choices.is_empty() {
            let message = error.to_string();
            return self.bad_value(path, message, None);
        }
        self.wrong_choice(path, &choices, context);
    }

    fn wrong_choice(
        &mut self,
        path: &[Step],
        choices: &[(usize, &str)],
        context: &[Vec<ValidationError<'static>>],
    ) {
        let names: Vec<&str> = choices.iter().map(|(_, name)| *name).collect();
        let Some(Value::Map(entries)) = self.root.at(path).map(|it| &it.value) else {
            let message = format!(
                "expected a field {}, found {}",
                one_of(names.iter().copied()),
                self.shown(path)
            );
            return self.bad_value(path, message, None);
        };
        let keys: Vec<String> = entries.iter().map(|it| it.key.clone()).collect();
        let chosen: Vec<(usize, &str)> =
            choices.iter().filter(|(_, name)| keys.iter().any(|it| it == name)).copied().collect();

        match chosen.as_slice() {
            [] if keys.is_empty() => {
                let message = format!("expected a field {}, found none", one_of(names));
                self.bad_value(path, message, None);
            }
            [] => {
                let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                for key in keys {
                    self.unknown_field(path, &key, &names);
                }
            }
            [(index, name)] => {
                for key in keys.iter().filter(|it| it != name) {
                    let message = format!("unknown field `{key}` beside `{name}`");
                    let hint = format!(
                        "exactly one of {} stands here; does it belong below `{name}`?",
                        one_of(names.iter().copied())
                    );
                    let problem = Problem::new(self.key_place(path, key), message).hint(Some(hint));
                    self.push(problem, path, Some(below(path, key)));
                }
                for error in context.get(*index).into_iter().flatten() {
                    if steps(error.instance_path()).len() > path.len() {
                        self.explain(error);
                    }
                }
            }
            several => {
                let found = one_of(several.iter().map(|(_, name)| *name)).replace(" or ", " and ");
                let message = format!("{found} exclude each other");
                let place = self.key_place(path, several[1].1);
                let problem = Problem::new(place, message).hint(Some("keep one"));
                self.push(problem, path, Some(path.to_vec()));
            }
        }
    }

    fn not_among(&mut self, path: &[Step], options: &[&str]) {
        let text = match self.root.at(path).map(|it| &it.value) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let hint = did_you_mean(&text, options.iter().copied())
            .map(|meant| format!("did you mean `{meant}`?"));
        let message =
            format!("expected {}, found {}", one_of(options.iter().copied()), self.shown(path));
        self.bad_value(path, message, hint);
    }

    fn mistyped(&mut self, path: &[Step], kind: &TypeKind) {
        let types: Vec<JsonType> = match kind {
            TypeKind::Single(one) => vec![*one],
            TypeKind::Multiple(several) => several.iter().collect(),
        };
        let expected: Vec<&str> =
            types.iter().filter(|it| **it != JsonType::Null).map(|it| in_words(*it)).collect();
        let expected = expected.join(" or ");
        let node = self.root.at(path);
        let place_text = node.map(|it| it.place.text().to_owned()).unwrap_or_default();
        let hint = match (types.first(), node.map(|it| &it.value)) {
            (Some(JsonType::String), Some(Value::Number(_) | Value::Bool(_))) => {
                Some(format!("put it in quotes: \"{place_text}\""))
            }
            (Some(JsonType::Array), Some(Value::Text(_) | Value::Number(_))) => {
                Some(format!("a list of one is [{place_text}]"))
            }
            (Some(JsonType::Boolean), Some(Value::Text(text))) => {
                match text.to_lowercase().as_str() {
                    "yes" | "on" | "y" => Some("write true".to_owned()),
                    "no" | "off" | "n" => Some("write false".to_owned()),
                    _ => None,
                }
            }
            (Some(JsonType::Integer | JsonType::Number), Some(Value::Text(text)))
                if text.parse::<f64>().is_ok() =>
            {
                Some("leave out the quotes".to_owned())
            }
            _ => None,
        };
        self.bad_value(path, format!("expected {expected}, found {}", self.shown(path)), hint);
    }

    fn malformed(&mut self, path: &[Step], format: &str) {
        let Some(Value::Text(text)) = self.root.at(path).map(|it| &it.value) else { return };
        let malformed = TEXT_FORMS
            .iter()
            .find(|it| it.format == format)
            .and_then(|it| (it.read)(text).err())
            .unwrap_or_else(|| Malformed {
                message: format!("`{text}` is not a {format}"),
                hint: None,
            });
        self.bad_value(path, malformed.message, malformed.hint);
    }

    fn bad_value(&mut self, path: &[Step], message: String, hint: Option<String>) {
        let problem = Problem::new(self.root.locate(path), message).hint(hint);
        self.push(problem, path, Some(path.to_vec()));
    }

    fn push(&mut self, problem: Problem, within: &[Step], bad: Option<Vec<Step>>) {
        self.faults.push(Fault { problem, within: within.to_vec(), bad });
    }

    /// What is written at `path`, as a person would name it.
    fn shown(&self, path: &[Step]) -> String {
        let Some(node) = self.root.at(path) else { return "nothing".to_owned() };
        match &node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(text) if text.chars().count() > 60 => "a long text".to_owned(),
            Value::Text(text) => format!("`{}`", text.escape_debug()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    fn key_place(&self, path: &[Step], field: &str) -> Place {
        let entry = self.root.at(path).and_then(|it| it.entry(field));
        entry.map_or_else(|| self.root.locate(path), |it| it.key_place.clone())
    }

    /// The fields that the schema around `keyword` knows.
    fn fields(&self, keyword: &Location) -> Vec<String> {
        let properties =
            self.shape.schema_of(keyword).and_then(|it| it.get("properties")?.as_object());
        properties.map(|it| it.keys().cloned().collect()).unwrap_or_default()
    }

    fn meaning(&self, path: &[Step], keyword: &Location) -> Option<String> {
        let Some(Step::Field(field)) = path.last() else { return None };
        let description = self.description(self.shape.schema_of(keyword)?)?;
        Some(format!("`{field}`: {description}"))
    }

    /// What a schema says it means, on one line.
    fn description(&self, schema: &Json) -> Option<String> {
        let own = schema.get("description");
        let text = own.or_else(|| self.shape.resolve(schema).get("description"))?.as_str()?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The faults without those that only repeat another: two complaints about one value.
    fn without_echoes(self) -> Vec<Fault> {
        let mut kept: Vec<Fault> = Vec::new();
        for fault in self.faults {
            let echo = kept.iter().any(|it| fault.bad.is_some() && it.bad == fault.bad);
            if !echo {
                kept.push(fault);
            }
        }
        kept
    }
}

fn steps(location: &Location) -> Vec<Step> {
    location
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(name) => Step::Field(name.into_owned()),
            LocationSegment::Index(index) => Step::Index(index),
        })
        .collect()
}

fn below(path: &[Step], field: &str) -> Vec<Step> {
    let mut path = path.to_vec();
    path.push(Step::Field(field.to_owned()));
    path
}

fn in_words(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "a text",
    }
}
