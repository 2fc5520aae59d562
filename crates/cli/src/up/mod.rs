//! `goldsmith up`: the whole of it on one desk. A simulated Azure, the very handler that ships as a
//! child process, and desk time, in which weeks take seconds.

pub mod desk;
pub mod ending;
pub mod example;
pub mod follower;
pub mod lines;
pub mod outcome;
pub mod reporter;
pub mod screen;
pub mod stage;
pub mod summary;
pub mod watch;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use chrono::TimeDelta;
use ledger::{Entry, StreamName};
use rules::state::Run;
use sandbox::bus::Queue;
use sandbox::estate::Estate;
use sandbox::host::ProcessEvent;
use tempfile::TempDir;

use crate::check;
use crate::load::{self, Loaded};
use crate::state_folder::{self, StateFolder};
use crate::terminal::{Exit, Terminal};
use desk::Desk;
use follower::{Follower, Noted};
use outcome::{Outcome, Reasoned};
use reporter::Reporter;
use summary::Summary;
use watch::{Over, Watch};

/// What `run` is doing, in a few words.
pub fn place_of(run: &Run) -> String {
    stage::of(run).word
}

/// The events of an entry as `up --json` tells them.
///
/// # Errors
/// When an event has no JSON form.
pub fn json_lines(stream: StreamName, seq: u64, entry: Entry) -> serde_json::Result<Vec<String>> {
    lines::happened(&Noted { stream, seq, entry })
}

/// Desk seconds per second, at most, for somebody who watches.
const DEFAULT_SPEED: f64 = 300.0;

/// How long what is under way may take once somebody wants it to stop.
const LAST_WORK: Duration = Duration::from_secs(5);

/// How often a live screen is drawn though nothing happens.
const REDRAW: Duration = Duration::from_millis(250);

/// So many starts that end before the first answer are not going to end otherwise.
const MOST_FAILED_STARTS: u32 = 4;

/// The arguments of `goldsmith up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
examples:\n  \
    goldsmith up --once                      the example catalog, to its end, and a summary\n  \
    goldsmith up                             goes on until Ctrl-C; keeps its state in .goldsmith\n  \
    goldsmith up --catalog web.yaml --estate azure.yaml --state desk\n  \
    goldsmith up --once --json               a line of JSON for each thing that happens\n\n\
then, beside it or after it:\n  \
    goldsmith status\n  \
    goldsmith log ubuntu-2204-base\n\n\
exit codes: 0 everything ended well, 1 something did not or a file was refused, 2 it failed")]
pub struct UpArgs {
    /// The catalog: a file or a folder; the example without one.
    #[arg(long, value_name = "PATH")]
    pub catalog: Option<PathBuf>,
    /// The estate, what is there on the simulated Azure: a file; the example without one.
    #[arg(long, value_name = "PATH")]
    pub estate: Option<PathBuf>,
    /// End when every image has walked to its release and its predecessors have been judged.
    #[arg(long)]
    pub once: bool,
    /// Desk seconds per second, at most; 300 without it, and with --once as fast as it goes.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub speed: Option<f64>,
    /// Where everything is kept, and gone on from; `.goldsmith`, and with --once a folder that is
    /// removed when all has ended well.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The handler to start, as it ships; this very program without one.
    #[arg(long, value_name = "PATH")]
    pub handler: Option<PathBuf>,
    /// Tell everything in lines of JSON, on stdout.
    #[arg(long)]
    pub json: bool,
    /// Show what the handler logs, too.
    #[arg(long, short)]
    pub verbose: bool,
    /// With --once: give up after so many desk days.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub until_days: u32,
    /// When answers about running operations say Retry-After: as recorded, or always, for clients
    /// that else sleep 30 seconds.
    #[arg(long, value_enum, default_value_t = RetryAfter::Recorded, value_name = "WHEN")]
    pub retry_after: RetryAfter,
    /// A queue beside the function app's, or other options for one of them:
    /// `NAME:lock=2s,maxDelivery=3,duplicates=600s,sessions`.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    pub queue: Vec<Queue>,
    /// The port of Azure Resource Manager; 0 lets the system choose, for all of these.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub arm_port: u16,
    /// The port of Service Bus.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub bus_port: u16,
    /// The port of the blobs.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub blob_port: u16,
    /// The port of the identity endpoint.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub identity_port: u16,
    /// The port of the Functions host.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub host_port: u16,
}

/// When an answer about a running operation says `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryAfter {
    /// Where Azure was recorded saying it.
    Recorded,
    /// Always, one second.
    Always,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.001 => Ok(number),
        _ => Err("a number from 0.001 on; 60 makes a minute of each second".to_owned()),
    }
}

/// Runs the desk until it is over.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &UpArgs, terminal: &mut Terminal) -> io::Result<Exit> {
    let began = Instant::now();
    let ground = match Ground::prepare(args, terminal) {
        Ok(ground) => ground,
        Err(exit) => return Ok(exit),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.error(&format!("nothing can be run here: {error}"), None);
            return Ok(Exit::Failed);
        }
    };

    let ended = runtime.block_on(live(args, &ground, terminal, began));
    // Whoever still waits for a request or a file has nobody to tell.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let exit = match ended {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => return Err(io::ErrorKind::BrokenPipe.into()),
        Err(error) => {
            terminal.error(&format!("{error:#}"), None);
            Exit::Failed
        }
    };
    ground.leave(exit, terminal);
    Ok(exit)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

/// What there is before anything starts.
struct Ground {
    folder: StateFolder,
    temporary: Option<TempDir>,
    loaded: Loaded,
    estate: Estate,
}

impl Ground {
    /// Reads the catalog and the estate; all problems of both are said.
    fn prepare(args: &UpArgs, terminal: &mut Terminal) -> Result<Ground, Exit> {
        let prepared = state(args);
        let (folder, temporary) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                terminal.error(&format!("there is no folder for the state: {error}"), None);
                return Err(Exit::Failed);
            }
        };

        let staged = |path: io::Result<PathBuf>, terminal: &mut Terminal| {
            path.map_err(|error| {
                let shown = folder.path().display();
                terminal.error(&format!("`{shown}` cannot be written: {error}"), None);
                Exit::Failed
            })
        };
        let catalog = match &args.catalog {
            Some(path) => path.clone(),
            None => staged(example::stage_catalog(&folder.examples()), terminal)?,
        };
        let estate = match &args.estate {
            Some(path) => path.clone(),
            None => staged(example::stage_estate(&folder.examples()), terminal)?,
        };
        let loaded = check::accept(&catalog, load::catalog(&catalog), terminal);
        let estate =
            load::estate(&estate).map_err(|error| check::say_error(&estate, &error, terminal));
        match (loaded, estate) {
            (Ok(loaded), Ok(estate)) => Ok(Ground { folder, temporary, loaded, estate }),
            (Err(one), Err(other)) => Err(one.max(other)),
            (Err(exit), _) | (_, Err(exit)) => Err(exit),
        }
    }

    /// Removes a folder of its own; one that tells of something that went wrong is kept.
    fn leave(self, exit: Exit, terminal: &mut Terminal) {
        let Some(temporary) = self.temporary else { return };
        let log = fs::metadata(self.folder.handler_log());
        let nothing_happened = log.map_or(true, |it| it.len() == 0);
        if exit == Exit::Done || nothing_happened {
            if let Err(error) = temporary.close() {
                terminal.say(&format!("the temporary state was not removed: {error}\n"));
            }
            return;
        }
        let path = temporary.keep();
        let path = path.display();
        terminal.say(&format!(
            "\nthe state is kept in `{path}`; see `goldsmith log IMAGE --state {path}` and \
             `{path}/handler.log`\n"
        ));
    }
}

fn state(args: &UpArgs) -> io::Result<(StateFolder, Option<TempDir>)> {
    let path = match (&args.state, args.once) {
        (Some(path), _) => path.clone(),
        (None, false) => PathBuf::from(state_folder::DEFAULT),
        (None, true) => {
            let temporary = tempfile::Builder::new().prefix("goldsmith-").tempdir()?;
            return Ok((StateFolder::at(temporary.path()), Some(temporary)));
        }
    };
    fs::create_dir_all(&path)?;
    // The handler runs in another folder, and is told where its app is.
    Ok((StateFolder::at(fs::canonicalize(path)?), None))
}

async fn live(
    args: &UpArgs,
    ground: &Ground,
    terminal: &mut Terminal,
    began: Instant,
) -> anyhow::Result<Exit> {
    let Ground { folder, loaded, estate, .. } = ground;
    let mut follower = Follower::of(folder, &loaded.catalog);
    let mut outcome = Outcome::default();
    // What happened before was told when it happened.
    for noted in follower.look()? {
        outcome.note(&noted);
    }
    let log = open_log(&folder.handler_log())?;

    let mut desk = Desk::open(args, folder, loaded, estate).await?;
    let until = estate.start + TimeDelta::days(i64::from(args.until_days));
    let reporter = Reporter::on(terminal, args.json, &follower);
    let watch = RefCell::new(Watch::new(
        follower,
        outcome,
        reporter,
        (desk.sandbox.clock.clone(), desk.sandbox.azure.clone()),
        args.once.then_some(until),
        (log, args.verbose),
    ));

    let over = match work(&mut desk, &watch).await {
        Ok(over) => over,
        Err(error) => {
            watch.borrow_mut().reporter.clear();
            desk.stop().await;
            return Err(error);
        }
    };

    let mut watch = watch.into_inner();
    let mut messages = std::mem::take(&mut watch.dead);
    for refused in folder.refused().context("reading the refused messages")? {
        messages.push(format!("message `{refused}` was refused; see `refused/` in the store"));
    }
    let missing = ending::missing(&watch.follower, &watch.outcome);
    let missing = missing.into_iter().map(|it| Reasoned {
        image: it.image,
        version: None,
        reasons: vec![it.what],
    });
    let kept = watch.follower.images().flat_map(|(image, it)| outcome::kept(image, &it.state));
    let summary = Summary {
        catalog: loaded.catalog.catalog.clone(),
        kept: kept.collect(),
        missing: missing.filter(|_| args.once).collect(),
        messages,
        calls: desk.sandbox.azure.calls(),
        from: estate.start,
        to: desk.sandbox.clock.now(),
        wall_seconds: began.elapsed().as_secs_f64(),
        outcome: std::mem::take(&mut watch.outcome),
    };
    desk.stop().await;
    watch.reporter.summary(&summary);
    if let Some(error) = watch.reporter.take_failure() {
        return Err(error.into());
    }

    Ok(match over {
        Over::Stopped if !args.once => {
            watch.reporter.say(&go_on(args));
            Exit::Done
        }
        Over::Stopped => {
            watch.reporter.say("stopped before every image had walked");
            Exit::No
        }
        Over::TimeUp => {
            let days = args.until_days;
            watch.reporter.error(
                &format!("{days} desk days have passed, and not every image has walked to its release"),
                Some("the images under `missing` say what they wait for; `--until-days` gives more time"),
            );
            Exit::No
        }
        Over::Done if summary.ended_well() => Exit::Done,
        Over::Done => Exit::No,
    })
}

/// Does the work until it is over.
async fn work(desk: &mut Desk, watch: &RefCell<Watch<'_>>) -> anyhow::Result<Over> {
    if !becomes_ready(desk, watch).await? {
        return Ok(Over::Stopped);
    }
    watch.borrow_mut().look();
    desk.begin();

    let drawn = watch.borrow().reporter.is_drawn();
    let host = desk.host.clone();
    let running = host.run_until(|activity| watch.borrow_mut().heard(activity));
    tokio::pin!(running);
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let mut redraw = tokio::time::interval(REDRAW);
    let mut last_work = None;
    loop {
        let deadline = last_work.unwrap_or_else(|| tokio::time::Instant::now() + LAST_WORK);
        tokio::select! {
            biased;
            ended = &mut running => {
                ended?;
                break;
            }
            Some(event) = desk.happened.recv() => {
                let mut watch = watch.borrow_mut();
                if let Some(pid) = watch.process(event)? {
                    watch.reporter.handler_started(pid);
                }
            }
            () = &mut interrupted, if last_work.is_none() => {
                last_work = Some(tokio::time::Instant::now() + LAST_WORK);
                watch.borrow_mut().stop();
            }
            () = tokio::time::sleep_until(deadline), if last_work.is_some() => break,
            _ = redraw.tick(), if drawn => watch.borrow_mut().show(),
        }
        // Between two things that are due nobody would end the host's waiting.
        let watch = watch.borrow();
        if watch.over == Some(Over::Stopped) && watch.is_idle() {
            break;
        }
    }

    let mut watch = watch.borrow_mut();
    if let Some(lost) = watch.lost.take() {
        return Err(lost.into());
    }
    if let Some(error) = watch.reporter.take_failure() {
        return Err(error.into());
    }
    watch.over.ok_or_else(|| anyhow!("the Functions host ended by itself"))
}

/// Waits for the handler's first answer; false when somebody did not want to.
async fn becomes_ready(desk: &mut Desk, watch: &RefCell<Watch<'_>>) -> anyhow::Result<bool> {
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let mut failed_starts = 0;
    loop {
        let event = tokio::select! {
            event = desk.happened.recv() => event,
            () = &mut interrupted => return Ok(false),
        };
        let Some(event) = event else { bail!("the handler's process is not looked after") };
        failed_starts += u32::from(matches!(event, ProcessEvent::Exited { .. }));
        let mut watch = watch.borrow_mut();
        if let Some(pid) = watch.process(event)? {
            let ready = desk.ready(pid);
            watch.reporter.ready(&ready);
            return Ok(true);
        }
        if failed_starts >= MOST_FAILED_STARTS {
            let said = watch.last_lines();
            bail!("the handler does not start; its last lines:\n  {said}");
        }
    }
}

/// Returns when a person, or the system, wants the process to end.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Then nobody can be heard; it ends by itself or is killed.
        std::future::pending::<()>().await;
    }
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening `{}`", path.display()))
}

/// The command that goes on from here.
fn go_on(args: &UpArgs) -> String {
    let mut command = "goldsmith up".to_owned();
    let paths = [("catalog", &args.catalog), ("estate", &args.estate), ("state", &args.state)];
    for (name, path) in paths {
        if let Some(path) = path {
            command.push_str(&format!(" --{name} {}", path.display()));
        }
    }
    format!("\nstopped; `{command}` goes on from here")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Cli, Command};

    fn parse(arguments: &[&str]) -> Result<UpArgs, clap::Error> {
        let cli = Cli::try_parse_from([&["goldsmith", "up"], arguments].concat())?;
        match cli.command {
            Command::Up(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_arguments_it_is_the_example_for_somebody_who_watches() {
        let args = parse(&[]).unwrap();

        assert!(args.catalog.is_none() && args.estate.is_none() && !args.once);
        assert_eq!((args.until_days, args.retry_after), (45, RetryAfter::Recorded));
        assert_eq!(args.arm_port, 0);
    }

    #[test]
    fn queues_and_ports_are_read() {
        let args = parse(&[
            "--queue",
            "mine:lock=2s,maxDelivery=3",
            "--queue",
            "other",
            "--arm-port",
            "8001",
            "--retry-after",
            "always",
        ]);
        let args = args.unwrap();

        assert_eq!(args.queue.len(), 2);
        assert_eq!(args.queue[0].options.max_delivery, 3);
        assert_eq!((args.arm_port, args.retry_after), (8001, RetryAfter::Always));
    }

    #[test]
    fn what_is_not_meant_is_refused() {
        for wrong in
            [["--speed", "0"], ["--speed", "fast"], ["--queue", "a?"], ["--until-days", "0"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_way_on_names_what_was_named() {
        let args = parse(&["--state", "desk", "--catalog", "web.yaml"]).unwrap();

        assert_eq!(
            go_on(&args),
            "\nstopped; `goldsmith up --catalog web.yaml --state desk` goes on from here"
        );
    }
}
