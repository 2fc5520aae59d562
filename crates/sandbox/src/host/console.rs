//! What the host makes of a line that the handler wrote (`WorkerProcess.cs`).

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Information,
    Warning,
    Error,
    /// The host's own log, which users of the app do not see.
    System,
    /// Core Tools alone.
    Tooling,
}

/// A line of stdout or stderr, and what is left of it.
///
/// On stderr everything without `warn` in it is an error when `all_are_errors`, the default of a
/// custom handler; else only what says so.
pub(super) fn classified(text: &str, stderr: Option<bool>) -> (Level, String) {
    for (prefix, level) in
        [("LanguageWorkerConsoleLog", Level::System), ("azfuncjsonlog:", Level::Tooling)]
    {
        if let Some((first, rest)) = text.split_at_checked(prefix.len())
            && first.eq_ignore_ascii_case(prefix)
        {
            return (level, rest.to_owned());
        }
    }
    (stderr.map_or(Level::Information, |all| level_on_stderr(text, all)), text.to_owned())
}

fn level_on_stderr(text: &str, all_are_errors: bool) -> Level {
    let text = text.to_ascii_lowercase();
    if text.contains("warn") {
        return Level::Warning;
    }
    let speaks_of_one =
        ["error", "fail", "severe", "unhandled exception"].iter().any(|it| text.contains(it));
    if all_are_errors || speaks_of_one { Level::Error } else { Level::Information }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_where_its_stream_and_its_words_say() {
        for (text, stderr, level) in [
            ("an error", None, Level::Information),
            ("hello", Some(true), Level::Error),
            ("a Warning: it failed", Some(true), Level::Warning),
            ("a Warning: it failed", Some(false), Level::Warning),
            ("hello", Some(false), Level::Information),
            ("it FAILED", Some(false), Level::Error),
        ] {
            assert_eq!(classified(text, stderr), (level, text.to_owned()), "{text} {stderr:?}");
        }
    }

    #[test]
    fn lines_for_the_host_and_for_tooling_lose_their_prefix() {
        let system = classified("LanguageWorkerConsoleLog[x] ready", None);
        let tooling = classified("azfuncjsonlog:{\"a\":1}", Some(true));

        assert_eq!(system, (Level::System, "[x] ready".to_owned()));
        assert_eq!(tooling, (Level::Tooling, "{\"a\":1}".to_owned()));
    }
}
