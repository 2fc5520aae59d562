//! Recorded conversations replayed against our client: one client goes through a whole recording, is
//! given its answers in their order, with their headers, and must ask what was asked (method, path,
//! query) and understand what was said. Passed over is what our client never asks, refusals (they
//! have a test of their own in `recordings.rs`) and the queries of Resource Graph
//! (`src/graph/recorded.rs`). What is sent in bodies is held against the documents, not against what
//! other clients sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arm::{
    Arm, Deletion, GalleryId, GroupId, Provisioning, RunState, TemplateId, VersionId, Written,
};
use rules::catalog::PlatformImage;
use serde_json::Value;

use crate::bodies::{definition_intent, template_intent, version_intent};
use crate::recordings::recordings;
use crate::script::{Script, permit};

/// One recorded exchange.
struct Line<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    status: u16,
    body: &'a Value,
    interaction: &'a Value,
}

impl<'a> Line<'a> {
    fn of(interaction: &'a Value) -> Line<'a> {
        let (request, response) = (&interaction["request"], &interaction["response"]);
        let path = request["path"].as_str().unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Line {
            method: request["method"].as_str().unwrap(),
            path,
            query,
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            body: &response["body"],
            interaction,
        }
    }

    /// `script`, and then this answer with its headers.
    fn after(&self, script: Script) -> Script {
        let headers = self.interaction["response"]["headers"].as_object();
        let headers: Vec<(&str, &str)> = headers
            .into_iter()
            .flatten()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let body = if self.body.is_null() { String::new() } else { self.body.to_string() };
        script.with(self.status, &headers, body)
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

/// Replays one exchange; none, and nothing is asked, for an operation that is not ours.
async fn replayed(arm: &Arm, line: &Line<'_>) -> Option<()> {
    // They have a test of their own.
    if line.status >= 400 {
        return None;
    }
    let parts: Vec<&str> = line.path.trim_matches('/').split('/').collect();
    let lower: Vec<String> = parts.iter().map(|it| it.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
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
        _ => return platform(arm, line, &parts).await,
    }
    Some(())
}

/// The versions of a platform image.
async fn platform(arm: &Arm, line: &Line<'_>, parts: &[&str]) -> Option<()> {
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
    let listed = arm.platform_versions(subscription, &region, &image).await.unwrap();
    assert_eq!(listed.len(), line.body.as_array().map_or(0, Vec::len));
    Some(())
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

/// `query` without its api-version, decoded, in the order of its names.
fn but_for_the_version(query: &str) -> BTreeSet<(String, String)> {
    let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    pairs.filter(|(name, _)| name != "api-version").collect()
}

/// What our client asks otherwise than the recorded one did: our query, theirs, and why.
const ASKED_OTHERWISE: &[(&str, &str, &str)] = &[
    ("$expand=ReplicationStatus", "", "a version is always read with what its regions say"),
    ("", "$select=Permissions", "a gallery's permissions are read with all of it"),
    ("", "bypassSoftDelete=true", "a deletion never bypasses the soft one"),
    ("", "$top=1&$orderby=name desc", "the newest of a platform is found in the whole list"),
    (
        "",
        "$expand=properties&$orderby=name desc&$top=1",
        "the newest of a platform is found in the whole list",
    ),
    (
        "",
        "$expand=properties/imageDeprecationStatus",
        "nothing but the numbers of a platform is read",
    ),
];

/// Replays a whole recording; how many of its exchanges were ours, and those entries of
/// [`ASKED_OTHERWISE`] that were met.
async fn replay(file: &Path, recording: &Value) -> (usize, BTreeSet<usize>) {
    let interactions = recording["interactions"].as_array().into_iter().flatten();
    let lines: Vec<Line<'_>> = interactions.map(Line::of).collect();
    let script = lines.iter().fold(Script::default(), |script, line| line.after(script));
    let arm = script.arm();
    let (mut ours, mut met) = (0, BTreeSet::new());

    for (index, line) in lines.iter().enumerate() {
        if replayed(&arm, line).await.is_none() {
            script.pass_over();
            continue;
        }
        ours += 1;
        let asked = script.asked();
        let asked = asked.last().unwrap();
        let (path, query) = asked.path.split_once('?').unwrap();
        let at = format!("{}: {} {path}?{query} for {}", file.display(), asked.method, line.path);
        assert_eq!(asked.method, line.method, "{at}");
        assert!(path.eq_ignore_ascii_case(line.path), "{at}");
        assert_eq!(script.asked().len(), ours, "{at}: one question for each answer");
        assert_eq!(script.left(), lines.len() - index - 1, "{at}");
        let (query, theirs) = (but_for_the_version(query), but_for_the_version(line.query));
        if query != theirs {
            let known = ASKED_OTHERWISE.iter().position(|(own, other, _)| {
                but_for_the_version(own) == query && but_for_the_version(other) == theirs
            });
            met.insert(known.unwrap_or_else(|| panic!("{at}, not with {theirs:?}")));
        }
    }
    (ours, met)
}

/// Those that tell a whole life, and how many of their exchanges are ours. The others ask for status
/// operations, which we never follow, and make and delete galleries, which we never do.
const WHOLE_LIVES: [(&str, usize); 5] = [
    ("ib_run_outputs_shared_image.json", 7),
    ("ib_cancel.json", 6),
    ("gallery_e2e.json", 19),
    ("gallery_soft_delete_2026-03-03.json", 9),
    ("imagebuilder-2022-07-01.condensed.json", 5),
];

#[tokio::test]
async fn recorded_conversations_of_our_operations_are_replayed_in_their_order() {
    let recordings = recordings();
    if recordings.is_empty() {
        return;
    }
    let (mut counts, mut met) = (BTreeMap::new(), BTreeSet::new());
    for (file, recording) in &recordings {
        let (ours, otherwise) = replay(file, recording).await;
        counts.insert(file.file_name().unwrap().to_str().unwrap(), ours);
        met.extend(otherwise);
    }

    // A few would mean that they are passed over.
    let count: usize = counts.values().sum();
    assert!(count >= 150, "only {count} recorded exchanges were replayed");
    for (name, ours) in WHOLE_LIVES {
        assert_eq!(counts[name], ours, "{name}");
    }
    assert_eq!(met, (0..ASKED_OTHERWISE.len()).collect(), "no recording asks so");
    eprintln!("{count} recorded exchanges were replayed");
}
