//! A full disk: it is said, with what to do; nothing is lost; after there is room again the desk goes
//! on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::judge;
use crate::kills::{SPEED, calm};
use crate::lot::Lot;
use crate::up::{Up, goldsmith, here, verify_wire};

/// Tells the test that it runs inside the namespace with the small disk.
const SMALL_DISK: &str = "GOLDSMITH_SMALL_DISK";

/// The small disk, when this process has one. Else this runs `test` again in a namespace of its own
/// that has, where that is possible, and returns nothing.
fn small_disk(test: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "how the outer test tells the inner one")]
    if let Ok(disk) = std::env::var(SMALL_DISK) {
        return Some(disk.into());
    }
    let home = tempfile::tempdir().unwrap();
    let within_a_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(home.path());
        command
    };
    let mount = "mount -t tmpfs -o size=24m none \"$1\"";
    let possible = within_a_namespace(mount).output().is_ok_and(|it| it.status.success());
    if !possible {
        println!("skipped {test}: no small disk can be mounted here (unshare, tmpfs)");
        return None;
    }
    let again = format!("{mount} && disk=$1 && shift && {SMALL_DISK}=\"$disk\" exec \"$@\"");
    let ended = within_a_namespace(&again)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .output()
        .unwrap();
    let (out, talk) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{out}\n{talk}");
    print!("{out}");
    None
}

/// Takes what is left of the disk but for `left` bytes; the room comes back with [`free`].
fn fill(disk: &Path, left: u64) {
    let mut file = File::create(disk.join("fill")).unwrap();
    let mut size = 0;
    for chunk in [1 << 20, 1 << 12] {
        let bytes = vec![0; chunk];
        while file.write_all(&bytes).is_ok() {
            size += chunk as u64;
        }
        size = size.max(file.metadata().unwrap().len());
    }
    file.set_len(size.saturating_sub(left)).unwrap();
}

fn free(disk: &Path) {
    fs::remove_file(disk.join("fill")).unwrap();
}

#[test]
fn a_full_disk_is_said_and_when_there_is_room_again_the_desk_goes_on() {
    let test = "full_disk::a_full_disk_is_said_and_when_there_is_room_again_the_desk_goes_on";
    let Some(disk) = small_disk(test) else { return };
    let state = disk.join("state");
    let mut lot = Lot::of(u64::from(std::process::id()));

    for round in 0..6 {
        let up = Up::on(&state, &["--speed", SPEED]);
        let after = Duration::from_millis(700 + lot.below(2000));
        thread::sleep(after);
        let left = [0, 0, 20_000, 200_000][lot.below(4) as usize];
        fill(&disk, left);
        let (code, _, said) = up.end();

        println!("round {round}, after {after:?}, {left} bytes left: {}", said.trim());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("make room"), "{said}");
        assert!(!said.contains("damaged") && !said.contains("panicked"), "{said}");
        free(&disk);
    }
    calm(&state, Up::on(&state, &["--speed", SPEED]));

    assert_eq!(judge::faults(&state), Vec::<String>::new());
}

#[test]
fn a_desk_that_cannot_even_begin_says_why_and_begins_when_there_is_room() {
    let test = "full_disk::a_desk_that_cannot_even_begin_says_why_and_begins_when_there_is_room";
    let Some(disk) = small_disk(test) else { return };
    let state = disk.join("state");

    for left in [0, 4_096, 40_960, 81_920, 163_840, 327_680] {
        fill(&disk, left);
        let (code, _, said) = Up::on(&state, &["--once"]).end();
        println!("{left} bytes left: {}", said.trim());
        assert_eq!(code, Some(2), "{left}: {said}");
        assert!(said.contains("make room") || said.contains("No space left"), "{left}: {said}");
        assert!(!said.contains("damaged"), "{left}: {said}");
        free(&disk);
    }
    let (code, lines, said) = Up::on(&state, &["--once"]).end();

    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lines.last().unwrap()["event"], "summary");
}

#[test]
fn a_file_that_may_grow_no_further_is_no_damaged_one() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    // Blocks of 512 bytes. The signal of it is ignored, as by whoever minds his disk.
    let limited = |blocks: u32| {
        let output = Command::new("sh")
            .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"])
            .arg(goldsmith(&[]).get_program())
            .args(["up", "--once", "--catalog"])
            .arg(here("catalog.yaml"))
            .arg("--estate")
            .arg(here("estate.yaml"))
            .arg("--state")
            .arg(&state)
            .args(verify_wire())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };

    for blocks in [8, 64, 600] {
        let (code, said) = limited(blocks);
        assert_eq!(code, Some(2), "{blocks}: {said}");
        assert!(!said.contains("damaged") && !said.contains("panicked"), "{blocks}: {said}");
        assert!(
            said.contains("cannot be written") && said.contains("make room"),
            "{blocks}: {said}"
        );
        println!("{blocks} blocks: {}", said.trim());
    }
    let (code, _, said) = Up::on(&state, &["--once"]).end();

    assert_eq!(code, Some(0), "{said}");
}
