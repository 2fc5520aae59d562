//! The commands as a person or a pipeline sees them: what is printed where, and the exit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};
use cli::Cli;
use cli::terminal::{Exit, Terminal};

/// A writer that a test can read.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The exit of a command line, its stdout and its stderr.
fn goldsmith(arguments: &[&str]) -> (Exit, String, String) {
    let (out, talk) = (Pipe::default(), Pipe::default());
    let mut terminal = Terminal::plain(Box::new(out.clone()), Box::new(talk.clone()));
    let command = Cli::parse_from([&["goldsmith"], arguments].concat()).command;

    let exit = cli::run(command, &mut terminal).unwrap();

    (exit, out.text(), talk.text())
}

fn example() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/catalog").display().to_string()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_clean_catalog_is_summed_up_as_a_forest() {
    let (exit, out, talk) = goldsmith(&["check", &example()]);

    assert_eq!((exit, talk.as_str()), (Exit::Done, ""));
    assert!(out.contains("6 images"), "{out}");
    let web = out.lines().find(|it| it.contains("ubuntu-2204-web")).unwrap();
    assert!(web.starts_with("   └─ ubuntu-2204-web"), "{out}");
    assert!(web.contains("base has passed"), "{out}");
}

#[test]
fn problems_are_talk_with_position_and_caret_and_the_exit_is_no() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, "catalog: contoso\ngalery: {}\n").unwrap();
    let path = file.display().to_string();

    let (exit, out, talk) = goldsmith(&["check", &path]);

    assert_eq!((exit, out.as_str()), (Exit::No, ""));
    assert!(talk.contains(&format!("error: {path}:2:1: unknown field `galery`\n")), "{talk}");
    assert!(talk.contains(" 2 | galery: {}\n   : ^^^^^^\n"), "{talk}");
    assert!(talk.contains("hint: did you mean `gallery`?\n"), "{talk}");
    assert!(talk.contains("4 problems\n"), "{talk}");
}

#[test]
fn problems_for_machines_are_one_line_of_json_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, "catalog: contoso\ngalery: {}\n").unwrap();
    let path = file.display().to_string();

    let (exit, out, talk) = goldsmith(&["check", &path, "--json"]);

    assert_eq!((exit, talk.as_str(), out.lines().count()), (Exit::No, "", 1));
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["ok"], false);
    let problems = answer["problems"].as_array().unwrap();
    let unknown = problems.iter().find(|it| it["line"] == 2).unwrap();
    assert_eq!(unknown["file"], path);
    assert_eq!(unknown["column"], 1);
    assert_eq!(unknown["hint"], "did you mean `gallery`?");
}

#[test]
fn what_cannot_be_read_fails_with_a_hint() {
    let (exit, out, talk) = goldsmith(&["check", "no/such/catalog"]);

    assert_eq!((exit, out.as_str()), (Exit::Failed, ""));
    assert!(talk.starts_with("error: there is no `no/such/catalog`\n\nhint: "), "{talk}");
}

#[test]
fn the_schema_is_json_on_stdout() {
    for (what, title) in [("catalog", "Catalog"), ("estate", "Estate")] {
        let (exit, out, talk) = goldsmith(&["schema", what]);

        assert_eq!((exit, talk.as_str()), (Exit::Done, ""));
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(schema["title"], title);
    }
}

#[test]
fn an_estate_is_checked_with_all_its_problems() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("estate.yaml");
    fs::write(&file, "start: yesterday\ntennant: x\nsubscriptions: []\n").unwrap();
    let path = file.display().to_string();

    let (exit, out, talk) = goldsmith(&["check", "--estate", &path]);

    assert_eq!((exit, out.as_str()), (Exit::No, ""));
    assert!(talk.contains(&format!("{path}:1:8: `yesterday` is not an instant")), "{talk}");
    assert!(talk.contains(&format!("{path}:2:1: unknown field `tennant`")), "{talk}");
    assert!(talk.contains("hint: did you mean `tenant`?"), "{talk}");
}

#[test]
fn an_estate_that_contradicts_itself_is_told_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("estate.yaml");
    let text = "\
start: 2026-09-07T06:00:00Z
tenant: not-a-guid
subscriptions:
  - { id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff, name: a }
  - { id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff, name: b }
";
    fs::write(&file, text).unwrap();
    let path = file.display().to_string();

    let (exit, _, talk) = goldsmith(&["check", "--estate", &path]);

    assert_eq!(exit, Exit::No);
    assert!(talk.contains(&format!("{path}:2:9: `not-a-guid` is not a GUID")), "{talk}");
    assert!(talk.contains(&format!("{path}:5:11: ")), "{talk}");
}
