//! Estates: what is refused, all at once and with its place; the example; a state's own estate.

use std::sync::Arc;

use sandbox::azure::{Azure, AzureError, AzureOptions};
use sandbox::blob::Blobs;
use sandbox::bus::Bus;
use sandbox::database::Database;
use sandbox::estate::Estate;
use seam::ToldClock;

use crate::desk::{desk, estate};

const EXAMPLE: &str = include_str!("../../../../examples/estate.yaml");

const HEAD: &str = "start: 2026-09-07T06:00:00Z
tenant: 0f1c2d3e-4b5a-4c6d-8e7f-901234567890
subscriptions:
  - id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    name: images
    resourceGroups: [{ name: rg-images, location: westeurope }]
";

fn refused(text: &str) -> Vec<String> {
    let error = Estate::parse(text).expect_err("a fault");
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_is_clean() {
    let estate = Estate::parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(estate.galleries[0].definitions.len(), 6);
}

#[test]
fn the_example_can_be_put_in_place() {
    let estate = Estate::parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let clock = Arc::new(ToldClock(estate.start));
    let database = Arc::new(Database::open(None).unwrap());
    let bus = Bus::open(database.clone(), clock.clone(), []).unwrap();
    let blobs = Arc::new(Blobs::memory("http://127.0.0.1:1"));

    let azure = Azure::open(database, &estate, clock, blobs, bus, AzureOptions::default()).unwrap();

    let gallery = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-golden-images/providers/Microsoft.Compute/galleries/galContoso/images";
    let latest = |image: &str| azure.latest(&format!("{gallery}/{image}"), "westeurope").unwrap();
    assert_eq!(latest("ubuntu-2204-base").as_deref(), Some("1.7.0"));
    assert_eq!(latest("rhel-9-base").as_deref(), Some("1.11.0"));
    assert_eq!(latest("windows-2022-base").as_deref(), Some("1.8.0"));
}

#[test]
fn an_unknown_member_is_refused_with_its_line_and_column() {
    let problems = refused(&format!("{HEAD}marketplace: []\nmachnes: []\n"));

    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("8:1: "), "{problems:?}");
    assert!(problems[0].contains("machnes"), "{problems:?}");
}

#[test]
fn a_mistyped_value_is_refused_with_its_line_and_column() {
    let problems = refused(&HEAD.replace("2026-09-07T06:00:00Z", "tomorrow"));

    assert!(problems[0].starts_with("1:8: "), "{problems:?}");
}

#[test]
fn what_is_no_yaml_is_refused() {
    assert_eq!(refused("start: [").len(), 1);
    assert_eq!(refused("").len(), 1);
}

#[test]
fn everything_that_does_not_fit_is_told_at_once() {
    let text = format!(
        "{HEAD}machines:
  - {{ subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff, resourceGroup: rg-none, name: a,
      location: atlantis, image: galTest/web, created: 2026-01-01T00:00:00Z }}
advisories:
  - {{ id: CVE-1, os: plan9/4, package: x, severity: low, title: t, published: 2026-01-01T00:00:00Z }}
outages:
  - {{ region: westeurope, from: 2026-01-02T00:00:00Z, until: 2026-01-01T00:00:00Z }}
"
    );

    let problems = refused(&text);

    let places: Vec<&str> = problems.iter().map(|it| it.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["8:74", "9:17", "9:34", "11:22", "13:62"], "{problems:#?}");
    assert!(problems[0].contains("rg-none") && problems[2].contains("galTest"), "{problems:#?}");
}

#[test]
fn a_page_without_items_is_refused() {
    let problems = refused(&format!("{HEAD}cloud: {{ itemsPerPage: 0 }}\n"));

    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("a page has 1 item or more"), "{problems:#?}");
}

#[test]
fn a_state_is_not_opened_with_another_estate() {
    let database = Arc::new(Database::open(None).unwrap());
    let open = |estate: &Estate| {
        let clock = Arc::new(ToldClock(estate.start));
        let bus = Bus::open(database.clone(), clock.clone(), []).unwrap();
        let blobs = Arc::new(Blobs::memory("http://127.0.0.1:1"));
        Azure::open(database.clone(), estate, clock, blobs, bus, AzureOptions::default())
    };

    assert!(open(&estate("", "")).is_ok());
    assert!(open(&estate("", "")).is_ok(), "the same again");
    let other = open(&estate("", "outages: []\nvariants: { tagsOnly: quick }"));

    assert_eq!(other.err(), Some(AzureError::OtherEstate));
}

#[tokio::test]
async fn a_reopened_state_goes_on_where_it_was() {
    let desk = desk();
    desk.get("/subscriptions").await;

    assert_eq!(desk.azure.calls().read, 1);
}

#[test]
fn a_trouble_of_the_bus_that_ends_before_it_begins_is_named() {
    let period = "[{ from: 2026-09-08T00:00:00Z, until: 2026-09-07T00:00:00Z }]";
    for name in ["throttled", "roleMissing", "queuesMissing", "full"] {
        let problems = refused(&format!("{HEAD}bus: {{ {name}: {period} }}\n"));

        let column = "bus: { : [{ from: 2026-09-08T00:00:00Z, until: ".len() + name.len() + 1;
        let expected = format!("7:{column}: a trouble of the bus must end after it begins");
        assert_eq!(problems, [expected]);
    }
}
