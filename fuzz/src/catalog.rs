//! Catalogs and estates, as somebody writes them in YAML. A catalog that is accepted goes through
//! everything that is decided from it alone.

use std::path::Path;

use chrono::TimeDelta;
use cli::load::{self, LoadError};
use rules::catalog::Catalog;

use super::script::noon;

pub(crate) fn catalog(bytes: &[u8]) {
    let Some(Some(loaded)) = in_file(bytes, |it| said(load::catalog(it))) else { return };
    let written = serde_json::to_vec(&loaded.catalog).expect("a catalog has a JSON form");
    let again: Catalog = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, loaded.catalog);
    let _ = rules::catalog::check(&again);

    for image in &again.images {
        let _ = rules::number::spec_digest(image);
        let plan = rules::rings::plan(image);
        for released in (0..plan.len()).map(Some).chain([None]) {
            let _ = rules::rings::flags(&plan, released, &again.gallery.location);
        }
        let Some(schedule) = &image.schedule else { continue };
        let through = noon() + TimeDelta::days(40);
        let due = rules::schedule::occurrences(schedule, noon(), through).expect("it was checked");
        for occurrence in due {
            let _ = rules::schedule::patch_tuesday_of(schedule, occurrence);
        }
        let _ = rules::schedule::next(schedule, through);
    }
}

pub(crate) fn estate(bytes: &[u8]) {
    let _ = in_file(bytes, |it| said(load::estate(it)));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = sandbox::estate::Estate::parse(text);
    }
}

/// What was loaded; what is wrong with it is told as a person and as a program would be.
fn said<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(loaded) => Some(loaded),
        Err(LoadError::Refused(problems)) => {
            for problem in &problems {
                let _ = (problem.render(true, 80), problem.to_json());
            }
            None
        }
        Err(LoadError::Unreadable { .. }) => None,
    }
}

fn in_file<T>(bytes: &[u8], look: impl FnOnce(&Path) -> T) -> Option<T> {
    let folder = tempfile::tempdir().ok()?;
    let file = folder.path().join("c.yaml");
    std::fs::write(&file, bytes).ok()?;
    Some(look(&file))
}
