//! Tests of the catalog check: a good catalog is clean, and each slip is found in its place.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_good_catalog_has_no_problems() {
    assert_eq!(check(&read(good())), []);
}

#[test]
fn each_slip_is_found_where_it_was_made() {
    let table: &[(&str, Value, &str)] = &[
        ("/catalog", json!("latest"), "catalog: `latest` is a reserved name"),
        ("/gallery/subscription", json!("prod"), "gallery.subscription: `prod` is not right here"),
        ("/gallery/resourceGroup", json!("rg."), "gallery.resourceGroup: `rg.` is not right here"),
        ("/gallery/name", json!("gal-1"), "gallery.name: `gal-1` is not right here"),
        ("/gallery/name", json!("gal_"), "gallery.name: `gal_` is not right here"),
        ("/build/identity", json!("id-1"), "build.identity: `id-1` is not right here"),
        ("/build/subnet", json!("snet"), "build.subnet: `snet` is not right here"),
        ("/build/vmSize", json!("D2s_v5"), "build.vmSize: `D2s_v5` is not right here"),
        ("/build/atOnce", json!(0), "build.atOnce: with 0 builds at once nothing is ever built"),
        (
            "/build/timeoutMinutes",
            json!(5),
            "build.timeoutMinutes: Image Builder has no timeout of 5 minutes",
        ),
        (
            "/build/timeoutMinutes",
            json!(961),
            "build.timeoutMinutes: Image Builder has no timeout of 961 minutes",
        ),
        (
            "/consumers",
            json!({}),
            "consumers: there are no consumers, so what is in use cannot be known",
        ),
        (
            "/consumers/subscriptions/0",
            json!("all"),
            "consumers.subscriptions[0]: `all` is not right here",
        ),
        (
            "/tags/goldsmith-owner",
            json!("x"),
            "tags.goldsmith-owner: tags that begin with `goldsmith` are Goldsmith's own",
        ),
        ("/tags/a<b", json!("x"), "tags.a<b: `a<b` is not the name of a tag"),
        ("/images", json!([]), "images: there are no images"),
        (
            "/images/1/name",
            json!("base"),
            "images[1].name: image `base` is here twice: also images[0]",
        ),
        ("/images/1/name", json!("con"), "images[1].name: `con` is a reserved name"),
        (
            "/images/1/identifier/sku",
            json!("BASE"),
            "images[1].identifier: `contoso/linux/BASE` is the identifier of image `base` already",
        ),
        (
            "/images/0/identifier/publisher",
            json!("p".repeat(129)),
            &format!("images[0].identifier.publisher: `{}` is not right here", "p".repeat(129)),
        ),
        (
            "/images/0/identifier/offer",
            json!("linux."),
            "images[0].identifier.offer: `linux.` is not right here",
        ),
        (
            "/images/2/security",
            json!("TrustedLaunch"),
            "images[2].security: `TrustedLaunch` needs generation `V2`",
        ),
        (
            "/images/1/base/image",
            json!("bose"),
            "images[1].base.image: there is no image `bose` in this catalog",
        ),
        (
            "/images/1/base/image",
            json!("windows"),
            "images[1].base.image: `windows` has another operating system than `web`",
        ),
        (
            "/images/0/base/platform/sku",
            json!(""),
            "images[0].base.platform.sku: `` is not part of a Marketplace image's name",
        ),
        (
            "/images/0/customize/0",
            json!({ "powershell": { "name": "x", "inline": ["dir"] } }),
            "images[0].customize[0].powershell: a `powershell` step does not run on Linux",
        ),
        (
            "/images/2/customize/0",
            json!({ "shell": { "name": "x", "inline": ["ls"] } }),
            "images[2].customize[0].shell: a `shell` step does not run on Windows",
        ),
        (
            "/images/0/customize/0/shell/inline",
            json!([]),
            "images[0].customize[0].shell: step `apply-updates` runs nothing",
        ),
        (
            "/images/0/customize/0/shell/script",
            json!("a.sh"),
            "images[0].customize[0].shell.script: step `apply-updates` has both `inline` and `script`",
        ),
        (
            "/images/0/customize/1/shell/script",
            json!("../a.sh"),
            "images[0].customize[1].shell.script: `../a.sh` is not right here",
        ),
        (
            "/images/0/customize/1/shell/name",
            json!("apply-updates"),
            "images[0].customize[1].shell.name: step `apply-updates` is here twice",
        ),
        (
            "/images/0/customize/2/file/destination",
            json!("etc/motd"),
            "images[0].customize[2].file.destination: `etc/motd` is not right here",
        ),
        (
            "/images/2/customize/1/windowsUpdate/updateLimit",
            json!(1001),
            "images[2].customize[1].windowsUpdate.updateLimit: 1001 updates cannot be asked for",
        ),
        (
            "/images/0/schedule/patchTuesday/at",
            json!("2:00"),
            "images[0].schedule.patchTuesday.at: `2:00` is not a time of day",
        ),
        (
            "/images/0/schedule/patchTuesday/daysAfter",
            json!(28),
            "images[0].schedule.patchTuesday.daysAfter: Patch Tuesday has 27 days after it at most, and `28` is more",
        ),
        (
            "/images/1/schedule/cron/expression",
            json!("0 0 2 * * 1"),
            "images[1].schedule.cron.expression: `1` as day of the week is a number, and libraries disagree which day 1 is",
        ),
        (
            "/images/0/gate/exceptions/0/why",
            json!(" "),
            "images[0].gate.exceptions[0].why: the exception for `CVE-2026-1` gives no reason",
        ),
        (
            "/images/0/gate/exceptions/1/id",
            json!("cve-2026-1"),
            "images[0].gate.exceptions[1].id: there are two exceptions for `cve-2026-1`",
        ),
        (
            "/images/0/rings",
            json!([]),
            "images[0].rings: there are no rings, so nothing is ever released",
        ),
        (
            "/images/0/rings/0/regions",
            json!([]),
            "images[0].rings[0].regions: ring `canary` has no regions",
        ),
        (
            "/images/0/rings/1/regions/1",
            json!("North Europe"),
            "images[0].rings[1].regions[1]: region `northeurope` is here twice",
        ),
        (
            "/images/0/rings/1/regions",
            json!(["westeurope"]),
            "images[0].rings[1].regions: every region of ring `broad` is in an earlier ring",
        ),
        (
            "/images/0/rings/1/name",
            json!("canary"),
            "images[0].rings[1].name: ring `canary` is here twice",
        ),
        (
            "/images/0/rings/0/replicas",
            json!(101),
            "images[0].rings[0].replicas: a region cannot have 101 replicas",
        ),
        (
            "/images/0/retention/keep",
            json!(0),
            "images[0].retention.keep: at least one good version always stays",
        ),
        (
            "/images/0/retention/deleteAfterDays",
            json!(29),
            "images[0].retention.deleteAfterDays: deletion after 29 days comes before trimming after 30",
        ),
    ];
    for (pointer, value, expected) in table {
        let problems = check(&read(with(good(), pointer, value.clone())));
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, [*expected], "{pointer} = {value}");
    }
}

#[test]
fn all_problems_are_found_at_once_in_the_order_of_the_document() {
    let slips = [
        ("/images/1/base/image", json!("bas")),
        ("/gallery/name", json!("gal-1")),
        ("/images/0/retention/keep", json!(0)),
        ("/images/2/rings/0/replicas", json!(0)),
    ];
    let catalog = slips.into_iter().fold(good(), |it, (pointer, value)| with(it, pointer, value));

    let paths: Vec<String> = check(&read(catalog))
        .iter()
        .map(|it| it.to_string().split(": ").next().unwrap().to_owned())
        .collect();

    assert_eq!(
        paths,
        [
            "gallery.name",
            "images[0].retention.keep",
            "images[1].base.image",
            "images[2].rings[0].replicas",
        ]
    );
}

#[test]
fn an_unknown_parent_is_guessed_when_a_name_is_near() {
    let problems = check(&read(with(good(), "/images/1/base/image", json!("bose"))));
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean `base`?"));

    let problems = check(&read(with(good(), "/images/1/base/image", json!("xyzzy"))));
    assert_eq!(problems[0].hint, None);
}

#[test]
fn a_circle_of_images_is_reported_once() {
    let catalog = with(good(), "/images/0/base", json!({ "image": "web" }));
    let catalog = with(catalog, "/images/2/base", json!({ "image": "web" }));

    let found: Vec<String> = check(&read(catalog)).iter().map(ToString::to_string).collect();

    assert_eq!(
        found[0],
        "images[0].base.image: images are built from each other in a circle: base → web → base"
    );
    assert_eq!(found.iter().filter(|it| it.contains("circle")).count(), 1, "{found:?}");

    let own = check(&read(with(good(), "/images/0/base", json!({ "image": "base" }))));
    assert!(own[0].message.ends_with("in a circle: base → base"), "{own:?}");
}

#[test]
fn a_child_fits_the_generation_of_its_parent() {
    let catalog = with(good(), "/images/1/generation", json!("V1"));
    let catalog = with(catalog, "/images/1/security", json!("Standard"));

    assert_eq!(
        check(&read(catalog))[0].to_string(),
        "images[1].base.image: `base` is of another generation than `web`"
    );
}

#[test]
fn shapes_hold_at_their_boundaries() {
    let fits = [
        shapes::guid("6F9619FF-8B86-4D11-B42D-00C04FC964FF"),
        shapes::resource_group("rg-(a)_b.c"),
        shapes::resource_group(&"a".repeat(90)),
        shapes::gallery("g"),
        shapes::gallery(&"g".repeat(80)),
        shapes::gallery("gal.Contoso_1"),
        shapes::publisher(&"p".repeat(128)),
        shapes::offer_or_sku("22_04-lts.gen2"),
        shapes::relative_path("scripts/a.sh"),
        shapes::windows_path("C:\\a.txt"),
    ];
    assert!(fits.iter().all(Result::is_ok), "{fits:?}");

    let refused = [
        shapes::guid("6f9619ff8b864d11b42d00c04fc964ff"),
        shapes::guid("6f9619ff-8b86-4d11-b42d-00c04fc964fg"),
        shapes::resource_group(&"a".repeat(91)),
        shapes::gallery(&"g".repeat(81)),
        shapes::gallery("_gal"),
        shapes::gallery(""),
        shapes::publisher("-p"),
        shapes::publisher(""),
        shapes::offer_or_sku(&"o".repeat(65)),
        shapes::offer_or_sku("sku-"),
        shapes::relative_path("/etc/passwd"),
        shapes::relative_path("a/../../b"),
        shapes::relative_path("C:/a"),
        shapes::relative_path("a\\b"),
        shapes::relative_path("a//b"),
        shapes::windows_path("C:\\"),
        shapes::windows_path("/etc/motd"),
        shapes::linux_path("/etc/"),
        shapes::identity(
            "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v",
        ),
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
}

proptest! {
    #[test]
    fn the_check_never_panics_and_every_path_is_in_the_document(
        text in ".{0,12}", number in any::<u32>(), parents in proptest::collection::vec(0_usize..3, 3),
    ) {
        let mut document = good();
        for pointer in [
            "/gallery/name", "/build/identity", "/images/0/rings/0/name",
            "/images/0/customize/1/shell/script", "/images/0/customize/2/file/destination",
            "/images/1/schedule/cron/expression", "/images/0/schedule/patchTuesday/at",
            "/images/0/gate/exceptions/0/id", "/images/1/identifier/sku",
        ] {
            document = with(document, pointer, json!(text));
        }
        for pointer in [
            "/images/0/retention/deleteAfterDays", "/images/0/rings/1/bakeHours",
            "/images/0/schedule/patchTuesday/daysAfter", "/build/timeoutMinutes",
        ] {
            document = with(document, pointer, json!(number));
        }
        for (index, parent) in parents.iter().enumerate() {
            let name = ["base", "web", "windows"][*parent];
            document = with(document, &format!("/images/{index}/base"), json!({ "image": name }));
        }

        let problems = check(&read(document.clone()));

        prop_assert!(problems.iter().any(|it| it.message.contains("circle")));
        for problem in &problems {
            let pointer: String = problem
                .path
                .iter()
                .map(|step| match step {
                    Step::Field(name) => format!("/{name}"),
                    Step::Index(index) => format!("/{index}"),
                })
                .collect();
            prop_assert!(document.pointer(&pointer).is_some(), "{}", problem);
        }
    }
}

fn read(document: Value) -> Catalog {
    serde_json::from_value(document).unwrap()
}

/// `document` with another value at `pointer`, which may be new in its parent.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(members) => {
            members.insert(last.to_owned(), value);
        }
        Value::Array(items) => {
            let index: usize = last.parse().unwrap();
            items.truncate(items.len().max(index));
            match items.get_mut(index) {
                Some(item) => *item = value,
                None => items.push(value),
            }
        }
        other => panic!("{pointer} leads into {other}"),
    }
    document
}

fn good() -> Value {
    let identity = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg/\
                    providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-builder";
    let subnet = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourcegroups/rg/\
                  providers/Microsoft.Network/virtualNetworks/vnet/subnets/build";
    json!({
        "catalog": "contoso",
        "gallery": {
            "subscription": "6f9619ff-8b86-4d11-b42d-00c04fc964ff",
            "resourceGroup": "rg-golden-images",
            "name": "galContoso",
            "location": "westeurope",
        },
        "build": { "resourceGroup": "rg-builds", "identity": identity, "subnet": subnet },
        "consumers": {
            "subscriptions": ["b7e0a2c4-5d1f-4f0a-9c3e-2f6d8a1b9e70"],
            "managementGroups": ["mg-landing-zones"],
        },
        "tags": { "owner": "platform" },
        "images": [
            {
                "name": "base",
                "identifier": { "publisher": "contoso", "offer": "linux", "sku": "base" },
                "os": "linux",
                "base": { "platform": {
                    "publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                    "sku": "22_04-lts-gen2",
                } },
                "customize": [
                    { "shell": { "name": "apply-updates", "inline": ["apt-get -y upgrade"] } },
                    { "shell": { "name": "harden-ssh", "script": "scripts/harden.sh" } },
                    { "file": { "name": "motd", "source": "files/motd", "destination": "/etc/motd" } },
                ],
                "schedule": { "patchTuesday": { "at": "02:00", "zone": "Europe/Amsterdam" } },
                "gate": { "exceptions": [
                    { "id": "CVE-2026-1", "until": "2026-12-31", "why": "not reachable" },
                    { "id": "CVE-2026-2", "until": "2026-12-31", "why": "not reachable" },
                ] },
                "rings": [
                    { "name": "canary", "regions": ["westeurope"] },
                    { "name": "broad", "regions": ["northeurope", "uksouth", "westeurope"] },
                ],
                "retention": { "keep": 2 },
            },
            {
                "name": "web",
                "identifier": { "publisher": "contoso", "offer": "linux", "sku": "web" },
                "os": "linux",
                "base": { "image": "base" },
                "schedule": { "cron": { "expression": "0 0 2 * * Sun", "zone": "UTC" } },
                "rings": [{ "name": "all", "regions": ["westeurope"] }],
            },
            {
                "name": "windows",
                "identifier": { "publisher": "contoso", "offer": "windows", "sku": "base" },
                "os": "windows",
                "generation": "V1",
                "security": "Standard",
                "base": { "platform": {
                    "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer",
                    "sku": "2022-datacenter",
                } },
                "customize": [
                    { "powershell": { "name": "harden", "inline": ["Disable-Smb1"] } },
                    { "windowsUpdate": { "name": "windows-updates" } },
                    { "restart": { "name": "restart" } },
                    { "file": { "name": "motd", "source": "motd", "destination": "C:\\motd.txt" } },
                ],
                "rings": [{ "name": "all", "regions": ["westeurope"] }],
            },
        ],
    })
}
