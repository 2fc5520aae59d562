//! The summary at the end: for people a page, for machines the last line.

use chrono::{DateTime, Utc};
use rules::CatalogName;
use sandbox::azure::Calls;
use serde::Serialize;

use super::outcome::{Outcome, Reasoned, Released};
use crate::page;
use crate::story::instant;

/// Everything the end is told from.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub catalog: CatalogName,
    pub outcome: Outcome,
    /// The versions that the newest sweeps kept.
    pub kept: Vec<Reasoned>,
    /// What images still lack.
    pub missing: Vec<Reasoned>,
    /// Messages that were dead-lettered or refused, each in a sentence.
    pub messages: Vec<String>,
    pub calls: Calls,
    /// Desk time at the start of the estate and at the end.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub wall_seconds: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    event: &'static str,
    released: &'a [Released],
    rejected: &'a [Reasoned],
    superseded: &'a [Reasoned],
    deprecated: &'a [Reasoned],
    trimmed: &'a [Reasoned],
    deleted: &'a [Reasoned],
    kept: &'a [Reasoned],
    failed: Vec<&'a Reasoned>,
    messages: &'a [String],
    built: u64,
    azure_calls: CallCounts,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    wall_seconds: f64,
}

#[derive(Serialize)]
struct CallCounts {
    read: u64,
    write: u64,
    delete: u64,
    throttled: u64,
}

impl Summary {
    /// True when nothing failed for good, nothing is missing and every message was understood.
    pub fn ended_well(&self) -> bool {
        !self.outcome.has_failed() && self.missing.is_empty() && self.messages.is_empty()
    }

    /// The line for machines.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let Calls { read, write, delete, throttled } = self.calls;
        let outcome = &self.outcome;
        serde_json::to_string(&Line {
            event: "summary",
            released: &outcome.released,
            rejected: &outcome.rejected,
            superseded: &outcome.superseded,
            deprecated: &outcome.deprecated,
            trimmed: &outcome.trimmed,
            deleted: &outcome.deleted,
            kept: &self.kept,
            failed: outcome.failed.iter().chain(&self.missing).collect(),
            messages: &self.messages,
            built: outcome.built,
            azure_calls: CallCounts { read, write, delete, throttled },
            from: self.from,
            to: self.to,
            wall_seconds: (self.wall_seconds * 10.0).round() / 10.0,
        })
    }

    /// The page for people, at most `width` columns wide; headings in colour when `fancy`.
    pub fn render(&self, width: usize, fancy: bool) -> String {
        let page = Page { width: width.clamp(60, 100), fancy, names: self.name_width() };
        let outcome = &self.outcome;
        let mut text = format!(
            "{}  {} to {} UTC, {} in {}\n",
            page.strong(self.catalog.as_str()),
            instant(self.from),
            instant(self.to),
            days(self.from, self.to),
            seconds(self.wall_seconds),
        );

        page.heading(&mut text, "released", "every ring has it", outcome.released.len());
        for released in &outcome.released {
            page.released(&mut text, released);
        }
        let lists = [
            ("rejected", "by the gate: hidden, in quarantine", &outcome.rejected),
            ("superseded", "in its rings, by a newer version", &outcome.superseded),
            ("deprecated", "no longer offered", &outcome.deprecated),
            ("trimmed", "only in its home region", &outcome.trimmed),
            ("deleted", "gone from the gallery", &outcome.deleted),
            ("kept", "by the newest sweep", &self.kept),
            ("failed", "did not end well", &outcome.failed),
            ("missing", "not done yet", &self.missing),
        ];
        for (name, meaning, list) in lists {
            page.heading(&mut text, name, meaning, list.len());
            for reasoned in list {
                page.reasoned(&mut text, reasoned);
            }
        }
        page.heading(&mut text, "messages", "that nobody could act on", self.messages.len());
        for message in &self.messages {
            text.push_str(&page::wrap(page.width, "  ", 4, message));
        }

        text.push('\n');
        let Calls { read, write, delete, throttled } = self.calls;
        let mut calls = format!("calls to Azure: {read} read, {write} write, {delete} delete");
        if throttled > 0 {
            calls.push_str(&format!(", {throttled} of them refused as too many"));
        }
        let each = match outcome.released.len() as u64 {
            0 => String::new(),
            releases => format!("; {} for each release", (read + write + delete) / releases),
        };
        let (runs, built) = (counted(outcome.runs, "run"), outcome.built);
        text.push_str(&format!("{runs}, {built} built; {calls}{each}\n"));
        text
    }

    fn name_width(&self) -> usize {
        let outcome = &self.outcome;
        let released = outcome.released.iter().map(|it| it.image.as_str().len());
        let lists = [&outcome.rejected, &outcome.deprecated, &outcome.deleted, &self.kept];
        let others = lists.into_iter().flatten().map(|it| it.image.as_str().len());
        released.chain(others).max().unwrap_or_default()
    }
}

/// How the page is laid out.
struct Page {
    width: usize,
    fancy: bool,
    names: usize,
}

impl Page {
    fn strong(&self, text: &str) -> String {
        console::style(text).bold().force_styling(self.fancy).to_string()
    }

    fn heading(&self, text: &mut String, name: &str, meaning: &str, count: usize) {
        if count == 0 {
            return;
        }
        let meaning = console::style(format!("{count}, {meaning}")).dim();
        let meaning = meaning.force_styling(self.fancy);
        text.push_str(&format!("\n{}  {meaning}\n", self.strong(name)));
    }

    fn released(&self, text: &mut String, released: &Released) {
        let Released { image, version, why, base, regions } = released;
        let regions: Vec<&str> = regions.iter().map(|it| it.as_str()).collect();
        let why = format!("{why}; from {base}; in {}", regions.join(" "));
        self.row(text, image.as_str(), &version.to_string(), &[why]);
    }

    fn reasoned(&self, text: &mut String, reasoned: &Reasoned) {
        let version = reasoned.version.map(|it| it.to_string()).unwrap_or_default();
        self.row(text, reasoned.image.as_str(), &version, &reasoned.reasons);
    }

    /// An image, a version, and beside them the reasons, one below the other.
    fn row(&self, text: &mut String, image: &str, version: &str, reasons: &[String]) {
        let names = self.names;
        let head = format!("  {image:names$}  {version:7}  ");
        if reasons.is_empty() {
            text.push_str(head.trim_end());
            text.push('\n');
        }
        for (index, reason) in reasons.iter().enumerate() {
            let head = if index == 0 { head.clone() } else { " ".repeat(head.len()) };
            text.push_str(&page::wrap(self.width, &head, head.len(), reason));
        }
    }
}

fn days(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let passed = to - from;
    match (passed.num_minutes().unsigned_abs(), passed.num_hours().unsigned_abs()) {
        (minutes, ..2) => counted(minutes, "minute"),
        (_, hours @ ..48) => counted(hours, "hour"),
        (_, hours) => counted(hours / 24, "day"),
    }
}

fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use rules::Region;

    use super::*;

    fn reasoned(image: &str, version: &str, reason: &str) -> Reasoned {
        Reasoned {
            image: image.parse().unwrap(),
            version: Some(version.parse().unwrap()),
            reasons: vec![reason.to_owned()],
        }
    }

    fn summary() -> Summary {
        let from = DateTime::UNIX_EPOCH;
        let outcome = Outcome {
            runs: 2,
            built: 2,
            released: vec![Released {
                image: "web".parse().unwrap(),
                version: "1.1.0".parse().unwrap(),
                why: "new base 2".to_owned(),
                base: "2".to_owned(),
                regions: vec![Region::try_from("westeurope".to_owned()).unwrap()],
            }],
            rejected: vec![reasoned("debian-12-base", "1.2.0", "1 critical, at most 0")],
            ..Outcome::default()
        };
        Summary {
            catalog: "contoso".parse().unwrap(),
            outcome,
            kept: vec![reasoned("web", "1.0.0", &"word ".repeat(40))],
            missing: Vec::new(),
            messages: Vec::new(),
            calls: Calls { read: 10, write: 4, delete: 1, throttled: 0 },
            from,
            to: from + TimeDelta::days(18),
            wall_seconds: 41.26,
        }
    }

    #[test]
    fn the_line_for_machines_has_every_list_and_its_event_first() {
        let line = summary().to_json().unwrap();

        assert!(line.starts_with(r#"{"event":"summary","released":[{"image":"web","version":"1.1.0","why":"new base 2","base":"2","regions":["westeurope"]}]"#), "{line}");
        assert!(
            line.contains(r#""azureCalls":{"read":10,"write":4,"delete":1,"throttled":0}"#),
            "{line}"
        );
        assert!(
            line.contains(r#""failed":[]"#) && line.ends_with(r#""wallSeconds":41.3}"#),
            "{line}"
        );
    }

    #[test]
    fn the_page_is_plain_when_it_must_be_and_never_wider_than_it_may() {
        let page = summary().render(100, false);

        assert!(!page.contains('\u{1b}'), "{page}");
        assert!(page.lines().all(|it| it.chars().count() <= 100), "{page}");
        assert!(page.contains("rejected  1, by the gate"), "{page}");
        assert!(page.contains("  debian-12-base  1.2.0    1 critical, at most 0"), "{page}");
        assert!(page.contains("10 read, 4 write, 1 delete; 15 for each release"), "{page}");
        assert!(!page.contains("deleted  "), "{page}");
    }

    #[test]
    fn what_is_missing_or_was_not_understood_did_not_end_well() {
        let well = summary();
        let mut missing = summary();
        missing.missing.push(reasoned("web", "1.0.0", "no version of it was released"));
        let mut refused = summary();
        refused.messages.push("`a` was refused".to_owned());

        assert!(well.ended_well());
        assert!(!missing.ended_well() && !refused.ended_well());
    }
}
