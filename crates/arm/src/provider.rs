//! Which api-versions a cloud has. A refusal names them most often; where it does not, the resource
//! provider is asked.

use http::Method;
use serde::Deserialize;

use crate::api::RESOURCES;
use crate::client::{Arm, Call};
use crate::error::{At, Error};

/// What a resource provider says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    #[serde(default)]
    resource_types: Vec<ResourceType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceType {
    resource_type: String,
    #[serde(default)]
    api_versions: Vec<String>,
}

impl Arm {
    /// The api-versions that this cloud has of the resource type that `path` is about; none of a
    /// type that it does not have.
    pub(crate) async fn api_versions(&self, path: &str) -> Result<Vec<String>, Error> {
        let Some((subscription, namespace, kind)) = resource_type(path) else {
            return Ok(Vec::new());
        };
        let resource = format!("{namespace}/{kind}");
        let at = At { operation: "read the api-versions of", resource };
        let path = format!("{subscription}/providers/{namespace}?api-version={RESOURCES}");
        let call = Call { at, method: Method::GET, path, body: None, permit: None };
        let answer = self.call_once(&call).await?;
        answer.read(|it: Provider| Ok(of_type(it, &kind)))
    }
}

/// The api-versions of the longest type that `kind` is or lies below.
fn of_type(provider: Provider, kind: &str) -> Vec<String> {
    let kind = format!("{}/", kind.to_ascii_lowercase());
    let known = provider.resource_types.into_iter();
    let above =
        known.filter(|it| kind.starts_with(&format!("{}/", it.resource_type.to_ascii_lowercase())));
    above.max_by_key(|it| it.resource_type.len()).map(|it| it.api_versions).unwrap_or_default()
}

/// `/subscriptions/{id}`, the namespace and the type of what is at `path`.
fn resource_type(path: &str) -> Option<(String, String, String)> {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let ["subscriptions", id, ..] = segments[..] else { return None };
    let at = segments.iter().rposition(|it| it.eq_ignore_ascii_case("providers"))?;
    let (namespace, rest) = segments.get(at + 1..)?.split_first()?;
    // Types and names take turns, except below a location.
    let kind = match rest {
        ["locations", _, kind, ..] => format!("locations/{kind}"),
        _ => rest.iter().step_by(2).copied().collect::<Vec<_>>().join("/"),
    };
    let subscription = format!("/subscriptions/{id}");
    (!kind.is_empty()).then(|| (subscription, (*namespace).to_owned(), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_read_from_the_path() {
        let table = [
            (
                "/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0?x=1",
                "Microsoft.Compute",
                "galleries/images/versions",
            ),
            (
                "/providers/Microsoft.Compute/locations/westeurope/publishers/p/artifacttypes/vmimage",
                "Microsoft.Compute",
                "locations/publishers",
            ),
            (
                "/resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/t/run",
                "Microsoft.VirtualMachineImages",
                "imageTemplates/run",
            ),
        ];
        for (path, namespace, kind) in table {
            let found = resource_type(&format!("/subscriptions/s{path}"));
            let expected = ("/subscriptions/s".to_owned(), namespace.to_owned(), kind.to_owned());
            assert_eq!(found, Some(expected));
        }
        assert_eq!(resource_type("/providers/Microsoft.ResourceGraph/resources"), None);
        assert_eq!(resource_type("/subscriptions/s/resourceGroups/g/resources"), None);
    }

    #[test]
    fn the_longest_type_above_is_meant() {
        let provider = r#"{"resourceTypes":[{"resourceType":"galleries","apiVersions":["1"]},
            {"resourceType":"Galleries/Images","apiVersions":["2"]},{"resourceType":"gall","apiVersions":["3"]}]}"#;
        let of = |kind: &str| of_type(serde_json::from_str(provider).unwrap(), kind);

        assert_eq!(of("galleries/images/versions"), ["2"]);
        assert_eq!(of("galleries"), ["1"]);
        assert_eq!(of("disks"), Vec::<String>::new());
    }
}
