//! `goldsmith handler`: the very handler that ships, as a command, so that `up` needs no second
//! program.

use crate::terminal::Exit;

/// The arguments of `goldsmith handler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The Functions host starts it, and tells it its port in FUNCTIONS_CUSTOMHANDLER_PORT. The settings\n\
are those of the deployed function app: see local.settings.example.json.")]
pub struct HandlerArgs {}

/// Serves the Functions host until the process is killed.
pub fn run(_args: &HandlerArgs) -> Exit {
    // It serves for ever; whatever ends it is a failure, and it has said which.
    let _ = functions::serve::run();
    Exit::No
}
