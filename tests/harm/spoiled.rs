//! Files of a state folder that were spoiled while nobody was at work: each is named with what to do,
//! and nothing else is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::judge;
use crate::kills::SPEED;
use crate::stream::{entry, files, ledger};
use crate::up::{Up, goldsmith, signal, within};

/// A desk on which both images were released, made once; each case spoils a copy.
pub(crate) fn desk() -> (TempDir, PathBuf) {
    static WALKED: OnceLock<TempDir> = OnceLock::new();
    let walked = WALKED.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        let (code, _, said) = Up::on(&home.path().join("state"), &["--once"]).end();
        assert_eq!(code, Some(0), "{said}");
        home
    });
    let copy = tempfile::tempdir().unwrap();
    let state = copy.path().join("state");
    copy_tree(&walked.path().join("state"), &state);
    (copy, state)
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for it in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(it.file_name());
        if it.file_type().unwrap().is_dir() {
            copy_tree(&it.path(), &target);
        } else {
            fs::copy(it.path(), target).unwrap();
        }
    }
}

/// Every file below `folder` with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for it in fs::read_dir(folder).into_iter().flatten().flatten() {
        if it.file_type().unwrap().is_dir() {
            found.extend(tree(&it.path()));
        } else {
            found.insert(it.path(), fs::read(it.path()).unwrap_or_default());
        }
    }
    found
}

/// Exit code, stdout and stderr of a command on `state`.
fn ask(arguments: &[&str], state: &Path) -> (Option<i32>, String, String) {
    let output = goldsmith(arguments).arg("--state").arg(state).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// How a stream is spoiled, and what is said of it.
struct Case {
    what: &'static str,
    spoil: fn(&Path),
    /// Part of what `status` and `log` say.
    said: &'static str,
}

fn middle(state: &Path) -> PathBuf {
    let count = files(state, "app").len() as u64;
    entry(state, "app", count / 2)
}

fn newest(state: &Path) -> PathBuf {
    files(state, "app").into_values().last().unwrap()
}

fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

const STREAMS: [Case; 8] = [
    Case {
        what: "an entry in the middle is cut off",
        spoil: |state| {
            let path = middle(state);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        said: "not an entry",
    },
    Case {
        what: "a byte of an entry is another",
        spoil: |state| change(&middle(state), "\"by\":\"", "\"by\":\"x"),
        said: "one of the two was changed",
    },
    Case {
        what: "an entry in the middle is missing",
        spoil: |state| fs::remove_file(middle(state)).unwrap(),
        said: "the entry is missing, and a later one is there",
    },
    Case {
        what: "the newest entry is empty",
        spoil: |state| fs::write(newest(state), "").unwrap(),
        said: "not an entry",
    },
    Case {
        what: "the newest entry is bytes that are no text",
        spoil: |state| fs::write(newest(state), [0xff, 0x00, 0x80]).unwrap(),
        said: "not an entry",
    },
    Case {
        what: "a file that is no entry lies among them",
        spoil: |state| fs::write(ledger(state).join("app/notes.txt"), "mine").unwrap(),
        said: "nothing else may be in this folder",
    },
    Case {
        what: "an entry of a later release",
        spoil: |state| change(&newest(state), "\"v\":1", "\"v\":2"),
        said: "run the newer one",
    },
    Case {
        what: "an entry far beyond the last",
        spoil: |state| {
            fs::copy(middle(state), entry(state, "app", 4_000)).unwrap();
        },
        said: "the entry is missing, and a later one is there",
    },
];

#[test]
fn a_spoiled_stream_is_named_by_status_and_log_and_hides_no_other_image() {
    for Case { what, spoil, said } in STREAMS {
        let (_home, state) = desk();
        spoil(&state);

        let (code, out, talk) = ask(&["status"], &state);
        assert_eq!(code, Some(2), "{what}: {talk}");
        assert!(talk.contains("ledger/tailspin/app") && talk.contains(said), "{what}: {talk}");
        assert!(talk.contains("restore") || talk.contains("newer"), "{what}: {talk}");
        assert!(out.starts_with("base ") && out.contains("released"), "{what}: {out}");
        let (code, _, talk) = ask(&["log", "app"], &state);
        assert!(code == Some(2) && talk.contains(said), "{what}: {talk}");
        for of_another in [["status", "base"], ["log", "base"]] {
            assert_eq!(ask(&of_another, &state).0, Some(0), "{what}");
        }
    }
}

/// Works on `state` until `base` was released once more; returns what was said on stdout.
fn walk_on(state: &Path) -> String {
    let before = judge::releases(state, "base");
    let mut up = Up::on(state, &["--speed", SPEED]);
    let walked = within(Duration::from_secs(90), || {
        let ended = up.has_ended().is_some();
        (ended || judge::releases(state, "base") > before).then_some(())
    });
    if walked.is_none() {
        let said = up.said();
        up.kill();
        panic!("`base` goes on no more: {said}");
    }
    signal("TERM", up.pid());
    let (code, lines, said) = up.end();
    assert!(judge::releases(state, "base") > before, "`base` goes on no more: {said}");
    assert!(code == Some(0) && !said.contains("panicked"), "{code:?} {said}");
    lines.iter().map(|it| format!("{it}\n")).collect()
}

#[test]
fn a_spoiled_stream_stops_its_image_and_the_other_one_goes_on() {
    // What the handler makes of each shape is the ledger's to say, and tested there; here, that the
    // whole desk lives with a stream that stops in the middle, at its end, and by a stranger.
    for index in [1, 3, 5] {
        let Case { what, spoil, .. } = STREAMS[index];
        let (_home, state) = desk();
        spoil(&state);
        // Without it the handler reads every entry, too.
        fs::remove_file(state.join("blobs/goldsmith/goldsmith/heads/tailspin/app.json")).unwrap();
        let before = tree(&ledger(&state).join("app"));

        let told = walk_on(&state);

        assert_eq!(tree(&ledger(&state).join("app")), before, "{what}: it was written");
        let log = fs::read_to_string(state.join("handler.log")).unwrap();
        assert!(log.contains("Nothing is done for app"), "{what}");
        // A stranger in the folder is no entry that does not follow.
        assert_eq!(told.contains("streamLost"), index != 5, "{what}: {told}");
    }
}

#[test]
fn once_ends_though_a_stream_is_lost_and_says_no() {
    let (_home, state) = desk();
    (STREAMS[0].spoil)(&state);

    let (code, lines, _) = Up::on(&state, &["--once"]).end();

    assert_eq!(code, Some(1));
    let lost = lines.iter().find(|it| it["event"] == "streamLost").unwrap();
    assert_eq!(lost["stream"], "app");
    assert!(lost["because"].as_str().unwrap().contains("restore that file"), "{lost}");
    let failed = lines.last().unwrap()["failed"].to_string();
    assert!(failed.contains("app") && failed.contains("followed no further"), "{failed}");
}

#[test]
fn a_newest_entry_that_is_gone_is_missed_where_something_speaks_of_it() {
    let (_home, state) = desk();
    let snapshot = state.join("blobs/goldsmith/goldsmith/heads/tailspin/app.json");
    let text = fs::read_to_string(&snapshot).unwrap();
    let snapshot: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (seq, path) in files(&state, "app").into_iter().rev() {
        if seq >= snapshot["seq"].as_u64().unwrap() {
            fs::remove_file(path).unwrap();
        }
    }
    let before = tree(&ledger(&state).join("app"));

    walk_on(&state);

    assert_eq!(tree(&ledger(&state).join("app")), before, "it was written");
    let log = fs::read_to_string(state.join("handler.log")).unwrap();
    assert!(log.contains("a snapshot was made of it, and it is gone; restore it"));
}

#[test]
fn a_spoiled_snapshot_costs_nothing() {
    // What else a snapshot may be like is the ledger's to test.
    for text in ["", "{\"v\":1,"] {
        let (_home, state) = desk();
        for image in ["app", "base", "_catalog"] {
            let path = state.join(format!("blobs/goldsmith/goldsmith/heads/tailspin/{image}.json"));
            fs::write(path, text).unwrap_or_default();
        }

        let told = walk_on(&state);

        assert!(!told.contains("streamLost"), "{text}: {told}");
        assert_eq!(ask(&["status"], &state).0, Some(0), "{text}");
    }
}

#[test]
fn a_spoiled_catalog_is_named_before_anything_acts_on_it() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 3] = [
        (
            "its stream",
            |state| fs::write(ledger(state).join("_catalog/0000000001.json"), "{").unwrap(),
            "_catalog/0000000001.json",
        ),
        (
            "its blob",
            |state| {
                let blobs = fs::read_dir(state.join("blobs/goldsmith/goldsmith/blobs")).unwrap();
                let is_catalog = |path: &PathBuf| {
                    fs::read_to_string(path).is_ok_and(|it| it.contains("\"catalog\":\"tailspin\""))
                };
                let catalogs = blobs.flatten().map(|it| it.path()).filter(is_catalog);
                catalogs.for_each(|it| change(&it, "tailspin", "tailspun"));
            },
            "another hash than its name",
        ),
        (
            "its blob, cut off",
            |state| {
                for blob in fs::read_dir(state.join("blobs/goldsmith/goldsmith/blobs")).unwrap() {
                    fs::write(blob.unwrap().path(), "").unwrap();
                }
            },
            "another hash than its name",
        ),
    ];
    for (what, spoil, expected) in cases {
        let (_home, state) = desk();
        spoil(&state);
        let before = tree(&ledger(&state));

        let (code, _, said) = Up::on(&state, &["--once"]).end();

        assert_eq!(code, Some(2), "{what}: {said}");
        assert!(said.contains(expected) && said.contains("restore"), "{what}: {said}");
        assert_eq!(tree(&ledger(&state)), before, "{what}");
    }
}

#[test]
fn a_spoiled_database_is_named_and_the_ledger_stays_as_it_is() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 8] = [
        ("cut in half", |path| cut(path, 2), "move it away"),
        ("cut within its header", |path| cut(path, 2_000), "move it away"),
        ("emptied", |path| fs::write(path, "").unwrap(), "put it back"),
        ("gone", |path| fs::remove_file(path).unwrap(), "put it back"),
        (
            "with another beginning",
            |path| overwrite(path, 0, b"this was a database "),
            "move it away",
        ),
        (
            "with pages of zeros",
            |path| {
                let size = fs::metadata(path).unwrap().len() as usize;
                overwrite(path, size / 2 / 4096 * 4096, &[0; 5 * 4096]);
            },
            "move it away",
        ),
        (
            "of another version",
            |path| {
                let database = rusqlite::Connection::open(path).unwrap();
                database.execute_batch("PRAGMA user_version = 7").unwrap();
            },
            "use that version",
        ),
        (
            "a folder",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "cannot be read or written",
        ),
    ];
    for (what, spoil, expected) in cases {
        let (_home, state) = desk();
        spoil(&state.join("sandbox.sqlite"));
        let before = tree(&ledger(&state));

        for _ in 0..2 {
            let (code, _, said) = Up::on(&state, &["--once"]).end();
            assert_eq!(code, Some(2), "{what}: {said}");
            assert!(said.contains("sandbox.sqlite") && said.contains(expected), "{what}: {said}");
            assert!(!said.contains("panicked"), "{what}: {said}");
        }
        assert_eq!(tree(&ledger(&state)), before, "{what}");
        assert_eq!(ask(&["status"], &state).0, Some(0), "{what}");
    }
}

fn cut(path: &Path, by: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let size = file.metadata().unwrap().len();
    file.set_len(size / by).unwrap();
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[test]
fn the_index_of_a_killed_desk_may_be_gone_and_its_log_ahead_too() {
    let (_home, state) = desk();
    let up = Up::on(&state, &["--speed", SPEED]);
    let before = judge::releases(&state, "base");
    let walked = within(Duration::from_secs(60), || {
        (judge::releases(&state, "base") > before).then_some(())
    });
    assert!(walked.is_some(), "{}", up.said());
    up.kill();
    assert!(state.join("sandbox.sqlite-wal").exists());

    // The index is made anew.
    fs::remove_file(state.join("sandbox.sqlite-shm")).unwrap();
    walk_on(&state);
    let up = Up::on(&state, &["--speed", SPEED]);
    let before = judge::releases(&state, "base");
    within(Duration::from_secs(60), || (judge::releases(&state, "base") > before).then_some(()));
    up.kill();
    // Without the log Azure has forgotten what the ledger knows.
    fs::remove_file(state.join("sandbox.sqlite-wal")).unwrap();
    let before = tree(&ledger(&state).join("base"));
    let mut up = Up::on(&state, &["--speed", SPEED]);
    assert!(up.is_ready(), "{}", up.said());
    signal("TERM", up.pid());
    let (code, _, said) = up.end();

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("older than its ledger"), "{said}");
    let after = tree(&ledger(&state).join("base"));
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
}
