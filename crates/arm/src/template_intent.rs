//! What a template shall be, and the body that says so. Image Builder reads JSON strictly: an
//! unknown member, a null or a wrong case is refused, so the body has its own types.

use std::collections::BTreeMap;

use rules::catalog::PlatformImage;
use rules::{Region, VersionNumber};
use serde::Serialize;

use crate::id::{DefinitionId, VersionId};

/// What an image template shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateIntent {
    pub location: Region,
    /// The user-assigned identity that Image Builder acts as; Image Builder wants exactly one.
    pub identity: String,
    /// The identities that the build machine has.
    pub machine_identities: Vec<String>,
    pub vm_size: String,
    /// The subnet to build in; without it Image Builder makes a network.
    pub subnet: Option<String>,
    /// Minutes after which Image Builder gives up; 6 to 960 (less fails the run).
    pub timeout_minutes: u32,
    pub source: Source,
    /// What makes the image ours, in order.
    pub customize: Vec<Customizer>,
    /// What is run on a second machine, started from the image; one that fails fails the run, and
    /// nothing is distributed.
    pub validate: Vec<Validator>,
    pub distribute: Distribution,
    pub tags: BTreeMap<String, String>,
    /// The tags of what Image Builder makes in the staging group.
    pub managed_resource_tags: BTreeMap<String, String>,
}

/// What a build starts from; always an exact version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Platform { image: PlatformImage, version: String },
    Version { id: VersionId },
}

/// Where a script's text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    Inline(Vec<String>),
    /// `sha256` is in hexadecimal; Image Builder refuses other bytes.
    At {
        uri: String,
        sha256: String,
    },
}

/// One step of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customizer {
    Shell { name: String, script: Script },
    PowerShell { name: String, script: Script, run_elevated: bool },
    File { name: String, uri: String, sha256: String, destination: String },
    WindowsUpdate { name: String, search_criteria: String, filters: Vec<String>, update_limit: u32 },
    Restart { name: String, timeout_minutes: u32 },
}

/// One step of the validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    Shell { name: String, script: Script },
    PowerShell { name: String, script: Script, run_elevated: bool },
}

/// Where the image goes: one version, in its home region only, and always excluded from latest. A
/// run is over only when every region is replicated, so the other regions come after the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    pub definition: DefinitionId,
    pub number: VersionNumber,
    /// The gallery's home region.
    pub region: Region,
    pub run_output_name: String,
    /// The tags of the version.
    pub tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(crate) struct WireTemplate<'a> {
    location: &'a str,
    identity: WireIdentity<'a>,
    tags: &'a BTreeMap<String, String>,
    properties: WireProperties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireIdentity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    user_assigned_identities: BTreeMap<&'a str, Empty>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties<'a> {
    source: WireSource<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    customize: Vec<WireCustomizer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validate: Option<WireValidate<'a>>,
    distribute: [WireDistribute<'a>; 1],
    error_handling: WireErrorHandling,
    build_timeout_in_minutes: u32,
    vm_profile: WireMachine<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    managed_resource_tags: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum WireSource<'a> {
    PlatformImage {
        publisher: &'a str,
        offer: &'a str,
        sku: &'a str,
        version: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        plan_info: Option<WirePlan<'a>>,
    },
    SharedImageVersion {
        image_version_id: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePlan<'a> {
    plan_name: &'a str,
    plan_product: &'a str,
    plan_publisher: &'a str,
}

/// Customizers and in-VM validators share the two kinds of script.
#[derive(Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum WireCustomizer<'a> {
    Shell {
        name: &'a str,
        #[serde(flatten)]
        script: WireScript<'a>,
    },
    PowerShell {
        name: &'a str,
        #[serde(flatten)]
        script: WireScript<'a>,
        run_elevated: bool,
    },
    File {
        name: &'a str,
        source_uri: &'a str,
        sha256_checksum: &'a str,
        destination: &'a str,
    },
    WindowsUpdate {
        name: &'a str,
        search_criteria: &'a str,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        filters: &'a [String],
        update_limit: u32,
    },
    WindowsRestart {
        name: &'a str,
        restart_timeout: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireScript<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    inline: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256_checksum: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireValidate<'a> {
    continue_distribute_on_failure: bool,
    source_validation_only: bool,
    #[serde(rename = "inVMValidations")]
    in_vm_validations: Vec<WireCustomizer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireDistribute<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    gallery_image_id: String,
    run_output_name: &'a str,
    artifact_tags: &'a BTreeMap<String, String>,
    target_regions: [WireRegion<'a>; 1],
    exclude_from_latest: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRegion<'a> {
    name: &'a str,
    replica_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireErrorHandling {
    on_customizer_error: &'static str,
    on_validation_error: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireMachine<'a> {
    vm_size: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    user_assigned_identities: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    vnet_config: Option<WireNetwork<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireNetwork<'a> {
    subnet_id: &'a str,
}

/// The body of the template that `intent` says.
pub(crate) fn body(intent: &TemplateIntent) -> WireTemplate<'_> {
    let Distribution { definition, number, region, run_output_name, tags } = &intent.distribute;
    let validations: Vec<_> = intent.validate.iter().map(validator).collect();
    WireTemplate {
        location: intent.location.as_str(),
        identity: WireIdentity {
            kind: "UserAssigned",
            user_assigned_identities: BTreeMap::from([(intent.identity.as_str(), Empty {})]),
        },
        tags: &intent.tags,
        properties: WireProperties {
            source: source(&intent.source),
            customize: intent.customize.iter().map(customizer).collect(),
            validate: (!validations.is_empty()).then_some(WireValidate {
                continue_distribute_on_failure: false,
                source_validation_only: false,
                in_vm_validations: validations,
            }),
            distribute: [WireDistribute {
                kind: "SharedImage",
                gallery_image_id: definition.version(*number).to_string(),
                run_output_name,
                artifact_tags: tags,
                target_regions: [WireRegion { name: region.as_str(), replica_count: 1 }],
                exclude_from_latest: true,
            }],
            // `abort` would keep the build machine, which costs money until somebody removes it.
            error_handling: WireErrorHandling {
                on_customizer_error: "cleanup",
                on_validation_error: "cleanup",
            },
            build_timeout_in_minutes: intent.timeout_minutes,
            vm_profile: WireMachine {
                vm_size: &intent.vm_size,
                user_assigned_identities: &intent.machine_identities,
                vnet_config: intent.subnet.as_deref().map(|subnet_id| WireNetwork { subnet_id }),
            },
            managed_resource_tags: &intent.managed_resource_tags,
        },
    }
}

fn source(source: &Source) -> WireSource<'_> {
    match source {
        Source::Platform { image, version } => WireSource::PlatformImage {
            publisher: &image.publisher,
            offer: &image.offer,
            sku: &image.sku,
            version,
            plan_info: image.plan.as_ref().map(|plan| WirePlan {
                plan_name: &plan.name,
                plan_product: &plan.product,
                plan_publisher: &plan.publisher,
            }),
        },
        Source::Version { id } => {
            WireSource::SharedImageVersion { image_version_id: id.to_string() }
        }
    }
}

fn customizer(customizer: &Customizer) -> WireCustomizer<'_> {
    match customizer {
        Customizer::Shell { name, script: text } => {
            WireCustomizer::Shell { name, script: script(text) }
        }
        Customizer::PowerShell { name, script: text, run_elevated } => {
            WireCustomizer::PowerShell { name, script: script(text), run_elevated: *run_elevated }
        }
        Customizer::File { name, uri, sha256, destination } => {
            WireCustomizer::File { name, source_uri: uri, sha256_checksum: sha256, destination }
        }
        Customizer::WindowsUpdate { name, search_criteria, filters, update_limit } => {
            let update_limit = *update_limit;
            WireCustomizer::WindowsUpdate { name, search_criteria, filters, update_limit }
        }
        Customizer::Restart { name, timeout_minutes } => {
            let restart_timeout = format!("{timeout_minutes}m");
            WireCustomizer::WindowsRestart { name, restart_timeout }
        }
    }
}

fn validator(validator: &Validator) -> WireCustomizer<'_> {
    match validator {
        Validator::Shell { name, script: text } => {
            WireCustomizer::Shell { name, script: script(text) }
        }
        Validator::PowerShell { name, script: text, run_elevated } => {
            WireCustomizer::PowerShell { name, script: script(text), run_elevated: *run_elevated }
        }
    }
}

fn script(script: &Script) -> WireScript<'_> {
    match script {
        Script::Inline(lines) => {
            WireScript { inline: Some(lines), script_uri: None, sha256_checksum: None }
        }
        Script::At { uri, sha256 } => {
            WireScript { inline: None, script_uri: Some(uri), sha256_checksum: Some(sha256) }
        }
    }
}
