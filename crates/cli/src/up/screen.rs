//! The live screen: a line that tells the desk's time, and a line for each image with how far its
//! run has come.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rules::ImageName;
use rules::catalog::{Catalog, Schedule};
use rules::plain::one_line;
use rules::schedule;
use rules::state::State;
use sandbox::azure::Calls;

use super::follower::Follower;
use super::{ending, stage};
use crate::terminal::shown;

/// Lines at the bottom of a terminal, redrawn in place.
#[derive(Debug)]
pub struct Screen {
    all: MultiProgress,
    header: ProgressBar,
    images: BTreeMap<ImageName, ProgressBar>,
    schedules: BTreeMap<ImageName, Schedule>,
}

impl Screen {
    /// A screen on stderr for the images of `follower`, which `catalog` schedules.
    pub fn of(follower: &Follower, catalog: &Catalog) -> Screen {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let width = follower.images().map(|(image, _)| image.as_str().len()).max();
        let width = width.unwrap_or_default();

        let header = all.add(ProgressBar::no_length().with_style(style("{wide_msg}")));
        let line = style("  {prefix} {bar:21.green/dim} {wide_msg}");
        let mut images = BTreeMap::new();
        for (image, _) in follower.images() {
            let bar = ProgressBar::new(stage::STATIONS).with_style(line.clone());
            let bar = all.add(bar.with_prefix(format!("{image:width$}")));
            images.insert(image.clone(), bar);
        }
        let schedules = catalog.images.iter().filter_map(|it| {
            let schedule = it.schedule.clone()?;
            Some((it.name.clone(), schedule))
        });
        Screen { all, header, images, schedules: schedules.collect() }
    }

    /// Shows how things are at `now`.
    pub fn show(&self, now: DateTime<Utc>, follower: &Follower, calls: Calls) {
        let total = calls.read + calls.write + calls.delete;
        let time = now.format("%a %Y-%m-%d %H:%M UTC");
        self.header.set_message(format!("{time}   {total} calls to Azure"));
        for (image, followed) in follower.images() {
            let Some(bar) = self.images.get(image) else { continue };
            let next = self.schedules.get(image).and_then(|it| next(it, now));
            let (station, message) = place(&followed.state, next.as_deref());
            bar.set_position(station);
            bar.set_message(shown(&one_line(&message), false).into_owned());
        }
    }

    /// Says something above the lines.
    pub fn say(&self, text: &str) {
        // Nobody to hear it is no reason to stop.
        let _ = self.all.println(shown(text.trim_end(), true));
    }

    /// Takes the lines away.
    pub fn clear(&self) {
        let _ = self.all.clear();
    }
}

/// What comes next by `schedule`, `Patch Tuesday, Tue 8 Sep 19:00`; nothing when it names no more.
fn next(schedule: &Schedule, now: DateTime<Utc>) -> Option<String> {
    let at = schedule::next(schedule, now).ok()??;
    let what = match schedule {
        Schedule::PatchTuesday(_) => "Patch Tuesday",
        Schedule::Cron(_) => "its schedule",
    };
    Some(format!("{what}, {}", at.format("%a %-d %b %H:%M")))
}

/// How far an image is, in stations and in words; `next` is what its schedule says when it waits.
fn place(state: &State, next: Option<&str>) -> (u64, String) {
    let at = |run: &rules::state::Run| {
        let place = stage::of(run);
        (place.station, format!("{:7} {}, {}", run.version.to_string(), place.word, run.why))
    };
    match (&state.building, &state.releasing) {
        (Some(run), None) | (None, Some(run)) => at(run),
        (Some(building), Some(releasing)) => {
            let (station, message) = at(building);
            (station, format!("{message}; {} {}", releasing.version, stage::of(releasing).word))
        }
        (None, None) => match (ending::waits_for(state), state.newest_run()) {
            (Some(waits_for), _) => (0, waits_for),
            (None, Some((number, version))) => {
                let standing = format!("{:7} {}", number.to_string(), version.standing);
                (stage::STATIONS, waits(standing, next))
            }
            (None, None) => (0, waits("nothing is due".to_owned(), next)),
        },
    }
}

fn waits(standing: String, next: Option<&str>) -> String {
    match next {
        Some(next) => format!("{standing}; next: {next}"),
        None => standing,
    }
}

/// The templates above are valid, a test says; one that were not would show its default.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_screen_are_valid_templates() {
        for template in ["{wide_msg}", "  {prefix} {bar:21.green/dim} {wide_msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn an_image_to_which_nothing_has_happened_says_so() {
        assert_eq!(place(&State::default(), None), (0, "nothing is due".to_owned()));
    }

    #[test]
    fn an_image_that_waits_says_what_comes_next() {
        let schedule: Schedule = serde_json::from_value(serde_json::json!({
            "patchTuesday": { "at": "19:00", "zone": "UTC", "daysAfter": 0 },
        }))
        .unwrap();
        let monday = "2026-09-07T06:00:00Z".parse().unwrap();

        let next = next(&schedule, monday);

        assert_eq!(
            place(&State::default(), next.as_deref()).1,
            "nothing is due; next: Patch Tuesday, Tue 8 Sep 19:00"
        );
    }
}
