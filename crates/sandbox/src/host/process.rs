//! The handler's process: started with what the Functions host gives it, waited for, restarted by
//! the host's rules, and killed; a handler never hears a friendlier word.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use seam::{Clock, Fault, Wire};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::console::{Level, classified};

/// Between two attempts to reach a handler that starts.
const POLL: Duration = Duration::from_millis(25);
/// A third error within this time after the one before ends the host.
const ERROR_WINDOW: TimeDelta = TimeDelta::minutes(30);
const ERRORS_THAT_END_THE_HOST: usize = 3;
/// How long the platform takes to start a host that gave up. On a desk nobody waits longer.
const PLATFORM_RESTART: Duration = Duration::from_secs(1);
/// The exit code by which a handler asks to be started again.
const RESTART_CODE: i32 = 200;

/// What is started.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    /// The app's folder.
    pub app_root: PathBuf,
    /// Where it runs; the app's folder without one.
    pub working_folder: Option<PathBuf>,
    /// The app settings, beside this process's own environment.
    pub environment: BTreeMap<String, String>,
    /// The port the handler is to listen on, the same after every restart.
    pub port: u16,
    /// How long it may take to answer its first request.
    pub initialization_timeout: TimeDelta,
    /// Whether every line of stderr is an error.
    pub stderr_is_errors: bool,
}

/// Whether the handler can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    Starting,
    Ready {
        pid: u32,
    },
    /// It left with exit code 0, which the host takes for good.
    Ended,
}

/// One thing that happened to the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    Started {
        pid: u32,
    },
    /// It answered its first request.
    Ready {
        pid: u32,
    },
    /// A line it wrote.
    Line {
        level: Level,
        text: String,
    },
    /// It is gone; `code` is None after a signal.
    Exited {
        pid: u32,
        code: Option<i32>,
        then: Next,
    },
    /// It could not be started. The host does not try again, and nobody tells those who wait.
    NotStarted {
        reason: String,
    },
}

/// What the host does about a process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It starts it again.
    Restart,
    /// It gives up, and the platform starts the host again.
    HostRestart,
    /// Nothing: exit code 0.
    Nothing,
}

/// Is told of every [`ProcessEvent`].
pub type ProcessObserver = Arc<dyn Fn(ProcessEvent) + Send + Sync>;

/// The handler's process and who looks after it. It is killed when this is dropped.
pub struct Process {
    port: u16,
    state: watch::Receiver<ProcessState>,
    kill: Arc<Notify>,
    supervisor: AbortHandle,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Process {
    /// A free port of the loopback interface, for a process that will listen there in a moment. It is
    /// none of those that a system gives to whoever connects or asks for any, since between now and
    /// then somebody would get it: 32768 and above on Linux
    /// (<https://docs.kernel.org/networking/ip-sysctl.html>, `ip_local_port_range`), 49152 and above
    /// elsewhere (RFC 6335, section 6).
    ///
    /// # Errors
    /// When there is none.
    pub fn free_port() -> std::io::Result<u16> {
        let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        for _ in 0..100 {
            // Any number will do, and the system has one.
            let port = 20_000 + bind(0)?.local_addr()?.port() % 10_000;
            if bind(port).is_ok() {
                return Ok(port);
            }
        }
        let why = "a hundred ports between 20000 and 29999 are taken; end what listens there";
        Err(std::io::Error::other(why))
    }

    /// Starts the handler and looks after it. `wire` is what it is asked through whether it is
    /// ready; `clock` tells how old an error is.
    #[expect(clippy::disallowed_methods, reason = "somebody must wait for the process to end")]
    pub fn start(
        options: ProcessOptions,
        clock: Arc<dyn Clock>,
        wire: Arc<dyn Wire>,
        observer: ProcessObserver,
    ) -> Arc<Process> {
        let (states, state) = watch::channel(ProcessState::Starting);
        let kill = Arc::new(Notify::new());
        let port = options.port;
        let supervisor = Supervisor { options, clock, wire, observer, states, kill: kill.clone() };
        let task = tokio::spawn(supervisor.run());
        Arc::new(Process { port, state, kill, supervisor: task.abort_handle() })
    }

    /// Where the handler listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether it can be called, and each change of that.
    pub fn state(&self) -> watch::Receiver<ProcessState> {
        self.state.clone()
    }

    /// The handler's process id; None while it starts.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            ProcessState::Ready { pid } => Some(pid),
            ProcessState::Starting | ProcessState::Ended => None,
        }
    }

    /// Kills it as a time-out does: it is started again, and that is no error of its own.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

struct Supervisor {
    options: ProcessOptions,
    clock: Arc<dyn Clock>,
    wire: Arc<dyn Wire>,
    observer: ProcessObserver,
    states: watch::Sender<ProcessState>,
    kill: Arc<Notify>,
}

/// Why a process is no more.
enum End {
    Exited(ExitStatus),
    /// A function's time was out.
    Killed,
    /// It did not answer in time.
    NotReady,
}

impl Supervisor {
    async fn run(self) {
        let mut errors = Errors::default();
        let mut starts = 0;
        loop {
            starts += 1;
            self.states.send_replace(ProcessState::Starting);
            let mut child = match self.spawn(starts) {
                Ok(child) => child,
                Err(error) => {
                    let path = self.options.executable.display();
                    let reason = format!("`{path}` cannot be started: {error}");
                    (self.observer)(ProcessEvent::NotStarted { reason });
                    // Whoever waits for it goes on waiting; only a time-out starts it anew.
                    self.kill.notified().await;
                    continue;
                }
            };
            // Waiting for a child closes its stdin, unless somebody else has it.
            let _held_open = child.stdin.take();
            let pid = child.id().unwrap_or_default();
            (self.observer)(ProcessEvent::Started { pid });
            let end = self.look_after(&mut child, pid).await;
            // Gone already, unless it is to be killed; the host waits a second for that.
            let _ = tokio::time::timeout(Duration::from_secs(1), child.kill()).await;

            let code = match &end {
                End::Exited(status) => status.code(),
                End::Killed | End::NotReady => None,
            };
            let then = match end {
                End::Killed => Next::Restart,
                End::Exited(_) if code == Some(0) => Next::Nothing,
                End::Exited(_) if code == Some(RESTART_CODE) => Next::Restart,
                End::Exited(_) | End::NotReady => errors.count(self.clock.now()),
            };
            let next = match then {
                Next::Nothing => ProcessState::Ended,
                Next::Restart | Next::HostRestart => ProcessState::Starting,
            };
            self.states.send_replace(next);
            (self.observer)(ProcessEvent::Exited { pid, code, then });
            match then {
                Next::Restart => {}
                Next::HostRestart => {
                    tokio::time::sleep_until(Instant::now() + PLATFORM_RESTART).await
                }
                // A time-out still restarts the host's side of it.
                Next::Nothing => self.kill.notified().await,
            }
        }
    }

    fn spawn(&self, start: u32) -> std::io::Result<Child> {
        let options = &self.options;
        let port = options.port.to_string();
        let worker = crate::guid::of(&["worker", &port, &start.to_string()]);
        let folder = options.working_folder.as_ref().unwrap_or(&options.app_root);
        let mut child = Command::new(&options.executable)
            .args(&options.arguments)
            .current_dir(folder)
            .envs(&options.environment)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", &port)
            .env("FUNCTIONS_HTTPWORKER_PORT", &port)
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &worker)
            .env("FUNCTIONS_HTTPWORKER_ID", &worker)
            .env("FUNCTIONS_APP_ROOT_PATH", &options.app_root)
            // Held open by this process alone: its end is how an orphan learns that it is one.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            self.read_lines(stdout, None);
        }
        if let Some(stderr) = child.stderr.take() {
            self.read_lines(stderr, Some(options.stderr_is_errors));
        }
        Ok(child)
    }

    #[expect(clippy::disallowed_methods, reason = "a pipe that nobody reads stops the handler")]
    fn read_lines(&self, pipe: impl AsyncRead + Send + Unpin + 'static, stderr: Option<bool>) {
        let observer = Arc::clone(&self.observer);
        let mut pipe = BufReader::new(pipe);
        tokio::spawn(async move {
            let mut line = Vec::new();
            while let Ok(1..) = pipe.read_until(b'\n', &mut line).await {
                let (level, text) = classified(String::from_utf8_lossy(&line).trim_end(), stderr);
                observer(ProcessEvent::Line { level, text });
                line.clear();
            }
        });
    }

    async fn look_after(&self, child: &mut Child, pid: u32) -> End {
        tokio::select! {
            status = child.wait() => return exited(status),
            () = self.kill.notified() => return End::Killed,
            ready = self.becomes_ready() => if !ready { return End::NotReady },
        }
        self.states.send_replace(ProcessState::Ready { pid });
        (self.observer)(ProcessEvent::Ready { pid });
        tokio::select! {
            status = child.wait() => exited(status),
            () = self.kill.notified() => End::Killed,
        }
    }

    /// Asks every 25 ms; any answer will do.
    async fn becomes_ready(&self) -> bool {
        let budget = self.options.initialization_timeout.num_milliseconds() / 25;
        for _ in 0..budget.max(1) {
            let url = format!("http://127.0.0.1:{}/", self.options.port);
            let Ok(request) = http::Request::get(url).body(Bytes::new()) else {
                return false;
            };
            match self.wire.send(request).await {
                Ok(_) | Err(Fault::PerhapsDone(_)) => return true,
                Err(Fault::NotSent(_)) => tokio::time::sleep_until(Instant::now() + POLL).await,
            }
        }
        false
    }
}

fn exited(status: std::io::Result<ExitStatus>) -> End {
    // A process that cannot be waited for is as good as killed.
    status.map_or(End::NotReady, End::Exited)
}

/// The errors of a host, by which it gives up.
#[derive(Debug, Default)]
struct Errors(Vec<DateTime<Utc>>);

impl Errors {
    fn count(&mut self, now: DateTime<Utc>) -> Next {
        if self.0.last().is_some_and(|last| now - *last > ERROR_WINDOW) {
            self.0.clear();
        }
        self.0.push(now);
        if self.0.len() < ERRORS_THAT_END_THE_HOST {
            return Next::Restart;
        }
        self.0.clear();
        Next::HostRestart
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
