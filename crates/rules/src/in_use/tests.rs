//! Tests of the evidence ladder: each rung, each kind of resource, and what cannot be known.

use proptest::prelude::*;

use super::*;

const DEFINITION: &str = "/subscriptions/6F9619FF-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg/providers/Microsoft.Compute/galleries/galContoso/images/ubuntu-web";

#[test]
fn a_machine_made_from_a_version_counts_against_that_version() {
    let row = machine("vm-1").made_from(&version("1.2.0"));

    let found = Asked::of([row]).uses();

    assert_eq!(used(&found), ["1.2.0 machine vm-1: its reference names 1.2.0"]);
}

#[test]
fn a_machine_made_from_latest_counts_against_what_azure_says_it_resolved_to() {
    for reference in [definition(), version("latest"), definition().to_uppercase()] {
        let mut row = machine("vm-1").made_from(&reference);
        row.exact_version = Some("1.1.0".to_owned());

        assert_eq!(
            used(&Asked::of([row]).uses()),
            ["1.1.0 machine vm-1: its exactVersion is 1.1.0"]
        );
    }
}

#[test]
fn without_an_exact_version_the_os_disk_tells() {
    let mut row = machine("vm-1").made_from(&definition());
    row.exact_version = Some(String::new());
    row.os_disk_reference = Some(version("1.0.0"));

    assert_eq!(
        used(&Asked::of([row]).uses()),
        ["1.0.0 machine vm-1: its OS disk was made from 1.0.0"]
    );
}

#[test]
fn without_either_the_history_of_latest_in_its_region_tells() {
    let mut asked = Asked::of([machine("vm-1").made_from(&definition()).created("2026-08-20")]);
    asked.latest = vec![
        span("westeurope", "1.0.0", "2026-07-01", Some("2026-08-10")),
        span("westeurope", "1.1.0", "2026-08-10", Some("2026-09-09")),
        span("westeurope", "1.2.0", "2026-09-09", None),
        span("uksouth", "1.0.0", "2026-07-01", None),
    ];

    assert_eq!(
        used(&asked.uses()),
        ["1.1.0 machine vm-1: created on 2026-08-20, when 1.1.0 was latest in westeurope"]
    );
}

#[test]
fn a_machine_created_while_latest_changed_counts_against_both() {
    let mut asked = Asked::of([machine("vm-1").made_from(&definition()).created("2026-08-10")]);
    asked.latest = vec![
        span("westeurope", "1.0.0", "2026-07-01", Some("2026-08-10")),
        span("westeurope", "1.1.0", "2026-08-10", None),
    ];

    let numbers: Vec<String> = asked.uses().by_version.keys().map(ToString::to_string).collect();
    assert_eq!(numbers, ["1.0.0", "1.1.0"]);
}

#[test]
fn an_instance_may_have_been_reimaged_to_anything_that_was_latest_since() {
    let mut row = machine("set/virtualMachines/0").made_from(&definition()).created("2026-08-20");
    row.kind = Kind::ScaleSetInstance;
    let mut asked = Asked::of([row]);
    asked.latest = vec![
        span("westeurope", "1.0.0", "2026-07-01", Some("2026-08-10")),
        span("westeurope", "1.1.0", "2026-08-10", Some("2026-09-09")),
        span("westeurope", "1.2.0", "2026-09-09", None),
    ];

    let numbers: Vec<String> = asked.uses().by_version.keys().map(ToString::to_string).collect();
    assert_eq!(numbers, ["1.1.0", "1.2.0"]);
}

#[test]
fn without_any_evidence_it_may_use_every_version_and_is_named() {
    let table = [
        machine("vm-1").made_from(&definition()),
        machine("vm-1").made_from(&definition()).created("2020-01-01"),
        machine("vm-1").made_from(&definition()).created("2026-08-20").in_region("uksouth"),
        machine("vm-1").made_from(&version("1.x")),
        machine("vm-1").made_from(&format!("{}/extra", definition())),
    ];
    for row in table {
        let mut asked = Asked::of([row.clone()]);
        asked.latest = vec![span("westeurope", "1.1.0", "2026-08-10", None)];

        let found = asked.uses();

        assert!(found.by_version.is_empty(), "{row:?}");
        assert_eq!(found.blocks_all.len(), 1, "{row:?}");
        assert_eq!(found.blocks_all[0].by, "machine vm-1");
        assert!(found.blocks_all[0].why.starts_with("it may use any version: "));
    }
}

#[test]
fn another_image_is_passed_over_even_when_its_name_begins_the_same() {
    let mut market = machine("vm-1").made_from("/subscriptions/s/providers/x/offers/y");
    // The exact version of a Marketplace image is not a number of our gallery.
    market.exact_version = Some("1.0.0".to_owned());
    let rows = [
        market,
        machine("vm-2").made_from(&format!("{}2/versions/1.0.0", definition())),
        machine("vm-3"),
    ];

    assert_eq!(Asked::of(rows).uses(), InUse::default());
}

#[test]
fn an_os_disk_of_ours_counts_whatever_the_reference_says() {
    let mut row = machine("vm-1").made_from(&version("1.1.0"));
    row.os_disk_reference = Some(version("1.0.0"));
    let mut swapped = machine("vm-2").made_from("/subscriptions/s/providers/x");
    swapped.os_disk_reference = Some(version("1.0.0"));

    assert_eq!(
        used(&Asked::of([row, swapped]).uses()),
        [
            "1.0.0 machine vm-1: its OS disk was made from 1.0.0",
            "1.0.0 machine vm-2: its OS disk was made from 1.0.0",
            "1.1.0 machine vm-1: its reference names 1.1.0",
        ]
    );
}

#[test]
fn a_scale_set_of_size_0_counts() {
    let pinned = scale_set("set-1", 0).made_from(&version("1.0.0"));
    let at_latest = scale_set("set-2", 0).made_from(&definition());

    assert_eq!(
        used(&Asked::of([pinned, at_latest]).uses()),
        [
            "1.0.0 scale set set-1: its model names 1.0.0 (size 0)",
            "1.2.0 scale set set-2: its model names the image without a version (size 0): \
             the next is made from 1.2.0",
        ]
    );
}

#[test]
fn a_scale_set_at_latest_also_counts_against_what_its_region_has_as_latest() {
    let mut asked = Asked::of([scale_set("set-1", 0).made_from(&definition())]);
    asked.latest = vec![
        span("westeurope", "1.0.0", "2026-07-01", Some("2026-08-10")),
        span("westeurope", "1.1.0", "2026-08-10", None),
        span("uksouth", "1.0.0", "2026-08-10", None),
    ];

    let numbers: Vec<String> = asked.uses().by_version.keys().map(ToString::to_string).collect();
    assert_eq!(numbers, ["1.1.0", "1.2.0"]);
}

#[test]
fn a_scale_set_whose_instances_were_not_all_read_may_use_every_version() {
    let set = scale_set("set-1", 2).made_from(&version("1.2.0"));
    let mut uniform = machine("set-1/virtualMachines/0").made_from(&version("1.0.0"));
    uniform.kind = Kind::ScaleSetInstance;
    let mut flexible = machine("vm-9").made_from(&version("1.1.0"));
    flexible.scale_set = Some("SET-1/".to_owned());

    let one_read = Asked::of([set.clone(), uniform.clone()]).uses();
    assert_eq!(one_read.blocks_all[0].by, "scale set set-1");
    assert!(one_read.blocks_all[0].why.ends_with("1 of its 2 instances were read"));

    let both_read = Asked::of([set, uniform, flexible]).uses();
    assert_eq!(both_read.blocks_all, []);
    assert_eq!(both_read.by_version.len(), 3);

    let of_unknown_size = UseRow { size: None, ..scale_set("set-2", 0).made_from(&definition()) };
    assert_eq!(Asked::of([of_unknown_size]).uses().blocks_all.len(), 1);
}

#[test]
fn disks_templates_versions_and_other_resources_count() {
    let of_kind = |kind: Kind| UseRow { kind, ..machine("x").made_from(&version("1.0.0")) };
    let rows = [Kind::Disk, Kind::Template, Kind::Version, Kind::Other].map(of_kind);

    assert_eq!(
        used(&Asked::of(rows).uses()),
        [
            "1.0.0 disk x: its reference names 1.0.0; a disk is weak evidence",
            "1.0.0 gallery version x: its reference names 1.0.0",
            "1.0.0 image template x: its model names 1.0.0",
            "1.0.0 resource x: its reference names 1.0.0",
        ]
    );
}

#[test]
fn shared_and_community_galleries_are_ours_too() {
    let shared = "/SharedGalleries/6f9619ff-8b86-4d11-b42d-00c04fc964ff-GALCONTOSO/Images/ubuntu-web/Versions/1.0.0";
    let community = "/CommunityGalleries/contoso-1234/Images/ubuntu-web/Versions/1.1.0";
    let rows = [
        machine("vm-1").made_from(shared),
        machine("vm-2").made_from(community),
        machine("vm-3").made_from("/SharedGalleries/other-G/Images/ubuntu-web/Versions/1.2.0"),
    ];

    assert_eq!(
        used(&Asked::of(rows).uses()),
        [
            "1.0.0 machine vm-1: its reference names 1.0.0",
            "1.1.0 machine vm-2: its reference names 1.1.0",
        ]
    );
}

#[test]
fn a_scope_that_cannot_be_read_stands_in_the_way_of_all_and_is_named() {
    let mut asked = Asked::of([]);
    asked.unreadable = vec!["subscription b7e0a2c4".to_owned()];

    let found = asked.uses();

    assert_eq!(found.blocks_all[0].by, "subscription b7e0a2c4");
    assert_eq!(found.of("1.0.0".parse().unwrap()).count(), 1);
}

#[test]
fn claims_count_against_their_version_or_against_all() {
    let claim = |number: Option<&str>| Claim {
        number: number.map(|it| it.parse().unwrap()),
        by: "channel stable".to_owned(),
        why: "it points there".to_owned(),
    };
    let mut asked = Asked::of([]);
    asked.claims = vec![claim(Some("1.0.0")), claim(None)];

    let found = asked.uses();

    assert_eq!(used(&found), ["1.0.0 channel stable: it points there"]);
    assert_eq!(found.blocks_all.len(), 1);
}

proptest! {
    /// Fail closed: whatever is missing, a machine of ours is counted somewhere; and more
    /// evidence about one machine never frees what another one uses.
    #[test]
    fn no_machine_of_ours_is_overlooked(
        forms in proptest::collection::vec((0_usize..4, 0_usize..3, 0_usize..3, 0_usize..3), 1..6),
    ) {
        let references =
            [definition(), version("latest"), version("1.0.0"), version("not-a-number")];
        let exact = [None, Some("1.1.0".to_owned()), Some("latest".to_owned())];
        let disks = [None, Some(version("1.2.0")), Some("/another/image".to_owned())];
        let created = [None, Some("2026-08-20"), Some("2019-01-01")];
        let rows: Vec<UseRow> = forms
            .iter()
            .enumerate()
            .map(|(index, (reference, exact_version, disk, at))| {
                let mut row = machine(&format!("vm-{index}")).made_from(&references[*reference]);
                row.exact_version = exact[*exact_version].clone();
                row.os_disk_reference = disks[*disk].clone();
                match created[*at] {
                    Some(day) => row.created(day),
                    None => row,
                }
            })
            .collect();
        let mut asked = Asked::of(rows.clone());
        asked.latest = vec![span("westeurope", "1.1.0", "2026-08-10", None)];

        let found = asked.uses();

        let everyone: Vec<&Use> =
            found.by_version.values().flatten().chain(&found.blocks_all).collect();
        for row in &rows {
            let by = format!("machine {}", row.id);
            prop_assert!(everyone.iter().any(|it| it.by == by), "{}", by);
        }

        asked.rows.pop();
        let fewer = asked.uses();
        for (number, uses) in &fewer.by_version {
            prop_assert!(uses.iter().all(|it| found.by_version[number].contains(it)));
        }
        prop_assert!(fewer.blocks_all.iter().all(|it| found.blocks_all.contains(it)));
    }
}

struct Asked {
    rows: Vec<UseRow>,
    latest: Vec<LatestSpan>,
    unreadable: Vec<String>,
    claims: Vec<Claim>,
}

impl Asked {
    fn of(rows: impl IntoIterator<Item = UseRow>) -> Asked {
        let rows = rows.into_iter().collect();
        Asked { rows, latest: vec![], unreadable: vec![], claims: vec![] }
    }

    fn uses(&self) -> InUse {
        let known = |(number, hidden): (&str, bool)| KnownVersion {
            number: number.parse().unwrap(),
            hidden,
        };
        let versions =
            [("1.0.0", false), ("1.1.0", false), ("1.2.0", false), ("1.3.0", true)].map(known);
        uses(&Look {
            definition_id: DEFINITION,
            versions: &versions,
            rows: &self.rows,
            latest: &self.latest,
            unreadable: &self.unreadable,
            claims: &self.claims,
        })
    }
}

fn used(found: &InUse) -> Vec<String> {
    let line = |number: &VersionNumber, it: &Use| format!("{number} {}: {}", it.by, it.why);
    found
        .by_version
        .iter()
        .flat_map(|(number, uses)| uses.iter().map(move |it| line(number, it)))
        .collect()
}

fn definition() -> String {
    DEFINITION.to_lowercase()
}

fn version(number: &str) -> String {
    format!("{}/versions/{number}", definition())
}

fn machine(id: &str) -> UseRow {
    UseRow {
        id: id.to_owned(),
        kind: Kind::Machine,
        reference: None,
        exact_version: None,
        os_disk_reference: None,
        created_at: None,
        size: None,
        location: Some("West Europe".to_owned()),
        scale_set: None,
    }
}

fn scale_set(id: &str, size: u64) -> UseRow {
    UseRow { kind: Kind::ScaleSet, size: Some(size), ..machine(id) }
}

impl UseRow {
    fn made_from(mut self, reference: &str) -> UseRow {
        self.reference = Some(reference.to_owned());
        self
    }

    fn created(mut self, day: &str) -> UseRow {
        self.created_at = Some(noon(day));
        self
    }

    fn in_region(mut self, region: &str) -> UseRow {
        self.location = Some(region.to_owned());
        self
    }
}

fn span(region: &str, number: &str, from: &str, to: Option<&str>) -> LatestSpan {
    LatestSpan {
        region: region.parse().unwrap(),
        number: number.parse().unwrap(),
        from: noon(from),
        to: to.map(noon),
    }
}

fn noon(day: &str) -> DateTime<Utc> {
    format!("{day}T12:00:00Z").parse().unwrap()
}
