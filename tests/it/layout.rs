//! The rules of the layout: where things are, and which walls stand between them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::desk::root;

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folders(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(path)).unwrap().map(Result::unwrap);
    let folders = entries.filter(|it| it.path().is_dir());
    folders.map(|it| it.file_name().into_string().unwrap()).collect()
}

pub(crate) fn rust_files(folder: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_function_has_both_files_a_trigger_and_a_line_in_the_list() {
    let list = read("functions/lib.rs");
    let packaged: BTreeSet<&str> =
        functions::package::functions().iter().map(|(name, _)| *name).collect();

    for function in folders("functions") {
        let json = read(format!("functions/{function}/function.json"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let trigger = &json["bindings"][0];
        let kind = trigger["type"].as_str().unwrap();

        assert!(kind.ends_with("Trigger"), "{function} has no trigger");
        assert!(list.contains(&format!("pub mod {function};")), "{function} is not in lib.rs");
        assert!(packaged.contains(function.as_str()), "{function} is not packaged");
        assert!(root().join(format!("functions/{function}/mod.rs")).is_file(), "{function}");
        if kind == "serviceBusTrigger" {
            let queue = trigger["queueName"].as_str().unwrap();
            let expected = if function == "receive_events" { "ingress" } else { &function };
            assert_eq!(queue, expected);
            assert_eq!(trigger["dataType"], "binary", "{function}");
            assert!(function.parse::<rules::wake::Function>().is_ok(), "{function} has no route");
        }
    }
    assert_eq!(packaged.len(), folders("functions").len());
}

#[test]
fn the_rules_have_no_io_no_clock_and_no_async() {
    let forbidden = [
        "tokio",
        "reqwest",
        "axum",
        "std::fs",
        "std::env",
        "std::net",
        "SystemTime",
        "Utc::now",
        "async fn",
    ];
    for file in rust_files(root().join("crates/rules/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} contains `{word}`", file.display());
        }
    }
}

/// The workspace's own crates that `package` depends on, tests apart.
fn dependencies(package: &str) -> BTreeSet<String> {
    let manifest = read(format!("{package}/Cargo.toml"));
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies.lines().filter_map(|it| it.split(['.', ' ', '=']).next());
    let ours = folders("crates");
    names.filter(|it| ours.contains(*it) || *it == "functions").map(str::to_owned).collect()
}

#[test]
fn the_walls_between_the_crates_stand() {
    let ours =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|it| (*it).to_owned()).collect() };

    assert_eq!(dependencies("crates/rules"), ours(&[]));
    assert_eq!(dependencies("crates/seam"), ours(&[]));
    assert_eq!(dependencies("crates/sandbox"), ours(&["seam"]));
    assert_eq!(dependencies("crates/reports"), ours(&["rules"]));
    // What judges both sides of a wire shares nothing with either.
    assert_eq!(dependencies("crates/contract"), ours(&[]));
    let handler = dependencies("functions");
    for forbidden in ["sandbox", "cli", "contract"] {
        assert!(!handler.contains(forbidden), "the handler links `{forbidden}`");
    }
    let manifest = read("functions/Cargo.toml");
    assert!(!manifest.contains("jsonschema"), "the handler links a schema library");
}

#[test]
fn no_test_talks_to_the_simulated_azure_behind_the_contracts_back() {
    // What a file says that opens a way, and what it says when the way is listened to.
    let ways = [
        (concat!("routers", "().arm"), "verified."),
        (concat!(".rou", "ters()"), "verified."),
        (concat!("azure.rou", "ter()"), "verified."),
        (concat!("Arm::", "new("), "verified."),
        (concat!("[\"u", "p\", \"--"), "verify_wire"),
    ];
    let folders = fs::read_dir(root().join("crates")).unwrap().map(|it| it.unwrap().path());
    let files = folders.map(|it| it.join("tests")).chain([root().join("tests")]);
    let files: Vec<PathBuf> = files.filter(|it| it.is_dir()).flat_map(rust_files).collect();
    assert!(files.len() > 50);

    // What is sent there is none of our requests, on purpose.
    let hostile = root().join("tests/hostile");
    let mut opened = 0;
    for file in files.into_iter().filter(|it| !it.starts_with(&hostile)) {
        let text = fs::read_to_string(&file).unwrap();
        for (way, listened) in ways {
            if text.contains(way) {
                opened += 1;
                // Where the layer itself is what is tested, a watch is put around by hand.
                let by_hand = text.contains("watch.around(");
                assert!(text.contains(listened) || by_hand, "`{way}` in {}", file.display());
            }
        }
    }
    assert!(opened >= 8, "{opened}");
}

/// One read, one look and one send are a few lines each where they are used.
#[test]
fn no_function_sees_retries_tokens_pages_or_status_urls() {
    let hidden = [
        "api-version",
        "skip_token",
        "next_link",
        "bearer",
        "authorization",
        "headers()",
        "http::request",
        "http::headermap",
        "reqwest",
        ".collect(longest",
        "retry-after",
        "asyncoperation",
    ];
    for function in folders("functions") {
        for file in rust_files(root().join("functions").join(&function)) {
            let text = fs::read_to_string(&file).unwrap().to_lowercase();
            for word in hidden {
                assert!(!text.contains(word), "{} sees `{word}`", file.display());
            }
        }
    }
}

#[test]
fn documents_name_real_paths() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "infra/README.md"] {
        let text = read(document);
        let code = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).filter_map(|it| it.split(')').next());
        for path in code.chain(linked) {
            let first = path.split('/').next().unwrap_or_default();
            let is_path = ["crates", "functions", "examples", "tests", "infra", "src"]
                .contains(&first)
                && path.contains('/')
                && !path.contains([' ', '<', '*']);
            if is_path {
                let folder = Path::new(document).parent().unwrap();
                let found = root().join(path).exists() || root().join(folder).join(path).exists();
                assert!(found, "{document} names `{path}`, which is not there");
            }
        }
    }
}

#[test]
fn every_file_says_why_it_exists() {
    for folder in ["crates", "functions", "src", "tests"] {
        for file in rust_files(root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} does not", file.display());
        }
    }
}

/// Most faults of `azure_messaging_servicebus` are in receiving, which the Functions host does.
#[test]
fn messages_are_only_sent_by_rest_and_only_by_the_sender() {
    let ours = folders("crates").into_iter().filter(|it| it != "sandbox");
    let sources = ours.map(|it| format!("crates/{it}/src"));
    for folder in sources.chain(["functions".to_owned()]) {
        for file in rust_files(root().join(&folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for word in ["peek_lock", "receive_and_delete", "messages/head"] {
                assert!(!text.contains(word), "{} contains `{word}`", file.display());
            }
            let sender = file.ends_with("crates/bus/src/sender.rs");
            let uses = text.contains("azure_messaging_servicebus::");
            assert!(!uses || sender, "{} uses the crate for Service Bus", file.display());
        }
    }
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find(|it| it.starts_with("azure_messaging_servicebus")).unwrap();
    // Without `hmac_rust` the first request panics; by default it brings OpenSSL.
    assert!(line.contains("default-features = false, features = [\"hmac_rust\"]"), "{line}");
}
