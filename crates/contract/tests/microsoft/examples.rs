//! Microsoft's examples are what their documents say.

use bytes::Bytes;
use contract::{Exchange, Found, Operation, What};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::reference::{bytes, contract, files, folder, json};

/// The operation of an example, by the name of its file. Examples do not say.
fn operation(file: &str) -> Option<(&'static str, &'static str)> {
    Some(match file {
        "CreateImageTemplateLinux.json" | "CreateImageTemplateWindows.json" => {
            ("PUT", "/imageTemplates/{imageTemplateName}")
        }
        "GetImageTemplate.json" => ("GET", "/imageTemplates/{imageTemplateName}"),
        "UpdateImageTemplateTags.json" | "UpdateImageTemplateVmProfile.json" => {
            ("PATCH", "/imageTemplates/{imageTemplateName}")
        }
        "RunImageTemplate.json" => ("POST", "/imageTemplates/{imageTemplateName}/run"),
        "CancelImageBuild.json" => ("POST", "/imageTemplates/{imageTemplateName}/cancel"),
        "DeleteImageTemplate.json" => ("DELETE", "/imageTemplates/{imageTemplateName}"),
        "ListRunOutputs.json" => ("GET", "/imageTemplates/{imageTemplateName}/runOutputs"),
        "GetRunOutput.json" => {
            ("GET", "/imageTemplates/{imageTemplateName}/runOutputs/{runOutputName}")
        }
        "CreateSourceImageTrigger.json" => {
            ("PUT", "/imageTemplates/{imageTemplateName}/triggers/{triggerName}")
        }
        "ListTriggers.json" => ("GET", "/imageTemplates/{imageTemplateName}/triggers"),
        "Gallery_Create_SoftDeletionEnabled.json" => ("PUT", "/galleries/{galleryName}"),
        "GalleryImage_Create.json" => ("PUT", "/images/{galleryImageName}"),
        "GalleryImage_Get.json" => ("GET", "/images/{galleryImageName}"),
        "GalleryImageVersion_Create.json" => ("PUT", "/versions/{galleryImageVersionName}"),
        "GalleryImageVersion_Update.json"
        | "GalleryImageVersion_Update_RestoreSoftDeleted.json" => {
            ("PATCH", "/versions/{galleryImageVersionName}")
        }
        "GalleryImageVersion_Get_WithReplicationStatus.json" => {
            ("GET", "/versions/{galleryImageVersionName}")
        }
        "GalleryImageVersion_Delete.json" => ("DELETE", "/versions/{galleryImageVersionName}"),
        "GalleryImageVersion_ListByGalleryImage.json" => {
            ("GET", "/images/{galleryImageName}/versions")
        }
        "GallerySoftDeletedResource_ListByArtifactName.json" => {
            ("GET", "/artifacts/{artifactName}/versions")
        }
        "VirtualMachineImage_List_MaximumSet_Gen.json" => ("GET", "/skus/{skus}/versions"),
        "ResourcesFirstPageQuery.json" | "ResourcesNextPageQuery.json" => {
            ("POST", "/providers/Microsoft.ResourceGraph/resources")
        }
        _ => return None,
    })
}

/// The request of an example: the template with its parameters, the others in the query, the body.
fn request(operation: &Operation, parameters: &Value) -> (String, Bytes) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut path = operation.template.clone();
    let mut query = vec![format!("api-version={}", operation.api_version)];
    let mut body = Bytes::new();
    for (name, value) in parameters.as_object().unwrap() {
        let part = format!("{{{name}}}");
        if path.contains(&part) {
            path = path.replace(&part, &text(value));
        } else if value.is_object() {
            body = bytes(value);
        } else if name != "api-version" && name != "version" {
            // `version` stands in one example and is a parameter of no operation.
            query.push(format!("{name}={}", text(value)));
        }
    }
    (format!("{path}?{}", query.join("&")), body)
}

#[test]
fn every_example_is_what_its_document_says() {
    let (Some(contract), Some(folder)) = (contract(), folder()) else { return };
    let (mut checked, mut unlisted, mut deviating) = (0, Vec::new(), Vec::new());
    let examples = files(&folder.join("specs"));
    for path in examples.iter().filter(|it| it.iter().any(|part| part == "examples")) {
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some((method, end)) = operation(file) else {
            unlisted.push(file.to_owned());
            continue;
        };
        let mut fitting = contract.operations().iter().filter(|it| {
            it.method == *method && it.template.ends_with(end) && !it.template.contains("edgeZone")
        });
        let example = json(path);
        let (path, sent) = request(fitting.next().unwrap(), &example["parameters"]);
        let method = method.parse().unwrap();
        let Found::Operation(operation) = contract.find(&method, &path) else {
            panic!("{file}: {method} {path}");
        };
        let mut json_type = HeaderMap::new();
        json_type.insert("content-type", HeaderValue::from_static("application/json"));
        for (status, response) in example["responses"].as_object().unwrap() {
            let exchange = Exchange {
                method: operation.method.clone(),
                path: path.clone(),
                asked: json_type.clone(),
                sent: sent.clone(),
                status: StatusCode::from_u16(status.parse().unwrap()).unwrap(),
                told: json_type.clone(),
                answered: bytes(&response["body"]),
            };
            let mut findings = contract.request(operation, &exchange);
            // Examples leave headers out.
            let answer = contract.answer(operation, &exchange);
            findings.extend(
                answer
                    .into_iter()
                    .filter(|it| !matches!(it.what, What::Header | What::HeaderMissing)),
            );
            deviating.extend(findings.into_iter().map(|it| format!("{file} {status}: {it}")));
            checked += 1;
        }
    }

    // Its document answers with an array, as Azure was recorded doing; the example with an object.
    assert_eq!(unlisted, ["VirtualMachineImages_ListWithProperties_MaximumSet_Gen.json"]);
    assert!(deviating.is_empty(), "{}", deviating.join("\n"));
    eprintln!("{checked} examples are what their documents say");
}
