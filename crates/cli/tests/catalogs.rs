//! Catalogs as people write them: the good one, and every way in which one can be wrong, each with
//! its place and what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use cli::load::{self, LoadError, Loaded};
use cli::problem::{Problem, Severity};
use rules::catalog::Customize;

const HEAD: &str = "\
catalog: fabrikam
gallery:
  subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
  resourceGroup: rg-images
  name: galFabrikam
  location: westeurope
build:
  resourceGroup: rg-builds
  identity: /subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-builds/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-builder
consumers:
  subscriptions: [6f9619ff-8b86-4d11-b42d-00c04fc964ff]
";

const IMAGES: &str = "\
images:
";

const BASE: &str = "  \
  - name: base
    identifier: { publisher: fabrikam, offer: ubuntu, sku: base }
    os: linux
    base: { platform: { publisher: Canonical, offer: jammy, sku: lts } }
    rings: [{ name: all, regions: [westeurope] }]
";

/// A folder with these files, that is removed with the value.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load::catalog(self.path())
    }

    /// Every problem as `file:line:column: message | hint`.
    fn problems(&self) -> Vec<String> {
        let problems = match self.load() {
            Ok(loaded) => loaded.warnings,
            Err(LoadError::Refused(problems)) => problems,
            Err(error) => panic!("{error}"),
        };
        problems.iter().map(|it| self.shown(it)).collect()
    }

    fn shown(&self, problem: &Problem) -> String {
        let folder = format!("{}/", self.path().display());
        let hint = problem.hint.as_ref().map(|it| format!(" | {it}")).unwrap_or_default();
        format!("{problem}{hint}").replace(&folder, "")
    }
}

/// The problems of one file: the usual head, the usual base image and `rest`.
fn problems_with(rest: &str) -> Vec<String> {
    Folder::with(&[("c.yaml", &format!("{HEAD}{IMAGES}{BASE}{rest}"))]).problems()
}

/// The line of `rest` that is its `line`th, in the file of `problems_with`.
fn line(line: usize) -> usize {
    HEAD.lines().count() + IMAGES.lines().count() + BASE.lines().count() + line
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog")
}

#[test]
fn the_example_is_clean_and_its_scripts_are_known_by_their_content() {
    let loaded = load::catalog(&example()).unwrap();

    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.catalog.images.len(), 6);
    let steps: Vec<&Customize> =
        loaded.catalog.images.iter().flat_map(|it| &it.customize).collect();
    assert_eq!(steps.len(), 12);
    for step in steps {
        let digest = match step {
            Customize::Shell(step) | Customize::Powershell(step) => step.sha256.as_ref(),
            Customize::File(step) => step.sha256.as_ref(),
            Customize::WindowsUpdate(_) | Customize::Restart(_) => continue,
        };
        assert!(loaded.files.contains_key(digest.unwrap()), "{step:?}");
    }
}

#[test]
fn the_example_layers_images_two_deep() {
    let catalog = load::catalog(&example()).unwrap().catalog;

    let base = "ubuntu-2204-base".parse().unwrap();
    let web = catalog.children(&base).next().unwrap();
    let shop = catalog.children(&web.name).next().unwrap();

    assert_eq!(shop.name.as_str(), "ubuntu-2204-shop");
}

#[test]
fn every_script_of_the_example_stops_at_the_first_error() {
    for entry in fs::read_dir(example().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let stops = match path.extension().unwrap().to_str().unwrap() {
            "sh" => {
                text.starts_with("#!/usr/bin/env bash\n") && text.contains("\nset -euo pipefail\n")
            }
            "ps1" => text.contains("\n$ErrorActionPreference = 'Stop'\n"),
            other => panic!("a script that ends in .{other}"),
        };
        assert!(stops, "{}", path.display());
    }
}

#[test]
fn a_minimal_catalog_is_accepted() {
    let folder = Folder::with(&[("c.yaml", &format!("{HEAD}{IMAGES}{BASE}"))]);

    assert_eq!(folder.load().unwrap().catalog.images[0].name.as_str(), "base");
}

#[test]
fn all_problems_are_told_at_once_each_at_its_place() {
    let rest = "  \
  - name: web
    identifier: { publisher: fabrikam, offer: 2204, sku: web }
    os: linx
    base: { imag: base }
    schedule:
      pachTuesday: { at: \"02:00\", zone: Europe/Amsterdam }
    rings: [{ name: all, regions: westeurope }]
    gate: { most: { critcal: 0 }, ignoreUnfixed: yes }
    childrenBuildWhen: pased
    retenion: { keep: 2 }
";

    let (first, found) = (line(1), problems_with(rest));

    let at = |line: usize, column: usize, rest: &str| {
        format!("c.yaml:{}:{column}: {rest}", first + line - 1)
    };
    assert_eq!(
        found,
        [
            at(2, 47, "expected a text, found the number 2204 | put it in quotes: \"2204\""),
            at(3, 9, "expected `linux` or `windows`, found `linx` | did you mean `linux`?"),
            at(4, 13, "unknown field `imag` | did you mean `image`?"),
            at(6, 7, "unknown field `pachTuesday` | did you mean `patchTuesday`?"),
            at(7, 35, "expected a list, found `westeurope` | a list of one is [westeurope]"),
            at(8, 21, "unknown field `critcal` | did you mean `critical`?"),
            at(8, 50, "expected true or false, found `yes` | write true"),
            at(
                9,
                24,
                "expected `passed`, `firstRing` or `released`, found `pased` | did you mean `passed`?"
            ),
            at(10, 5, "unknown field `retenion` | did you mean `retention`?"),
        ]
    );
}

#[test]
fn a_missing_field_is_told_with_its_meaning() {
    let found = problems_with(
        "  - { name: web, os: linux, rings: [{ name: all, regions: [westeurope] }] }\n",
    );

    assert_eq!(
        found,
        [
            format!(
                "c.yaml:{}:13: `identifier` is missing | `identifier`: What the definition says it is; \
                 unique in the gallery.",
                line(1)
            ),
            format!("c.yaml:{}:13: `base` is missing | `base`: What it is built from.", line(1)),
        ]
    );
}

#[test]
fn what_types_refuse_is_told_in_their_words() {
    let rest = "  \
  - name: Web_Server
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: base }
    schedule: { cron: { expression: 0 0 4 * * Wed, zone: Europe/Amsterdan } }
    gate: { exceptions: [{ id: CVE-2026-1, until: 31-10-2026, why: no }] }
    rings: [{ name: all, regions: [west_europe], replicas: -1 }]
";

    let found = problems_with(rest);

    let expected = [
        "`Web_Server` is not the name of an image: 1 to 48 lower-case letters, digits and single \
         dashes between them",
        "`Europe/Amsterdan` is not a time zone | did you mean `Europe/Amsterdam`?",
        "`31-10-2026` is not a day; write it as `2026-10-31`",
        "`west_europe` is not a region: write it as `westeurope`",
        "the number -1 is too small; at least 0",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.ends_with(expected), "{found}");
    }
}

#[test]
fn fields_that_exclude_each_other_are_told() {
    let rest = "  \
  - name: web
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: base, platform: { publisher: a, offer: b, sku: c } }
    rings: [{ name: all, regions: [westeurope] }]
";

    let expected =
        format!("c.yaml:{}:13: `platform` and `image` exclude each other | keep one", line(4));
    assert_eq!(problems_with(rest), [expected]);
}

#[test]
fn faults_of_form_do_not_hide_faults_of_meaning() {
    let rest = "  \
  - name: web
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: bse }
    customize:
      - shel: { name: a, script: scripts/a.sh }
      - shell: { name: b, script: scripts/missing.sh }
    rings: []
    retenion: { keep: 2 }
";

    let found = problems_with(rest);

    let lines: Vec<usize> =
        found.iter().map(|it| it.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(lines, [line(4), line(6), line(7), line(8), line(9)], "{found:#?}");
    assert!(found[0].ends_with("did you mean `base`?"), "{}", found[0]);
    assert!(found[2].contains("there is no file `scripts/missing.sh`"), "{}", found[2]);
}

#[test]
fn a_broken_head_does_not_hide_what_is_wrong_with_images() {
    let head = HEAD.replace("  location: westeurope\n", "");
    let images = BASE.replace("regions: [westeurope]", "regions: []");

    let found = Folder::with(&[("c.yaml", &format!("{head}{IMAGES}{images}"))]).problems();

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("c.yaml:2:1: `location` is missing"), "{}", found[0]);
    assert!(found[1].starts_with("c.yaml:16:"), "{}", found[1]);
}

#[test]
fn an_image_that_cannot_be_read_is_no_reason_to_call_it_unknown() {
    let broken = BASE.replace("os: linux", "os: 7");
    let child = "  \
  - name: web
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: base }
    rings: [{ name: all, regions: [westeurope] }]
";

    let found = Folder::with(&[("c.yaml", &format!("{HEAD}{IMAGES}{broken}{child}"))]).problems();

    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("found the number 7"), "{}", found[0]);
}

#[test]
fn a_folder_is_one_catalog_in_the_order_of_its_files() {
    let web = BASE.replace("name: base", "name: web").replace("sku: base", "sku: web");
    let head = format!("{HEAD}{IMAGES}{BASE}");
    let before = BASE.replace("name: base", "name: app").replace("sku: base", "sku: app");
    let folder = Folder::with(&[
        ("b.yaml", &head),
        ("c.yaml", &format!("{IMAGES}{web}")),
        ("a.yaml", &format!("{IMAGES}{before}")),
        ("notes.txt", "not read"),
        ("scripts/x.yaml", "not: read"),
    ]);

    let catalog = folder.load().unwrap().catalog;

    let names: Vec<&str> = catalog.images.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["app", "base", "web"]);
}

#[test]
fn documents_of_one_file_are_merged_too() {
    let folder = Folder::with(&[("c.yaml", &format!("{HEAD}---\n{IMAGES}{BASE}"))]);

    assert_eq!(folder.load().unwrap().catalog.images.len(), 1);
}

#[test]
fn a_second_head_and_a_repeated_image_are_refused() {
    let folder = Folder::with(&[
        ("a.yaml", &format!("{HEAD}{IMAGES}{BASE}")),
        ("b.yaml", &format!("deletionsPerSweep: 3\n{IMAGES}{BASE}")),
    ]);

    let found = folder.problems();

    assert_eq!(
        found[0],
        "b.yaml:1:1: `deletionsPerSweep` belongs to the head of the catalog | the head is in a.yaml:1; \
         other documents may only add `images`"
    );
    assert!(found.iter().any(|it| it.starts_with("b.yaml:3:11: ")), "{found:#?}");
}

#[test]
fn a_file_with_a_syntax_error_does_not_hide_those_of_the_others() {
    let folder = Folder::with(&[
        ("a.yaml", HEAD),
        ("b.yaml", "images:\n  - name: [\n"),
        ("c.yaml", &format!("{IMAGES}{}", BASE.replace("os: linux", "os: linx"))),
    ]);

    let found = folder.problems();

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("b.yaml:"), "{}", found[0]);
    assert!(found[1].starts_with("c.yaml:4:9: "), "{}", found[1]);
}

#[test]
fn a_yaml_file_with_another_ending_is_warned_about() {
    let folder =
        Folder::with(&[("c.yaml", &format!("{HEAD}{IMAGES}{BASE}")), ("d.yml", "images: []")]);

    let loaded = folder.load().unwrap();

    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(loaded.warnings[0].severity, Severity::Warning);
    assert!(loaded.warnings[0].message.contains("d.yml"), "{}", loaded.warnings[0]);
}

fn with_script(path: &str) -> String {
    format!("{HEAD}{IMAGES}{BASE}    customize: [shell: {{ name: a, script: {path} }}]\n")
}

#[test]
fn a_script_may_not_lie_outside_the_folder() {
    let outside = Folder::with(&[("secret", "x")]);
    for path in ["../secret", "/etc/passwd", "scripts/../../secret", "'..\\secret'", "''"] {
        let folder = Folder::with(&[("c.yaml", &with_script(path))]);
        let found = folder.problems();
        assert_eq!(found.len(), 1, "{path}: {found:#?}");
        assert!(found[0].contains("is not a path below the catalog's folder"), "{}", found[0]);
    }

    let folder = Folder::with(&[("c.yaml", &with_script("link"))]);
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    let found = folder.problems();
    assert!(found[0].contains("a link that leads out of the catalog's folder"), "{}", found[0]);
}

#[test]
fn a_script_that_is_not_there_is_told_with_the_one_that_is() {
    let folder =
        Folder::with(&[("c.yaml", &with_script("scripts/hardn.sh")), ("scripts/harden.sh", "")]);

    let found = folder.problems();

    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("did you mean `scripts/harden.sh`?"), "{}", found[0]);
}

#[test]
fn a_script_that_is_too_large_or_no_file_is_refused() {
    let large = "x".repeat(1024 * 1024 + 1);
    let folder = Folder::with(&[("c.yaml", &with_script("large.sh")), ("large.sh", &large)]);
    assert!(folder.problems()[0].contains("has 1048577 bytes"));

    let just = "x".repeat(1024 * 1024);
    let folder = Folder::with(&[("c.yaml", &with_script("just.sh")), ("just.sh", &just)]);
    assert!(folder.load().is_ok());

    let folder = Folder::with(&[("c.yaml", &with_script("scripts")), ("scripts/a.sh", "x")]);
    assert!(folder.problems()[0].contains("is not a file"));
}

#[test]
fn a_shell_script_with_windows_line_ends_is_warned_about() {
    let folder = Folder::with(&[("c.yaml", &with_script("a.sh")), ("a.sh", "set -e\r\n")]);

    let loaded = folder.load().unwrap();

    assert!(loaded.warnings[0].message.contains("Windows line ends"), "{}", loaded.warnings[0]);
}

#[test]
fn what_cannot_be_read_is_not_a_problem_of_the_catalog() {
    let unreadable = |folder: &Folder| matches!(folder.load(), Err(LoadError::Unreadable { .. }));

    assert!(unreadable(&Folder::with(&[])));
    assert!(unreadable(&Folder::with(&[("c.yaml", "# nothing\n")])));
    let nowhere = load::catalog(Path::new("no/such/catalog"));
    assert!(matches!(nowhere, Err(LoadError::Unreadable { .. })));
}

#[test]
fn a_document_that_is_no_mapping_is_refused() {
    for text in ["- a\n", "just text\n", "7\n"] {
        let found = Folder::with(&[("c.yaml", text)]).problems();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("expected a mapping"), "{}", found[0]);
    }
}

#[test]
fn a_mutilated_catalog_is_answered_not_panicked_about() {
    let text = fs::read_to_string(example().join("catalog.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without_line = (0..lines.len()).map(|it| {
        let mut lines = lines.clone();
        lines.remove(it);
        lines.join("\n")
    });
    let cut_short = (0..text.len()).step_by(97).filter_map(|it| text.get(..it).map(str::to_owned));
    let without_sign = ['{', '}', '[', ']', ':', '-', '"', ','].into_iter().flat_map(|sign| {
        let text = &text;
        let places = text.match_indices(sign).step_by(13);
        places.map(move |(at, _)| format!("{}{}", &text[..at], &text[at + 1..]))
    });

    for mutilated in without_line.chain(cut_short).chain(without_sign) {
        let folder = Folder::with(&[("c.yaml", &mutilated)]);
        let Err(LoadError::Refused(problems)) = folder.load() else { continue };
        assert!(!problems.is_empty());
        for problem in problems {
            let lines = mutilated.lines().count().max(1);
            assert!(problem.place.line() <= lines + 1, "{problem}");
            assert!(problem.render(false, 80).contains(&problem.message), "{problem}");
        }
    }
}

#[test]
fn an_image_that_is_not_offered_where_the_gallery_is_gets_a_warning() {
    let problems = problems_with(
        "  - name: web
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: base }
    rings: [{ name: all, regions: [northeurope, eastus, westus] }]
",
    );

    assert_eq!(
        problems,
        [format!(
            "c.yaml:{}:5: no ring of `web` has the gallery's home region `westeurope` | builds and \
             old versions stay in `westeurope`; add it to a ring",
            line(5)
        )]
    );
}

#[test]
fn a_region_that_looks_like_another_of_the_catalog_gets_a_warning_and_is_accepted() {
    let folder = Folder::with(&[(
        "c.yaml",
        &format!(
            "{HEAD}{IMAGES}{BASE}{}",
            "  - name: web
    identifier: { publisher: fabrikam, offer: ubuntu, sku: web }
    os: linux
    base: { image: base }
    rings: [{ name: all, regions: [westeurope, westeruope, uksouth] }]
"
        ),
    )]);

    let loaded = folder.load().unwrap();

    assert!(loaded.warnings.iter().all(|it| it.severity == Severity::Warning));
    assert_eq!(
        folder.problems(),
        [format!(
            "c.yaml:{}:48: region `westeruope` looks like `westeurope` | did you mean \
             `westeurope`?",
            line(5)
        )]
    );
}
