//! `goldsmith up`: the whole of it on one desk. A simulated Azure, the very handler that ships as a
//! child process, and desk time, in which weeks take seconds.

pub mod args;
pub mod cloud;
pub mod desk;
pub mod ending;
pub mod example;
pub mod failed;
pub mod follower;
pub mod forgotten;
pub mod lines;
pub mod outcome;
pub mod ports;
pub mod reporter;
pub mod screen;
pub mod stage;
pub mod summary;
pub mod watch;
pub mod wire;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use chrono::TimeDelta;
use ledger::{Entry, StreamName};
use rules::state::Run;
use sandbox::OwnFolder;
use sandbox::estate::Estate;
use sandbox::host::ProcessEvent;
use tempfile::TempDir;

use crate::check;
use crate::load::{self, Loaded};
use crate::state_folder::{self, StateFolder};
use crate::terminal::{Exit, Terminal};
pub use args::UpArgs;
use desk::Desk;
use failed::{Failed, no_room_in, told};
use follower::{Follower, News, Noted};
use forgotten::Forgotten;
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

/// How long what is under way may take once somebody wants it to stop.
const LAST_WORK: Duration = Duration::from_secs(5);

/// How often a live screen is drawn though nothing happens.
const REDRAW: Duration = Duration::from_millis(250);

/// So many starts that end before the first answer are not going to end otherwise.
const MOST_FAILED_STARTS: u32 = 4;

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
        Err(Failed { error, .. }) if is_broken_pipe(&error) => {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Err(Failed { error, no_room }) => {
            let hint = no_room.or_else(|| no_room_in(&ground.folder));
            terminal.error(&told(&error), hint.as_deref());
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
    own: OwnFolder,
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
                let path = args.state.as_deref().unwrap_or(Path::new(state_folder::DEFAULT));
                let path = path.display();
                let hint = "give a folder that you may write with `--state DIR`";
                let text = format!("the state cannot be kept in `{path}`: {error}");
                terminal.error(&text, Some(hint));
                return Err(Exit::Failed);
            }
        };
        let own = OwnFolder::take(folder.path()).map_err(|error| {
            terminal.error(&error.to_string(), None);
            Exit::Failed
        })?;

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
            (Ok(loaded), Ok(estate)) => Ok(Ground { folder, own, temporary, loaded, estate }),
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
) -> Result<Exit, Failed> {
    let Ground { folder, own, loaded, estate, .. } = ground;
    let mut follower = Follower::of(folder, &loaded.catalog);
    let mut outcome = Outcome::default();
    // What happened before was told when it happened.
    let News { noted, lost } = follower.look();
    noted.iter().for_each(|it| outcome.note(it));
    let log = open_log(&folder.handler_log())?;

    let refused_before = refused(folder)?;

    let mut desk = Desk::open(args, folder, own, loaded, estate).await?;
    let forgotten = Forgotten::of(&noted, desk.sandbox.clock.now(), estate);
    if forgotten == Some(Forgotten::Everything) {
        desk.stop().await;
        return Err(anyhow!(Forgotten::Everything.told(folder)).into());
    }
    // A desk that goes on has its days from here.
    let until = desk.sandbox.clock.now() + TimeDelta::days(i64::from(args.until_days));
    let mut reporter = Reporter::on(terminal, args.json, &follower, &loaded.catalog);
    lost.iter().for_each(|(stream, lost)| reporter.lost(stream, lost));
    if let Some(forgotten) = forgotten {
        reporter.say(&forgotten.told(folder));
    }
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
            let no_room = no_room_in(folder);
            desk.stop().await;
            return Err(Failed { error, no_room });
        }
    };

    let mut watch = watch.into_inner();
    let mut messages = std::mem::take(&mut watch.dead);
    for name in refused(folder)?.difference(&refused_before) {
        messages.push(format!("message `{name}` was refused; see `refused/` in the store"));
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
    let verified = desk.wire.as_ref().map(wire::Wire::verified);
    let open_runs: usize = watch.follower.images().map(|(_, it)| it.state.runs().count()).sum();
    desk.stop().await;
    let goes_on = over == Over::Stopped && (!args.once || args.state.is_some());
    if let Some(verified) = verified.as_ref().filter(|_| args.json) {
        watch.reporter.verified(verified);
    }
    if args.json || !goes_on {
        watch.reporter.summary(&summary);
    }
    if let Some(verified) = verified.as_ref().filter(|_| !args.json) {
        watch.reporter.verified(verified);
    }
    if let Some(error) = watch.reporter.take_failure() {
        return Err(error.into());
    }

    let exit = match over {
        Over::Stopped if goes_on => {
            let command = args::command(std::env::args().skip(1));
            watch.reporter.goodbye(summary.to, open_runs, &command);
            if args.once { Exit::No } else { Exit::Done }
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
    };
    Ok(verified.map_or(exit, |it| it.judge(exit)))
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
            Some(violation) = met(&mut desk.wire) => {
                watch.borrow_mut().reporter.violated(&violation);
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

/// The next violation of the wire; none where it is not verified.
async fn met(wire: &mut Option<wire::Wire>) -> Option<contract::Violation> {
    wire.as_mut()?.met.recv().await
}

/// Waits for the first answer of each handler; false when somebody did not want to.
async fn becomes_ready(desk: &mut Desk, watch: &RefCell<Watch<'_>>) -> anyhow::Result<bool> {
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    let (mut failed_starts, mut ready) = (0, 0);
    loop {
        let event = tokio::select! {
            event = desk.happened.recv() => event,
            () = &mut interrupted => return Ok(false),
        };
        let Some(event) = event else { bail!("the handler's process is not looked after") };
        failed_starts += u32::from(matches!(event, ProcessEvent::Exited { .. }));
        let mut watch = watch.borrow_mut();
        if let Some(pid) = watch.process(event)? {
            ready += 1;
            if ready < desk.handlers() {
                continue;
            }
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

fn refused(folder: &StateFolder) -> anyhow::Result<BTreeSet<String>> {
    let names = folder.refused();
    let names = names.with_context(|| {
        format!("the refused messages in `{}` cannot be read", folder.store().display())
    })?;
    Ok(names.into_iter().collect())
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening `{}`", path.display()))
}
