//! Names that are safe in a path, a queue message and an Azure name.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of an image of the catalog: also the gallery's definition name, the ledger's stream
/// and a part of the build template's name. 1 to 48 lower-case letters, digits and single inner
/// dashes (a template name has at most 64 characters, and a version follows this one).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ImageName(String);

/// The name of a catalog; the same letters as an image's.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CatalogName(String);

/// An Azure region in its short form, `westeurope`. "West Europe" is read as the same: Azure
/// writes one form in `targetRegions` and the other in `replicationStatus`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Region(String);

/// A text that is not a name, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct NameError {
    text: String,
    what: &'static str,
    rule: &'static str,
}

fn slug(text: String, what: &'static str) -> Result<String, NameError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = !text.is_empty()
        && text.len() <= 48
        && text.split('-').all(|part| !part.is_empty() && part.bytes().all(inner));
    if good {
        return Ok(text);
    }
    let rule = "1 to 48 lower-case letters, digits and single dashes between them";
    Err(NameError { text, what, rule })
}

impl TryFrom<String> for ImageName {
    type Error = NameError;

    fn try_from(text: String) -> Result<ImageName, NameError> {
        slug(text, "the name of an image").map(ImageName)
    }
}

impl TryFrom<String> for CatalogName {
    type Error = NameError;

    fn try_from(text: String) -> Result<CatalogName, NameError> {
        slug(text, "the name of a catalog").map(CatalogName)
    }
}

impl TryFrom<String> for Region {
    type Error = NameError;

    fn try_from(text: String) -> Result<Region, NameError> {
        let short: String =
            text.chars().filter(|it| *it != ' ').flat_map(char::to_lowercase).collect();
        let good = !short.is_empty() && short.bytes().all(|it| it.is_ascii_alphanumeric());
        if good && short.len() <= 48 {
            return Ok(Region(short));
        }
        Err(NameError { text, what: "a region", rule: "write it as `westeurope`" })
    }
}

impl ImageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ImageName, NameError> {
        ImageName::try_from(text.to_owned())
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> String {
        name.0
    }
}

impl CatalogName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CatalogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for CatalogName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<CatalogName, NameError> {
        CatalogName::try_from(text.to_owned())
    }
}

impl From<CatalogName> for String {
    fn from(name: CatalogName) -> String {
        name.0
    }
}

impl Region {
    /// The short form, `westeurope`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Region {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Region, NameError> {
        Region::try_from(text.to_owned())
    }
}

impl From<Region> for String {
    fn from(region: Region) -> String {
        region.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_small_letters_digits_and_single_inner_dashes() {
        for text in ["a", "7", "ubuntu-2204-web", &"a".repeat(48)] {
            assert_eq!(text.parse::<ImageName>().unwrap().as_str(), text);
            assert_eq!(text.parse::<CatalogName>().unwrap().as_str(), text);
        }
        let bad =
            ["", "-a", "a-", "a--b", "A", "a_b", "a.b", "a/b", "..", "é", "a b", &"a".repeat(49)];
        for text in bad {
            let error = text.parse::<ImageName>().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("`{text}` is not the name of an image"))
            );
            assert!(text.parse::<CatalogName>().is_err());
        }
    }

    #[test]
    fn both_of_azures_spellings_of_a_region_are_the_same_region() {
        let short: Region = "westeurope".parse().unwrap();

        assert_eq!("West Europe".parse::<Region>().unwrap(), short);
        assert_eq!("WestEurope".parse::<Region>().unwrap(), short);
        assert_eq!(serde_json::to_string(&short).unwrap(), "\"westeurope\"");
        assert_ne!("East US 2".parse::<Region>().unwrap(), "eastus".parse::<Region>().unwrap());
        for text in ["", " ", "west-europe", "../x", "wést", &"a".repeat(49)] {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
    }
}
