//! When a timer fires: NCrontab, as the Functions host reads it, or a span of time.
//!
//! Own code, since the `cron` crate counts the days of the week from 1 and knows letters that
//! NCrontab does not. Day of month and day of week are both required to match.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

/// A schedule, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Cron(Cron),
    /// Counted from the last run.
    Every(TimeDelta),
}

impl Schedule {
    /// Reads `{second} {minute} {hour} {day} {month} {day of week}`, the same without seconds, or a
    /// span such as `06:00:00`.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if let Some(span) = span(text) {
            return Ok(Schedule::Every(span));
        }
        Cron::parse(text).map(Schedule::Cron)
    }

    /// The first occurrence strictly after `now`; none when there is no such day in 30 years.
    pub fn after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Schedule::Every(span) => now.checked_add_signed(*span),
            Schedule::Cron(cron) => cron.after(now),
        }
    }

    /// Whether it never fires more than once a minute; only then is its status kept.
    pub(super) fn may_be_monitored(&self, now: DateTime<Utc>) -> bool {
        let mut last = now;
        for _ in 0..10 {
            let Some(next) = self.after(last) else { return true };
            if last > now && next - last < TimeDelta::minutes(1) {
                return false;
            }
            last = next;
        }
        true
    }
}

/// The allowed values of each field, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    days_of_week: u64,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Cron {
    fn parse(text: &str) -> Result<Cron, String> {
        let mut fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [second, minute, hour, day, month, day_of_week] = fields[..] else {
            return Err(format!(
                "`{text}` is not a schedule: write six fields, \
                 {{second}} {{minute}} {{hour}} {{day}} {{month}} {{day of week}}"
            ));
        };
        Ok(Cron {
            seconds: field(second, 0, 59, &[])?,
            minutes: field(minute, 0, 59, &[])?,
            hours: field(hour, 0, 23, &[])?,
            days: field(day, 1, 31, &[])?,
            months: field(month, 1, 12, &MONTHS)?,
            days_of_week: field(day_of_week, 0, 6, &DAYS)?,
        })
    }

    fn after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let earliest = (now + TimeDelta::seconds(1)).with_nanosecond(0)?;
        let mut date = earliest.date_naive();
        let mut time = earliest.time();

        for _ in 0..(30 * 366) {
            if self.falls_on(date)
                && let Some((hour, minute, second)) = self.first_time_from(&time)
            {
                return Some(date.and_hms_opt(hour, minute, second)?.and_utc());
            }
            date = date.succ_opt()?;
            time = chrono::NaiveTime::MIN;
        }
        None
    }

    fn falls_on(&self, date: chrono::NaiveDate) -> bool {
        has(self.months, date.month())
            && has(self.days, date.day())
            && has(self.days_of_week, date.weekday().num_days_from_sunday())
    }

    fn first_time_from(&self, time: &chrono::NaiveTime) -> Option<(u32, u32, u32)> {
        let (first_minute, first_second) = (first(self.minutes, 0)?, first(self.seconds, 0)?);
        let hour = first(self.hours, time.hour())?;
        if hour > time.hour() {
            return Some((hour, first_minute, first_second));
        }
        let minute = first(self.minutes, time.minute());
        match minute {
            Some(minute) if minute > time.minute() => return Some((hour, minute, first_second)),
            Some(minute) => {
                if let Some(second) = first(self.seconds, time.second()) {
                    return Some((hour, minute, second));
                }
            }
            None => {}
        }
        if let Some(minute) = first(self.minutes, time.minute() + 1) {
            return Some((hour, minute, first_second));
        }
        let hour = first(self.hours, time.hour() + 1)?;
        Some((hour, first_minute, first_second))
    }
}

fn has(bits: u64, value: u32) -> bool {
    bits & (1 << value) != 0
}

/// The smallest value that is at least `from`.
fn first(bits: u64, from: u32) -> Option<u32> {
    let rest = if from < 64 { bits >> from << from } else { 0 };
    (rest != 0).then(|| rest.trailing_zeros())
}

/// Reads one field: `*`, `a`, `a-b`, each perhaps `/step`, separated by commas.
fn field(text: &str, lowest: u32, highest: u32, names: &[&str]) -> Result<u64, String> {
    let refused = |part: &str| {
        format!("`{part}` is not one of {lowest} to {highest} in a schedule's field `{text}`")
    };
    let value = |it: &str| -> Option<u32> {
        let name = it.to_ascii_lowercase();
        if let Some(place) = names.iter().position(|known| **known == name) {
            return Some(place as u32 + lowest);
        }
        it.parse().ok().filter(|it| (lowest..=highest).contains(it))
    };

    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (Some(lowest), Some(highest)),
            (_, Some((first, last))) => (value(first), value(last)),
            // With a step, a value alone is where the steps begin.
            (_, None) if step.is_some() => (value(range), Some(highest)),
            (_, None) => (value(range), value(range)),
        };
        let step = step.map_or(Some(1), |it| it.parse::<usize>().ok()).filter(|it| *it > 0);
        let (Some(first), Some(last), Some(step)) = (first, last, step) else {
            return Err(refused(part));
        };
        if first > last {
            return Err(refused(part));
        }
        for value in (first..=last).step_by(step) {
            bits |= 1 << value;
        }
    }
    Ok(bits)
}

/// `[d.]hh:mm:ss`, as .NET reads it: hours above 23 in the first place are days.
pub(super) fn span(text: &str) -> Option<TimeDelta> {
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) if clock.contains(':') => (days.parse::<i64>().ok()?, clock),
        _ => (0, text),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else {
        return None;
    };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds: f64 = seconds.parse().ok()?;
    if hours < 0 || !(0..60).contains(&minutes) || !(0.0..60.0).contains(&seconds) {
        return None;
    }
    let hours = if hours > 23 { TimeDelta::try_days(hours)? } else { TimeDelta::hours(hours) };
    let span = TimeDelta::try_days(days)?
        .checked_add(&hours)?
        .checked_add(&TimeDelta::minutes(minutes))?
        .checked_add(&TimeDelta::microseconds((seconds * 1e6) as i64))?;
    (span > TimeDelta::zero()).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, now: &str) -> String {
        let now = DateTime::parse_from_rfc3339(now).unwrap().to_utc();
        let next = Schedule::parse(schedule).unwrap().after(now).unwrap();
        next.format("%a %Y-%m-%dT%H:%M:%SZ").to_string()
    }

    #[test]
    fn occurrences_are_strictly_after_now() {
        for (schedule, now, expected) in [
            ("0 0 9 * * *", "2026-11-20T08:59:59.5Z", "Fri 2026-11-20T09:00:00Z"),
            ("0 0 9 * * *", "2026-11-20T09:00:00Z", "Sat 2026-11-21T09:00:00Z"),
            ("0 */5 * * * *", "2026-11-20T09:03:10Z", "Fri 2026-11-20T09:05:00Z"),
            ("0 */5 * * * *", "2026-11-20T23:55:00Z", "Sat 2026-11-21T00:00:00Z"),
            ("*/10 * * * * *", "2026-11-20T09:00:51Z", "Fri 2026-11-20T09:01:00Z"),
            ("30 10-12/2 8 * * *", "2026-11-20T08:10:30Z", "Fri 2026-11-20T08:12:30Z"),
            ("30 10-12/2 8 * * *", "2026-11-20T08:12:30Z", "Sat 2026-11-21T08:10:30Z"),
            ("0 50/5 * * * *", "2026-11-20T09:56:00Z", "Fri 2026-11-20T10:50:00Z"),
            ("15 9 * * *", "2026-11-20T09:00:00Z", "Fri 2026-11-20T09:15:00Z"),
            ("0 0 0 29 2 *", "2026-01-01T00:00:00Z", "Tue 2028-02-29T00:00:00Z"),
            ("0 0 6 * Jan,mar 1-5", "2026-11-20T00:00:00Z", "Fri 2027-01-01T06:00:00Z"),
            ("06:00:00", "2026-11-20T09:30:00Z", "Fri 2026-11-20T15:30:00Z"),
            ("24:00:00", "2026-11-01T00:00:00Z", "Wed 2026-11-25T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, now), expected, "{schedule} after {now}");
        }
    }

    #[test]
    fn day_of_month_and_day_of_week_must_both_match() {
        assert_eq!(next("0 0 0 13 * Fri", "2026-01-01T00:00:00Z"), "Fri 2026-02-13T00:00:00Z");
        assert_eq!(next("0 0 0 8-14 * 2", "2026-09-01T00:00:00Z"), "Tue 2026-09-08T00:00:00Z");
    }

    #[test]
    fn what_ncrontab_does_not_know_is_refused() {
        for text in [
            "0 0 0 * * 7",
            "0 0 0 ? * *",
            "0 0 0 L * *",
            "@daily",
            "",
            "* * * *",
            "0 60 * * * *",
            "0 5-1 * * * *",
            "0 */0 * * * *",
            "0 0 0 0 * *",
            "0 0 0 * 13 *",
            "00:00:00",
            "-1:00:00",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_that_never_comes_has_no_occurrence() {
        let schedule = Schedule::parse("0 0 0 31 2 *").unwrap();

        assert_eq!(schedule.after(DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn only_slow_schedules_are_monitored() {
        let monitored =
            |it: &str| Schedule::parse(it).unwrap().may_be_monitored(DateTime::UNIX_EPOCH);

        assert!(!monitored("*/10 * * * * *"));
        assert!(!monitored("0,1 0 9 * * *"));
        assert!(monitored("0 * * * * *"));
        assert!(!monitored("00:00:30"));
        assert!(monitored("00:01:00"));
    }
}
