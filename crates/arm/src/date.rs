//! Azure's dates. Recorded are 0, 4 to 7 and 9 digits of a second, `Z` and `+00:00`, the year 1 for
//! "not yet" and the year 9999 for "never"; the same instant is written differently by each
//! provider, so instants are compared and never texts.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

/// The instant that `text` names; nothing for the year 1 or an empty text, which mean "not yet".
///
/// # Errors
/// What is wrong with `text`, as part of a sentence.
pub(crate) fn instant(text: &str) -> Result<Option<DateTime<Utc>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let instant = DateTime::parse_from_rfc3339(text)
        .map_err(|_| format!("`{}` is not a date", crate::readable::readable(text, 40)))?
        .with_timezone(&Utc);
    Ok((instant.year() > 1).then_some(instant))
}

/// The same for a member that may be absent.
pub(crate) fn optional(text: Option<&str>) -> Result<Option<DateTime<Utc>>, String> {
    text.map_or(Ok(None), instant)
}

/// How we write a date: whole seconds and `Z`.
pub(crate) fn written(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> (i64, u32) {
        let instant = instant(text).unwrap().unwrap();
        (instant.timestamp(), instant.timestamp_subsec_nanos())
    }

    #[test]
    fn every_recorded_number_of_digits_is_read_to_the_nanosecond() {
        assert_eq!(nanos("2024-05-14T08:39:55Z").1, 0);
        assert_eq!(nanos("2024-08-26T07:11:57.0730+00:00").1, 73_000_000);
        assert_eq!(nanos("2024-08-26T07:11:57.07309+00:00").1, 73_090_000);
        assert_eq!(nanos("2025-01-07T05:56:46.4648477+00:00").1, 464_847_700);
        assert_eq!(nanos("2024-05-14T08:39:55.679639302Z").1, 679_639_302);
        assert_eq!(nanos("2024-05-14T08:39:55.6796393024Z").1, 679_639_302);
    }

    #[test]
    fn the_same_instant_in_two_spellings_is_the_same() {
        assert_eq!(nanos("2021-04-01T00:00:00Z"), nanos("2021-04-01T00:00:00+00:00"));
        assert_eq!(
            nanos("2025-03-25T12:18:34.9246417-04:00"),
            nanos("2025-03-25T16:18:34.9246417Z")
        );
    }

    #[test]
    fn the_year_one_means_not_yet() {
        assert_eq!(instant("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(instant("0001-01-01T00:00:00.0000000+00:00"), Ok(None));
        assert_eq!(instant(""), Ok(None));
        assert_eq!(optional(None), Ok(None));
    }

    #[test]
    fn the_end_of_the_year_9999_does_not_overflow() {
        let never = instant("9999-12-31T23:59:59.9999999+00:00").unwrap().unwrap();
        assert_eq!(never.year(), 9999);
    }

    #[test]
    fn another_text_is_refused_and_named() {
        assert_eq!(instant("yesterday"), Err("`yesterday` is not a date".to_owned()));
        assert!(instant("2024-05-14").is_err());
        assert!(instant("2024-13-14T00:00:00Z").is_err());
    }

    #[test]
    fn we_write_whole_seconds() {
        let read = instant("2024-05-14T08:39:55.679639302Z").unwrap().unwrap();
        assert_eq!(written(read), "2024-05-14T08:39:55Z");
    }
}
