//! Reads a catalog, from a file or a folder, or an estate: all its problems at once, each at its
//! place, or the catalog with every script it names.

use std::collections::BTreeMap;
use std::path::Path;

use rules::catalog::Catalog;
use sandbox::estate::Estate;

use crate::attach::Attached;
use crate::document::{self, Value};
use crate::problem::{self, Problem, Severity};
use crate::reading::{self, Reading};
use crate::shape::Shape;
use crate::{doubts, schema, sources, yaml};

/// A catalog that may be put in force.
#[derive(Debug)]
pub struct Loaded {
    /// The catalog, the digest of every file it names filled in.
    pub catalog: Catalog,
    /// The files it names, by the SHA-256 (lower-case hex) of their bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What is legal and probably not meant.
    pub warnings: Vec<Problem>,
}

/// Why there is no catalog, or no estate.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files could not be read at all.
    #[error("{message}")]
    Unreadable { message: String, hint: Option<String> },
    /// They could, and these are their problems, warnings among them, in the order of their places.
    #[error("there are {} problems, the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Refused(Vec<Problem>),
}

/// Reads the estate at `path`, a file.
///
/// # Errors
/// `Unreadable` when there is nothing to read; `Refused` with all problems of what was read.
pub fn estate(path: &Path) -> Result<Estate, LoadError> {
    let source = sources::file(path)?;
    let (mut documents, mut problems) = yaml::parse(&source);
    if let Some(second) = documents.get(1) {
        let message = "an estate is one document";
        problems.push(Problem::new(second.place.clone(), message));
    }
    if documents.is_empty() && problems.is_empty() {
        let message = format!("there is nothing in `{}`", path.display());
        return Err(LoadError::Unreadable { message, hint: None });
    }
    if !problems.is_empty() {
        return Err(LoadError::Refused(problems));
    }
    let root = documents.remove(0);

    let faults = shape(schema::estate())?.faults(&root);
    problems.extend(faults.into_iter().map(|it| it.problem));
    if problems.is_empty() {
        match reading::typed::<Estate>(root.to_json()) {
            Ok(estate) => {
                let found = estate.check().into_iter();
                problems.extend(found.map(|(path, message)| {
                    Problem::new(root.locate(&document::steps(&path)), message)
                }));
                if problems.is_empty() {
                    return Ok(estate);
                }
            }
            Err((path, message)) => problems.push(Problem::new(root.locate(&path), message)),
        }
    }
    problem::sort(&mut problems);
    Err(LoadError::Refused(problems))
}

/// Reads the catalog at `path`: a file, or a folder whose `*.yaml` files, in the order of their
/// names, are one catalog. One document holds the head; the others may add `images`.
///
/// # Errors
/// `Unreadable` when there is nothing to read; `Refused` with all problems of what was read.
pub fn catalog(path: &Path) -> Result<Loaded, LoadError> {
    let (texts, mut problems) = sources::read(path)?;

    let mut documents = Vec::new();
    let mut unreadable = false;
    for source in &texts {
        let (nodes, found) = yaml::parse(source);
        unreadable |= !found.is_empty();
        problems.extend(found);
        documents.extend(nodes.into_iter().filter(|it| !matches!(it.value, Value::Null)));
    }
    let Some(root) = sources::merge(documents, &mut problems) else {
        if !unreadable {
            return Err(sources::empty(path));
        }
        problem::sort(&mut problems);
        return Err(LoadError::Refused(problems));
    };

    let mut faults = shape(schema::catalog())?.faults(&root);
    if unreadable {
        // What a broken file holds is not missing.
        faults.retain(|it| it.bad.is_some());
    }

    let mut reading = Reading::of(&root, &faults);
    problems.append(&mut reading.problems);
    let attached = Attached::to(&root);
    let mut between = reading.problems_between(&root, &faults, unreadable);
    // Of a path that leads astray both complain; the one that looked knows more.
    between.retain(|it| attached.problems.iter().all(|other| other.place != it.place));
    problems.extend(between);
    problems.extend(attached.problems.iter().cloned());
    for (index, image) in reading.images_mut() {
        attached.fill(index, image);
    }
    problems.extend(faults.into_iter().map(|it| it.problem));

    let fatal = problems.iter().any(|it| it.severity == Severity::Error);
    if let Some(catalog) = reading.catalog.as_ref().filter(|_| !fatal) {
        problems.extend(doubts::of(&root, catalog));
    }
    problem::sort(&mut problems);
    match reading.catalog {
        Some(catalog) if !fatal => {
            Ok(Loaded { catalog, files: attached.files, warnings: problems })
        }
        _ => Err(LoadError::Refused(problems)),
    }
}

/// Our own schemas are valid, a test says; if one were not, no file could be judged.
fn shape(schema: serde_json::Value) -> Result<Shape, LoadError> {
    Shape::new(schema)
        .map_err(|error| LoadError::Unreadable { message: error.to_string(), hint: None })
}
