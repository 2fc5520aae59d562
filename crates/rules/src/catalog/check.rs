//! What must hold between the members of a catalog, beyond their types: all problems at once,
//! each with its place in the document.

use std::collections::BTreeMap;
use std::fmt;

use crate::catalog::Catalog;

mod bases;
mod estate;
mod images;
mod shapes;

/// A part of a path in the document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A member of a mapping, as the catalog spells it.
    Field(String),
    /// An item of a sequence, from 0.
    Index(usize),
}

/// Something in a catalog that cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is. A member that is left out is named by where it would stand.
    pub path: Vec<Step>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to write in its place.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.path.iter().enumerate() {
            match step {
                Step::Field(name) if index == 0 => write!(f, "{name}")?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(item) => write!(f, "[{item}]")?,
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// Finds everything that is wrong with `catalog`; none: it can be put in force. The problems are
/// in the order of the document's members.
pub fn check(catalog: &Catalog) -> Vec<Problem> {
    let mut problems = Problems::default();
    estate::check(catalog, &mut problems);
    if catalog.images.is_empty() {
        problems.report(&Place::root().field("images"), "there are no images".to_owned());
    }
    let mut names = BTreeMap::new();
    let mut identifiers = BTreeMap::new();
    for (index, image) in catalog.images.iter().enumerate() {
        let place = Place::root().field("images").index(index);
        if let Some(first) = names.insert(&image.name, index) {
            names.insert(&image.name, first);
            let message = format!("image `{}` is here twice: also images[{first}]", image.name);
            problems.report(&place.field("name"), message);
        }
        let identifier = &image.identifier;
        let triple = format!("{}/{}/{}", identifier.publisher, identifier.offer, identifier.sku);
        // Azure compares them without regard to case.
        if let Some(first) = identifiers.insert(triple.to_lowercase(), &image.name) {
            identifiers.insert(triple.to_lowercase(), first);
            let message = format!("`{triple}` is the identifier of image `{first}` already");
            let hint = "give each image its own publisher, offer and sku";
            problems.report_with_hint(&place.field("identifier"), message, hint);
        }
        images::check(image, &place, &mut problems);
        bases::check(catalog, index, &place, &mut problems);
    }
    problems.found
}

#[derive(Default)]
struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    fn report(&mut self, place: &Place, message: String) {
        self.found.push(Problem { path: place.0.clone(), message, hint: None });
    }

    fn report_with_hint(&mut self, place: &Place, message: String, hint: impl Into<String>) {
        self.found.push(Problem { path: place.0.clone(), message, hint: Some(hint.into()) });
    }

    /// Reports `text` unless it has the wanted shape.
    fn demand_shape(&mut self, place: &Place, text: &str, shape: Result<(), &'static str>) {
        if let Err(rule) = shape {
            self.report_with_hint(place, format!("`{text}` is not right here"), rule);
        }
    }
}

/// A place in the document.
#[derive(Clone)]
struct Place(Vec<Step>);

impl Place {
    const fn root() -> Place {
        Place(Vec::new())
    }

    fn field(&self, name: &str) -> Place {
        let mut path = self.0.clone();
        path.push(Step::Field(name.to_owned()));
        Place(path)
    }

    fn index(&self, index: usize) -> Place {
        let mut path = self.0.clone();
        path.push(Step::Index(index));
        Place(path)
    }
}

#[cfg(test)]
mod tests;
