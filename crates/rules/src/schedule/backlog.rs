//! What a schedule has made due that nobody has judged: after a standstill, or since a year ago,
//! when an image has got a schedule that it did not have.

use chrono::{DateTime, Utc};

use super::{MOST_OCCURRENCES, ScheduleError, occurrences};
use crate::catalog::Schedule;

/// The occurrences of `schedule` after `after` and up to and including `through`, in their order. Of
/// a row that is too long to be judged at once the newest part: many occurrences are one reason to
/// build, and nobody has waited for those before.
pub fn due(
    schedule: &Schedule,
    after: DateTime<Utc>,
    through: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
    let mut after = after;
    let mut due = occurrences(schedule, after, through)?;
    while due.len() == MOST_OCCURRENCES {
        after += (through - after) / 2;
        let newer = occurrences(schedule, after, through)?;
        // It has ended: what it had is judged in parts.
        if newer.is_empty() {
            break;
        }
        due = newer;
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::catalog::CronSchedule;

    fn cron(expression: &str) -> Schedule {
        Schedule::Cron(CronSchedule { expression: expression.to_owned(), zone: chrono_tz::UTC })
    }

    fn start() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_row_that_can_be_judged_at_once_is_whole_and_of_a_longer_one_the_newest_part_is_due() {
        let table = [
            ("0 0 2 * * *", 365, 365),
            ("0 0 * * * *", 41, 984),
            // A year of hours, and two years of minutes: halved until they fit.
            ("0 0 * * * *", 365, 548),
            ("0 * * * * *", 730, 514),
            ("* * * * * *", 1, 675),
        ];
        for (expression, days, count) in table {
            let through = start() + TimeDelta::days(days);

            let due = due(&cron(expression), start(), through).unwrap();

            assert_eq!(due.len(), count, "{expression} in {days} days");
            assert!(through - *due.last().unwrap() < TimeDelta::days(1), "{expression}");
            let all = occurrences(&cron(expression), due[0] - TimeDelta::seconds(1), through);
            assert_eq!(all.unwrap(), due, "none between is left out");
        }
    }

    #[test]
    fn a_schedule_that_has_ended_is_judged_to_its_end() {
        let minutes_of_a_day = cron("0 * * 1 1 * 2026");
        let through = start() + TimeDelta::days(400);

        let (mut after, mut judged) = (start(), 0);
        loop {
            let due = due(&minutes_of_a_day, after, through).unwrap();
            let Some(newest) = due.last() else { break };
            (after, judged) = (*newest, judged + due.len());
        }

        assert_eq!(judged, 1439, "the first is at the start, which is left out");
    }
}
