//! The catalog's head: gallery, build, consumers, tags.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Problems, shapes};
use crate::catalog::{Build, Catalog, Consumers, Gallery};

/// The first part of the tags that Goldsmith itself writes on versions.
const OWN_TAGS: &str = "goldsmith";

/// Azure lets a resource have 50 tags; the ones that Goldsmith and Image Builder write need room.
const MOST_TAGS: usize = 25;

/// Azure's name for a folder of the ledger on Windows must not be one of these, nor must two
/// streams of the ledger have the same name.
pub(super) const RESERVED_NAMES: [&str; 8] =
    ["all", "catalog", "latest", "aux", "con", "nul", "prn", "none"];

pub(super) fn check(catalog: &Catalog, problems: &mut Problems) {
    let root = Place::root();
    if RESERVED_NAMES.contains(&catalog.catalog.as_str()) {
        let message = format!("`{}` is a reserved name", catalog.catalog);
        problems.report_with_hint(&root.field("catalog"), message, "choose another name");
    }
    check_gallery(&catalog.gallery, &root.field("gallery"), problems);
    check_build(&catalog.build, &root.field("build"), problems);
    check_consumers(&catalog.consumers, &root.field("consumers"), problems);
    check_tags(&catalog.tags, &root.field("tags"), problems);
}

fn check_gallery(gallery: &Gallery, place: &Place, problems: &mut Problems) {
    let Gallery { subscription, resource_group, name, location: _ } = gallery;
    problems.demand_shape(&place.field("subscription"), subscription, shapes::guid(subscription));
    let group = shapes::resource_group(resource_group);
    problems.demand_shape(&place.field("resourceGroup"), resource_group, group);
    problems.demand_shape(&place.field("name"), name, shapes::gallery(name));
}

fn check_build(build: &Build, place: &Place, problems: &mut Problems) {
    let group = shapes::resource_group(&build.resource_group);
    problems.demand_shape(&place.field("resourceGroup"), &build.resource_group, group);
    let identity = shapes::identity(&build.identity);
    problems.demand_shape(&place.field("identity"), &build.identity, identity);
    if let Some(subnet) = &build.subnet {
        problems.demand_shape(&place.field("subnet"), subnet, shapes::subnet(subnet));
    }
    let size = shapes::vm_size(&build.vm_size);
    problems.demand_shape(&place.field("vmSize"), &build.vm_size, size);
    if build.at_once == 0 {
        let message = "with 0 builds at once nothing is ever built".to_owned();
        problems.report_with_hint(&place.field("atOnce"), message, "write 1 or more");
    }
    if !(6..=960).contains(&build.timeout_minutes) {
        let message = format!("Image Builder has no timeout of {} minutes", build.timeout_minutes);
        problems.report_with_hint(&place.field("timeoutMinutes"), message, "write 6 to 960");
    }
}

fn check_consumers(consumers: &Consumers, place: &Place, problems: &mut Problems) {
    let Consumers { subscriptions, management_groups } = consumers;
    if subscriptions.is_empty() && management_groups.is_empty() {
        let message = "there are no consumers, so what is in use cannot be known".to_owned();
        let hint = "name the subscriptions or management groups whose machines use the images";
        problems.report_with_hint(place, message, hint);
    }

    let mut seen = BTreeSet::new();
    for (index, subscription) in subscriptions.iter().enumerate() {
        let place = place.field("subscriptions").index(index);
        problems.demand_shape(&place, subscription, shapes::guid(subscription));
        if !seen.insert(subscription.to_lowercase()) {
            problems.report(&place, format!("subscription `{subscription}` is here twice"));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, group) in management_groups.iter().enumerate() {
        let place = place.field("managementGroups").index(index);
        problems.demand_shape(&place, group, shapes::management_group(group));
        if !seen.insert(group.to_lowercase()) {
            problems.report(&place, format!("management group `{group}` is here twice"));
        }
    }
}

fn check_tags(tags: &BTreeMap<String, String>, place: &Place, problems: &mut Problems) {
    if tags.len() > MOST_TAGS {
        let message = format!("there are {} tags", tags.len());
        problems.report_with_hint(place, message, format!("write {MOST_TAGS} at most"));
    }
    let mut seen = BTreeSet::new();
    for (name, value) in tags {
        let place = place.field(name);
        let lower = name.to_lowercase();
        let length = name.chars().count();
        if length == 0 || length > 512 || name.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            let message = format!("`{name}` is not the name of a tag");
            let hint = "a tag's name has 1 to 512 characters, none of them `<>%&\\?/`";
            problems.report_with_hint(&place, message, hint);
        }
        if lower.starts_with(OWN_TAGS) {
            let message = format!("tags that begin with `{OWN_TAGS}` are Goldsmith's own");
            problems.report_with_hint(&place, message, "choose another name");
        }
        if !seen.insert(lower) {
            let message = format!("tag `{name}` is here twice: Azure takes no notice of case");
            problems.report(&place, message);
        }
        if value.chars().count() > 256 {
            let message = format!("the value of tag `{name}` has more than 256 characters");
            problems.report(&place, message);
        }
    }
}
