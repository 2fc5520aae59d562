//! What was offered on a desk that was harmed, in every state that its versions were ever in: nothing
//! before its gate and its rings, and never nothing at all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::azure::Azure;
use crate::stream::{Happened, Stream};

/// What is wrong with how the versions of `image` were offered.
pub(crate) fn faults(azure: &Azure, image: &str, stream: &Stream) -> Vec<String> {
    let mut faults = Vec::new();
    let mut offering: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, at, record) in azure.versions(image) {
        let offered = record.as_ref().map(offered).unwrap_or_default();
        for region in &offered {
            if let Some(before) = missing(stream, &number, region, at) {
                faults.push(format!("{image} {number} is offered in {region} without {before}"));
            }
        }
        let is_whole = record.as_ref().is_some_and(|it| it["exclude_from_latest"] == false);
        if is_whole && let Some(before) = missing(stream, &number, "everywhere", at) {
            faults.push(format!("{image} {number} is offered as a whole without {before}"));
        }
        for region in &offered {
            offering.entry(region.clone()).or_default().insert(number.clone());
        }
        for (region, versions) in &mut offering {
            if !offered.contains(region) && versions.remove(&number) && versions.is_empty() {
                faults.push(format!("{image} {number} was the last one offered in {region}"));
            }
        }
    }
    if let Some(newest) = stream.all("runReleased").last().map(|it| it.text("version")) {
        for region in plan(stream, newest).into_iter().flatten() {
            if !offering.get(&region).is_some_and(|it| it.contains(newest)) {
                faults.push(format!("{image} {newest} is released, and not offered in {region}"));
            }
        }
    }
    faults
}

/// Where a version is offered by some flag.
fn offered(record: &Value) -> BTreeSet<String> {
    let whole = &record["exclude_from_latest"];
    let regions = record["regions"].as_array().into_iter().flatten();
    let offers = regions.filter(|it| match &it["exclude_from_latest"] {
        Value::Null => *whole == false,
        flag => *flag == false,
    });
    offers.filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
}

/// What the ledger does not say that must stand there before `number` is offered in `region`: that the
/// gate has passed it, and that the ring before has it. Everywhere it is offered with the last ring.
fn missing(stream: &Stream, number: &str, region: &str, at: DateTime<Utc>) -> Option<String> {
    let of = |name| stream.all(name).filter(|it| it.text("version") == number && it.was_by(at));
    of("gatePassed").next().is_none().then_some("the gate").map(str::to_owned).or_else(|| {
        let plan = plan(stream, number);
        let ring = plan.iter().position(|it| it.iter().any(|it| it == region));
        let before = ring.unwrap_or(plan.len() - 1).checked_sub(1)?;
        let has_it = of("ringReleased").any(|it| it.event["ring"] == before);
        (!has_it).then(|| format!("ring {before}"))
    })
}

/// The regions of each ring through which `number` goes.
fn plan(stream: &Stream, number: &str) -> Vec<Vec<String>> {
    let passed = stream.all("gatePassed").find(|it| it.text("version") == number);
    let rings = passed.and_then(|it| it.event["plan"].as_array()).into_iter().flatten();
    let regions = |ring: &Value| {
        let regions = ring["regions"].as_array().into_iter().flatten();
        regions.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    rings.map(regions).collect()
}

impl Happened {
    fn was_by(&self, at: DateTime<Utc>) -> bool {
        self.at.parse::<DateTime<Utc>>().unwrap() <= at
    }
}

#[test]
fn the_judge_sees_what_is_offered_too_early_and_what_is_offered_no_more() {
    let version = "microsoft.compute/galleries/images/versions";
    let first = format!("SELECT min(sequence) FROM azure_history WHERE kind = '{version}'");
    let gone = format!(
        "INSERT INTO azure_history (key, at, kind, record)
         SELECT key, at, '', NULL FROM azure_history WHERE kind = '{version}'
         ORDER BY sequence DESC LIMIT 1"
    );
    let cases = [
        (
            format!(
                "UPDATE azure_history SET at = at - 3600000000000,
                 record = json_set(record, '$.exclude_from_latest', json('false'))
                 WHERE sequence = ({first})"
            ),
            "is offered as a whole without the gate",
        ),
        (
            format!(
                "UPDATE azure_history
                 SET record = json_set(record, '$.regions[0].exclude_from_latest', json('false'))
                 WHERE sequence = ({first}
                 AND json_extract(record, '$.regions[0].exclude_from_latest') = 1
                 AND json_extract(record, '$.regions[1].exclude_from_latest') = 0)"
            ),
            "is offered in northeurope without ring 0",
        ),
        (gone.clone(), "was the last one offered in northeurope"),
        (gone, "is released, and not offered in westeurope"),
    ];
    for (change, expected) in cases {
        let (_home, state) = crate::spoiled::desk();
        let database = rusqlite::Connection::open(state.join("sandbox.sqlite")).unwrap();
        assert_eq!(database.execute(&change, []).unwrap(), 1, "{change}");
        let found = crate::judge::faults(&state);
        assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
    }
}
