//! What runs inside a seed is deterministic by construction: nothing in it asks the machine for a
//! thread, a time, a random number or an order that differs from process to process.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// The crates whose code runs inside a seed.
const SIMULATED: [&str; 10] = [
    "functions",
    "crates/cli/src/publish.rs",
    "crates/arm/src",
    "crates/bus/src",
    "crates/ledger/src",
    "crates/reports/src",
    "crates/rules/src",
    "crates/seam/src",
    "crates/sandbox/src",
    "crates/simulation/src",
];

/// What is looked for, and why it must not be there.
const FORBIDDEN: [(&str, &str); 28] = [
    ("thread::spawn", "threads run in any order"),
    ("thread::Builder", "threads run in any order"),
    ("thread::scope", "threads run in any order"),
    ("spawn_blocking", "a thread of its own runs in any order"),
    ("tokio::spawn", "a step ends when it returns"),
    ("SystemTime::now", "time has one owner"),
    ("Utc::now", "time has one owner"),
    ("Instant::now", "time has one owner"),
    (".elapsed()", "time has one owner"),
    ("HashMap", "its order differs from process to process: BTreeMap"),
    ("HashSet", "its order differs from process to process: BTreeSet"),
    ("Uuid::new_v4", "a random number outside the seam"),
    ("Uuid::now_v7", "a random number outside the seam, and a time"),
    ("rand::", "a random number outside the seam"),
    ("getrandom", "a random number outside the seam"),
    ("RandomState", "its order differs from process to process"),
    ("Local::now", "time has one owner"),
    ("task::spawn", "a step ends when it returns"),
    ("JoinSet", "a step ends when it returns"),
    ("env::", "settings come in by hand"),
    ("static ", "what one seed leaves there, another one finds"),
    ("thread_local!", "what one seed leaves there, another one finds"),
    ("OnceLock", "what one seed leaves there, another one finds"),
    ("LazyLock", "what one seed leaves there, another one finds"),
    ("sync::watch", "it wakes those who wait in any order: Notify"),
    ("watch::channel", "it wakes those who wait in any order: Notify"),
    ("process::id", "another one in each process"),
    ("thread::current", "another one in each process"),
];

/// Files that no seed runs: sockets, processes and desk time, which is wall time.
const OUTSIDE: [&str; 9] = [
    "functions/main.rs",
    "functions/serve.rs",
    "crates/seam/src/internet.rs",
    "crates/seam/src/serve.rs",
    "crates/sandbox/src/serve.rs",
    "crates/sandbox/src/desk.rs",
    "crates/sandbox/src/host/process.rs",
    "crates/sandbox/src/host/process_tests.rs",
    "crates/simulation/src/main.rs",
];

/// What is there all the same, and why it does no harm.
const ALLOWED: [(&str, &str, &str); 14] = [
    ("functions/dispatch.rs", "Instant::now", "how long a step took, in a line of the log"),
    ("functions/dispatch.rs", ".elapsed()", "how long a step took, in a line of the log"),
    ("crates/seam/src/clock.rs", ".elapsed()", "tokio's, which is paused"),
    ("crates/seam/src/clock.rs", "Utc::now", "the system's clock, which no seed uses"),
    ("crates/seam/src/clock.rs", "Instant::now", "tokio's, which is paused"),
    ("crates/sandbox/src/host/invocation.rs", "Instant::now", "tokio's, which is paused"),
    ("crates/sandbox/src/blob/place.rs", "process::id", "of a folder; no seed has one"),
    ("crates/sandbox/src/bus/mod.rs", "sync::watch", "the host alone waits for it"),
    ("crates/sandbox/src/host/handlers.rs", "sync::watch", "of processes; no seed has one"),
    ("crates/sandbox/src/host/mod.rs", "sync::watch", "of processes; no seed has one"),
    ("crates/simulation/src/chance.rs", "rand::", "the seed's own source of numbers"),
    ("crates/simulation/src/delivery.rs", "tokio::spawn", "on the seed's one thread"),
    ("crates/simulation/src/network.rs", "tokio::spawn", "on the seed's one thread"),
    ("crates/simulation/src/store.rs", "tokio::spawn", "on the seed's one thread"),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "benches" | "target") {
            files(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The lines of a file before its tests, without comments.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let numbered = product.lines().enumerate();
    numbered.filter(move |(_, line)| code(line)).map(|(number, line)| (number + 1, line))
}

#[test]
fn nothing_in_a_seed_asks_the_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut wrong = Vec::new();
    for folder in SIMULATED {
        let mut found = Vec::new();
        match folder.ends_with(".rs") {
            true => found.push(root.join(folder)),
            false => files(&root.join(folder), &mut found),
        }
        assert!(found.len() > 2 || folder.ends_with(".rs"), "{folder} has moved");
        for file in found {
            let text = fs::read_to_string(&file).unwrap();
            let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if OUTSIDE.contains(&name.as_str()) {
                continue;
            }
            for (number, line) in lines(&text) {
                let line = line.replace("'static", "");
                for (what, why) in FORBIDDEN {
                    let allowed = ALLOWED.iter().any(|(at, it, _)| name == *at && what == *it);
                    if line.contains(what) && !allowed {
                        wrong.push(format!("{name}:{number}: {what}: {why}"));
                    }
                }
            }
            let mut selects = text.split("select!").skip(1);
            let of = |it: &str| it.trim_start().trim_start_matches('{').trim_start().to_owned();
            if !selects.all(|it| of(it).starts_with("biased;")) {
                wrong.push(format!("{name}: a `select!` without `biased` takes any branch"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
