//! What images are built from: the images form a forest, and each fits its parent.

use super::{Place, Problems};
use crate::catalog::{Base, Catalog, Image, PlatformImage};
use crate::name::ImageName;

pub(super) fn check(catalog: &Catalog, index: usize, place: &Place, problems: &mut Problems) {
    let image = &catalog.images[index];
    let place = place.field("base");
    let parent = match &image.base {
        Base::Platform(platform) => {
            return check_platform(platform, &place.field("platform"), problems);
        }
        Base::Image(parent) => parent,
    };

    let place = place.field("image");
    let Some(found) = catalog.image(parent) else {
        let message = format!("there is no image `{parent}` in this catalog");
        match nearest(parent, catalog) {
            Some(near) => {
                problems.report_with_hint(&place, message, format!("did you mean `{near}`?"));
            }
            None => problems.report(&place, message),
        }
        return;
    };
    if let Some(cycle) = cycle_from(catalog, index) {
        let cycle: Vec<&str> = cycle.iter().map(|it| it.as_str()).collect();
        let message =
            format!("images are built from each other in a circle: {}", cycle.join(" → "));
        let hint = "one of them must have a platform image as its base";
        problems.report_with_hint(&place, message, hint);
        return;
    }
    check_fit(image, found, &place, problems);
}

fn check_platform(platform: &PlatformImage, place: &Place, problems: &mut Problems) {
    let mut members = vec![
        (place.field("publisher"), &platform.publisher),
        (place.field("offer"), &platform.offer),
        (place.field("sku"), &platform.sku),
    ];
    if let Some(plan) = &platform.plan {
        let place = place.field("plan");
        members.push((place.field("name"), &plan.name));
        members.push((place.field("product"), &plan.product));
        members.push((place.field("publisher"), &plan.publisher));
    }
    for (place, text) in members {
        let inner = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
        if text.is_empty() || !text.bytes().all(inner) {
            let message = format!("`{text}` is not part of a Marketplace image's name");
            let hint = "see them with `az vm image list --all --publisher …`";
            problems.report_with_hint(&place, message, hint);
        }
    }
}

fn check_fit(image: &Image, parent: &Image, place: &Place, problems: &mut Problems) {
    if image.os != parent.os {
        let message =
            format!("`{}` has another operating system than `{}`", parent.name, image.name);
        let hint = "an image and the one it is built from have the same `os`";
        return problems.report_with_hint(place, message, hint);
    }
    if image.generation != parent.generation {
        let message = format!("`{}` is of another generation than `{}`", parent.name, image.name);
        let hint = "an image and the one it is built from have the same `generation`";
        problems.report_with_hint(place, message, hint);
    }
}

/// The circle that the image at `index` closes, beginning and ending with it; only for the first
/// image of the circle in the document, so that each circle is reported once.
fn cycle_from(catalog: &Catalog, index: usize) -> Option<Vec<&ImageName>> {
    let start = &catalog.images[index];
    let mut path = vec![&start.name];
    let mut at = start;
    while let Base::Image(parent) = &at.base {
        at = catalog.image(parent)?;
        path.push(&at.name);
        if at.name == start.name {
            let position = |name: &ImageName| catalog.images.iter().position(|it| it.name == *name);
            let first = path.iter().filter_map(|name| position(name)).min();
            return (first == Some(index)).then_some(path);
        }
        // It leads into a circle that it is no part of.
        if path.len() > catalog.images.len() {
            return None;
        }
    }
    None
}

fn nearest<'a>(wanted: &ImageName, catalog: &'a Catalog) -> Option<&'a ImageName> {
    let score = |it: &ImageName| strsim::jaro_winkler(wanted.as_str(), it.as_str());
    catalog
        .images
        .iter()
        .map(|image| &image.name)
        .filter(|name| score(name) > 0.8)
        .max_by(|left, right| score(left).total_cmp(&score(right)))
}
