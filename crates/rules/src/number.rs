//! The number of the next version, and the digest that says whether what makes an image changed.
//!
//! Azure's *latest* is the highest number, not the newest: a number is therefore above every
//! number that the gallery, its soft-deleted versions or the ledger has ever had.

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::VersionNumber;
use crate::catalog::{Base, Customize, Generation, Image, Os, Security};
use crate::trigger::Trigger;

/// Which part of the number is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// A plain rebuild.
    Patch,
    /// Patches, a new base or a parent's release.
    Minor,
    /// What makes the image has changed.
    Major,
}

impl Bump {
    /// What the run of these triggers raises. `previous_spec` is the [`spec_digest`] of the last
    /// run that made a version; when nobody knows it, nothing says that it has changed.
    pub fn of<'a>(
        previous_spec: Option<&str>,
        spec: &str,
        triggers: impl IntoIterator<Item = &'a Trigger>,
    ) -> Bump {
        if previous_spec.is_some_and(|it| it != spec) {
            return Bump::Major;
        }
        let brings_updates = |trigger: &Trigger| match trigger {
            Trigger::Schedule { .. }
            | Trigger::Base { .. }
            | Trigger::Parent { .. }
            | Trigger::Advisory { .. } => true,
            Trigger::Person { .. } => false,
        };
        match triggers.into_iter().any(brings_updates) {
            true => Bump::Minor,
            false => Bump::Patch,
        }
    }
}

/// There is no number above the highest one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no version number is above `{highest}`; publish under a new image name, since numbers are \
     never used twice"
)]
pub struct NumbersExhausted {
    pub highest: VersionNumber,
}

/// The next number: `1.0.0` when none was ever taken, else above every one of `taken`. When the
/// part to raise is at its end, the next higher part is raised, and failing that a lower one.
pub fn next_number<'a>(
    reason: Bump,
    taken: impl IntoIterator<Item = &'a VersionNumber>,
) -> Result<VersionNumber, NumbersExhausted> {
    let Some(highest) = taken.into_iter().max().copied() else {
        return Ok(VersionNumber::new(1, 0, 0));
    };
    let VersionNumber { major, minor, patch } = highest;
    let next = |part: u32| (part < VersionNumber::MAX_PART).then(|| part + 1);
    let raised_major = next(major).map(|major| VersionNumber::new(major, 0, 0));
    let raised_minor = next(minor).map(|minor| VersionNumber::new(major, minor, 0));
    let raised_patch = next(patch).map(|patch| VersionNumber::new(major, minor, patch));

    let wanted = match reason {
        Bump::Major => raised_major.or(raised_minor).or(raised_patch),
        Bump::Minor => raised_minor.or(raised_major).or(raised_patch),
        Bump::Patch => raised_patch.or(raised_minor).or(raised_major),
    };
    wanted.ok_or(NumbersExhausted { highest })
}

/// What makes an image. Its rings, gate, schedule and retention do not; nor does the version of
/// its base, which has a trigger of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    os: Os,
    generation: Generation,
    security: Security,
    base: &'a Base,
    customize: Vec<Customize>,
}

/// The digest of what makes `image`: the SHA-256, in hex, of its canonical JSON. A file counts by
/// its content once that is known, so that moving it is no change.
pub fn spec_digest(image: &Image) -> String {
    let spec = Spec {
        os: image.os,
        generation: image.generation,
        security: image.security,
        base: &image.base,
        customize: image.customize.iter().map(by_content).collect(),
    };
    // Serialising plain data with text keys into a value cannot fail; a null would still digest.
    let value = serde_json::to_value(&spec).unwrap_or(Value::Null);
    let mut text = String::new();
    write_canonical(&value, &mut text);
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn by_content(step: &Customize) -> Customize {
    let mut step = step.clone();
    match &mut step {
        Customize::Shell(script) | Customize::Powershell(script) if script.sha256.is_some() => {
            script.script = None;
        }
        Customize::File(file) if file.sha256.is_some() => file.source.clear(),
        Customize::Shell(_)
        | Customize::Powershell(_)
        | Customize::File(_)
        | Customize::WindowsUpdate(_)
        | Customize::Restart(_) => {}
    }
    step
}

/// Writes `value` with its members sorted: `serde_json` keeps them in an order that depends on
/// which features other packages of the same build switch on.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(member, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MOST: u32 = VersionNumber::MAX_PART;

    #[test]
    fn the_first_number_is_1_0_0() {
        for reason in [Bump::Patch, Bump::Minor, Bump::Major] {
            assert_eq!(next_number(reason, []), Ok(VersionNumber::new(1, 0, 0)));
        }
    }

    #[test]
    fn a_number_is_above_the_highest_one_and_not_above_the_last_one() {
        let taken = [number(1, 4, 2), number(2, 0, 0), number(1, 9, 9)];

        assert_eq!(next_number(Bump::Patch, &taken), Ok(number(2, 0, 1)));
        assert_eq!(next_number(Bump::Minor, &taken), Ok(number(2, 1, 0)));
        assert_eq!(next_number(Bump::Major, &taken), Ok(number(3, 0, 0)));
    }

    #[test]
    fn a_part_at_its_end_carries_into_the_next_and_then_falls_to_a_lower_one() {
        let table = [
            (Bump::Patch, number(1, 2, MOST), number(1, 3, 0)),
            (Bump::Patch, number(1, MOST, MOST), number(2, 0, 0)),
            (Bump::Minor, number(1, MOST, 0), number(2, 0, 0)),
            (Bump::Major, number(MOST, 2, 3), number(MOST, 3, 0)),
            (Bump::Minor, number(MOST, MOST, 3), number(MOST, MOST, 4)),
        ];
        for (reason, highest, expected) in table {
            assert_eq!(next_number(reason, [&highest]), Ok(expected), "{reason:?} {highest}");
        }

        let highest = number(MOST, MOST, MOST);
        assert_eq!(next_number(Bump::Patch, [&highest]), Err(NumbersExhausted { highest }));
    }

    #[test]
    fn the_reason_to_build_decides_which_part_is_raised() {
        let person = Trigger::Person { request: "r1".into(), by: "ada".into(), why: String::new() };
        let base = Trigger::Base { version: "22.04.202609080".into() };

        assert_eq!(Bump::of(Some("a"), "b", [&person]), Bump::Major);
        assert_eq!(Bump::of(None, "b", [&person]), Bump::Patch);
        assert_eq!(Bump::of(Some("a"), "a", [&person]), Bump::Patch);
        assert_eq!(Bump::of(Some("a"), "a", [&person, &base]), Bump::Minor);
    }

    #[test]
    fn the_spec_digest_is_the_same_in_every_build_of_goldsmith() {
        // A changed digest would give every image of every catalog a new major number.
        let expected = "ff0172ea527fc12adf539361d4894a9ed7a3c415a537027d80d1fd82b15eecee";
        assert_eq!(spec_digest(&image()), expected);
    }

    #[test]
    fn only_what_makes_the_image_changes_its_spec_digest() {
        let before = spec_digest(&image());

        let mut other = image();
        other.rings[0].bake_hours = 12;
        other.retention.keep = 7;
        other.gate.ignore_unfixed = false;
        other.schedule = None;
        assert_eq!(spec_digest(&other), before);

        let mut other = image();
        other.customize.swap(0, 1);
        assert_ne!(spec_digest(&other), before);

        let mut other = image();
        other.security = Security::Standard;
        assert_ne!(spec_digest(&other), before);
    }

    #[test]
    fn a_script_counts_by_its_content_and_not_by_its_path() {
        let mut moved = image();
        let mut edited = image();
        if let Customize::Shell(script) = &mut moved.customize[1] {
            script.script = Some("scripts/elsewhere.sh".to_owned());
        }
        if let Customize::Shell(script) = &mut edited.customize[1] {
            script.sha256 = Some("22".repeat(32));
        }

        assert_eq!(spec_digest(&moved), spec_digest(&image()));
        assert_ne!(spec_digest(&edited), spec_digest(&image()));
    }

    proptest! {
        #[test]
        fn a_number_is_above_every_number_that_was_ever_taken(
            parts in proptest::collection::vec((part(), part(), part()), 1..20), reason in 0..3,
        ) {
            let taken: Vec<VersionNumber> =
                parts.into_iter().map(|(major, minor, patch)| number(major, minor, patch)).collect();
            let reason = [Bump::Patch, Bump::Minor, Bump::Major][reason as usize];
            match next_number(reason, &taken) {
                Ok(next) => {
                    prop_assert!(taken.iter().all(|it| *it < next));
                    prop_assert_eq!(next.to_string().parse::<VersionNumber>().unwrap(), next);
                }
                Err(error) => prop_assert_eq!(error.highest, number(MOST, MOST, MOST)),
            }
        }
    }

    fn part() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..4, MOST - 1..=MOST]
    }

    fn number(major: u32, minor: u32, patch: u32) -> VersionNumber {
        VersionNumber::new(major, minor, patch)
    }

    fn image() -> Image {
        serde_json::from_value(json!({
            "name": "ubuntu-web",
            "identifier": { "publisher": "contoso", "offer": "ubuntu", "sku": "web" },
            "os": "linux",
            "base": { "platform": { "publisher": "Canonical", "offer": "jammy", "sku": "22_04" } },
            "customize": [
                { "shell": { "name": "apply-updates", "inline": ["apt-get -y upgrade"] } },
                { "shell": { "name": "harden", "script": "scripts/harden.sh",
                             "sha256": "11".repeat(32) } },
            ],
            "schedule": { "patchTuesday": { "at": "02:00", "zone": "UTC" } },
            "rings": [{ "name": "all", "regions": ["westeurope"] }],
        }))
        .unwrap()
    }
}
