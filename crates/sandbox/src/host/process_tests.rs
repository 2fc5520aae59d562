//! Real processes: this test program, started again as a handler.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Mutex;

use seam::{Internet, ToldClock};

use super::*;

/// Set for a copy of this program that is to be a handler.
const MODE: &str = "SANDBOX_TEST_HANDLER";

/// Not a test: what the started copy does. It answers `GET /` and ends by `POST /exit/{code}`.
#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a process of its own"
)]
fn the_handler_itself() {
    let Ok(mode) = std::env::var(MODE) else { return };
    if let Some(code) = mode.strip_prefix("exit ") {
        std::process::exit(code.parse().unwrap());
    }
    println!("serving in {}", std::env::current_dir().unwrap().display());
    eprintln!("a warning");
    eprintln!("a failure");
    let port = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(code) = line.strip_prefix("POST /exit/") {
            std::process::exit(code.split(' ').next().unwrap().parse().unwrap());
        }
        let _ =
            stream.write_all(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_port_for_a_process_is_free_and_none_that_the_system_gives_to_others() {
    for _ in 0..20 {
        let port = Process::free_port().unwrap();
        assert!((20_000..30_000).contains(&port), "{port}");
        // Given back at once: other tests look for ports too.
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port}");
    }
}

type Events = Arc<Mutex<Vec<ProcessEvent>>>;

fn start(mode: &str) -> (Arc<Process>, Events) {
    let events: Events = Arc::default();
    let seen = Arc::clone(&events);
    let options = ProcessOptions {
        executable: std::env::current_exe().unwrap(),
        arguments: ["--exact", "host::process::tests::the_handler_itself", "--nocapture"]
            .map(str::to_owned)
            .to_vec(),
        app_root: std::env::temp_dir(),
        working_folder: None,
        environment: BTreeMap::from([(MODE.to_owned(), mode.to_owned())]),
        port: Process::free_port().unwrap(),
        initialization_timeout: TimeDelta::seconds(30),
        stderr_is_errors: true,
    };
    let process = Process::start(
        options,
        Arc::new(ToldClock(DateTime::UNIX_EPOCH)),
        Arc::new(Internet::default()),
        Arc::new(move |event| seen.lock().unwrap().push(event)),
    );
    (process, events)
}

async fn becomes_ready(process: &Process, not: Option<u32>) -> u32 {
    let mut state = process.state();
    let ready = state.wait_for(|it| matches!(it, ProcessState::Ready { pid } if Some(*pid) != not));
    let state =
        tokio::time::timeout(Duration::from_secs(30), ready).await.unwrap().unwrap().clone();
    let ProcessState::Ready { pid } = state else { panic!("{state:?}") };
    pid
}

async fn exit(process: &Process, code: i32) {
    let request = http::Request::post(format!("{}/exit/{code}", process.url()));
    let _ = Internet::default().send(request.body(Bytes::new()).unwrap()).await;
}

/// Waits until the observer was told of `number` exits, and says what was done about each.
async fn exits(events: &Events, number: usize) -> Vec<(Option<i32>, Next)> {
    for _ in 0..1200 {
        let exits: Vec<_> = events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|it| match it {
                ProcessEvent::Exited { code, then, .. } => Some((*code, *then)),
                _ => None,
            })
            .collect();
        if exits.len() >= number {
            return exits;
        }
        tokio::time::sleep_until(Instant::now() + POLL).await;
    }
    panic!("there were not {number} exits: {:?}", events.lock().unwrap());
}

#[tokio::test]
async fn a_handler_is_started_with_its_port_and_its_lines_are_read() {
    let (process, events) = start("serve");
    let pid = becomes_ready(&process, None).await;
    assert_eq!(process.pid(), Some(pid));
    exit(&process, 200).await;
    becomes_ready(&process, Some(pid)).await;

    let events = events.lock().unwrap().clone();
    assert_eq!(events[0], ProcessEvent::Started { pid });
    assert!(events.contains(&ProcessEvent::Ready { pid }));
    let line = |text: &str| {
        events.iter().find_map(|it| match it {
            ProcessEvent::Line { level, text: line } if line.contains(text) => Some(*level),
            _ => None,
        })
    };
    assert_eq!(line("serving in"), Some(Level::Information));
    assert_eq!(line("a failure"), Some(Level::Error));
    assert_eq!(line("a warning"), Some(Level::Warning));
    assert!(events.contains(&ProcessEvent::Exited { pid, code: Some(200), then: Next::Restart }));
}

#[tokio::test]
async fn a_crash_is_followed_by_a_restart_and_the_third_by_one_of_the_host() {
    let (process, events) = start("serve");
    let mut pid = None;
    for _ in 0..3 {
        pid = Some(becomes_ready(&process, pid).await);
        exit(&process, 101).await;
    }
    becomes_ready(&process, pid).await;

    let exits = exits(&events, 3).await;
    let crash = |then| (Some(101), then);
    assert_eq!(exits, [crash(Next::Restart), crash(Next::Restart), crash(Next::HostRestart)]);
}

#[tokio::test]
async fn three_wished_restarts_do_not_end_the_host() {
    let (process, events) = start("serve");
    let mut pid = None;
    for _ in 0..3 {
        pid = Some(becomes_ready(&process, pid).await);
        exit(&process, 200).await;
    }
    becomes_ready(&process, pid).await;

    assert_eq!(exits(&events, 3).await, [(Some(200), Next::Restart); 3]);
}

#[tokio::test]
async fn a_handler_that_leaves_with_0_is_not_started_again() {
    let (process, events) = start("serve");
    becomes_ready(&process, None).await;
    exit(&process, 0).await;

    assert_eq!(exits(&events, 1).await, [(Some(0), Next::Nothing)]);
    assert_eq!(*process.state().borrow(), ProcessState::Ended);
}

#[tokio::test]
async fn a_killed_handler_is_started_again_and_that_is_no_error() {
    let (process, events) = start("serve");
    let mut pid = None;
    for _ in 0..4 {
        pid = Some(becomes_ready(&process, pid).await);
        process.kill();
    }
    becomes_ready(&process, pid).await;

    assert_eq!(exits(&events, 4).await, [(None, Next::Restart); 4]);
}

#[tokio::test]
async fn a_handler_that_is_not_there_is_named() {
    let events: Events = Arc::default();
    let seen = Arc::clone(&events);
    let options = ProcessOptions {
        executable: "/nowhere/handler".into(),
        arguments: Vec::new(),
        app_root: std::env::temp_dir(),
        working_folder: None,
        environment: BTreeMap::new(),
        port: 1,
        initialization_timeout: TimeDelta::seconds(1),
        stderr_is_errors: true,
    };
    let process = Process::start(
        options,
        Arc::new(ToldClock(DateTime::UNIX_EPOCH)),
        Arc::new(Internet::default()),
        Arc::new(move |event| seen.lock().unwrap().push(event)),
    );
    for _ in 0..400 {
        if !events.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep_until(Instant::now() + POLL).await;
    }

    assert_eq!(*process.state().borrow(), ProcessState::Starting, "nobody is told");
    let events = events.lock().unwrap().clone();
    let [ProcessEvent::NotStarted { reason }] = &events[..] else { panic!("{events:?}") };
    assert!(reason.contains("/nowhere/handler"), "{reason}");
}

#[test]
fn an_error_long_after_the_last_is_the_first_of_new_ones() {
    let mut errors = Errors::default();
    let minutes = |it| DateTime::UNIX_EPOCH + TimeDelta::minutes(it);

    let seen: Vec<Next> =
        [0, 20, 60, 80, 100].into_iter().map(|it| errors.count(minutes(it))).collect();

    let (again, host) = (Next::Restart, Next::HostRestart);
    assert_eq!(seen, [again, again, again, again, host]);
}
