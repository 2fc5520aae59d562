//! The tags that let every other tool see the lifecycle.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use rules::ImageName;
use rules::plain::is_plain;
use rules::standing::Standing;
use rules::state::Run;

use crate::Context;

/// The version's standing, `released`.
pub const STANDING: &str = "goldsmith-version-state";
/// The image's name in the catalog.
pub const IMAGE: &str = "goldsmith-image";
/// The exact version of the base.
pub const BASE: &str = "goldsmith-base";
/// The digest of what made it, its base's version apart.
pub const SPEC: &str = "goldsmith-spec";
/// When the first region got it, RFC 3339.
pub const RELEASED_AT: &str = "goldsmith-released-at";
/// When it was deprecated, RFC 3339.
pub const DEPRECATED_AT: &str = "goldsmith-deprecated-at";
/// Why it stands as it does.
pub const WHY: &str = "goldsmith-why";

/// A tag's value has at most so many characters
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources>).
const LONGEST_VALUE: usize = 256;

/// The tags of anything that belongs to an image.
pub fn of_resource(cx: &Context, image: &ImageName) -> BTreeMap<String, String> {
    let mut tags = cx.catalog.tags.clone();
    set(&mut tags, IMAGE, image.as_str());
    tags
}

/// The tags of the version that `run` makes.
pub fn of_version(
    cx: &Context,
    image: &ImageName,
    run: &Run,
    standing: Standing,
) -> BTreeMap<String, String> {
    let mut tags = of_resource(cx, image);
    set(&mut tags, STANDING, standing.as_str());
    set(&mut tags, BASE, &run.base.version());
    set(&mut tags, SPEC, &run.spec);
    set(&mut tags, WHY, &run.why);
    tags
}

/// Sets a tag; what does not fit is cut.
pub fn set(tags: &mut BTreeMap<String, String>, name: &str, value: &str) {
    let value = value.chars().filter(|it| is_plain(*it)).take(LONGEST_VALUE).collect();
    tags.insert(name.to_owned(), value);
}

/// Sets a tag to an instant.
pub fn set_time(tags: &mut BTreeMap<String, String>, name: &str, at: DateTime<Utc>) {
    set(tags, name, &at.to_rfc3339_opts(SecondsFormat::Secs, true));
}

/// The instant that a tag holds.
pub fn time(tags: &BTreeMap<String, String>, name: &str) -> Option<DateTime<Utc>> {
    let text = tags.get(name)?;
    DateTime::parse_from_rfc3339(text).ok().map(|it| it.to_utc())
}

/// True when the tags say that the version is released, and nothing that Azure shows of it speaks
/// against that: what a version is worth that is not in our ledger.
pub fn say_released(version: &arm::Version) -> bool {
    let standing = version.tags.get(STANDING).map(String::as_str);
    standing == Some(Standing::Released.as_str())
        && version.provisioning == arm::Provisioning::Succeeded
        && !version.exclude_from_latest
}

/// True when the tags say that Goldsmith made the version for this image.
pub fn are_ours(tags: &BTreeMap<String, String>, image: &ImageName) -> bool {
    tags.get(IMAGE).is_some_and(|it| it == image.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_what_azure_takes_in_plain_letters() {
        let mut tags = BTreeMap::new();

        set(&mut tags, WHY, &format!("a\u{1b}[2J\r\n\u{202e}\0{}", "ö".repeat(1 << 20)));

        let value = &tags[WHY];
        assert!(value.starts_with("a[2Jö"), "{value}");
        assert_eq!(value.chars().count(), LONGEST_VALUE);
    }
}
