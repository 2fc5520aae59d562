//! Where a command writes: data to stdout, talk to stderr, drawn or plain.

use std::io::{self, Write};

/// How a command ended; its exit code. The greater is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or yes: 0.
    Done,
    /// The answer is no: 1.
    No,
    /// We failed, or were asked wrongly: 2.
    Failed,
}

/// Stdout and stderr, or what a test reads instead.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    /// True: a person watches stdout, and wants colour.
    pub fancy_out: bool,
    /// True: a person watches stderr, and wants colour.
    pub fancy_talk: bool,
    /// The columns of stderr.
    pub width: usize,
}

impl Terminal {
    /// The process's own: drawn where a person watches, unless `NO_COLOR` or its like is set.
    pub fn system() -> Terminal {
        Terminal {
            fancy_out: console::user_attended() && console::colors_enabled(),
            fancy_talk: console::user_attended_stderr() && console::colors_enabled_stderr(),
            width: console::Term::stderr().size().1.into(),
            out: Box::new(io::stdout()),
            talk: Box::new(io::stderr()),
        }
    }

    /// One that writes plainly to `out` and `talk`.
    pub fn plain(out: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) -> Terminal {
        Terminal { out, talk, fancy_out: false, fancy_talk: false, width: 100 }
    }

    /// Writes data.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes talk. That nobody can hear it is no reason to stop.
    pub fn say(&mut self, text: &str) {
        let _ = self.talk.write_all(text.as_bytes());
        let _ = self.talk.flush();
    }

    /// Writes what went wrong, then, after a blank line, the next move.
    pub fn error(&mut self, message: &str, hint: Option<&str>) {
        self.say(&format!("error: {message}\n"));
        if let Some(hint) = hint {
            self.say(&format!("\nhint: {hint}\n"));
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Failed => 2,
        })
    }
}
