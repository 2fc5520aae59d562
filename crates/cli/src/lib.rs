//! The command `goldsmith`: what a person types, and how each command ends.

pub mod terminal;
pub mod problem;
pub mod document;
pub mod yaml;
pub mod text_form;
pub mod schema;
pub mod sources;
pub mod shape;
pub mod reading;
pub mod attach;
pub mod doubts;
pub mod load;
pub mod check;
pub mod publish;
pub mod state_folder;
pub mod story;
pub mod page;
pub mod told;
pub mod status;
pub mod log;
pub mod up;
pub mod handler;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use terminal::{Exit, Terminal};

/// Keeps golden VM images golden on Azure: rebuilt, gated, released and cleaned up, event by event.
#[derive(Debug, Parser)]
#[command(
    name = "goldsmith",
    version,
    after_help = "\
exit codes:\n  \
    0  done, or yes\n  \
    1  no: the catalog has problems, or something did not end well\n  \
    2  failed: what was asked for could not be read or understood\n\n\
begin with:\n  \
    goldsmith up --once                  a golden image factory on this desk\n  \
    goldsmith check examples/catalog"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a catalog: all its problems at once, each with its line and what to do.
    Check(check::CheckArgs),
    /// Print the JSON Schema of a catalog.
    Schema(schema::SchemaArgs),
    /// Live through it all on this desk: a simulated Azure, and the handler that ships.
    Up(Box<up::UpArgs>),
    /// Tell where every image stands, from a state folder's ledger alone.
    Status(status::StatusArgs),
    /// Tell the story of an image.
    Log(log::LogArgs),
    /// Be the handler of the function app; a Functions host starts it.
    Handler(handler::HandlerArgs),
}

/// The process: reads the arguments, runs the command, says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut terminal = Terminal::system();
    let ended = match run(cli.command, &mut terminal) {
        Ok(exit) => exit,
        // Whoever read our output has read enough: `goldsmith schema | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            terminal.error(&format!("the output cannot be written: {error}"), None);
            Exit::Failed
        }
    };
    ended.into()
}

/// Runs one command.
///
/// # Errors
/// When its output cannot be written. What else goes wrong is said on `terminal`, and in the exit.
pub fn run(command: Command, terminal: &mut Terminal) -> io::Result<Exit> {
    match command {
        Command::Check(args) => check::run(&args, terminal),
        Command::Schema(args) => schema::run(&args, terminal),
        Command::Up(args) => up::run(&args, terminal),
        Command::Status(args) => status::run(&args, terminal),
        Command::Log(args) => log::run(&args, terminal),
        Command::Handler(args) => Ok(handler::run(&args)),
    }
}
