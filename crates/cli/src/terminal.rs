//! Where a command writes: data to stdout, talk to stderr, drawn or plain.

use std::borrow::Cow;
use std::io::{self, Write};

use rules::plain::{escaped, is_plain};

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
        self.out.write_all(shown(text, self.fancy_out).as_bytes())?;
        self.out.flush()
    }

    /// Writes talk. That nobody can hear it is no reason to stop.
    pub fn say(&mut self, text: &str) {
        let _ = self.talk.write_all(shown(text, self.fancy_talk).as_bytes());
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

/// `text` as a terminal may be told it: what it would obey is escaped, line breaks apart and, where
/// it is `fancy`, colours. Azure, people and scanned machines wrote much of what is on screen.
pub fn shown(text: &str, fancy: bool) -> Cow<'_, str> {
    if text.chars().all(|it| is_plain(it) || it == '\n') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(|it| !is_plain(it) && it != '\n') {
        let (before, after) = rest.split_at(at);
        shown.push_str(before);
        let kept = if fancy { colour(after) } else { 0 };
        let length = if kept > 0 { kept } else { after.chars().next().map_or(1, char::len_utf8) };
        let (odd, after) = after.split_at(length);
        shown.push_str(&if kept > 0 { Cow::Borrowed(odd) } else { escaped(odd) });
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// The length of the colour that `text` begins with, `ESC [ 1 ; 31 m`; 0 when it is something else.
/// What hides text (8) is none.
fn colour(text: &str) -> usize {
    let Some(after) = text.strip_prefix("\u{1b}[") else { return 0 };
    let Some((numbers, _)) = after.split_once('m') else { return 0 };
    let number = |it: &str| it.bytes().all(|it| it.is_ascii_digit()) && it.len() <= 3;
    let is_colour = numbers.split(';').all(|it| number(it) && it.trim_start_matches('0') != "8");
    if is_colour { numbers.len() + 3 } else { 0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_lines_and_colours_are_kept() {
        let text = "\u{1b}[1;31merror\u{1b}[0m: `a\u{1b}[2J\u{1b}]0;title\u{7}b\u{202e}c\r`\n";

        assert_eq!(
            shown(text, true),
            "\u{1b}[1;31merror\u{1b}[0m: `a\\u001b[2J\\u001b]0;title\\u0007b\\u202ec\\u000d`\n"
        );
        assert!(shown(text, false).starts_with("\\u001b[1;31merror\\u001b[0m: "));
        assert_eq!(shown("\u{1b}[8mhidden\u{1b}[1;08m", true), "\\u001b[8mhidden\\u001b[1;08m");
    }

    #[test]
    fn what_is_said_and_what_is_printed_both_pass_there() {
        let (out, talk) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
        let (out, talk) = (out.unwrap(), talk.unwrap());
        let writer = |it: &tempfile::NamedTempFile| Box::new(it.reopen().unwrap());
        let mut terminal = Terminal::plain(writer(&out), writer(&talk));

        terminal.print("a\u{1b}c\n").unwrap();
        terminal.error("b\u{9b}2J", Some("c\u{1b}]8;;https://evil.example\u{7}"));

        for file in [out, talk] {
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert!(
                !text.is_empty() && text.chars().all(|it| is_plain(it) || it == '\n'),
                "{text:?}"
            );
        }
    }
}
