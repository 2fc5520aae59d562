//! Which files a catalog is written in, and how several documents become one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::document::{Entry, Node, Place, Source, Value};
use crate::load::LoadError;
use crate::problem::Problem;

/// The largest file, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// The files of the catalog at `path`, and warnings about the folder.
///
/// # Errors
/// `Unreadable` when there is none, or one cannot be read.
pub fn read(path: &Path) -> Result<(Vec<Arc<Source>>, Vec<Problem>), LoadError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_dir() {
        return Ok((vec![file(path)?], Vec::new()));
    }

    let mut names = BTreeSet::new();
    let mut misnamed = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let file = entry.map_err(|error| unreadable(path, &error))?.path();
        match file.extension().and_then(|it| it.to_str()) {
            Some("yaml") if file.is_file() => drop(names.insert(file)),
            Some("yml" | "YAML" | "YML") if file.is_file() => misnamed.push(file),
            _ => {}
        }
    }
    let sources =
        names.iter().map(|it| source(it, path.to_owned())).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = sources.first() else { return Err(empty(path)) };
    // A file that is silently left out would be an image that is silently not built.
    let warnings = misnamed.into_iter().map(|file| {
        let message = format!("`{}` is not read", file.display());
        Problem::warning(Place::new(first, 0, 0), message)
            .hint(Some("the files of a catalog end in `.yaml`; rename it"))
    });
    let warnings = warnings.collect();
    Ok((sources, warnings))
}

/// The text of the file at `path`.
///
/// # Errors
/// `Unreadable`.
pub fn file(path: &Path) -> Result<Arc<Source>, LoadError> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    source(path, folder)
}

fn source(path: &Path, folder: PathBuf) -> Result<Arc<Source>, LoadError> {
    let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MOST_BYTES {
        let message =
            format!("`{}` has {size} bytes; at most {MOST_BYTES} are read", path.display());
        return Err(LoadError::Unreadable {
            message,
            hint: Some("a catalog may be a folder of several files".to_owned()),
        });
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|it| **it == b'\n').count() + 1;
        LoadError::Unreadable {
            message: format!("`{}` is not UTF-8 in line {line}", path.display()),
            hint: Some("save it as UTF-8".to_owned()),
        }
    })?;
    Ok(Arc::new(Source { name: path.display().to_string(), folder, text }))
}

/// One tree of all documents: the head of the one that has it, the images of all.
pub fn merge(documents: Vec<Node>, problems: &mut Vec<Problem>) -> Option<Node> {
    let is_head = |node: &Node| match &node.value {
        Value::Map(entries) => entries.iter().any(|it| it.key != "images"),
        _ => true,
    };
    let head = documents.iter().position(is_head).unwrap_or(0);
    let mut documents = documents;
    if head >= documents.len() {
        return None;
    }
    let mut root = documents.remove(head);
    if documents.is_empty() || !matches!(root.value, Value::Map(_)) {
        return Some(root);
    }

    // Images keep the order of the files: those before the head's file come first.
    let mut before: Vec<Node> = Vec::new();
    let mut after: Vec<Node> = Vec::new();
    let mut first_images: Option<Entry> = None;
    for (index, document) in documents.into_iter().enumerate() {
        let Value::Map(entries) = document.value else {
            let hint = "this document may only add `images`";
            let message = "expected a mapping";
            problems.push(Problem::new(document.place, message).hint(Some(hint)));
            continue;
        };
        for entry in entries {
            if entry.key != "images" {
                let place = root.locate(&[]);
                let message = format!("`{}` belongs to the head of the catalog", entry.key);
                let hint = format!(
                    "the head is in {}:{}; other documents may only add `images`",
                    place.source.name,
                    place.line()
                );
                problems.push(Problem::new(entry.key_place, message).hint(Some(hint)));
                continue;
            }
            let Value::List(items) = &entry.value.value else {
                let message = "expected a list of images";
                problems.push(Problem::new(entry.key_place, message));
                continue;
            };
            let images = if index < head { &mut before } else { &mut after };
            images.extend(items.iter().cloned());
            first_images.get_or_insert(entry);
        }
    }
    let Value::Map(entries) = &mut root.value else { return Some(root) };
    match entries.iter_mut().find(|it| it.key == "images") {
        Some(Entry { value: Node { value: Value::List(own), .. }, .. }) => {
            let own_images = std::mem::take(own);
            own.extend(before.into_iter().chain(own_images).chain(after));
        }
        Some(_) => {}
        None => {
            if let Some(mut entry) = first_images {
                entry.value.value = Value::List(before.into_iter().chain(after).collect());
                entries.push(entry);
            }
        }
    }
    Some(root)
}

fn unreadable(path: &Path, error: &io::Error) -> LoadError {
    let shown = path.display();
    let (message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            format!("there is no `{shown}`"),
            Some("name a file or a folder, as in `goldsmith check examples/catalog`".to_owned()),
        ),
        _ => (format!("`{shown}` cannot be read: {error}"), None),
    };
    LoadError::Unreadable { message, hint }
}

/// Says that there is no catalog at `path`.
pub fn empty(path: &Path) -> LoadError {
    LoadError::Unreadable {
        message: format!("there is nothing in `{}` that could be a catalog", path.display()),
        hint: Some("a catalog is a YAML file, or a folder with `*.yaml` files".to_owned()),
    }
}
