//! `goldsmith up` as its processes: killed at odd moments, it ends with the same releases.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::wire::{hundreds_were_checked, is_not_violated, verify_wire};

/// How `up` ended.
struct Ended {
    /// Its last line.
    summary: Value,
    /// What crossed the wire, where it was held against Microsoft's documents.
    wire: Option<Value>,
    code: i32,
}

/// `goldsmith up --once --json`, on `state`.
struct Up {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    handler: Option<u64>,
    seen: usize,
}

impl Up {
    fn on(state: &Path) -> Up {
        Up::with(&[], state)
    }

    fn with(more: &[&str], state: &Path) -> Up {
        let mut child = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
            .args(["up", "--once", "--json"])
            .args(verify_wire())
            .args(more)
            .arg("--state")
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Up { child, lines, handler: None, seen: 0 }
    }

    /// The next line; none when it has ended.
    fn next(&mut self) -> Option<Value> {
        let line: Value = serde_json::from_str(&self.lines.next()?.ok()?).unwrap();
        if let Some(pid) = line["handlerPid"].as_u64() {
            self.handler = Some(pid);
        }
        is_not_violated(&line);
        self.seen += 1;
        Some(line)
    }

    /// Reads until `lines` more have come.
    fn read(&mut self, lines: usize) {
        for _ in 0..lines {
            self.next().expect("it ended too early");
        }
    }

    /// Reads to the end.
    fn finish(mut self) -> Ended {
        let (mut summary, mut wire) = (Value::Null, None);
        while let Some(line) = self.next() {
            if line["event"] == "wire" {
                wire = Some(line.clone());
            }
            summary = line;
        }
        Ended { summary, wire, code: self.child.wait().unwrap().code().unwrap() }
    }

    /// Kills the handler that was announced last, once: the one after it is announced before it can
    /// be killed too.
    fn kill_handler(&mut self) {
        let pid = loop {
            if let Some(pid) = self.handler.take() {
                break pid;
            }
            self.next().expect("the handler was never announced");
        };
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What was released, without the order in which it was said.
fn released(summary: &Value) -> BTreeSet<String> {
    let released = summary["released"].as_array().unwrap();
    released.iter().map(|it| format!("{} {} {}", it["image"], it["version"], it["base"])).collect()
}

/// Everything that the ledger in `state` says of `image`.
fn log(state: &Path, image: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
        .args(["log", image, "--json", "--state"])
        .arg(state)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const IMAGES: [&str; 6] = [
    "ubuntu-2204-base",
    "ubuntu-2204-web",
    "ubuntu-2204-shop",
    "debian-12-base",
    "rhel-9-base",
    "windows-2022-base",
];

#[test]
fn killed_at_odd_moments_it_ends_with_the_same_releases_and_nothing_is_done_twice() {
    let calm = tempfile::tempdir().unwrap();
    let Ended { summary, wire, code } = Up::on(calm.path()).finish();
    assert_eq!(code, 0, "{summary}");
    hundreds_were_checked(wire.as_ref());
    let expected = released(&summary);
    assert!(expected.len() >= 6, "{summary}");

    let state = tempfile::tempdir().unwrap();
    let mut up = Up::on(state.path());
    // Another seed each time; the printed one tells which moments a failure came from.
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    for _ in 0..5 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        up.read(5 + usize::try_from((seed >> 33) % 36).unwrap());
        up.kill_handler();
    }
    up.kill();
    let mut up = Up::on(state.path());
    up.read(40);
    up.kill();
    let Ended { summary, code, .. } = Up::on(state.path()).finish();

    assert_eq!(code, 0, "{summary}");
    assert_eq!(released(&summary), expected);
    for image in IMAGES {
        let mut numbers = BTreeSet::new();
        let mut builds = BTreeSet::new();
        for event in log(state.path(), image) {
            let version = event["version"].as_str().unwrap_or_default().to_owned();
            let first = match event["event"].as_str().unwrap() {
                "runOpened" => numbers.insert(version.clone()),
                "buildStarted" => builds.insert(version.clone()),
                _ => true,
            };
            assert!(first, "{image} {version}: twice");
        }
        assert_eq!(numbers, builds, "{image}: every run is built once");
    }
}

#[test]
fn the_ledger_alone_gives_the_state_that_status_shows() {
    let state = tempfile::tempdir().unwrap();
    let Ended { summary, code, .. } = Up::on(state.path()).finish();
    assert_eq!(code, 0);
    // The sandbox's own memory is not needed.
    std::fs::remove_file(state.path().join("sandbox.sqlite")).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_goldsmith"))
        .args(["status", "--state"])
        .arg(state.path())
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    for it in summary["released"].as_array().unwrap() {
        let (image, version) = (it["image"].as_str().unwrap(), it["version"].as_str().unwrap());
        assert!(text.contains(image) && text.contains(version), "{image} {version}\n{text}");
    }
}

/// The processes that `parent` has started and that are there.
#[cfg(target_os = "linux")]
fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may hold anything: state and parent.
        let after = stat.rsplit(')').next().unwrap_or_default();
        after.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn each_function_has_a_process_of_its_own_and_one_may_die() {
    let state = tempfile::tempdir().unwrap();
    let mut up = Up::with(&["--isolate"], state.path());
    up.read(25);

    let handlers = children_of(up.child.id());
    for pid in handlers.iter().step_by(5) {
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
    }
    let Ended { summary, code, .. } = up.finish();

    assert_eq!(handlers.len(), functions::package::functions().len());
    assert_eq!(code, 0, "{summary}");
    assert!(released(&summary).len() >= 6, "{summary}");
}
