//! Resource providers: their types, api-versions and locations. A client looks here before it
//! chooses an api-version.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::{World, region};

/// What a provider offers: a type and its api-versions, the newest first.
type Kinds = &'static [(&'static str, &'static [&'static str])];

const GALLERIES: &[&str] = &[
    "2026-03-03",
    "2025-12-03",
    "2025-03-03",
    "2024-03-03",
    "2023-07-03",
    "2022-08-03",
    "2022-03-03",
    "2022-01-03",
    "2021-10-01",
    "2021-07-01",
    "2020-09-30",
    "2019-12-01",
    "2019-07-01",
    "2019-03-01",
    "2018-06-01",
];
const MACHINES: &[&str] = &[
    "2026-04-01",
    "2025-11-01",
    "2025-04-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-09-01",
    "2023-07-01",
    "2023-03-01",
    "2022-11-01",
    "2022-08-01",
    "2022-03-01",
    "2021-11-01",
    "2021-07-01",
    "2021-04-01",
    "2021-03-01",
    "2020-12-01",
    "2020-06-01",
    "2019-12-01",
    "2019-07-01",
    "2019-03-01",
];
const DISKS: &[&str] = &[
    "2026-03-02",
    "2025-01-02",
    "2024-03-02",
    "2023-10-02",
    "2023-04-02",
    "2023-01-02",
    "2022-07-02",
    "2021-12-01",
    "2020-12-01",
];
const TEMPLATES: &[&str] = &[
    "2025-10-01",
    "2024-02-01",
    "2023-07-01",
    "2022-07-01",
    "2022-02-14",
    "2021-10-01",
    "2020-02-14",
];
const GRAPH: &[&str] = &[
    "2024-04-01",
    "2022-10-01",
    "2021-03-01",
    "2021-06-01-preview",
    "2020-04-01-preview",
    "2019-04-01",
];
const RESOURCES: &[&str] = &[
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2021-04-01",
    "2021-01-01",
    "2020-10-01",
    "2020-06-01",
    "2020-01-01",
    "2019-11-01",
    "2019-10-01",
    "2019-07-01",
    "2019-06-01",
    "2019-05-01",
    "2018-05-01",
    "2018-02-01",
    "2017-05-10",
    "2016-09-01",
    "2016-06-01",
];
const LOCKS: &[&str] = &["2020-05-01", "2017-04-01", "2016-09-01"];
const STORAGE: &[&str] = &["2025-01-01", "2024-01-01", "2023-05-01", "2023-01-01", "2022-09-01"];

const PROVIDERS: &[(&str, Kinds)] = &[
    (
        "Microsoft.Compute",
        &[
            ("galleries", GALLERIES),
            ("galleries/images", GALLERIES),
            ("galleries/images/versions", GALLERIES),
            ("galleries/softDeletedArtifactTypes", GALLERIES),
            ("locations/capsOperations", GALLERIES),
            ("locations/publishers", MACHINES),
            ("virtualMachines", MACHINES),
            ("virtualMachineScaleSets", MACHINES),
            ("virtualMachineScaleSets/virtualMachines", MACHINES),
            ("images", MACHINES),
            ("disks", DISKS),
        ],
    ),
    (
        "Microsoft.VirtualMachineImages",
        &[
            ("imageTemplates", TEMPLATES),
            ("imageTemplates/runOutputs", TEMPLATES),
            ("locations/operations", TEMPLATES),
        ],
    ),
    ("Microsoft.ResourceGraph", &[("resources", GRAPH)]),
    ("Microsoft.Resources", &[("", RESOURCES), ("resourceGroups", RESOURCES), ("tags", RESOURCES)]),
    ("Microsoft.Authorization", &[("locks", LOCKS)]),
    ("Microsoft.Storage", &[("storageAccounts", STORAGE)]),
];

/// The provider and the resource type that a path (in lower case) is about; none when the path has
/// no provider's resource in it. Of tags on a resource that is the type `tags`.
pub(super) fn kind(path: &[&str]) -> Option<(&'static str, String)> {
    let index = path.iter().rposition(|it| *it == "providers")?;
    let namespace = path.get(index + 1)?;
    let rest = path.get(index + 2..).filter(|it| !it.is_empty())?;
    let known = PROVIDERS.iter().find(|it| it.0.eq_ignore_ascii_case(namespace));

    // Types and names take turns, except below a location, where it is the other way about.
    let kind = match rest {
        ["locations", _, kind, ..] => format!("locations/{kind}"),
        _ => rest.iter().step_by(2).copied().collect::<Vec<_>>().join("/"),
    };
    Some((known.map_or("", |it| it.0), kind))
}

/// Refuses an api-version that the type does not have in this cloud.
pub(super) fn check_version(
    world: &World<'_>,
    namespace: &str,
    kind: &str,
    version: &str,
) -> Result<(), Refusal> {
    let Some((_, kinds)) = PROVIDERS.iter().find(|it| it.0 == namespace) else { return Ok(()) };
    // Actions (`run`) and deeper types have the api-versions of the longest known type they begin with.
    let known = kinds.iter().filter(|it| {
        kind.eq_ignore_ascii_case(it.0)
            || kind.to_ascii_lowercase().starts_with(&format!("{}/", it.0.to_ascii_lowercase()))
    });
    let Some((kind, versions)) = known.max_by_key(|it| it.0.len()) else { return Ok(()) };
    let versions = offered(world, versions);
    if versions.contains(&version) {
        return Ok(());
    }

    let supported = versions.join(", ");
    let (code, message) = if namespace == "Microsoft.Resources" {
        let message = format!(
            "The api-version '{version}' is invalid. The supported versions are '{supported}'."
        );
        ("InvalidApiVersionParameter", message)
    } else {
        let message = format!(
            "No registered resource provider found for API version '{version}' for type '{kind}'. \
             The supported api-versions are '{supported}'."
        );
        ("NoRegisteredProviderFound", message)
    };
    Err(Refusal::gateway(StatusCode::BAD_REQUEST, code, message))
}

/// Those of `versions` that this cloud has.
fn offered(world: &World<'_>, versions: &[&'static str]) -> Vec<&'static str> {
    let lacks = &world.estate.cloud.lacks_api_versions;
    versions.iter().filter(|it| !lacks.iter().any(|lacked| lacked == *it)).copied().collect()
}

/// `GET /subscriptions/{id}/providers`.
pub(super) fn list(world: &World<'_>, subscription: &str) -> Result<Reply, Trouble> {
    let providers: Vec<Value> =
        PROVIDERS.iter().map(|it| describe(world, subscription, it.0, it.1)).collect();
    Ok(Reply::ok(json!({ "value": providers })))
}

/// `GET /subscriptions/{id}/providers/{namespace}`.
pub(super) fn get(
    world: &World<'_>,
    subscription: &str,
    namespace: &str,
) -> Result<Reply, Trouble> {
    let found = PROVIDERS.iter().find(|it| it.0.eq_ignore_ascii_case(namespace));
    let Some((namespace, kinds)) = found else {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        let code = "InvalidResourceNamespace";
        return Err(Refusal::gateway(StatusCode::NOT_FOUND, code, message).into());
    };
    Ok(Reply::ok(describe(world, subscription, namespace, kinds)))
}

fn describe(world: &World<'_>, subscription: &str, namespace: &str, kinds: Kinds) -> Value {
    let locations: Vec<&str> = region::all().iter().map(|it| it.1).collect();
    let kinds: Vec<Value> = kinds
        .iter()
        .filter(|it| !it.0.is_empty())
        .map(|(kind, versions)| {
            json!({
                "resourceType": kind,
                "locations": locations,
                "apiVersions": offered(world, versions),
                "capabilities": "SupportsTags, SupportsLocation",
            })
        })
        .collect();
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "resourceTypes": kinds,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
    })
}
