//! No reason to build is missed: each occurrence of a schedule, the newest base, and each child that
//! a release is due for stand in the ledger as accepted, coalesced or refused.
//!
//! What is to be found is worked out here from the catalog and the estate alone. Of an image counts
//! what has come since the catalog says the same of it without a break; a tick finds it within
//! hours, and once nothing goes wrong any more at the latest.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;
use rules::catalog::{Base, Catalog, Image, Moment, Schedule};

use super::triggers::id;
use super::{Fact, Invariant, Seen, parts};

/// The longest time between two ticks of a timer, and what it takes to come to an end.
const FOUND_WITHIN: TimeDelta = TimeDelta::hours(5);

/// For so long a step may go on by the catalog that was in force when it began.
const CATALOG_SETTLES: TimeDelta = TimeDelta::hours(1);

/// What the catalog asks for and what the ledger has heard of, by image.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    wanted: BTreeMap<String, Wanted>,
    adopted: BTreeMap<String, DateTime<Utc>>,
    heard: BTreeMap<String, BTreeSet<String>>,
    told: Vec<Told>,
}

#[derive(Debug)]
struct Wanted {
    schedule: Option<Schedule>,
    base: Base,
    /// Since when the catalog says so.
    since: DateTime<Utc>,
}

/// The children that a version of their parent is a reason for.
#[derive(Debug)]
struct Told {
    at: DateTime<Utc>,
    trigger: String,
    children: Vec<String>,
}

impl Invariant for Reasons {
    fn name(&self) -> &'static str {
        "no reason to build is missed"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        self.compare(seen.catalog, seen.now);
        for fact in seen.facts() {
            let heard = self.heard.entry(fact.stream.to_owned()).or_default();
            match fact.name {
                "imageAdopted" => {
                    self.adopted.insert(fact.stream.to_owned(), fact.said_at());
                }
                "triggerAccepted" | "triggerRefused" => {
                    heard.insert(id(&fact.body["trigger"]));
                }
                "triggerCoalesced" => {
                    heard.insert(fact.text("trigger").to_owned());
                }
                _ => {}
            }
            if let Some(children) = children(seen, &fact) {
                let trigger = format!("parent:{}:{}", fact.stream, fact.version());
                self.told.push(Told { at: fact.entry.at, trigger, children });
            }
        }
        Ok(())
    }

    fn end(&self, seen: &Seen<'_>) -> Result<(), String> {
        let by = seen.now - FOUND_WITHIN;
        if seen.calm.is_none_or(|calm| calm > by) {
            return Ok(());
        }
        for (image, wanted) in &self.wanted {
            let Some(adopted) = self.adopted.get(image) else {
                return Err(format!("{image} is in the catalog, and was never adopted"));
            };
            let from = (*adopted).max(wanted.since + CATALOG_SETTLES);
            let occurrences = wanted.schedule.iter().flat_map(|it| occurrences(it, from, by));
            for at in occurrences {
                let trigger = format!("schedule:{}", at.format("%Y-%m-%dT%H:%M:%SZ"));
                self.is_heard(image, &trigger)?;
            }
            if let Base::Platform(base) = &wanted.base
                && let Some((version, released)) = newest(seen, &base.offer)
                && released.max(from) <= by
            {
                self.is_heard(image, &format!("base:{version}"))?;
            }
        }
        for told in self.told.iter().filter(|it| it.at <= by) {
            for child in &told.children {
                let knows = self.wanted.get(child).is_some_and(|it| it.since < told.at);
                if knows {
                    self.is_heard(child, &told.trigger)?;
                }
            }
        }
        Ok(())
    }
}

impl Reasons {
    /// What the catalog says now: whatever it says in another way begins anew.
    fn compare(&mut self, catalog: &Catalog, now: DateTime<Utc>) {
        let is_there = |image: &String| catalog.images.iter().any(|it| it.name.as_str() == image);
        self.wanted.retain(|image, _| is_there(image));
        for image in &catalog.images {
            let known = self.wanted.get(image.name.as_str());
            if known.is_none_or(|it| it.schedule != image.schedule || it.base != image.base) {
                let (schedule, base) = (image.schedule.clone(), image.base.clone());
                let wanted = Wanted { schedule, base, since: now };
                self.wanted.insert(image.name.to_string(), wanted);
            }
        }
    }

    fn is_heard(&self, image: &str, trigger: &str) -> Result<(), String> {
        match self.heard.get(image).is_some_and(|it| it.contains(trigger)) {
            true => Ok(()),
            false => Err(format!("{image} has never heard of {trigger}")),
        }
    }
}

/// The children that a fact is a reason for, by the catalog that its step goes by.
fn children(seen: &Seen<'_>, fact: &Fact<'_>) -> Option<Vec<String>> {
    let catalog = seen.story.catalog(fact.entry.value["policy"].as_str()?)?;
    let parent = catalog.images.iter().find(|it| it.name.as_str() == fact.stream)?;
    let is_due = match parent.children_build_when {
        Moment::Passed => fact.name == "gatePassed",
        Moment::FirstRing => fact.name == "ringReleased" && fact.body["ring"] == 0,
        Moment::Released => fact.name == "runReleased",
    };
    let of_it = |it: &&Image| matches!(&it.base, Base::Image(of) if of.as_str() == fact.stream);
    let names = catalog.images.iter().filter(of_it).map(|it| it.name.to_string());
    is_due.then(|| names.collect())
}

/// The newest version that the Marketplace has by now, and since when.
fn newest(seen: &Seen<'_>, offer: &str) -> Option<(String, DateTime<Utc>)> {
    let images = seen.estate.marketplace.iter().filter(|it| it.offer == offer);
    let versions = images.flat_map(|it| &it.versions).filter(|it| it.released <= seen.now);
    let newest = versions.max_by_key(|it| parts(&it.version))?;
    Some((newest.version.clone(), newest.released))
}

/// When a schedule occurs after `from` and up to `by`: once on each of its days.
fn occurrences(schedule: &Schedule, from: DateTime<Utc>, by: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    // A day earlier and later: the zone's day is not ours.
    let first = from.date_naive() - Days::new(2);
    let days = first.iter_days().take_while(|it| *it <= by.date_naive() + Days::new(2));
    let instants = days.flat_map(|day| occurs_on(schedule, day).unwrap_or_default());
    instants.filter(|it| *it > from && *it <= by).collect()
}

/// When it occurs on `day`, of the kinds that a seed draws: each day in some minutes of an hour, or
/// some days after Patch Tuesday.
fn occurs_on(schedule: &Schedule, day: NaiveDate) -> Option<Vec<DateTime<Utc>>> {
    let (hour, minutes, zone) = match schedule {
        Schedule::Cron(cron) => {
            let mut fields = cron.expression.split(' ').skip(1);
            let minutes = fields.next()?;
            (fields.next()?, minutes, cron.zone)
        }
        Schedule::PatchTuesday(patch) => {
            let tuesday = day - Days::new(u64::from(patch.days_after));
            let is_second = (8..=14).contains(&tuesday.day());
            if tuesday.weekday() != Weekday::Tue || !is_second {
                return None;
            }
            let (hour, minute) = patch.at.split_once(':')?;
            (hour, minute, patch.zone)
        }
    };
    let hour = hour.parse().ok()?;
    let at = |minute: &str| Some(instant(day.and_hms_opt(hour, minute.parse().ok()?, 0)?, zone));
    minutes.split(',').map(at).collect()
}

/// When clocks show it for the first time; when they never do, when they have just jumped over it.
fn instant(mut local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    loop {
        if let Some(at) = zone.from_local_datetime(&local).earliest() {
            return at.to_utc();
        }
        local += TimeDelta::minutes(1);
    }
}
