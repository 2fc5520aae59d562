//! At most one building and one releasing run per image; one run publishes at most one version; a
//! number is never used twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Seen};

/// What is known of each image.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    images: BTreeMap<String, Image>,
    /// The numbers that the gallery has ever had, by image.
    ever: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Image {
    building: Option<String>,
    releasing: Option<String>,
    opened: BTreeSet<String>,
}

impl Invariant for Numbers {
    fn name(&self) -> &'static str {
        "one building and one releasing run, each number once"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for fact in seen.facts() {
            let image = self.images.entry(fact.stream.to_owned()).or_default();
            let version = fact.version().to_owned();
            match fact.name {
                "runOpened" => {
                    let there = self.ever.get(fact.stream).is_some_and(|it| it.contains(&version));
                    if !image.opened.insert(version.clone()) || there {
                        return Err(format!("{} uses {version} a second time", fact.stream));
                    }
                    if let Some(other) = image.building.replace(version.clone()) {
                        let stream = fact.stream;
                        return Err(format!("{stream} builds {version} beside {other}"));
                    }
                }
                "gatePassed" => {
                    image.building = None;
                    if let Some(other) = image.releasing.replace(version.clone()) {
                        let stream = fact.stream;
                        return Err(format!("{stream} releases {version} beside {other}"));
                    }
                }
                "buildFailed" | "imageRejected" | "runSuperseded" | "runReleased" | "runFailed"
                | "versionRevoked" => {
                    for slot in [&mut image.building, &mut image.releasing] {
                        if slot.as_ref() == Some(&version) {
                            *slot = None;
                        }
                    }
                }
                // What failed for good ends whatever it was about; which run, only the rules know.
                "stepFailed" => (image.building, image.releasing) = (None, None),
                _ => {}
            }
        }
        for (image, offers) in seen.offers {
            let ever = self.ever.entry(image.clone()).or_default();
            ever.extend(offers.iter().map(|it| it.number.clone()));
        }
        Ok(())
    }
}
