//! Which members the body of an image template may have. Image Builder reads strictly since
//! api-version 2024-02-01: a wrong letter case or an unknown member is refused.

use http::StatusCode;
use serde_json::Value;

use super::answer::Refusal;

/// From this api-version on, unknown members are refused.
const STRICT_SINCE: &str = "2024-02-01";

/// What a value may be.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Number,
    Flag,
    /// Texts by any name.
    Texts,
    /// Anything: it is read elsewhere, or by nobody.
    Any,
    List(&'static Shape),
    Object(&'static [(&'static str, Shape)]),
    /// An object whose member `type` says which members it has besides.
    Typed(&'static [(&'static str, &'static [(&'static str, Shape)])]),
}

use Shape::{Any, Flag, List, Number, Object, Text, Texts, Typed};

// Names and types: Microsoft.VirtualMachineImages 2025-10-01, imagebuilder.json.

const PLAN: Shape = Object(&[("planName", Text), ("planProduct", Text), ("planPublisher", Text)]);

const SOURCE: Shape = Typed(&[
    (
        "PlatformImage",
        &[
            ("publisher", Text),
            ("offer", Text),
            ("sku", Text),
            ("version", Text),
            ("exactVersion", Text),
            ("planInfo", PLAN),
        ],
    ),
    ("ManagedImage", &[("imageId", Text)]),
    ("SharedImageVersion", &[("imageVersionId", Text), ("exactVersion", Text)]),
]);

const POWERSHELL: &[(&str, Shape)] = &[
    ("name", Text),
    ("scriptUri", Text),
    ("sha256Checksum", Text),
    ("inline", List(&Text)),
    ("runElevated", Flag),
    ("runAsSystem", Flag),
    ("validExitCodes", List(&Number)),
];

const SHELL: &[(&str, Shape)] =
    &[("name", Text), ("scriptUri", Text), ("sha256Checksum", Text), ("inline", List(&Text))];

const FILE: &[(&str, Shape)] =
    &[("name", Text), ("sourceUri", Text), ("sha256Checksum", Text), ("destination", Text)];

const CUSTOMIZER: Shape = Typed(&[
    ("Shell", SHELL),
    ("PowerShell", POWERSHELL),
    ("File", FILE),
    (
        "WindowsRestart",
        &[
            ("name", Text),
            ("restartCommand", Text),
            ("restartCheckCommand", Text),
            ("restartTimeout", Text),
        ],
    ),
    (
        "WindowsUpdate",
        &[
            ("name", Text),
            ("searchCriteria", Text),
            ("filters", List(&Text)),
            ("updateLimit", Number),
        ],
    ),
]);

const VALIDATOR: Shape = Typed(&[("Shell", SHELL), ("PowerShell", POWERSHELL), ("File", FILE)]);

const TARGET_REGION: Shape =
    Object(&[("name", Text), ("replicaCount", Number), ("storageAccountType", Text)]);

const DISTRIBUTOR: Shape = Typed(&[
    (
        "SharedImage",
        &[
            ("runOutputName", Text),
            ("artifactTags", Texts),
            ("galleryImageId", Text),
            ("replicationRegions", List(&Text)),
            ("excludeFromLatest", Flag),
            ("storageAccountType", Text),
            ("targetRegions", List(&TARGET_REGION)),
            ("versioning", Object(&[("scheme", Text), ("major", Number)])),
            ("replicationMode", Text),
        ],
    ),
    (
        "ManagedImage",
        &[("runOutputName", Text), ("artifactTags", Texts), ("imageId", Text), ("location", Text)],
    ),
    ("VHD", &[("runOutputName", Text), ("artifactTags", Texts), ("uri", Text)]),
]);

const VM_PROFILE: Shape = Object(&[
    ("vmSize", Text),
    ("osDiskSizeGB", Number),
    ("userAssignedIdentities", List(&Text)),
    (
        "vnetConfig",
        Object(&[("subnetId", Text), ("containerInstanceSubnetId", Text), ("proxyVmSize", Text)]),
    ),
]);

const STATE: Shape = Object(&[("state", Text)]);

const PROPERTIES: Shape = Object(&[
    ("source", SOURCE),
    ("customize", List(&CUSTOMIZER)),
    (
        "optimize",
        Object(&[("vmBoot", STATE), ("workload", Object(&[("state", Text), ("type", Text)]))]),
    ),
    (
        "validate",
        Object(&[
            ("continueDistributeOnFailure", Flag),
            ("sourceValidationOnly", Flag),
            ("inVMValidations", List(&VALIDATOR)),
        ]),
    ),
    ("distribute", List(&DISTRIBUTOR)),
    ("errorHandling", Object(&[("onCustomizerError", Text), ("onValidationError", Text)])),
    ("buildTimeoutInMinutes", Number),
    ("vmProfile", VM_PROFILE),
    ("additionalDataDisks", List(&Object(&[("sizeGB", Number)]))),
    ("stagingResourceGroup", Text),
    ("autoRun", STATE),
    ("managedResourceTags", Texts),
    // Read-only members may be sent back; they are ignored.
    ("provisioningState", Any),
    ("provisioningError", Any),
    ("lastRunStatus", Any),
    ("exactStagingResourceGroup", Any),
]);

const IDENTITY: Shape = Object(&[("type", Text), ("userAssignedIdentities", Any)]);

const TEMPLATE: Shape = Object(&[
    ("id", Text),
    ("name", Text),
    ("type", Text),
    ("systemData", Any),
    ("location", Text),
    ("tags", Texts),
    ("identity", IDENTITY),
    ("properties", PROPERTIES),
]);

const PATCH: Shape = Object(&[
    ("tags", Texts),
    ("identity", IDENTITY),
    ("properties", Object(&[("distribute", List(&DISTRIBUTOR)), ("vmProfile", VM_PROFILE)])),
]);

/// Refuses the body of a PUT that Image Builder would not read.
pub(super) fn check_template(body: &Value, api_version: &str) -> Result<(), Refusal> {
    check(&TEMPLATE, body, api_version)
}

/// Refuses the body of a PATCH that Image Builder would not read: it changes tags, identity,
/// distribute and vmProfile alone.
pub(super) fn check_patch(body: &Value, api_version: &str) -> Result<(), Refusal> {
    check(&PATCH, body, api_version)
}

fn check(shape: &Shape, body: &Value, api_version: &str) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    walk(shape, "template", body, &mut faults);
    let strict = api_version >= STRICT_SINCE;
    let fault = faults.into_iter().find(|it| strict || !it.starts_with("unknown field"));
    let Some(fault) = fault else { return Ok(()) };
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "ValidationFailed",
        format!("Validation failed: unmarshalling entity encountered error: json: {fault}"),
    ))
}

fn walk(shape: &Shape, path: &str, value: &Value, faults: &mut Vec<String>) {
    // Image Builder is written in Go, where null is the absence of any value.
    if value.is_null() {
        return;
    }
    match shape {
        Any => {}
        Text if value.is_string() => {}
        Number if value.is_i64() || value.is_u64() => {}
        Flag if value.is_boolean() => {}
        Texts => match value.as_object() {
            Some(map) => map.iter().for_each(|it| walk(&Text, path, it.1, faults)),
            None => faults.push(mistyped(path, value)),
        },
        List(item) => match value.as_array() {
            Some(list) => list.iter().for_each(|it| walk(item, path, it, faults)),
            None => faults.push(mistyped(path, value)),
        },
        Object(members) => walk_members(&[], members, path, value, faults),
        Typed(kinds) => {
            let kind = value["type"].as_str().unwrap_or_default();
            match kinds.iter().find(|it| it.0 == kind) {
                Some((_, members)) => {
                    walk_members(&[("type", Text)], members, path, value, faults);
                }
                None => faults.push(format!("'{kind}' is not a type that {path} may have")),
            }
        }
        Text | Number | Flag => faults.push(mistyped(path, value)),
    }
}

fn walk_members(
    besides: &[(&str, Shape)],
    members: &[(&str, Shape)],
    path: &str,
    value: &Value,
    faults: &mut Vec<String>,
) {
    let Some(object) = value.as_object() else {
        faults.push(mistyped(path, value));
        return;
    };
    for (name, value) in object {
        match members.iter().chain(besides).find(|it| it.0 == name) {
            Some((_, shape)) => walk(shape, &format!("{path}.{name}"), value, faults),
            None => faults.push(format!("unknown field \"{name}\"")),
        }
    }
}

fn mistyped(path: &str, value: &Value) -> String {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) | Value::Null => "object",
    };
    format!("cannot unmarshal {kind} into field {path}")
}
