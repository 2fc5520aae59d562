//! What refers to which version of an image, by a ladder of evidence.
//!
//! The main problem is a machine that was made from *latest*: its reference names the definition
//! and no version. Rung by rung: what Azure says it resolved to, what its OS disk was made from,
//! what was latest in its region when it was created. When no rung holds, it may use every
//! version, and is named as what stands in the way.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Region, VersionNumber};

/// How far the moment at which *latest* changed may be off: our history records when the change
/// was seen, and some regions follow minutes later.
const LATEST_IS_CERTAIN_WITHIN: TimeDelta = TimeDelta::hours(1);

/// What kind of resource refers to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Machine,
    /// A scale set's model.
    ScaleSet,
    /// One instance of a scale set in Uniform mode; in Flexible mode they are machines.
    ScaleSetInstance,
    Disk,
    /// An Image Builder template that builds from it.
    Template,
    /// A gallery version that was made from it.
    Version,
    Other,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Machine => "machine",
            Kind::ScaleSet => "scale set",
            Kind::ScaleSetInstance => "scale set instance",
            Kind::Disk => "disk",
            Kind::Template => "image template",
            Kind::Version => "gallery version",
            Kind::Other => "resource",
        }
    }
}

/// A resource that may use a version. Ids and references are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseRow {
    /// Its resource id.
    pub id: String,
    pub kind: Kind,
    /// What it was made from: a definition, a version, or `…/versions/latest`; also in the form of
    /// a shared or a community gallery.
    pub reference: Option<String>,
    /// What Azure says the reference resolved to; never there on a scale set's model.
    pub exact_version: Option<String>,
    /// What its OS disk was made from.
    pub os_disk_reference: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    /// How many instances a scale set has.
    pub size: Option<u64>,
    pub location: Option<String>,
    /// The scale set that a machine belongs to (Flexible mode), by resource id.
    #[serde(default)]
    pub scale_set: Option<String>,
}

/// A version of the image, as the gallery lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownVersion {
    pub number: VersionNumber,
    /// True: no region offers it as latest.
    pub hidden: bool,
}

/// What *latest* was in a region, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestSpan {
    pub region: Region,
    pub number: VersionNumber,
    pub from: DateTime<Utc>,
    /// Without it, it is latest to this day.
    pub to: Option<DateTime<Utc>>,
}

/// A use that no row of Azure shows: a pin, a channel, a child image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Without it, every version.
    pub number: Option<VersionNumber>,
    pub by: String,
    pub why: String,
}

/// Everything that was read about the uses of one image.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The resource id of the image's definition.
    pub definition_id: &'a str,
    pub versions: &'a [KnownVersion],
    pub rows: &'a [UseRow],
    /// The history of latest, as far as our ledger knows it.
    pub latest: &'a [LatestSpan],
    /// The scopes that could not be read, each with why.
    pub unreadable: &'a [String],
    pub claims: &'a [Claim],
}

/// Who uses which version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InUse {
    pub by_version: BTreeMap<VersionNumber, Vec<Use>>,
    /// What may use any of them, and so stands in the way of all.
    pub blocks_all: Vec<Use>,
}

/// A use, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Who uses it, for a person to read.
    pub by: String,
    pub why: String,
}

impl InUse {
    /// The uses of `number`, and those that may be of any version.
    pub fn of(&self, number: VersionNumber) -> impl Iterator<Item = &Use> {
        self.by_version.get(&number).into_iter().flatten().chain(&self.blocks_all)
    }

    fn add(&mut self, number: VersionNumber, by: &str, why: String) {
        let found = Use { by: by.to_owned(), why };
        let uses = self.by_version.entry(number).or_default();
        if !uses.contains(&found) {
            uses.push(found);
        }
    }

    fn block_all(&mut self, by: &str, why: String) {
        let found = Use { by: by.to_owned(), why };
        if !self.blocks_all.contains(&found) {
            self.blocks_all.push(found);
        }
    }
}

/// Finds who uses which version. Rows that are about other images are passed over.
pub fn uses(look: &Look<'_>) -> InUse {
    let mut found = InUse::default();
    for scope in look.unreadable {
        found.block_all(scope, "it could not be read, so anything in it may use this".to_owned());
    }
    for claim in look.claims {
        match claim.number {
            Some(number) => found.add(number, &claim.by, claim.why.clone()),
            None => found.block_all(&claim.by, claim.why.clone()),
        }
    }

    let definition = Definition::of(look.definition_id);
    for row in look.rows {
        let by = format!("{} {}", row.kind.as_str(), row.id);
        let made_from = definition.referred(row.reference.as_deref());
        match row.kind {
            Kind::Machine | Kind::ScaleSetInstance | Kind::Disk | Kind::Version | Kind::Other => {
                look_at_running(look, &definition, row, &by, made_from, &mut found);
            }
            Kind::ScaleSet => {
                look_at_future(look, row, &by, made_from, &mut found);
                if made_from != Referred::Elsewhere {
                    look_for_instances(look, row, &by, &mut found);
                }
            }
            Kind::Template => look_at_future(look, row, &by, made_from, &mut found),
        }
    }

    for uses in found.by_version.values_mut() {
        uses.sort();
    }
    found.blocks_all.sort();
    found
}

/// Counts what already runs on a version, or was made from it.
fn look_at_running(
    look: &Look<'_>,
    definition: &Definition,
    row: &UseRow,
    by: &str,
    made_from: Referred,
    found: &mut InUse,
) {
    let weak = if row.kind == Kind::Disk { "; a disk is weak evidence" } else { "" };
    let os_disk = definition.referred(row.os_disk_reference.as_deref());
    if let Referred::Version(number) = os_disk {
        found.add(number, by, format!("its OS disk was made from {number}"));
    }

    match made_from {
        Referred::Version(number) => {
            found.add(number, by, format!("its reference names {number}{weak}"));
        }
        Referred::Newest => {
            if let Some(number) = exact_version(row) {
                found.add(number, by, format!("its exactVersion is {number}{weak}"));
                return;
            }
            if matches!(os_disk, Referred::Version(_)) {
                return;
            }
            match latest_at_creation(look, row) {
                Ok(numbers) => {
                    for (number, why) in numbers {
                        found.add(number, by, format!("{why}{weak}"));
                    }
                }
                Err(why) => found.block_all(by, format!("it may use any version: {why}{weak}")),
            }
        }
        Referred::Unclear => {
            found.block_all(by, "it may use any version: its reference is not understood".into());
        }
        // The reference is about another image, or the row has none; its OS disk may still be ours.
        Referred::Elsewhere => match os_disk {
            Referred::Newest | Referred::Unclear => {
                let why = "it may use any version: its OS disk names the image without a version";
                found.block_all(by, why.to_owned());
            }
            Referred::Version(_) | Referred::Elsewhere => {}
        },
    }
}

/// Counts what will be made from a version: a scale set's model, however small the set, and a
/// template.
fn look_at_future(look: &Look<'_>, row: &UseRow, by: &str, made_from: Referred, found: &mut InUse) {
    match made_from {
        Referred::Elsewhere => {}
        Referred::Unclear => {
            found.block_all(by, "it may use any version: its reference is not understood".into());
        }
        Referred::Version(number) => {
            let of_size = row.size.map(|size| format!(" (size {size})")).unwrap_or_default();
            found.add(number, by, format!("its model names {number}{of_size}"));
        }
        Referred::Newest => {
            if let Some(number) = exact_version(row) {
                found.add(number, by, format!("its exactVersion is {number}"));
            }
            let of_size = row.size.map(|size| format!(" (size {size})")).unwrap_or_default();
            for number in newest(look, row) {
                let why = format!("its model names the image without a version{of_size}");
                found.add(number, by, format!("{why}: the next is made from {number}"));
            }
        }
    }
}

/// Instances may run older versions than their model names, so each must have been read.
fn look_for_instances(look: &Look<'_>, row: &UseRow, by: &str, found: &mut InUse) {
    let id = lower(&row.id);
    let inside = format!("{id}/virtualmachines/");
    let is_instance = |it: &&UseRow| match it.kind {
        Kind::ScaleSetInstance => lower(&it.id).starts_with(&inside),
        Kind::Machine => it.scale_set.as_deref().is_some_and(|set| lower(set) == id),
        Kind::ScaleSet | Kind::Disk | Kind::Template | Kind::Version | Kind::Other => false,
    };
    let read = look.rows.iter().filter(is_instance).count() as u64;
    match row.size {
        Some(size) if read >= size => {}
        Some(size) => {
            let why = format!("it may use any version: {read} of its {size} instances were read");
            found.block_all(by, why);
        }
        None => found.block_all(by, "it may use any version: its size is unknown".to_owned()),
    }
}

/// What a machine that is made now gets: the highest number that is offered somewhere, and what
/// our history has as latest in the row's region. Of an image that offers nothing, the highest.
fn newest(look: &Look<'_>, row: &UseRow) -> Vec<VersionNumber> {
    let offered = look.versions.iter().filter(|it| !it.hidden).map(|it| it.number).max();
    let highest = offered.or_else(|| look.versions.iter().map(|it| it.number).max());
    let region = region_of(row);
    let in_region = look
        .latest
        .iter()
        .filter(|span| span.to.is_none() && region.as_ref().is_none_or(|it| span.region == *it))
        .map(|span| span.number);

    let mut numbers: Vec<VersionNumber> = highest.into_iter().chain(in_region).collect();
    numbers.sort();
    numbers.dedup();
    numbers
}

/// What was latest in the row's region when it was created, or why that cannot be said. An
/// instance of a scale set may have been re-imaged since, which leaves its date as it was: it
/// counts for everything that has been latest from then on.
fn latest_at_creation(
    look: &Look<'_>,
    row: &UseRow,
) -> Result<Vec<(VersionNumber, String)>, &'static str> {
    let created = row.created_at.ok_or("nothing says which one, nor when it was created")?;
    let region = region_of(row).ok_or("nothing says which one, nor in which region it is")?;
    let spans: Vec<&LatestSpan> = look.latest.iter().filter(|it| it.region == region).collect();

    let ended_after = |span: &LatestSpan, at: DateTime<Utc>| span.to.is_none_or(|to| to > at);
    let covered = spans.iter().any(|span| span.from <= created && ended_after(span, created));
    if !covered {
        return Err("nothing says which one, and what was latest when it was created is unknown");
    }

    let first = created.checked_sub_signed(LATEST_IS_CERTAIN_WITHIN).unwrap_or(created);
    let last = match row.kind {
        Kind::ScaleSetInstance => DateTime::<Utc>::MAX_UTC,
        Kind::Machine
        | Kind::ScaleSet
        | Kind::Disk
        | Kind::Template
        | Kind::Version
        | Kind::Other => created.checked_add_signed(LATEST_IS_CERTAIN_WITHIN).unwrap_or(created),
    };
    let day = created.format("%Y-%m-%d");
    let of_then = spans.into_iter().filter(|span| span.from <= last && ended_after(span, first));
    Ok(of_then
        .map(|span| {
            let number = span.number;
            (number, format!("created on {day}, when {number} was latest in {region}"))
        })
        .collect())
}

fn exact_version(row: &UseRow) -> Option<VersionNumber> {
    row.exact_version.as_deref()?.trim().parse().ok()
}

fn region_of(row: &UseRow) -> Option<Region> {
    row.location.as_deref()?.parse().ok()
}

/// What a reference says about our definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Referred {
    /// There is none, or it is about another image.
    Elsewhere,
    Version(VersionNumber),
    /// The definition without a version, or `latest`.
    Newest,
    /// It is about this image and cannot be read further.
    Unclear,
}

/// The forms in which a definition is referred to, in lower case.
struct Definition {
    id: String,
    /// `/sharedgalleries/{subscription}-{gallery}/images/{name}`.
    shared: Option<String>,
    /// The last part of the id: of a community gallery only this is known to us.
    name: String,
}

impl Definition {
    fn of(definition_id: &str) -> Definition {
        let id = lower(definition_id);
        let parts: Vec<&str> = id.split('/').collect();
        let after = |name: &str| {
            let at = parts.iter().position(|part| *part == name)?;
            parts.get(at + 1).copied()
        };
        let name = parts.last().copied().unwrap_or_default().to_owned();
        let shared = match (after("subscriptions"), after("galleries")) {
            (Some(subscription), Some(gallery)) => {
                Some(format!("/sharedgalleries/{subscription}-{gallery}/images/{name}"))
            }
            _ => None,
        };
        Definition { id, shared, name }
    }

    fn referred(&self, reference: Option<&str>) -> Referred {
        let Some(reference) = reference.map(lower).filter(|it| !it.is_empty()) else {
            return Referred::Elsewhere;
        };
        let tail = reference
            .strip_prefix(&self.id)
            .or_else(|| reference.strip_prefix(self.shared.as_deref()?))
            .or_else(|| self.community_tail(&reference));
        let Some(tail) = tail.filter(|it| it.is_empty() || it.starts_with('/')) else {
            return Referred::Elsewhere;
        };
        match tail.strip_prefix("/versions/") {
            None if tail.is_empty() => Referred::Newest,
            None => Referred::Unclear,
            Some("latest") => Referred::Newest,
            Some(number) => number.parse().map_or(Referred::Unclear, Referred::Version),
        }
    }

    /// `/communitygalleries/{public name}/images/{name}…`: the public name is not known here, so
    /// an image of the same name in another community gallery counts too.
    fn community_tail<'a>(&self, reference: &'a str) -> Option<&'a str> {
        let rest = reference.strip_prefix("/communitygalleries/")?;
        let (_, rest) = rest.split_once("/images/")?;
        rest.strip_prefix(self.name.as_str())
    }
}

/// An id in lower case, without a slash at its end.
fn lower(id: &str) -> String {
    id.trim().trim_end_matches('/').to_lowercase()
}

#[cfg(test)]
mod tests;
