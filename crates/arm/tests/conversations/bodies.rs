//! The bodies that we send, held against Microsoft's own specifications, which refuse what they do
//! not name.

use std::collections::BTreeMap;
use std::path::Path;

use arm::{
    Customizer, DefinitionIntent, Distribution, RegionIntent, Script as Text, Source,
    TemplateIntent, Validator, VersionIntent,
};
use rules::catalog::{Generation, Identifier, Os, Plan, PlatformImage, Security};
use serde_json::{Value, json};

use crate::script::{Script, gallery, permit, template, version};

fn tags(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn plan() -> Plan {
    Plan { name: "n".into(), product: "p".into(), publisher: "b".into() }
}

/// An intent with everything in it.
pub(crate) fn template_intent() -> TemplateIntent {
    let inline = || Text::Inline(vec!["set -e".into(), "apt-get update".into()]);
    let at = || Text::At { uri: "https://files.example/a.sh".into(), sha256: "2c6f".into() };
    TemplateIntent {
        location: "westeurope".parse().unwrap(),
        identity: "/subscriptions/s/identities/build".into(),
        machine_identities: vec!["/subscriptions/s/identities/build".into()],
        vm_size: "Standard_D2s_v5".into(),
        subnet: Some("/subscriptions/s/subnets/build".into()),
        timeout_minutes: 240,
        source: Source::Platform {
            image: PlatformImage {
                publisher: "Canonical".into(),
                offer: "ubuntu".into(),
                sku: "server".into(),
                plan: Some(plan()),
            },
            version: "22.04.202609010".into(),
        },
        customize: vec![
            Customizer::Shell { name: "patch".into(), script: inline() },
            Customizer::Shell { name: "agent".into(), script: at() },
            Customizer::PowerShell { name: "roles".into(), script: at(), run_elevated: true },
            Customizer::File {
                name: "motd".into(),
                uri: "https://files.example/motd".into(),
                sha256: "abcd".into(),
                destination: "/etc/motd".into(),
            },
            Customizer::WindowsUpdate {
                name: "updates".into(),
                search_criteria: "IsInstalled=0".into(),
                filters: vec!["include:$true".into()],
                update_limit: 40,
            },
            Customizer::Restart { name: "restart".into(), timeout_minutes: 10 },
        ],
        validate: vec![
            Validator::Shell { name: "scan".into(), script: inline() },
            Validator::PowerShell { name: "scan".into(), script: inline(), run_elevated: true },
        ],
        distribute: Distribution {
            definition: gallery().definition("ubuntu-web"),
            number: "1.2.3".parse().unwrap(),
            region: "westeurope".parse().unwrap(),
            run_output_name: "image".into(),
            tags: tags("goldsmith-image", "ubuntu-web"),
        },
        tags: tags("owner", "platform"),
        managed_resource_tags: tags("owner", "platform"),
    }
}

pub(crate) fn definition_intent() -> DefinitionIntent {
    DefinitionIntent {
        location: "westeurope".parse().unwrap(),
        identifier: Identifier {
            publisher: "Contoso".into(),
            offer: "Server".into(),
            sku: "2022".into(),
        },
        os: Os::Windows,
        generation: Generation::V2,
        security: Security::TrustedLaunchSupported,
        plan: Some(plan()),
        tags: tags("owner", "platform"),
    }
}

pub(crate) fn version_intent() -> VersionIntent {
    let region = |name: &str, replicas, exclude_from_latest, storage: Option<&str>| RegionIntent {
        region: name.parse().unwrap(),
        replicas,
        exclude_from_latest,
        storage: storage.map(str::to_owned),
    };
    VersionIntent {
        location: "eastus2".parse().unwrap(),
        regions: vec![
            region("eastus2", 1, false, Some("Standard_LRS")),
            region("westeurope", 3, true, None),
        ],
        exclude_from_latest: true,
        end_of_life: Some("2026-12-01T00:00:00.5Z".parse().unwrap()),
        allow_deletion_of_replicated_locations: false,
        block_deletion_before_end_of_life: None,
        tags: tags("goldsmith-image", "ubuntu-web"),
    }
}

async fn template_body(intent: &TemplateIntent) -> Value {
    let script = Script::answering(201, "{}");
    script.arm().create_template(&permit(), &template(), intent).await.unwrap();
    script.only().body
}

#[tokio::test]
async fn a_template_says_what_is_meant() {
    let body = template_body(&template_intent()).await;

    assert_eq!(
        body,
        json!({
        "location": "westeurope",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/s/identities/build": {}}},
        "tags": {"owner": "platform"},
        "properties": {
            "source": {"type": "PlatformImage", "publisher": "Canonical", "offer": "ubuntu", "sku": "server",
                "version": "22.04.202609010", "planInfo": {"planName": "n", "planProduct": "p", "planPublisher": "b"}},
            "customize": [
                {"type": "Shell", "name": "patch", "inline": ["set -e", "apt-get update"]},
                {"type": "Shell", "name": "agent", "scriptUri": "https://files.example/a.sh", "sha256Checksum": "2c6f"},
                {"type": "PowerShell", "name": "roles", "scriptUri": "https://files.example/a.sh", "sha256Checksum": "2c6f", "runElevated": true},
                {"type": "File", "name": "motd", "sourceUri": "https://files.example/motd", "sha256Checksum": "abcd", "destination": "/etc/motd"},
                {"type": "WindowsUpdate", "name": "updates", "searchCriteria": "IsInstalled=0", "filters": ["include:$true"], "updateLimit": 40},
                {"type": "WindowsRestart", "name": "restart", "restartTimeout": "10m"}],
            "validate": {"continueDistributeOnFailure": false, "sourceValidationOnly": false, "inVMValidations": [
                {"type": "Shell", "name": "scan", "inline": ["set -e", "apt-get update"]},
                {"type": "PowerShell", "name": "scan", "inline": ["set -e", "apt-get update"], "runElevated": true}]},
            "distribute": [{"type": "SharedImage", "runOutputName": "image", "excludeFromLatest": true,
                "galleryImageId": version().to_string(),
                "artifactTags": {"goldsmith-image": "ubuntu-web"},
                "targetRegions": [{"name": "westeurope", "replicaCount": 1}]}],
            "errorHandling": {"onCustomizerError": "cleanup", "onValidationError": "cleanup"},
            "buildTimeoutInMinutes": 240,
            "vmProfile": {"vmSize": "Standard_D2s_v5", "userAssignedIdentities": ["/subscriptions/s/identities/build"],
                "vnetConfig": {"subnetId": "/subscriptions/s/subnets/build"}},
            "managedResourceTags": {"owner": "platform"}}})
    );
}

#[tokio::test]
async fn what_is_not_wanted_is_not_in_the_body() {
    let mut intent = template_intent();
    intent.subnet = None;
    intent.customize.clear();
    intent.validate.clear();
    intent.machine_identities.clear();
    intent.managed_resource_tags.clear();
    intent.source = Source::Version { id: version() };

    let body = template_body(&intent).await;

    let names: Vec<&String> = body["properties"].as_object().unwrap().keys().collect();
    let expected = ["buildTimeoutInMinutes", "distribute", "errorHandling", "source", "vmProfile"];
    assert_eq!(names, expected);
    assert_eq!(body["properties"]["vmProfile"], json!({"vmSize": "Standard_D2s_v5"}));
    assert_eq!(
        body["properties"]["source"],
        json!({"type": "SharedImageVersion", "imageVersionId": version().to_string()})
    );
    assert!(!body.to_string().contains("null"));
}

#[tokio::test]
async fn microsofts_specifications_know_every_member_that_we_send() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/specs");
    let read = |path: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(shared.join(path)).ok()?).ok()
    };
    let (Some(builder), Some(gallery_spec)) = (
        read("Microsoft.VirtualMachineImages/2025-10-01/imagebuilder.json"),
        read("Microsoft.Compute/2026-03-03/GalleryRP.derived.json"),
    ) else {
        eprintln!("skipped: Microsoft's specifications are not here");
        return;
    };

    known(&builder, "ImageTemplate", &template_body(&template_intent()).await);
    let mut child = template_intent();
    child.source = Source::Version { id: version() };
    known(&builder, "ImageTemplate", &template_body(&child).await);

    let script = Script::answering(200, "{}").then(201, "{}");
    script.arm().put_version(&permit(), &version(), &version_intent()).await.unwrap();
    let definition = gallery().definition("ubuntu-web");
    script.arm().create_definition(&permit(), &definition, &definition_intent()).await.unwrap();
    let asked = script.asked();
    known(&gallery_spec, "GalleryImageVersion", &asked[0].body);
    known(&gallery_spec, "GalleryImage", &asked[1].body);
}

/// Fails on a member that the definition `name` of `spec`, or the subtype that `value` names, does
/// not have, on one that is read-only, and on a missing one.
fn known(spec: &Value, name: &str, value: &Value) {
    let below = format!("/{name}");
    let subtype = spec["definitions"].as_object().unwrap().values().find(|it| {
        it["x-ms-discriminator-value"].is_string()
            && it["x-ms-discriminator-value"] == value["type"]
            && it["allOf"][0]["$ref"].as_str().is_some_and(|it| it.ends_with(&below))
    });
    let schema = &spec["definitions"][name];
    assert!(schema.is_object(), "the specification has no {name}");
    checked(spec, subtype.unwrap_or(schema), value, name);
}

/// A definition and those that it extends; the common types are in another file.
fn with_bases<'a>(spec: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![schema];
    for base in schema["allOf"].as_array().into_iter().flatten() {
        let name = base["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        all.extend(with_bases(spec, &spec["definitions"][name]));
    }
    all
}

fn checked(spec: &Value, schema: &Value, value: &Value, place: &str) {
    let schemas = with_bases(spec, schema);
    for (member, value) in value.as_object().unwrap() {
        let place = format!("{place}.{member}");
        let Some(found) = schemas.iter().find_map(|it| it["properties"].get(member)) else {
            let tracked = ["location", "tags"].contains(&member.as_str());
            assert!(tracked, "{place} is not in the specification");
            continue;
        };
        assert_ne!(found["readOnly"], json!(true), "{place} is read-only");
        if let Some(allowed) = found["enum"].as_array() {
            assert!(allowed.contains(value), "{place} may not be {value}");
        }
        matched(spec, found, value, &place);
    }
    for required in schemas.iter().filter_map(|it| it["required"].as_array()).flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{place} lacks {required}");
    }
}

fn matched(spec: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        if value.is_object() && name != "UserAssignedIdentities" {
            known(spec, name, value);
        }
        return;
    }
    match value {
        Value::Object(_) if schema["properties"].is_object() => {
            checked(spec, schema, value, place);
        }
        Value::Array(items) => {
            items.iter().for_each(|it| matched(spec, &schema["items"], it, place));
        }
        _ => {}
    }
}
