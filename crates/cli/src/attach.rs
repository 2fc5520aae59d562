//! The files that a catalog's steps name: read, measured and known by their content. None may lie
//! outside the catalog's folder, or a catalog could upload whatever its reader may read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use data_encoding::HEXLOWER;
use rules::catalog::{Customize, Image};
use sha2::{Digest, Sha256};

use crate::document::{Entry, Node, Place, Value};
use crate::problem::{Problem, did_you_mean};

/// The largest file of a step, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// The kinds of step that name a file, and the field that names it.
const KINDS: [(&str, &str); 3] =
    [("shell", "script"), ("powershell", "script"), ("file", "source")];

/// The files that the steps of a document name.
#[derive(Debug, Default)]
pub struct Attached {
    /// The bytes of each, by their SHA-256 in lower-case hex.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Why some could not be had, and warnings.
    pub problems: Vec<Problem>,
    /// The digest of the file of an image's step, by the positions of both in the document.
    digests: BTreeMap<(usize, usize), String>,
}

impl Attached {
    /// Reads the files that `root` names, whatever else may be wrong with it.
    pub fn to(root: &Node) -> Attached {
        let mut attached = Attached::default();
        for (index, image) in items(root.entry("images")).iter().enumerate() {
            for (position, step) in items(image.entry("customize")).iter().enumerate() {
                for (kind, field) in KINDS {
                    let named = step.entry(kind).and_then(|it| it.value.entry(field));
                    if let Some(Entry { value: Node { value: Value::Text(path), place }, .. }) =
                        named
                    {
                        attached.add((index, position), kind == "shell", path, place);
                    }
                }
            }
        }
        attached
    }

    /// Fills in the digests of the files of `image`, the one at `index` of the document.
    pub fn fill(&self, index: usize, image: &mut Image) {
        for (position, customize) in image.customize.iter_mut().enumerate() {
            let sha256 = match customize {
                Customize::Shell(step) | Customize::Powershell(step) => &mut step.sha256,
                Customize::File(step) => &mut step.sha256,
                Customize::WindowsUpdate(_) | Customize::Restart(_) => continue,
            };
            *sha256 = self.digests.get(&(index, position)).cloned();
        }
    }

    fn add(&mut self, key: (usize, usize), is_shell: bool, path: &str, place: &Place) {
        let bytes = match read(place, path) {
            Ok(bytes) => bytes,
            Err(problem) => return self.problems.push(problem),
        };
        if is_shell && bytes.windows(2).any(|it| it == b"\r\n") {
            let message =
                format!("`{path}` has Windows line ends, which a shell does not understand");
            let hint =
                "save it with Unix line ends, and write `*.sh text eol=lf` into .gitattributes";
            self.problems.push(Problem::warning(place.clone(), message).hint(Some(hint)));
        }
        let digest = HEXLOWER.encode(&Sha256::digest(&bytes));
        self.digests.insert(key, digest.clone());
        self.files.insert(digest, bytes);
    }
}

fn items(entry: Option<&Entry>) -> &[Node] {
    match entry.map(|it| &it.value.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn read(place: &Place, path: &str) -> Result<Vec<u8>, Problem> {
    let folder = &place.source.folder;
    let problem = |message: String| Problem::new(place.clone(), message);
    let inside = Path::new(path)
        .components()
        .all(|it| matches!(it, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || path.contains('\\') || !inside {
        return Err(problem(format!("`{path}` is not a path below the catalog's folder"))
            .hint(Some("write it as `scripts/harden.sh`; `..` and absolute paths are refused")));
    }

    let file = folder.join(path);
    let metadata = fs::metadata(&file).map_err(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return problem(format!("`{path}` cannot be read: {error}"));
        }
        problem(format!("there is no file `{path}` in `{}`", folder.display()))
            .hint(nearest(folder, path))
    })?;
    if !metadata.is_file() {
        return Err(problem(format!("`{path}` is not a file")));
    }
    // A link may lead anywhere.
    let resolved = fs::canonicalize(&file).and_then(|file| Ok((file, fs::canonicalize(folder)?)));
    let (file, folder) =
        resolved.map_err(|error| problem(format!("`{path}` cannot be read: {error}")))?;
    if !file.starts_with(&folder) {
        return Err(problem(format!("`{path}` is a link that leads out of the catalog's folder"))
            .hint(Some("copy the file into the folder")));
    }
    if metadata.len() > MOST_BYTES {
        return Err(problem(format!(
            "`{path}` has {} bytes; at most {MOST_BYTES} are uploaded",
            metadata.len()
        ))
        .hint(Some("let the script fetch what is large")));
    }
    fs::read(&file).map_err(|error| problem(format!("`{path}` cannot be read: {error}")))
}

/// The file that was probably meant, among those in the same folder.
fn nearest(folder: &Path, path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
    let entries = fs::read_dir(folder.join(parent)).ok()?;
    let mut names: Vec<String> =
        entries.filter_map(|it| it.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let meant = did_you_mean(name, names.iter().map(String::as_str))?;
    let meant = if parent.is_empty() { meant.to_owned() } else { format!("{parent}/{meant}") };
    Some(format!("did you mean `{meant}`?"))
}
