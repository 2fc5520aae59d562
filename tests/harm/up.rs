//! `goldsmith up` as a process, and what a test does to processes.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

/// What the tests of this folder run, unless they say otherwise.
pub(crate) fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harm").join(file)
}

/// The arguments with which `up` holds its wire against Microsoft's documents, where they are at hand.
pub(crate) fn verify_wire() -> Vec<OsString> {
    let folder = contract::reference().into_iter();
    folder.flat_map(|it| ["--verify-wire".into(), it.into_os_string()]).collect()
}

/// A `goldsmith` with these arguments, not started yet.
pub(crate) fn goldsmith(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goldsmith"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// `goldsmith up --json` on a state folder, with the catalog and the estate of this test.
#[derive(Debug)]
pub(crate) struct Up {
    child: Child,
    lines: Receiver<Value>,
    /// Lines that tell of a violation of the documents.
    violations: Arc<Mutex<Vec<Value>>>,
    said: NamedTempFile,
}

impl Up {
    /// Starts it, with `more` arguments.
    pub(crate) fn on(state: &Path, more: &[&str]) -> Up {
        let said = NamedTempFile::new().unwrap();
        let mut child = goldsmith(&["up", "--json"])
            .args(verify_wire())
            .args(more)
            .arg("--catalog")
            .arg(here("catalog.yaml"))
            .arg("--estate")
            .arg(here("estate.yaml"))
            .arg("--state")
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(said.reopen().unwrap())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        let violations = Arc::new(Mutex::new(Vec::new()));
        let violated = Arc::clone(&violations);
        // A pipe that nobody reads would stop it.
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // One that was killed may leave half a line.
                if let Ok(line) = serde_json::from_str::<Value>(&line) {
                    if line["event"] == "wireViolated" {
                        violated.lock().unwrap().push(line.clone());
                    }
                    let _ = sender.send(line);
                }
            }
        });
        Up { child, lines, violations, said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its handlers' processes.
    pub(crate) fn handlers(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    /// Waits until it has begun; false when it has ended instead.
    pub(crate) fn is_ready(&mut self) -> bool {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line["event"] == "ready" => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end: the exit code, the lines on stdout, what it said on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<Value>, String) {
        let status = within(Duration::from_secs(120), || self.child.try_wait().unwrap());
        let Some(status) = status else {
            let _ = self.child.kill();
            panic!("it does not end; {}", self.said());
        };
        let lines = self.lines.iter().collect();
        self.is_not_violated();
        (status.code(), lines, self.said())
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.said.path()).unwrap()
    }

    /// kill -9, and buried.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.is_not_violated();
    }

    /// What it sent and answered so far is what Microsoft's documents declare.
    fn is_not_violated(&self) {
        assert_eq!(*self.violations.lock().unwrap(), Vec::<Value>::new());
    }
}

/// Sends `signal` to `pid`, if it is still there.
pub(crate) fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    kill.args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null());
    kill.status().unwrap();
}

/// Parent and state of a process; none when there is no such process.
fn stat(pid: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: state and parent.
    let mut after = stat.rsplit(')').next()?.split_whitespace();
    let state = after.next()?.chars().next()?;
    Some((after.next()?.parse().ok()?, state))
}

/// The processes that `parent` has started and that live.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(of, state)| of == parent && state != 'Z')).collect()
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, state)| state != 'Z')
}

/// The ports that the desk in `state` had, those on which somebody listens.
pub(crate) fn taken_ports(state: &Path) -> Vec<u64> {
    let Ok(text) = fs::read_to_string(state.join("ports.json")) else { return Vec::new() };
    let ports: Value = serde_json::from_str(&text).unwrap();
    let ports = ports.as_object().unwrap().values().filter_map(Value::as_u64);
    let is_taken = |port: &u64| TcpListener::bind((Ipv4Addr::LOCALHOST, *port as u16)).is_err();
    ports.filter(is_taken).collect()
}

/// Asks every few milliseconds until there is an answer; none when there is none in time.
pub(crate) fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if began.elapsed() > time {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
