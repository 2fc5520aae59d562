//! Texts with a form of their own: names, regions, time zones, days. JSON Schema could only say that
//! they do not match; what reads them says why.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use rules::{CatalogName, ImageName, Region};

use crate::problem::did_you_mean;

/// A form of text: the name of its JSON Schema format, and what reads it or says why it cannot.
pub struct TextForm {
    pub format: &'static str,
    /// The definition of the schema that has this form; empty where the fields say it themselves.
    pub definition: &'static str,
    pub read: fn(&str) -> Result<(), Malformed>,
}

/// Why a text does not have its form, and the next move.
pub struct Malformed {
    pub message: String,
    pub hint: Option<String>,
}

/// Every form.
pub const TEXT_FORMS: [TextForm; 6] = [
    TextForm { format: "image-name", definition: "ImageName", read: image_name },
    TextForm { format: "catalog-name", definition: "CatalogName", read: catalog_name },
    TextForm { format: "region", definition: "Region", read: region },
    TextForm { format: "time-zone", definition: "", read: time_zone },
    TextForm { format: "date", definition: "", read: date },
    TextForm { format: "date-time", definition: "", read: instant },
];

fn image_name(text: &str) -> Result<(), Malformed> {
    ImageName::from_str(text).map(drop).map_err(|error| plainly(error.to_string()))
}

fn catalog_name(text: &str) -> Result<(), Malformed> {
    CatalogName::from_str(text).map(drop).map_err(|error| plainly(error.to_string()))
}

fn region(text: &str) -> Result<(), Malformed> {
    Region::from_str(text).map(drop).map_err(|error| plainly(error.to_string()))
}

fn time_zone(text: &str) -> Result<(), Malformed> {
    if Tz::from_str(text).is_ok() {
        return Ok(());
    }
    let hint = match did_you_mean(text, chrono_tz::TZ_VARIANTS.iter().map(|it| it.name())) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "write it as `Europe/Amsterdam` or `UTC`".to_owned(),
    };
    Err(Malformed { message: format!("`{text}` is not a time zone"), hint: Some(hint) })
}

fn date(text: &str) -> Result<(), Malformed> {
    let read = NaiveDate::from_str(text).map(drop);
    read.map_err(|_| plainly(format!("`{text}` is not a day; write it as `2026-10-31`")))
}

fn instant(text: &str) -> Result<(), Malformed> {
    let read = DateTime::parse_from_rfc3339(text).map(drop);
    let message = || format!("`{text}` is not an instant; write it as `2026-09-07T06:00:00Z`");
    read.map_err(|_| plainly(message()))
}

fn plainly(message: String) -> Malformed {
    Malformed { message, hint: None }
}
