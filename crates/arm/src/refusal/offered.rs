//! The api-versions that a cloud names when it refuses one.

use super::shape::{Refusal, read};

/// The api-versions that the cloud has, when it refuses the one that was asked for; none of them
/// where it does not say. With the code of the refusal.
pub(crate) fn offered(body: &[u8]) -> Option<(String, Vec<String>)> {
    const LACKS: [&str; 3] =
        ["NoRegisteredProviderFound", "InvalidApiVersionParameter", "InvalidResourceType"];
    let Refusal { code, .. } = read(&String::from_utf8_lossy(body))?;
    if !LACKS.iter().any(|it| it.eq_ignore_ascii_case(&code)) {
        return None;
    }
    // The whole text: what is kept of a message is too short for a list of thirty versions.
    let text = String::from_utf8_lossy(body);
    let list = text.split_once("supported").map_or("", |it| it.1);
    let version = |it: &&str| {
        let digits = it.bytes().filter(u8::is_ascii_digit).count();
        it.starts_with("20") && digits == 8 && it.split('-').count() >= 3
    };
    let words = list.split(|it: char| !it.is_ascii_alphanumeric() && it != '-');
    Some((code, words.filter(version).map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_versions_of_a_cloud_are_read_from_its_refusal() {
        let versions = |code: &str, message: &str| {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#);
            offered(body.as_bytes())
        };

        let (code, found) = versions("NoRegisteredProviderFound", "No registered resource provider found for location 'westus' and API version '2026-03-03' for type 'galleries'. The supported api-versions are '2018-06-01, 2021-10-01-preview, 2025-03-03'. The supported locations are 'eastus2, westus'.").unwrap();
        assert_eq!(code, "NoRegisteredProviderFound");
        assert_eq!(found, ["2018-06-01", "2021-10-01-preview", "2025-03-03"]);
        let (_, found) = versions("InvalidResourceType", "The resource type could not be found in the namespace 'Microsoft.Compute' for api version '2026-03-03'.").unwrap();
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(versions("BadRequest", "the supported api-versions are '2025-03-03'"), None);
        assert_eq!(offered(b"<html>"), None);
    }
}
