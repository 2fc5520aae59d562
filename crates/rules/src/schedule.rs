//! When the calendar asks for a rebuild.
//!
//! The main problem is daylight saving time: a local time may not exist on a day, or exist twice.
//! Both kinds of schedule therefore yield local wall-clock times first, and one function maps
//! these to instants: a time inside the gap becomes the first instant after it, a time that comes
//! twice is taken the first time. Each local time so gives one instant, and none is lost.

use std::str::FromStr;

use chrono::offset::LocalResult;
use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
    Weekday,
};
use chrono_tz::{GapInfo, Tz};

use crate::catalog::{CronSchedule, PatchTuesday, Schedule};

mod backlog;

pub use backlog::due;

/// The most occurrences that [`occurrences`] returns at once; a longer row is judged in parts.
pub const MOST_OCCURRENCES: usize = 1000;

/// The most days after Patch Tuesday: one more, and it could be the next month's Patch Tuesday.
pub const MOST_DAYS_AFTER: u32 = 27;

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("`{0}` is not a time of day")]
    Time(String),
    #[error("Patch Tuesday has {MOST_DAYS_AFTER} days after it at most, and `{0}` is more")]
    DaysAfter(u32),
    #[error("`{expression}` has {fields} fields, and a cron expression has 6 or 7")]
    Fields { expression: String, fields: usize },
    #[error("`{0}` as day of the week is a number, and libraries disagree which day 1 is")]
    WeekdayByNumber(String),
    #[error("`{expression}` is not a cron expression: {reason}")]
    Expression { expression: String, reason: String },
    #[error("`{0}` never occurs")]
    Never(String),
}

impl ScheduleError {
    /// The member of the schedule that is wrong, as the catalog spells it.
    pub const fn member(&self) -> &'static str {
        match self {
            ScheduleError::Time(_) => "at",
            ScheduleError::DaysAfter(_) => "daysAfter",
            ScheduleError::Fields { .. }
            | ScheduleError::WeekdayByNumber(_)
            | ScheduleError::Expression { .. }
            | ScheduleError::Never(_) => "expression",
        }
    }

    /// What to write in its place.
    pub fn hint(&self) -> String {
        match self {
            ScheduleError::Time(_) => "write it as `02:30`, from `00:00` to `23:59`".to_owned(),
            ScheduleError::DaysAfter(_) => {
                format!("write 0 to {MOST_DAYS_AFTER}, or use a `cron` schedule")
            }
            ScheduleError::Fields { fields: 5, expression } => {
                format!("seconds come first: `0 {expression}`")
            }
            ScheduleError::Fields { .. } | ScheduleError::Expression { .. } => {
                "the fields are second, minute, hour, day of month, month, day of week and, if \
                 wanted, year: `0 30 2 * * Sun`"
                    .to_owned()
            }
            ScheduleError::WeekdayByNumber(_) => {
                "write days by name: `Sun`, `Mon-Fri`, `Tue,Thu`".to_owned()
            }
            ScheduleError::Never(_) => {
                "no year has such a day; check the day of month, the month and the year".to_owned()
            }
        }
    }
}

/// Says what is wrong with `schedule`, if anything is.
pub fn parse(schedule: &Schedule) -> Result<(), ScheduleError> {
    match schedule {
        Schedule::PatchTuesday(patch) => {
            time_of_day(&patch.at)?;
            days_after(patch)?;
            Ok(())
        }
        Schedule::Cron(cron) => {
            let expression = expression(cron)?;
            let first = expression.after(&DateTime::UNIX_EPOCH).next();
            first.map(drop).ok_or_else(|| ScheduleError::Never(cron.expression.clone()))
        }
    }
}

/// The occurrences of `schedule` after `after` and up to and including `through`, in their order,
/// each instant once. When there are more than [`MOST_OCCURRENCES`], these first ones: the caller
/// goes on after the last of them.
pub fn occurrences(
    schedule: &Schedule,
    after: DateTime<Utc>,
    through: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
    let mut found: Vec<DateTime<Utc>> = Vec::new();
    for occurrence in instants(schedule, after)? {
        if occurrence > through || found.len() == MOST_OCCURRENCES {
            break;
        }
        if occurrence > after && found.last() != Some(&occurrence) {
            found.push(occurrence);
        }
    }
    Ok(found)
}

/// The first occurrence of `schedule` after `after`; `None` when no year is left that it names.
pub fn next(
    schedule: &Schedule,
    after: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, ScheduleError> {
    Ok(instants(schedule, after)?.find(|occurrence| *occurrence > after))
}

/// Instants in ascending order, from a little before `after` on; the same one may come twice.
fn instants(
    schedule: &Schedule,
    after: DateTime<Utc>,
) -> Result<Box<dyn Iterator<Item = DateTime<Utc>>>, ScheduleError> {
    match schedule {
        Schedule::PatchTuesday(patch) => {
            let time = time_of_day(&patch.at)?;
            let days = days_after(patch)?;
            let zone = patch.zone;
            // Two months back: with its days after, a Patch Tuesday may fall into the next month.
            let first = months_since_zero(after.date_naive()) - 2;
            let instants = (first..)
                .map_while(second_tuesday)
                .map_while(move |tuesday| tuesday.checked_add_days(days))
                .map_while(move |day| instant(day.and_time(time), zone));
            Ok(Box::new(instants))
        }
        Schedule::Cron(cron) => {
            let expression = expression(cron)?;
            let zone = cron.zone;
            // The expression is asked for wall-clock times, in a zone without gaps; one second
            // earlier, because it leaves out the start. Local times map to instants in order, so
            // nothing before the local time of `after` can come after it.
            let local = zone.from_utc_datetime(&after.naive_utc()).naive_local();
            let from = local.checked_sub_signed(TimeDelta::seconds(1)).unwrap_or(local).and_utc();
            let instants = expression
                .after_owned(from)
                .map_while(move |wall_clock| instant(wall_clock.naive_utc(), zone));
            Ok(Box::new(instants))
        }
    }
}

/// The instant at which clocks in `zone` show `local`. `None` at the end of the calendar.
fn instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Some(at.to_utc()),
        LocalResult::Ambiguous(earlier, later) => Some(earlier.min(later).to_utc()),
        LocalResult::None => Some(GapInfo::new(&local, &zone)?.end?.to_utc()),
    }
}

/// The Patch Tuesday that `occurrence` of `schedule` follows; none when it follows no Patch Tuesday.
pub fn patch_tuesday_of(schedule: &Schedule, occurrence: DateTime<Utc>) -> Option<NaiveDate> {
    let Schedule::PatchTuesday(patch) = schedule else { return None };
    let local = occurrence.with_timezone(&patch.zone).date_naive();
    local.checked_sub_days(days_after(patch).ok()?)
}

fn months_since_zero(day: NaiveDate) -> i64 {
    i64::from(day.year()) * 12 + i64::from(day.month0())
}

fn second_tuesday(months: i64) -> Option<NaiveDate> {
    let year = i32::try_from(months.div_euclid(12)).ok()?;
    let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
    NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Tue, 2)
}

fn days_after(patch: &PatchTuesday) -> Result<Days, ScheduleError> {
    if patch.days_after > MOST_DAYS_AFTER {
        return Err(ScheduleError::DaysAfter(patch.days_after));
    }
    Ok(Days::new(u64::from(patch.days_after)))
}

fn time_of_day(text: &str) -> Result<NaiveTime, ScheduleError> {
    let error = || ScheduleError::Time(text.to_owned());
    let two_digits = |part: &str| -> Option<u32> {
        let digits = part.len() == 2 && part.bytes().all(|it| it.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    let (hour, minute) = text.split_once(':').ok_or_else(error)?;
    let (Some(hour), Some(minute)) = (two_digits(hour), two_digits(minute)) else {
        return Err(error());
    };
    NaiveTime::from_hms_opt(hour, minute, 0).ok_or_else(error)
}

/// The parsed expression. Day of month and day of week must both fit, as they must in the timers
/// of Azure Functions.
fn expression(cron: &CronSchedule) -> Result<cron::Schedule, ScheduleError> {
    let text = &cron.expression;
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 6 && fields.len() != 7 {
        return Err(ScheduleError::Fields { expression: text.clone(), fields: fields.len() });
    }
    // The parser reads over blanks around a comma, which would move the fields that follow.
    let torn =
        |field: &&&str| field.starts_with([',', '-', '/']) || field.ends_with([',', '-', '/']);
    if let Some(field) = fields.iter().find(torn) {
        let reason = format!("`{field}` is torn by a blank");
        return Err(ScheduleError::Expression { expression: text.clone(), reason });
    }
    if fields[5].bytes().any(|it| it.is_ascii_digit()) {
        return Err(ScheduleError::WeekdayByNumber(fields[5].to_owned()));
    }
    cron::Schedule::from_str(&fields.join(" ")).map_err(|error| {
        let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        ScheduleError::Expression { expression: text.clone(), reason }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patch_tuesday_is_the_second_tuesday_and_days_after_cross_the_month() {
        let table = [
            (0, "2026-09-01T00:00:00Z", "2026-09-08T00:00:00Z"),
            (1, "2026-09-01T00:00:00Z", "2026-09-09T00:00:00Z"),
            (6, "2026-09-08T00:00:00Z", "2026-09-14T00:00:00Z"),
            (27, "2026-12-10T00:00:00Z", "2027-01-04T00:00:00Z"),
            (27, "2027-01-03T23:59:59Z", "2027-01-04T00:00:00Z"),
        ];
        for (days, after, expected) in table {
            let schedule = patch_tuesday(days, "02:00", "Europe/Amsterdam");
            // 02:00 in Amsterdam is 00:00 UTC in summer and 01:00 UTC in winter.
            let hour = if expected.starts_with("2027-01") { 1 } else { 0 };
            let expected = at(expected) + TimeDelta::hours(hour);

            assert_eq!(next(&schedule, at(after)), Ok(Some(expected)), "{days} after {after}");
        }
    }

    #[test]
    fn an_occurrence_knows_its_patch_tuesday_in_the_zone_of_the_schedule() {
        // 02:00 in Amsterdam on Wednesday is still Tuesday in UTC.
        let schedule = patch_tuesday(1, "01:30", "Europe/Amsterdam");
        let occurrence = at("2026-09-08T23:30:00Z");

        let tuesday = NaiveDate::from_ymd_opt(2026, 9, 8);
        assert_eq!(patch_tuesday_of(&schedule, occurrence), tuesday);
        assert_eq!(patch_tuesday_of(&cron("0 0 3 * * Wed", "UTC"), occurrence), None);
    }

    #[test]
    fn the_window_leaves_out_its_start_and_holds_its_end() {
        let schedule = patch_tuesday(0, "10:00", "UTC");
        let september = at("2026-09-08T10:00:00Z");
        let october = at("2026-10-13T10:00:00Z");

        let found = occurrences(&schedule, september, october).unwrap();

        assert_eq!(found, [october]);
        assert_eq!(occurrences(&schedule, october, october), Ok(vec![]));
    }

    #[test]
    fn a_local_time_that_does_not_exist_becomes_the_first_instant_after_the_gap() {
        let day = (at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z"));
        let first_after_the_gap = [at("2026-03-29T01:00:00Z")];
        for expression in ["0 0 2 * * *", "0 30 2 * * Sun", "0 59,58 2 * * *"] {
            let schedule = cron(expression, "Europe/Amsterdam");
            assert_eq!(occurrences(&schedule, day.0, day.1).unwrap(), first_after_the_gap);
        }
    }

    #[test]
    fn a_local_time_that_comes_twice_is_taken_the_first_time() {
        let schedule = cron("0 30 2 * * *", "Europe/Amsterdam");
        let (after, through) = (at("2026-10-24T12:00:00Z"), at("2026-10-25T12:00:00Z"));

        let found = occurrences(&schedule, after, through).unwrap();

        assert_eq!(found, [at("2026-10-25T00:30:00Z")]);
        let second_pass = at("2026-10-25T01:15:00Z");
        assert_eq!(next(&schedule, second_pass), Ok(Some(at("2026-10-26T01:30:00Z"))));
    }

    #[test]
    fn a_daily_schedule_occurs_once_on_every_day_of_the_year_in_every_zone() {
        for zone in ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "UTC"] {
            for expression in ["0 30 2 * * *", "0 0 0 * * *", "0 59 23 * * ?"] {
                let schedule = cron(expression, zone);
                let (after, through) = (at("2025-12-31T12:00:00Z"), at("2026-12-31T12:00:00Z"));
                let found = occurrences(&schedule, after, through).unwrap();
                assert_eq!(found.len(), 365, "{expression} in {zone}");
            }
        }
    }

    #[test]
    fn a_day_of_the_week_by_number_is_refused_with_a_hint() {
        for day in ["1", "0", "1-5", "*/2", "Mon#1", "Mon-5", "Mon/2", "Tue,4"] {
            let error = parse(&cron(&format!("0 0 2 * * {day}"), "UTC")).unwrap_err();
            assert_eq!(error, ScheduleError::WeekdayByNumber(day.to_owned()));
            assert!(error.hint().contains("Mon-Fri"), "{error}");
        }
        for day in ["Sun", "mon-fri", "TUE,thu", "*", "?"] {
            assert_eq!(parse(&cron(&format!("0 0 2 * * {day}"), "UTC")), Ok(()), "{day}");
        }
        assert_eq!(parse(&cron("0 0 2 * * Sun 2030", "UTC")), Ok(()));
    }

    #[test]
    fn a_blank_beside_a_comma_does_not_smuggle_a_number_into_the_day_of_the_week() {
        let error = parse(&cron("0 30 1, 2 * * 3", "UTC")).unwrap_err();
        assert!(matches!(error, ScheduleError::Expression { .. }), "{error:?}");
    }

    #[test]
    fn what_is_no_cron_expression_says_which_fields_there_are() {
        let five = parse(&cron("30 2 * * Sun", "UTC")).unwrap_err();
        assert_eq!(
            five.to_string(),
            "`30 2 * * Sun` has 5 fields, and a cron expression has 6 or 7"
        );
        assert_eq!(five.hint(), "seconds come first: `0 30 2 * * Sun`");

        for expression in
            ["@weekly", "", "0 61 2 * * Sun", "0 0 2 * * Someday", "0 0 2 * * Fri-Mon"]
        {
            let error = parse(&cron(expression, "UTC")).unwrap_err();
            assert_eq!(error.member(), "expression", "{expression}");
            assert!(error.hint().contains("second, minute, hour"), "{error}: {}", error.hint());
        }
    }

    #[test]
    fn a_schedule_that_never_occurs_is_refused() {
        let error = parse(&cron("0 0 2 30 Feb *", "UTC")).unwrap_err();
        assert_eq!(error, ScheduleError::Never("0 0 2 30 Feb *".to_owned()));

        let past = cron("0 0 2 1 1 * 2020", "UTC");
        assert_eq!(next(&past, at("2026-01-01T00:00:00Z")), Ok(None));
    }

    #[test]
    fn a_time_of_day_has_two_digits_on_both_sides() {
        for text in ["2:00", "24:00", "02:60", "02:00:00", "0200", "", "+2:00", "02:0x"] {
            let error = parse(&patch_tuesday(0, text, "UTC")).unwrap_err();
            assert_eq!(error, ScheduleError::Time(text.to_owned()));
        }
        assert_eq!(parse(&patch_tuesday(27, "23:59", "UTC")), Ok(()));
        assert_eq!(parse(&patch_tuesday(28, "23:59", "UTC")), Err(ScheduleError::DaysAfter(28)));
    }

    #[test]
    fn a_long_row_of_occurrences_is_judged_in_parts() {
        let schedule = cron("* * * * * *", "UTC");
        let (after, through) = (at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));

        let found = occurrences(&schedule, after, through).unwrap();

        assert_eq!(found.len(), MOST_OCCURRENCES);
        assert_eq!(found.last(), Some(&(after + TimeDelta::seconds(1000))));
    }

    proptest! {
        #[test]
        fn patch_tuesday_agrees_with_counting_days(
            start in 0_i64..20_000, days in 0_u32..=27, hour in 0_u32..24, span in 1_i64..200,
        ) {
            let schedule = patch_tuesday(days, &format!("{hour:02}:30"), "UTC");
            let after = DateTime::UNIX_EPOCH + TimeDelta::days(start);
            let through = after + TimeDelta::days(span);

            let found = occurrences(&schedule, after, through).unwrap();

            let mut expected = Vec::new();
            for day in start - 1..=start + span {
                let candidate = DateTime::UNIX_EPOCH
                    + TimeDelta::days(day)
                    + TimeDelta::minutes(i64::from(hour) * 60 + 30);
                let tuesday = candidate.date_naive() - Days::new(u64::from(days));
                let second = tuesday.weekday() == Weekday::Tue && (8..=14).contains(&tuesday.day());
                if second && candidate > after && candidate <= through {
                    expected.push(candidate);
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn judging_a_window_in_two_parts_finds_the_same(
            start in 0_i64..1_000_000_000, first in 0_i64..5_000_000, second in 0_i64..5_000_000,
            which in 0_usize..4,
        ) {
            let schedule = [
                patch_tuesday(1, "02:30", "Europe/Amsterdam"),
                cron("0 30 2 * * *", "America/New_York"),
                cron("0 0 */6 * * Mon-Fri", "Europe/London"),
                cron("0 45 1 * * Sun", "Australia/Lord_Howe"),
            ][which].clone();
            let after = DateTime::UNIX_EPOCH + TimeDelta::seconds(start + 1_000_000_000);
            let middle = after + TimeDelta::seconds(first);
            let through = middle + TimeDelta::seconds(second);

            let whole = occurrences(&schedule, after, through).unwrap();
            let mut parts = occurrences(&schedule, after, middle).unwrap();
            parts.extend(occurrences(&schedule, middle, through).unwrap());

            prop_assert_eq!(&whole, &parts);
            prop_assert!(whole.is_sorted_by(|left, right| left < right));
            if let Some(first) = whole.first() {
                prop_assert_eq!(next(&schedule, after).unwrap(), Some(*first));
            }
        }
    }

    fn patch_tuesday(days_after: u32, at: &str, zone: &str) -> Schedule {
        let zone = zone.parse().unwrap();
        Schedule::PatchTuesday(PatchTuesday { days_after, at: at.to_owned(), zone })
    }

    fn cron(expression: &str, zone: &str) -> Schedule {
        let zone = zone.parse().unwrap();
        Schedule::Cron(CronSchedule { expression: expression.to_owned(), zone })
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }
}
