//! Platform (Marketplace) images: which versions a region offers, and which of them is the newest.
//! Azure lists them in the order of their texts, in which `9` comes after `10`.

use std::cmp::Ordering;

use rules::Region;
use rules::catalog::PlatformImage;
use serde::Deserialize;

use crate::api::COMPUTE;
use crate::client::Arm;
use crate::error::Error;
use crate::id::escaped;

impl Arm {
    /// Lists the versions of `image` that `location` offers, in no order. Publishing is staged, so
    /// the region that builds is the one to ask.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the publisher, offer or SKU is not there; else why they could not
    /// be listed.
    pub async fn platform_versions(
        &self,
        subscription: &str,
        location: &Region,
        image: &PlatformImage,
    ) -> Result<Vec<String>, Error> {
        let PlatformImage { publisher, offer, sku, .. } = image;
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Compute/locations/{}/publishers/{}/artifacttypes/vmimage/offers/{}/skus/{}/versions?api-version={COMPUTE}",
            escaped(subscription),
            escaped(location.as_str()),
            escaped(publisher),
            escaped(offer),
            escaped(sku)
        );
        let resource = format!("{publisher}:{offer}:{sku} in {location}");
        let operation = "list the platform versions of";
        let answer = self.get(operation, resource.clone(), path.clone()).await?;
        match answer.read(Ok::<List, String>)? {
            List::Bare(items) | List::Wrapped { value: items, next_link: None } => {
                Ok(items.into_iter().map(|it| it.name).collect())
            }
            // Never recorded; then it is a list like any other, and read page by page.
            List::Wrapped { next_link: Some(_), .. } => {
                self.list(operation, resource, path, |it: Item| Ok(it.name)).await
            }
        }
    }
}

/// Recorded is always the bare array; Microsoft's example of one such list shows the other.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Bare(Vec<Item>),
    Wrapped {
        value: Vec<Item>,
        #[serde(rename = "nextLink")]
        next_link: Option<String>,
    },
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

/// The newest of `versions`, by their numbers.
pub fn newest(versions: &[String]) -> Option<&str> {
    versions.iter().map(String::as_str).max_by(|one, other| compare(one, other))
}

/// Compares two versions by their parts as numbers; of equal beginnings the longer is newer. A
/// version with a part that is no number is older than every one without.
pub fn compare(one: &str, other: &str) -> Ordering {
    numbers(one).cmp(&numbers(other)).then_with(|| one.cmp(other))
}

fn numbers(version: &str) -> Option<Vec<u128>> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    version.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest_of(versions: &[&str]) -> Option<String> {
        let versions: Vec<String> = versions.iter().map(|it| (*it).to_owned()).collect();
        newest(&versions).map(str::to_owned)
    }

    #[test]
    fn parts_are_compared_as_numbers() {
        let table: &[(&[&str], &str)] = &[
            (&["9.0.1", "10.0.1", "9.9.9"], "10.0.1"),
            (&["22.04.20240409", "22.04.202404090"], "22.04.202404090"),
            (&["20348.2402.240405", "20348.887.220806", "20348.2322.240306"], "20348.2402.240405"),
            (&["1.0", "1.0.0"], "1.0.0"),
            (&["1.02.3", "1.2.2"], "1.02.3"),
            (&["7.7.201912090"], "7.7.201912090"),
        ];
        for (versions, expected) in table {
            assert_eq!(newest_of(versions).as_deref(), Some(*expected), "{versions:?}");
        }
    }

    #[test]
    fn a_part_that_is_no_number_is_never_the_newest() {
        assert_eq!(
            newest_of(&["99.preview.1", "1.0.0", "latest", "2.+3.0"]).as_deref(),
            Some("1.0.0")
        );
    }

    #[test]
    fn the_newest_of_nothing_is_nothing() {
        assert_eq!(newest_of(&[]), None);
    }
}
