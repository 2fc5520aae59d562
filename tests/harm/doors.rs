//! Folders and ports that are not to be had: taken, somebody else's, read-only, of another estate.
//! Each is named with the next move, and what is there stays as it is.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kills::SPEED;
use crate::up::{Up, goldsmith, here, signal, verify_wire, within};

/// The exit code and stderr of an `up` that is to end by itself, at once.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut up = command.stdout(Stdio::null()).stderr(said.reopen().unwrap()).spawn().unwrap();
    let status = within(Duration::from_secs(30), || up.try_wait().unwrap());
    if status.is_none() {
        up.kill().unwrap();
        up.wait().unwrap();
    }
    (status.and_then(|it| it.code()), fs::read_to_string(said.path()).unwrap())
}

fn up(state: &Path, estate: &Path) -> Command {
    let mut command = goldsmith(&["up", "--once", "--json", "--catalog"]);
    command.arg(here("catalog.yaml")).arg("--estate").arg(estate).arg("--state").arg(state);
    command.args(verify_wire());
    command
}

#[test]
fn a_second_desk_on_a_folder_is_refused_and_the_first_is_not_disturbed() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut first = Up::on(&state, &["--speed", SPEED]);
    assert!(first.is_ready(), "{}", first.said());
    let ports = fs::read(state.join("ports.json")).unwrap();
    let app = fs::metadata(state.join("app/host.json")).unwrap().ino();

    let (code, said) = refused(&mut up(&state, &here("estate.yaml")));

    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&state.display().to_string()), "{said}");
    assert!(said.contains("in use by another goldsmith; stop it"), "{said}");
    assert_eq!(fs::read(state.join("ports.json")).unwrap(), ports);
    assert_eq!(fs::metadata(state.join("app/host.json")).unwrap().ino(), app);
    signal("TERM", first.pid());
    assert_eq!(first.end().0, Some(0));
}

#[test]
fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--arm-port", "--bus-port", "--blob-port", "--identity-port", "--host-port"] {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");

        let (code, said) = refused(up(&state, &here("estate.yaml")).args([flag, &port]));

        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&port) && said.contains(flag), "{said}");
        assert!(!state.join("sandbox.sqlite").exists(), "{flag}: a desk was begun");
    }
}

#[test]
fn a_folder_of_another_estate_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let (code, _, said) = Up::on(&state, &["--once"]).end();
    assert_eq!(code, Some(0), "{said}");
    let other = home.path().join("other.yaml");
    let text = fs::read_to_string(here("estate.yaml")).unwrap();
    fs::write(&other, text.replace("2026-05-04T00", "2026-05-04T01")).unwrap();

    let (code, said) = refused(&mut up(&state, &other));

    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("begun with another estate; give that estate"), "{said}");
    let (code, _, said) = Up::on(&state, &["--once"]).end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_folder_that_may_not_be_written_is_named_with_the_next_move() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere; then somebody else is to try.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let as_another = |command: &mut Command| {
        if is_root {
            command.uid(65_534);
        }
    };
    let mut try_out = goldsmith(&["--version"]);
    as_another(&mut try_out);
    if !try_out.output().is_ok_and(|it| it.status.success()) {
        println!("skipped: nobody else may run what was built here");
        return;
    }

    for folder in [state.clone(), state.join("below")] {
        let mut command = up(&folder, &here("estate.yaml"));
        as_another(&mut command);
        let (code, said) = refused(&mut command);

        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&folder.display().to_string()), "{said}");
        assert!(said.contains("Permission denied"), "{said}");
        assert!(said.contains("give another folder") || said.contains("--state"), "{said}");
    }
    // Somebody else's desk.
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _, said) = Up::on(&state, &["--once"]).end();
    assert_eq!(code, Some(0), "{said}");
    if is_root {
        let mut command = up(&state, &here("estate.yaml"));
        as_another(&mut command);
        let (code, said) = refused(&mut command);
        assert!(code == Some(2) && said.contains("Permission denied"), "{said}");
        assert!(said.contains("make it yours") && !said.contains("damaged"), "{said}");
    }
}

#[test]
fn what_stands_where_a_file_of_the_desk_belongs_is_named() {
    for (name, is_folder) in [
        ("lock", true),
        ("ports.json", true),
        ("app", false),
        ("handler.log", true),
        ("blobs", false),
        ("sandbox.sqlite", true),
    ] {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        fs::create_dir(&state).unwrap();
        let odd = state.join(name);
        if is_folder {
            fs::create_dir(&odd).unwrap()
        } else {
            fs::write(&odd, "odd").unwrap()
        }

        let (code, said) = refused(&mut up(&state, &here("estate.yaml")));

        assert_eq!(code, Some(2), "{name}: {said}");
        let named = [odd.display().to_string(), state.display().to_string()];
        assert!(named.iter().any(|it| said.contains(it)), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
}

#[test]
fn what_up_itself_records_goes_through_the_desks_blobs_too() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    fs::create_dir_all(state.join("blobs")).unwrap();
    // Where they prepare what they write. Whoever wrote their folder without them would leave his
    // own drafts among the entries when he is killed.
    fs::write(state.join("blobs/.staging"), "odd").unwrap();

    let (code, said) = refused(&mut up(&state, &here("estate.yaml")));

    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the catalog cannot be published"), "{said}");
    assert!(!crate::stream::ledger(&state).exists(), "something was recorded");
}
