//! A problem of a file that a person wrote: where it is, what is wrong and what to do about it.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, ThemeCharacters};
use serde_json::json;

use crate::document::Place;

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
    pub severity: Severity,
}

/// Whether a problem stops us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Problem {
    /// An error at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Problem {
        Problem { place, message: message.into(), hint: None, severity: Severity::Error }
    }

    /// The same, but it does not stop us.
    pub fn warning(place: Place, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::new(place, message) }
    }

    /// The same, with the next move.
    pub fn hint(self, hint: Option<impl Into<String>>) -> Problem {
        Problem { hint: hint.map(Into::into), ..self }
    }

    /// The problem for a person: its line with a caret under it, in colour and with lines drawn
    /// when `fancy`, and no wider than `width` columns.
    pub fn render(&self, fancy: bool, width: usize) -> String {
        let mut theme = if fancy { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
        let characters = if fancy { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
        theme.characters = ThemeCharacters {
            error: "error:".to_owned(),
            warning: "warning:".to_owned(),
            ..characters
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_context_lines(1)
            .with_width(width)
            .with_wrap_lines(fancy);

        let mut drawn = String::new();
        // Writing to a String cannot fail; what miette cannot draw is still said in words.
        if handler.render_report(&mut drawn, self).is_err() {
            drawn = format!("error: {self}");
        }
        let lines: Vec<&str> = drawn.trim().lines().map(str::trim_end).collect();
        let hint = self.hint.as_ref().map(|it| format!("\n\nhint: {it}")).unwrap_or_default();
        format!("{}{hint}\n", lines.join("\n"))
    }

    /// The problem for a machine.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "severity": match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "file": self.place.source.name,
            "line": self.place.line(),
            "column": self.place.column(),
            "message": self.message,
            "hint": self.hint,
        })
    }
}

/// Puts problems in the order of their places, and drops repetitions.
pub fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by(|one, other| {
        let key = |it: &Problem| (it.place.source.name.clone(), it.place.start);
        key(one).cmp(&key(other))
    });
    problems.dedup();
}

/// The one of `candidates` that `word` was probably meant to be.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let likeness = |it: &str| strsim::damerau_levenshtein(&lower, &it.to_lowercase());
    let best = candidates.into_iter().min_by_key(|it| likeness(it))?;
    // A third of the letters may be wrong: `pachTuesday`, `ring`, `bake_hours`.
    let most = (best.chars().count().max(word.chars().count()) / 3).max(1);
    (likeness(best) <= most).then_some(best)
}

/// Words as a person enumerates them: `a`, `b` or `c`.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|it| format!("`{it}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.place.line(), self.place.column());
        write!(f, "{}:{line}:{column}: {}", self.place.source.name, self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.place.source.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = (self.place.start, self.place.length);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::document::Source;

    fn problem() -> Problem {
        let text = "schedule:\n  pachTuesday: { at: \"02:00\" }\n".to_owned();
        let source = Source { name: "web.yaml".into(), folder: ".".into(), text };
        Problem::new(Place::new(&Arc::new(source), 12, 23), "unknown field `pachTuesday`")
            .hint(Some("did you mean `patchTuesday`?"))
    }

    #[test]
    fn a_plain_problem_has_position_line_caret_and_hint() {
        let text = problem().render(false, 80);

        assert!(text.starts_with("error: web.yaml:2:3: unknown field `pachTuesday`\n"), "{text}");
        assert!(text.contains("2 |   pachTuesday: { at: \"02:00\" }\n"), "{text}");
        assert!(text.contains(":   ^^^^^^^^^^^"), "{text}");
        assert!(text.ends_with("hint: did you mean `patchTuesday`?\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_fancy_problem_says_the_same() {
        let text = problem().render(true, 80);

        assert!(text.contains("web.yaml:2:3"), "{text}");
        assert!(text.contains("did you mean"), "{text}");
    }

    #[test]
    fn a_suggestion_is_near_or_not_made() {
        let words = ["patchTuesday", "cron", "bakeHours"];

        assert_eq!(did_you_mean("pachTuesday", words), Some("patchTuesday"));
        assert_eq!(did_you_mean("bake_hours", words), Some("bakeHours"));
        assert_eq!(did_you_mean("CRON", words), Some("cron"));
        assert_eq!(did_you_mean("weekly", words), None);
    }

    #[test]
    fn words_are_enumerated_as_a_person_would() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
