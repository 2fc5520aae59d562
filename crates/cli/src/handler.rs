//! `goldsmith handler`: the very handler that ships, as a command, so that `up` needs no second
//! program.

use std::io::Read;

use crate::terminal::Exit;

/// The arguments of `goldsmith handler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The Functions host starts it, and tells it its port in FUNCTIONS_CUSTOMHANDLER_PORT. The settings\n\
are those of the deployed function app: see local.settings.example.json.")]
pub struct HandlerArgs {
    /// Leave when stdin is closed, which is when the process that started this is gone.
    #[arg(long, hide = true)]
    pub while_stdin_is_open: bool,
}

/// What a handler leaves with; after 0 a Functions host would never start it again.
const ORPHANED: i32 = 1;

/// Serves the Functions host until the process is killed.
pub fn run(args: &HandlerArgs) -> Exit {
    if args.while_stdin_is_open {
        // A thread of its own: reading stdin cannot be waited for in any other way.
        std::thread::spawn(|| {
            let mut nothing = [0; 64];
            while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
            std::process::exit(ORPHANED);
        });
    }
    // It serves for ever; whatever ends it is a failure, and it has said which.
    let _ = functions::serve::run();
    Exit::No
}
