//! Recorded conversations replayed against our client: it is given the recorded answers in their
//! order, and must ask what was asked and understand what was said.

use arm::{Deletion, GalleryId, GroupId, Provisioning, RunState, TemplateId, VersionId, Written};
use rules::catalog::PlatformImage;
use serde_json::Value;

use crate::bodies::{definition_intent, template_intent, version_intent};
use crate::recordings::recordings;
use crate::script::{Script, permit};

/// One recorded exchange.
struct Line<'a> {
    method: &'a str,
    path: &'a str,
    status: u16,
    body: &'a Value,
    interaction: &'a Value,
}

impl<'a> Line<'a> {
    fn of(interaction: &'a Value) -> Line<'a> {
        let (request, response) = (&interaction["request"], &interaction["response"]);
        Line {
            method: request["method"].as_str().unwrap(),
            path: request["path"].as_str().unwrap().split('?').next().unwrap(),
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            body: &response["body"],
            interaction,
        }
    }

    /// The answer, with its headers.
    fn script(&self) -> Script {
        let headers = self.interaction["response"]["headers"].as_object();
        let headers: Vec<(&str, &str)> = headers
            .into_iter()
            .flatten()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        Script::default().with(self.status, &headers, body)
    }

    /// `properties.{name}` of the answer.
    fn property(&self, name: &str) -> &'a str {
        self.body["properties"][name].as_str().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.body["value"].as_array().map_or(0, Vec::len)
    }
}

fn written(status: u16) -> Written {
    if status == 201 { Written::Created } else { Written::Updated }
}

/// Replays one exchange; the script with what was asked, none for an operation that is not ours.
async fn replayed(line: &Line<'_>) -> Option<Script> {
    let parts: Vec<&str> = line.path.trim_matches('/').split('/').collect();
    let lower: Vec<String> = parts.iter().map(|it| it.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let script = line.script();
    let arm = script.arm();
    let permit = permit();
    let template = |name| TemplateId::new(parts[1], parts[3], name);
    let gallery = |name| GalleryId::new(parts[1], parts[3], name);
    let version = |gallery: GalleryId, image: &str, number: &str| -> VersionId {
        gallery.definition(image).version(number.parse().unwrap())
    };
    const BUILDER: &str = "microsoft.virtualmachineimages";

    match (line.method, lower.get(5..)?, parts.get(5..)?) {
        ("PUT", [BUILDER, "imagetemplates", _], [.., name]) => {
            let asked = arm.create_template(&permit, &template(name), &template_intent()).await;
            assert_eq!(asked, Ok(written(line.status)));
        }
        ("GET", [BUILDER, "imagetemplates", _], [.., name]) => {
            let read = arm.template(&template(name)).await.unwrap();
            assert_eq!(read.id, template(name));
            assert_eq!(read.provisioning, Provisioning::named_for_tests(line));
            assert_eq!(read.error.is_some(), line.property("provisioningState") == "Failed");
            let run = &line.body["properties"]["lastRunStatus"]["runState"];
            assert_eq!(
                read.last_run.map(|it| it.state),
                match run.as_str() {
                    Some("Running") => Some(RunState::Running),
                    Some("Canceling") => Some(RunState::Canceling),
                    Some("Succeeded") => Some(RunState::Succeeded),
                    None => None,
                    Some(other) => panic!("{other}"),
                }
            );
        }
        ("GET", [BUILDER, "imagetemplates"], _) => {
            let listed = arm.templates(&GroupId::new(parts[1], parts[3])).await.unwrap();
            assert_eq!(listed.len(), line.count());
        }
        ("POST", [BUILDER, "imagetemplates", _, "run"], [.., name, _]) => {
            assert_eq!(arm.run_template(&permit, &template(name)).await, Ok(()));
        }
        ("POST", [BUILDER, "imagetemplates", _, "cancel"], [.., name, _]) => {
            assert_eq!(arm.cancel_template(&permit, &template(name)).await, Ok(()));
        }
        ("DELETE", [BUILDER, "imagetemplates", _], [.., name]) => {
            let asked = arm.delete_template(&permit, &template(name)).await;
            assert_eq!(asked, Ok(Deletion::Accepted));
        }
        ("GET", [BUILDER, "imagetemplates", _, "runoutputs", _], [.., name, _, output]) => {
            let read = arm.run_output(&template(name), output).await.unwrap();
            assert_eq!(read.artifact.as_deref().unwrap_or_default(), line.property("artifactId"));
        }
        ("GET", ["microsoft.compute", "galleries", _], [.., name]) => {
            arm.gallery(&gallery(name)).await.unwrap();
        }
        ("PUT", ["microsoft.compute", "galleries", _, "images", _], [.., name, _, image]) => {
            let id = gallery(name).definition(image);
            let asked = arm.create_definition(&permit, &id, &definition_intent()).await;
            assert_eq!(asked, Ok(written(line.status)));
        }
        ("GET", ["microsoft.compute", "galleries", _, "images", _], [.., name, _, image]) => {
            let read = arm.definition(&gallery(name).definition(image)).await.unwrap();
            assert_eq!(read.os, line.property("osType"));
            assert_eq!(read.provisioning, Provisioning::named_for_tests(line));
        }
        (
            "PUT",
            ["microsoft.compute", "galleries", _, "images", _, "versions", _],
            [.., name, _, image, _, number],
        ) => {
            let id = version(gallery(name), image, number);
            let asked = arm.put_version(&permit, &id, &version_intent()).await;
            assert_eq!(asked, Ok(written(line.status)));
        }
        (
            "GET",
            ["microsoft.compute", "galleries", _, "images", _, "versions", _],
            [.., name, _, image, _, number],
        ) => {
            let read = arm.version(&version(gallery(name), image, number)).await.unwrap();
            assert_eq!(read.number.to_string(), *number);
            assert_eq!(read.provisioning, Provisioning::named_for_tests(line));
            let profile = &line.body["properties"]["publishingProfile"];
            let regions = profile["targetRegions"].as_array().map_or(0, Vec::len);
            assert_eq!(read.target_regions.len(), regions);
            let replication = line.body["properties"].get("replicationStatus").is_some();
            assert_eq!(read.replication.is_some(), replication);
        }
        (
            "DELETE",
            ["microsoft.compute", "galleries", _, "images", _, "versions", _],
            [.., name, _, image, _, number],
        ) => {
            let id = version(gallery(name), image, number);
            assert_eq!(arm.delete_version(&permit, &id).await, Ok(Deletion::Accepted));
        }
        (
            "GET",
            ["microsoft.compute", "galleries", _, "images", _, "versions"],
            [.., name, _, image, _],
        ) => {
            let listed = arm.versions(&gallery(name).definition(image)).await.unwrap();
            assert_eq!(listed.len(), line.count());
        }
        (
            "GET",
            [
                "microsoft.compute",
                "galleries",
                _,
                "softdeletedartifacttypes",
                _,
                "artifacts",
                _,
                "versions",
            ],
            [_, _, name, _, _, _, image, _],
        ) => {
            let listed = arm.soft_deleted(&gallery(name).definition(image)).await.unwrap();
            assert_eq!(listed.len(), line.count());
        }
        _ => return platform(line, &parts, script).await,
    }
    Some(script)
}

/// The versions of a platform image.
async fn platform(line: &Line<'_>, parts: &[&str], script: Script) -> Option<Script> {
    let [_, subscription, _, _, "locations", region, _, publisher, _, _, _, offer, _, sku, last] =
        parts
    else {
        return None;
    };
    if line.method != "GET" || !last.eq_ignore_ascii_case("versions") {
        return None;
    }
    let image = PlatformImage {
        publisher: (*publisher).to_owned(),
        offer: (*offer).to_owned(),
        sku: (*sku).to_owned(),
        plan: None,
    };
    let region = region.parse().unwrap();
    let listed = script.arm().platform_versions(subscription, &region, &image).await.unwrap();
    assert_eq!(listed.len(), line.body.as_array().map_or(0, Vec::len));
    Some(script)
}

/// What the recorded `provisioningState` means.
trait Recorded {
    fn named_for_tests(line: &Line<'_>) -> Self;
}

impl Recorded for Provisioning {
    fn named_for_tests(line: &Line<'_>) -> Provisioning {
        match line.property("provisioningState") {
            "Creating" => Provisioning::Creating,
            "Updating" => Provisioning::Updating,
            "Succeeded" => Provisioning::Succeeded,
            "Failed" => Provisioning::Failed,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn recorded_conversations_of_our_operations_are_replayed() {
    let mut count = 0;
    for (file, recording) in recordings() {
        // Refusals have a test of their own, and bodies cut by hand are none of Azure's.
        for interaction in recording["interactions"].as_array().into_iter().flatten() {
            let line = Line::of(interaction);
            if line.status >= 400 {
                continue;
            }
            let Some(script) = replayed(&line).await else { continue };

            let asked = script.only();
            let path = asked.path.split('?').next().unwrap();
            assert_eq!(asked.method, line.method, "{}", file.display());
            assert!(
                path.eq_ignore_ascii_case(line.path),
                "{}: {path} for {}",
                file.display(),
                line.path
            );
            count += 1;
        }
    }
    // None where the folder is absent, which was said; a few would mean that they are passed over.
    assert!(count == 0 || count >= 150, "only {count} recorded exchanges were replayed");
    eprintln!("{count} recorded exchanges were replayed");
}
