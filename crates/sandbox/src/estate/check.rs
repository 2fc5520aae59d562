//! What must hold between the parts of an estate. Everything that does not is reported at once.

use std::collections::BTreeSet;

use super::reference::{self, Reference};
use super::{Estate, Gallery};
use crate::azure::region;

/// Faults as they are found, each with its path in the document.
#[derive(Default)]
struct Faults(Vec<(String, String)>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push((path.into(), message.into()));
    }

    fn region(&mut self, path: impl Into<String>, name: &str) {
        if region::known(name).is_none() {
            self.add(path, format!("`{name}` is not a region; write its short name, `westeurope`"));
        }
    }

    fn guid(&mut self, path: impl Into<String>, text: &str) {
        if !is_guid(text) {
            let message = format!("`{text}` is not a GUID; write 8-4-4-4-12 hexadecimal digits");
            self.add(path, message);
        }
    }

    fn once(&mut self, seen: &mut BTreeSet<String>, path: impl Into<String>, name: &str) {
        if !seen.insert(name.to_ascii_lowercase()) {
            self.add(path, format!("`{name}` is there twice; remove one"));
        }
    }
}

/// Every fault of `estate`, as (path, message).
pub(super) fn check(estate: &Estate) -> Vec<(String, String)> {
    let mut faults = Faults::default();
    faults.guid("tenant", &estate.tenant);
    subscriptions(estate, &mut faults);
    marketplace(estate, &mut faults);
    advisories_and_steps(estate, &mut faults);
    galleries(estate, &mut faults);
    users(estate, &mut faults);
    for (index, outage) in estate.outages.iter().enumerate() {
        faults.region(format!("outages[{index}].region"), &outage.region);
        if outage.until <= outage.from {
            faults.add(format!("outages[{index}].until"), "an outage must end after it begins");
        }
    }
    for (name, index, period) in estate.bus.periods() {
        if period.until <= period.from {
            faults.add(
                format!("bus.{name}[{index}].until"),
                "a trouble of the bus must end after it begins",
            );
        }
    }
    if estate.cloud.items_per_page == Some(0) {
        let message = "a page has 1 item or more; leave it out for lists of one page";
        faults.add("cloud.itemsPerPage", message);
    }
    if !(1..=100).contains(&estate.budgets_percent) {
        faults.add("budgetsPercent", "the budgets are 1 to 100 percent of the published ones");
    }
    faults.0
}

fn subscriptions(estate: &Estate, faults: &mut Faults) {
    if estate.subscriptions.is_empty() {
        faults.add("subscriptions", "an estate needs at least one subscription");
    }
    let mut seen = BTreeSet::new();
    for (index, subscription) in estate.subscriptions.iter().enumerate() {
        let path = format!("subscriptions[{index}]");
        faults.guid(format!("{path}.id"), &subscription.id);
        faults.once(&mut seen, format!("{path}.id"), &subscription.id);
        let mut groups = BTreeSet::new();
        for (place, group) in subscription.resource_groups.iter().enumerate() {
            let path = format!("{path}.resourceGroups[{place}]");
            faults.once(&mut groups, format!("{path}.name"), &group.name);
            faults.region(format!("{path}.location"), &group.location);
        }
    }
    for (index, group) in estate.management_groups.iter().enumerate() {
        for (place, id) in group.subscriptions.iter().enumerate() {
            if !seen.contains(&id.to_ascii_lowercase()) {
                let path = format!("managementGroups[{index}].subscriptions[{place}]");
                faults.add(path, unknown_subscription(id));
            }
        }
    }
}

fn marketplace(estate: &Estate, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (index, image) in estate.marketplace.iter().enumerate() {
        let path = format!("marketplace[{index}]");
        let urn = format!("{}:{}:{}", image.publisher, image.offer, image.sku);
        faults.once(&mut seen, path.clone(), &urn);
        for (place, name) in image.regions.iter().enumerate() {
            faults.region(format!("{path}.regions[{place}]"), name);
        }
        if image.versions.is_empty() {
            faults.add(format!("{path}.versions"), format!("`{urn}` needs at least one version"));
        }
        let mut versions = BTreeSet::new();
        for (place, version) in image.versions.iter().enumerate() {
            let path = format!("{path}.versions[{place}]");
            faults.once(&mut versions, format!("{path}.version"), &version.version);
            let dotted = version.version.split('.').all(|part| part.parse::<u64>().is_ok());
            if !dotted {
                let message = format!("`{}` is not numbers with dots between", version.version);
                faults.add(format!("{path}.version"), message);
            }
            if place > 0 && version.released < image.versions[place - 1].released {
                let message = "a version must be released after the one before it in the list";
                faults.add(format!("{path}.released"), message);
            }
        }
    }
}

fn advisories_and_steps(estate: &Estate, faults: &mut Faults) {
    let systems: BTreeSet<&str> = estate.marketplace.iter().map(|it| it.os.as_str()).collect();
    let unknown_os = |path: String, os: &str, faults: &mut Faults| {
        if !systems.contains(os) {
            let known: Vec<&str> = systems.iter().copied().collect();
            let known = match known.as_slice() {
                [] => "the estate has no Marketplace image".to_owned(),
                _ => format!("there is `{}`", known.join("`, `")),
            };
            faults.add(path, format!("no Marketplace image has the os `{os}`; {known}"));
        }
    };

    let mut seen = BTreeSet::new();
    for (index, advisory) in estate.advisories.iter().enumerate() {
        let path = format!("advisories[{index}]");
        unknown_os(format!("{path}.os"), &advisory.os, faults);
        let key = format!("{} for {} in {}", advisory.id, advisory.package, advisory.os);
        faults.once(&mut seen, format!("{path}.id"), &key);
    }
    for (index, step) in estate.steps.iter().enumerate() {
        for (place, os) in step.os.iter().enumerate() {
            unknown_os(format!("steps[{index}].os[{place}]"), os, faults);
        }
        let Some(failure) = &step.fails else { continue };
        if let (Some(from), Some(until)) = (failure.from, failure.until)
            && until <= from
        {
            faults.add(format!("steps[{index}].fails.until"), "it must end after it begins");
        }
    }
}

fn galleries(estate: &Estate, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (index, gallery) in estate.galleries.iter().enumerate() {
        let path = format!("galleries[{index}]");
        faults.once(&mut seen, format!("{path}.name"), &gallery.name);
        place(estate, &path, &gallery.subscription, &gallery.resource_group, faults);
        faults.region(format!("{path}.location"), &gallery.location);
        let mut definitions = BTreeSet::new();
        let mut identifiers = BTreeSet::new();
        for (place, definition) in gallery.definitions.iter().enumerate() {
            let path = format!("{path}.definitions[{place}]");
            faults.once(&mut definitions, format!("{path}.name"), &definition.name);
            let identifier =
                format!("{}/{}/{}", definition.publisher, definition.offer, definition.sku);
            faults.once(&mut identifiers, format!("{path}.publisher"), &identifier);
            for (place, version) in definition.versions.iter().enumerate() {
                let path = format!("{path}.versions[{place}]");
                self::version(estate, gallery, &path, version, faults);
            }
            let mut numbers = BTreeSet::new();
            for (place, version) in definition.versions.iter().enumerate() {
                let path = format!("{path}.versions[{place}].number");
                faults.once(&mut numbers, path, &version.number);
            }
        }
    }
}

fn version(
    estate: &Estate,
    gallery: &Gallery,
    path: &str,
    version: &super::Version,
    faults: &mut Faults,
) {
    let parts: Vec<&str> = version.number.split('.').collect();
    let numbers = parts.iter().all(|part| part.parse::<u32>().is_ok_and(|it| it < 1 << 31));
    if parts.len() != 3 || !numbers {
        let message = format!("`{}` is not a version number; write `1.2.3`", version.number);
        faults.add(format!("{path}.number"), message);
    }
    if version.published > estate.start {
        let message = "a version of the estate must be published before its start";
        faults.add(format!("{path}.published"), message);
    }
    for (place, name) in version.regions.iter().enumerate() {
        faults.region(format!("{path}.regions[{place}]"), name);
    }
    let home = region::short(&gallery.location);
    if !version.regions.iter().any(|it| region::short(it) == home) {
        let message = format!("the regions must contain the gallery's location, `{home}`");
        faults.add(format!("{path}.regions"), message);
    }
    for (place, name) in version.excluded_in.iter().enumerate() {
        if !version.regions.iter().any(|it| region::short(it) == region::short(name)) {
            let message = format!("`{name}` is not one of the version's regions");
            faults.add(format!("{path}.excludedIn[{place}]"), message);
        }
    }
    let Some(base) = &version.base else { return };
    match reference::resolve(estate, base) {
        Ok(Reference::Platform { version, .. }) if version == "latest" => {
            faults.add(format!("{path}.base"), "name the exact version that it was built from");
        }
        Ok(Reference::Gallery { version: None, .. }) => {
            faults.add(format!("{path}.base"), "name the exact version that it was built from");
        }
        Ok(_) => {}
        Err(message) => faults.add(format!("{path}.base"), message),
    }
}

fn users(estate: &Estate, faults: &mut Faults) {
    let image = |path: String, text: &str, faults: &mut Faults| {
        if let Err(message) = reference::resolve(estate, text) {
            faults.add(path, message);
        }
    };

    let mut seen = BTreeSet::new();
    for (index, machine) in estate.machines.iter().enumerate() {
        let path = format!("machines[{index}]");
        place(estate, &path, &machine.subscription, &machine.resource_group, faults);
        faults.region(format!("{path}.location"), &machine.location);
        image(format!("{path}.image"), &machine.image, faults);
        let key = format!("{}/{}", machine.resource_group, machine.name);
        faults.once(&mut seen, format!("{path}.name"), &key);
        let Some(name) = &machine.scale_set else { continue };
        let belongs = estate.scale_sets.iter().any(|it| {
            it.name == *name
                && it.resource_group == machine.resource_group
                && it.orchestration == super::Orchestration::Flexible
        });
        if !belongs {
            let group = &machine.resource_group;
            let message = format!("there is no flexible scale set `{name}` in `{group}`");
            faults.add(format!("{path}.scaleSet"), message);
        }
    }

    let mut seen = BTreeSet::new();
    for (index, set) in estate.scale_sets.iter().enumerate() {
        let path = format!("scaleSets[{index}]");
        place(estate, &path, &set.subscription, &set.resource_group, faults);
        faults.region(format!("{path}.location"), &set.location);
        image(format!("{path}.image"), &set.image, faults);
        faults.once(
            &mut seen,
            format!("{path}.name"),
            &format!("{}/{}", set.resource_group, set.name),
        );
        for (place, instance) in set.instances.iter().enumerate() {
            let path = format!("{path}.instances[{place}]");
            if instance.id >= set.size {
                let size = set.size;
                let message = format!("the scale set has {size} instances, numbered from 0");
                faults.add(format!("{path}.id"), message);
            }
            if let Some(text) = &instance.image {
                image(format!("{path}.image"), text, faults);
            }
        }
    }

    for (index, template) in estate.templates.iter().enumerate() {
        let path = format!("templates[{index}]");
        place(estate, &path, &template.subscription, &template.resource_group, faults);
        faults.region(format!("{path}.location"), &template.location);
        image(format!("{path}.source"), &template.source, faults);
        image(format!("{path}.distribute"), &template.distribute, faults);
    }
}

/// A resource stands in a group of a subscription that the estate has.
fn place(estate: &Estate, path: &str, subscription: &str, group: &str, faults: &mut Faults) {
    let found = estate.subscriptions.iter().find(|it| it.id.eq_ignore_ascii_case(subscription));
    let Some(found) = found else {
        faults.add(format!("{path}.subscription"), unknown_subscription(subscription));
        return;
    };
    if !found.resource_groups.iter().any(|it| it.name.eq_ignore_ascii_case(group)) {
        let message =
            format!("subscription `{}` has no resource group `{group}`; add it there", found.name);
        faults.add(format!("{path}.resourceGroup"), message);
    }
}

fn unknown_subscription(id: &str) -> String {
    format!("there is no subscription `{id}`; add it under `subscriptions` or mend the id")
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|it| it.len()).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|it| it == b'-' || it.is_ascii_hexdigit())
}
