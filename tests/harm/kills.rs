//! kill -9 of the handler, of `up` and of both, and handlers that are stopped and wake up late, at
//! moments that a seed chooses, over one state folder.
//!
//! `GOLDSMITH_KILLS=300 cargo test --test harm kills -- --nocapture` does it 300 times;
//! `GOLDSMITH_SEED` repeats the moments of an earlier run.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::judge;
use crate::lot::Lot;
use crate::up::{Up, lives, signal, taken_ports, within};

/// How often without being told.
const KILLS: u64 = 12;
/// Desk seconds per second: a night comes every third of a second while nothing is to be done.
pub(crate) const SPEED: &str = "250000";
/// How long a handler may outlive its desk.
const ORPHANED: Duration = Duration::from_secs(10);
/// How long a calm desk may take to finish what it has begun.
const CALM: Duration = Duration::from_secs(180);

/// What is done to the processes.
#[derive(Clone, Copy, Debug)]
enum Harm {
    KillHandler,
    KillUp,
    KillBoth,
    /// The handler is stopped for a while.
    Stall,
    /// The handler is stopped, its desk is killed, another one begins; then the handler wakes up.
    Outlive,
}

#[expect(clippy::disallowed_methods, reason = "how often is the caller's choice")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not `{text}`")))
}

fn start(state: &Path) -> Up {
    Up::on(state, &["--speed", SPEED])
}

/// The orphans of a killed desk end, and its ports are free again.
fn is_gone(state: &Path, orphans: &[u32]) {
    let gone = within(ORPHANED, || (!orphans.iter().any(|it| lives(*it))).then_some(()));
    assert!(gone.is_some(), "of the handlers {orphans:?} of a killed desk some live on");
    let free = within(ORPHANED, || taken_ports(state).is_empty().then_some(()));
    assert!(free.is_some(), "ports {:?} of a killed desk are taken still", taken_ports(state));
}

/// Lets the desk work until nothing is under way; it is ended then.
pub(crate) fn calm(state: &Path, mut up: Up) {
    let before: Vec<usize> = released(state);
    let began = Instant::now();
    loop {
        let all = || released(state).iter().zip(&before).all(|(now, before)| now > before);
        let quiet = within(CALM, || {
            assert!(up.has_ended().is_none(), "it ended by itself: {}", up.said());
            (all() && judge::is_quiet(state)).then_some(())
        });
        if quiet.is_none() {
            up.kill();
            panic!("not quiet after {CALM:?}:\n{}", judge::faults(state).join("\n"));
        }
        signal("TERM", up.pid());
        let (code, _, said) = up.end();
        assert_eq!(code, Some(0), "{said}");
        // It may have begun something at that very moment.
        if judge::is_quiet(state) {
            return;
        }
        assert!(began.elapsed() < 2 * CALM, "it is never quiet");
        up = start(state);
    }
}

fn released(state: &Path) -> Vec<usize> {
    crate::stream::IMAGES.iter().map(|it| judge::releases(state, it)).collect()
}

#[test]
fn a_killed_handler_is_started_again_and_its_desk_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let mut up = Up::on(&home.path().join("state"), &["--once"]);
    assert!(up.is_ready(), "{}", up.said());
    let first = up.handlers();
    assert_eq!(first.len(), 1);

    signal("KILL", first[0]);
    let (code, lines, said) = up.end();

    assert_eq!(code, Some(0), "{said}");
    let again = lines.iter().filter(|it| it["event"] == "handlerStarted");
    assert_eq!(again.count(), 1);
}

#[test]
fn a_killed_desk_leaves_no_handler_and_no_taken_port_and_opens_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut up = start(&state);
    assert!(up.is_ready(), "{}", up.said());
    let (handlers, ports) = (up.handlers(), std::fs::read(state.join("ports.json")).unwrap());
    assert!(handlers.len() == 1 && taken_ports(&state).len() == 5);

    up.kill();

    is_gone(&state, &handlers);
    let mut up = start(&state);
    assert!(up.is_ready(), "{}", up.said());
    assert_eq!(std::fs::read(state.join("ports.json")).unwrap(), ports);
    up.kill();
}

#[test]
fn killed_anywhere_it_goes_on_and_nothing_is_lost_or_done_twice() {
    let kills = setting("GOLDSMITH_KILLS").unwrap_or(KILLS);
    let seed = setting("GOLDSMITH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("GOLDSMITH_KILLS={kills} GOLDSMITH_SEED={seed}");
    let mut lot = Lot::of(seed);
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let state = state.as_path();

    let mut up = start(state);
    let mut late: Option<Vec<u32>> = None;
    let (mut round, mut killed) = (0, 0);
    while killed < kills {
        round += 1;
        let scale = [20, 300, 1500, 4000][lot.below(4) as usize];
        let after = Duration::from_millis(lot.below(scale));
        let harm = match lot.below(10) {
            0..=3 => Harm::KillHandler,
            4..=6 => Harm::KillUp,
            7 => Harm::KillBoth,
            8 => Harm::Stall,
            _ => Harm::Outlive,
        };
        thread::sleep(after);
        if let Some(stopped) = late.take() {
            stopped.iter().for_each(|it| signal("CONT", *it));
            let gone = within(ORPHANED, || (!stopped.iter().any(|it| lives(*it))).then_some(()));
            assert!(gone.is_some(), "a handler woke up late and lives on: {stopped:?}");
        }
        assert!(up.has_ended().is_none(), "round {round}: it ended by itself: {}", up.said());
        let handlers = up.handlers();
        println!("{round:4} {harm:?} after {after:?}, releases so far {:?}", released(state));
        // What killed nobody does not count.
        killed += match harm {
            Harm::KillHandler => u64::from(!handlers.is_empty()),
            Harm::KillUp | Harm::KillBoth | Harm::Outlive => 1,
            Harm::Stall => 0,
        };
        match harm {
            Harm::KillHandler => handlers.iter().for_each(|it| signal("KILL", *it)),
            Harm::Stall => {
                handlers.iter().for_each(|it| signal("STOP", *it));
                thread::sleep(Duration::from_millis(lot.below(1500)));
                handlers.iter().for_each(|it| signal("CONT", *it));
            }
            Harm::KillUp | Harm::KillBoth => {
                if matches!(harm, Harm::KillBoth) {
                    handlers.iter().for_each(|it| signal("KILL", *it));
                }
                up.kill();
                is_gone(state, &handlers);
                up = start(state);
            }
            Harm::Outlive => {
                handlers.iter().for_each(|it| signal("STOP", *it));
                up.kill();
                up = start(state);
                late = Some(handlers);
            }
        }
    }
    println!("killed {killed} times, in {round} rounds");
    if let Some(stopped) = late {
        stopped.iter().for_each(|it| signal("CONT", *it));
    }
    calm(state, up);

    let faults = judge::faults(state);
    if !faults.is_empty() {
        let kept = home.keep();
        panic!("seed {seed}, kept in {}:\n{}", kept.display(), faults.join("\n"));
    }
}
