//! A version number of a gallery: three numbers, compared as numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `major.minor.patch`, each below 2^31 as the gallery wants it (MicrosoftDocs, image-version.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionNumber {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// A text that is not `major.minor.patch`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version number; write it as `1.2.3`")]
pub struct VersionNumberError(pub String);

impl VersionNumber {
    /// The highest value of each part.
    pub const MAX_PART: u32 = i32::MAX as u32;

    /// The number `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> VersionNumber {
        VersionNumber { major, minor, patch }
    }
}

impl FromStr for VersionNumber {
    type Err = VersionNumberError;

    fn from_str(text: &str) -> Result<VersionNumber, VersionNumberError> {
        let error = || VersionNumberError(text.chars().take(64).collect());
        let part = |part: &str| -> Option<u32> {
            let digits = !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
            let value: u32 = if digits { part.parse().ok()? } else { return None };
            (value <= VersionNumber::MAX_PART).then_some(value)
        };

        let mut parts = text.split('.').map(part);
        let (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        Ok(VersionNumber { major, minor, patch })
    }
}

impl TryFrom<String> for VersionNumber {
    type Error = VersionNumberError;

    fn try_from(text: String) -> Result<VersionNumber, VersionNumberError> {
        text.parse()
    }
}

impl From<VersionNumber> for String {
    fn from(number: VersionNumber) -> String {
        number.to_string()
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let parse = |text: &str| text.parse::<VersionNumber>().unwrap();

        assert!(parse("1.10.0") > parse("1.9.9"));
        assert!(parse("2.0.0") > parse("1.2147483647.2147483647"));
        assert!(parse("10.0.0") > parse("9.0.0"));
    }

    #[test]
    fn what_is_not_three_numbers_is_refused() {
        let table = [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.",
            ".1.2",
            "1..2",
            "v1.2.3",
            "1.2.x",
            "1.2.-3",
            "+1.2.3",
            " 1.2.3",
            "1.2.3 ",
            "1.2.2147483648",
            "latest",
            "1.2.٣",
        ];
        for text in table {
            let error = text.parse::<VersionNumber>().unwrap_err();
            assert_eq!(error, VersionNumberError(text.to_owned()));
        }
    }

    #[test]
    fn an_error_shows_no_more_than_64_characters_of_what_it_was_given() {
        let error = "9".repeat(10_000).parse::<VersionNumber>().unwrap_err();
        assert_eq!(error.0.len(), 64);
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_is_written(
            major in 0..=VersionNumber::MAX_PART,
            minor in 0..=VersionNumber::MAX_PART,
            patch in 0..=VersionNumber::MAX_PART,
        ) {
            let number = VersionNumber::new(major, minor, patch);
            prop_assert_eq!(number.to_string().parse::<VersionNumber>().unwrap(), number);
            let json = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(&json, &format!("\"{number}\""));
            prop_assert_eq!(serde_json::from_str::<VersionNumber>(&json).unwrap(), number);
        }

        #[test]
        fn no_text_makes_reading_a_number_panic(text in ".{0,40}") {
            let _ = text.parse::<VersionNumber>();
        }
    }
}
