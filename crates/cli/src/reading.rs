//! As much of a catalog as can be understood in spite of its faults, so that what they do not touch
//! is checked in the same go.

use std::collections::BTreeSet;

use rules::catalog::{self, Base, Catalog, Image};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::document::{Node, Step, Value};
use crate::problem::Problem;
use crate::shape::Fault;

/// What was understood.
#[derive(Debug)]
pub struct Reading {
    /// The catalog, without the images that were not understood. Nothing to put in force as long
    /// as there is a fault or a problem.
    pub catalog: Option<Catalog>,
    /// Why something was not understood, where no fault says it already.
    pub problems: Vec<Problem>,
    /// Of each image that was understood, its place in the document.
    positions: Vec<usize>,
    /// True when some image was not understood.
    partial: bool,
    /// The fields that were taken out, since they or a part of them were not understood.
    taken_out: BTreeSet<Vec<Step>>,
}

impl Reading {
    /// Reads `root`, which deviates from the schema in `faults`.
    pub fn of(root: &Node, faults: &[Fault]) -> Reading {
        let bad = faults.iter().filter_map(|it| it.bad.as_deref());
        let mut reading = Reading {
            catalog: None,
            problems: Vec::new(),
            positions: Vec::new(),
            partial: false,
            taken_out: bad.map(|it| whole_field(it).to_vec()).collect(),
        };
        let images = reading.images(root, faults);
        reading.head(root, faults, images);
        reading
    }

    /// The images, each without what is wrong with it, as far as it can be spared.
    fn images(&mut self, root: &Node, faults: &[Fault]) -> Vec<Image> {
        let count = match root.entry("images").map(|it| &it.value.value) {
            Some(Value::List(items)) => items.len(),
            _ => 0,
        };
        let mut understood: Vec<(usize, Image)> = Vec::new();
        let mut lost: BTreeSet<String> = BTreeSet::new();
        for index in 0..count {
            let path = vec![Step::Field("images".to_owned()), Step::Index(index)];
            let known = faults.iter().any(|it| it.within.starts_with(&path));
            match self.image(root, &path, known) {
                Ok(image) => understood.push((index, image)),
                Err((at, message)) => {
                    self.partial = true;
                    let name = root.at(&path).and_then(|it| it.entry("name"));
                    if let Some(Value::Text(name)) = name.map(|it| &it.value.value) {
                        lost.insert(name.clone());
                    }
                    if !known {
                        self.problems.push(Problem::new(root.locate(&at), message));
                    }
                }
            }
        }
        forget_orphans(&mut understood, lost);
        let (positions, images) = understood.into_iter().unzip();
        self.positions = positions;
        images
    }

    fn image(
        &mut self,
        root: &Node,
        path: &[Step],
        may_take_out: bool,
    ) -> Result<Image, (Vec<Step>, String)> {
        loop {
            let Some(node) = root.at(path) else { return Err((path.to_vec(), String::new())) };
            let json = without(node, &self.taken_out, &mut path.to_vec());
            let (below, message) = match typed::<Image>(json) {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            let at: Vec<Step> = path.iter().cloned().chain(below).collect();
            let field = whole_field(&at).to_vec();
            // Each turn takes out one more field, so that this ends.
            if !may_take_out || field.len() <= path.len() || !self.taken_out.insert(field) {
                return Err((at, message));
            }
        }
    }

    /// The head: every field that is understood, and something harmless for every other.
    fn head(&mut self, root: &Node, faults: &[Fault], images: Vec<Image>) {
        let json = without(root, &self.taken_out, &mut Vec::new());
        let mut head = json!({
            "catalog": "stand-in",
            "gallery": {
                "subscription": "", "resourceGroup": "", "name": "", "location": "westeurope"
            },
            "build": { "resourceGroup": "", "identity": "" },
            "consumers": {},
            "images": [],
        });
        for field in ["catalog", "gallery", "build", "consumers"] {
            if json.get(field).is_none() {
                self.taken_out.insert(vec![Step::Field(field.to_owned())]);
            }
        }
        for (field, value) in json.as_object().into_iter().flatten() {
            if field == "images" {
                continue;
            }
            let mut tried = head.clone();
            tried[field] = value.clone();
            match typed::<Catalog>(tried.clone()) {
                Ok(_) => head = tried,
                Err((path, message)) => {
                    let stand_in = vec![Step::Field(field.clone())];
                    if !faults.iter().any(|it| it.within.starts_with(&stand_in)) {
                        self.problems.push(Problem::new(root.locate(&path), message));
                    }
                    self.taken_out.insert(stand_in);
                }
            }
        }
        self.catalog = typed::<Catalog>(head).ok().map(|head| Catalog { images, ..head });
    }

    /// The images that were understood, each with its place in the document.
    pub fn images_mut(&mut self) -> impl Iterator<Item = (usize, &mut Image)> {
        let images = self.catalog.iter_mut().flat_map(|it| &mut it.images);
        self.positions.iter().copied().zip(images)
    }

    /// What does not hold between the parts of the catalog. With `unreadable`, a file is missing
    /// from it, and what is missing is no news.
    pub fn problems_between(
        &self,
        root: &Node,
        faults: &[Fault],
        unreadable: bool,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for found in self.catalog.iter().flat_map(catalog::check) {
            let path = self.path(found.path.into_iter().map(step).collect());
            if !self.echoes(root, faults, &path, unreadable) {
                problems.push(Problem::new(root.locate(&path), found.message).hint(found.hint));
            }
        }
        problems
    }

    /// A path into what was understood, as a path into the document.
    fn path(&self, mut path: Vec<Step>) -> Vec<Step> {
        if let [Step::Field(images), Step::Index(index), ..] = path.as_mut_slice()
            && images == "images"
            && let Some(position) = self.positions.get(*index)
        {
            *index = *position;
        }
        path
    }

    /// Whether a complaint about `path` may merely follow from a fault that is already reported.
    fn echoes(&self, root: &Node, faults: &[Fault], path: &[Step], unreadable: bool) -> bool {
        if (unreadable || self.partial) && path.len() <= 1 {
            return true;
        }
        if self.taken_out.iter().any(|it| path.starts_with(it)) {
            return true;
        }
        let holder = path.split_last().map_or(path, |(_, holder)| holder);
        let is_missing = root.at(path).is_none();
        faults.iter().any(|it| it.within == path || (is_missing && it.within == holder))
    }
}

/// Leaves out the images that build on one in `lost`: they would be told that it does not exist.
fn forget_orphans(images: &mut Vec<(usize, Image)>, mut lost: BTreeSet<String>) {
    loop {
        let (orphans, rest): (Vec<_>, Vec<_>) = images.drain(..).partition(
            |(_, it)| matches!(&it.base, Base::Image(parent) if lost.contains(parent.as_str())),
        );
        *images = rest;
        if orphans.is_empty() {
            return;
        }
        lost.extend(orphans.iter().map(|(_, it)| it.name.to_string()));
    }
}

/// The field that holds the value at `path`: an item cannot be taken out of a list without moving
/// its neighbours.
fn whole_field(path: &[Step]) -> &[Step] {
    let last_field = path.iter().rposition(|it| matches!(it, Step::Field(_)));
    // An image as a whole stays: it is refused by itself.
    match last_field {
        Some(0) if path.len() == 2 => path,
        Some(index) => &path[..=index],
        None => path,
    }
}

/// The JSON of `node` without the fields in `bad`.
fn without(node: &Node, bad: &BTreeSet<Vec<Step>>, path: &mut Vec<Step>) -> Json {
    match &node.value {
        Value::Map(entries) => {
            let mut object = serde_json::Map::new();
            for entry in entries {
                path.push(Step::Field(entry.key.clone()));
                if !bad.contains(path.as_slice()) {
                    object.insert(entry.key.clone(), without(&entry.value, bad, path));
                }
                path.pop();
            }
            object.into()
        }
        Value::List(items) => {
            let mut list = Vec::new();
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                list.push(without(item, bad, path));
                path.pop();
            }
            list.into()
        }
        _ => node.to_json(),
    }
}

/// The typed value.
///
/// # Errors
/// Where and why it is none; the first reason only.
pub fn typed<T: DeserializeOwned>(json: Json) -> Result<T, (Vec<Step>, String)> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().iter().filter_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Step::Index(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Step::Field(key.clone())),
            serde_path_to_error::Segment::Enum { variant } => Some(Step::Field(variant.clone())),
            serde_path_to_error::Segment::Unknown => None,
        });
        (path.collect(), error.inner().to_string())
    })
}

fn step(step: catalog::Step) -> Step {
    match step {
        catalog::Step::Field(name) => Step::Field(name),
        catalog::Step::Index(index) => Step::Index(index),
    }
}
