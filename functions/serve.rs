//! The handler as a process: settings, logs, the port that the Functions host has chosen.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use seam::{Clock, Internet, SystemClock, Tokens, Wire};
use tokio::net::TcpListener;
use tracing::level_filters::LevelFilter;
use tracing::{error, info};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log::Plain;
use crate::{App, Settings};

/// The host stops asking for nobody: a handler that exits with 0 is never started again
/// (host source: `WorkerProcess.OnProcessExited`).
const FAILED: u8 = 1;

/// Serves the Functions host until the process is killed.
pub fn run() -> ExitCode {
    // The host takes lines of stdout as information; on stderr they would be errors.
    let filter = env("GOLDSMITH_LOG").and_then(|it| it.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
    tracing_subscriber::registry()
        .with(lines.with_writer(|| Plain(std::io::stdout())).with_filter(filter))
        .init();

    if env("GOLDSMITH_WHILE_STDIN_IS_OPEN").is_some_and(|it| it == "1") {
        leave_with_stdin();
    }
    match serve() {
        Ok(()) => ExitCode::from(FAILED),
        Err(why) => {
            error!("The handler cannot start: {why}");
            ExitCode::from(FAILED)
        }
    }
}

/// Ends the process when stdin is closed, which is when the desk that started it is gone. The
/// Functions host of Azure looks after its own processes.
fn leave_with_stdin() {
    // A thread of its own: reading stdin cannot be waited for in any other way.
    std::thread::spawn(|| {
        let mut nothing = [0; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        std::process::exit(i32::from(FAILED));
    });
}

fn serve() -> Result<(), String> {
    let settings = Settings::from_env(env).map_err(|error| error.to_string())?;
    let port = env("FUNCTIONS_CUSTOMHANDLER_PORT").and_then(|it| it.parse::<u16>().ok());
    let Some(port) = port else {
        let why = "`FUNCTIONS_CUSTOMHANDLER_PORT` is not a port; the Functions host sets it";
        return Err(why.to_owned());
    };

    // One thread: a step waits for the network and does next to nothing itself.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let wire: Arc<dyn Wire> = Arc::new(Internet::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tokens = tokens(&settings, &wire, &clock);
        let app = Arc::new(App::new(settings, wire, clock, Arc::new(tokens))?);

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("port {port} cannot be listened on: {error}"))?;
        info!(port, "Listening on {address}");
        seam::serve::serve(listener, app.router(), std::future::pending()).await;
        Ok(())
    })
}

/// Whose tokens the settings ask for.
fn tokens(settings: &Settings, wire: &Arc<dyn Wire>, clock: &Arc<dyn Clock>) -> Tokens {
    if settings.developer {
        return Tokens::developer(Arc::clone(clock));
    }
    let tokens = Tokens::managed(Arc::clone(wire), settings.client_id.clone());
    match &settings.deleting_client_id {
        Some(id) => tokens.deleting_as(Tokens::managed(Arc::clone(wire), Some(id.clone()))),
        None => tokens,
    }
}

/// The one place that reads the environment.
#[expect(clippy::disallowed_methods, reason = "settings are read here, once")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
