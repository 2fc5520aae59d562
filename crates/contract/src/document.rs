//! Microsoft's OpenAPI documents (Swagger 2.0) as they lie in a folder, and the references between
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The operations of Compute that the subset at hand leaves out, each with its source. It refers to
/// that subset, and so stands beside it.
const SUPPLEMENT: &str = include_str!("supplement.json");
const SUPPLEMENTED: &str = "Microsoft.Compute/2026-04-01/ComputeRP.subset.derived.json";
const SUPPLEMENT_FILE: &str = "Microsoft.Compute/2026-04-01/supplement.derived.json";

/// The documents, by their path below the folder, with `/` between its parts.
#[derive(Debug)]
pub(crate) struct Documents(BTreeMap<String, Value>);

/// Why the documents cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("`{path}` cannot be read: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("`{path}` is no JSON: {error}")]
    Json { path: PathBuf, error: serde_json::Error },
    #[error(
        "`{0}` holds no OpenAPI document; give the folder that holds `specs/` and `recordings/`"
    )]
    Empty(PathBuf),
    #[error("`{file}` refers to `{reference}`, which is not there")]
    Dangling { file: String, reference: String },
    #[error("a schema of `{file}` is no JSON Schema: {reason}")]
    Schema { file: String, reason: String },
}

/// Where a part of a document is: its file and the JSON pointer in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) file: String,
    pub(crate) pointer: String,
}

impl Documents {
    /// Reads every OpenAPI document below `folder`. Examples and recordings are none.
    pub(crate) fn read(folder: &Path) -> Result<Documents, Unreadable> {
        let mut documents = BTreeMap::new();
        let mut folders = vec![(folder.to_owned(), String::new())];
        while let Some((path, below)) = folders.pop() {
            let failed = |error| Unreadable::File { path: path.clone(), error };
            for entry in fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let (path, below) = (entry.path(), format!("{below}{name}"));
                if path.is_dir() {
                    folders.push((path, format!("{below}/")));
                } else if name.ends_with(".json") {
                    let document = read_json(&path)?;
                    if document.get("swagger").is_some() {
                        documents.insert(below, document);
                    }
                }
            }
        }
        if documents.contains_key(SUPPLEMENTED) {
            let supplement = serde_json::from_str(SUPPLEMENT).map_err(|error| {
                Unreadable::Json { path: PathBuf::from(SUPPLEMENT_FILE), error }
            })?;
            documents.insert(SUPPLEMENT_FILE.to_owned(), supplement);
        }
        if documents.is_empty() {
            return Err(Unreadable::Empty(folder.to_owned()));
        }
        Ok(Documents(documents))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// What is at `at`.
    pub(crate) fn get(&self, at: &At) -> Option<&Value> {
        self.0.get(&at.file)?.pointer(&at.pointer)
    }

    /// Where `reference`, found in `file`, leads.
    pub(crate) fn resolve(&self, file: &str, reference: &str) -> Result<At, Unreadable> {
        let dangling =
            || Unreadable::Dangling { file: file.to_owned(), reference: reference.to_owned() };
        let (path, pointer) = reference.split_once('#').ok_or_else(dangling)?;
        let target = if path.is_empty() { file.to_owned() } else { joined(file, path) };
        let at = At { file: target, pointer: pointer.to_owned() };
        if self.get(&at).is_some() { Ok(at) } else { Err(dangling()) }
    }
}

fn read_json(path: &Path) -> Result<Value, Unreadable> {
    let bytes =
        fs::read(path).map_err(|error| Unreadable::File { path: path.to_owned(), error })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Unreadable::Json { path: path.to_owned(), error })
}

/// `path` as seen from `file`. Microsoft's documents lie deeper in their own repository than here,
/// so whatever leads to the common types leads to ours.
fn joined(file: &str, path: &str) -> String {
    if let Some(at) = path.find("common-types/") {
        return path[at..].to_owned();
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_leads_to_the_common_types_leads_to_those_at_hand() {
        let there = "../../../../../../common-types/resource-management/v3/types.json";

        assert_eq!(
            joined("A/2025/a.json", there),
            "common-types/resource-management/v3/types.json"
        );
        assert_eq!(joined("A/2025/a.json", "./b.json"), "A/2025/b.json");
        assert_eq!(joined("A/2025/a.json", "../b.json"), "A/b.json");
    }

    #[test]
    fn a_folder_without_documents_is_named_with_the_next_move() {
        let folder = tempfile::tempdir().unwrap();

        let error = Documents::read(folder.path()).unwrap_err().to_string();

        assert!(error.contains("holds no OpenAPI document") && error.contains("specs/"), "{error}");
    }
}
