//! The end of a build: its logs, its scan report, and the versions and images that it publishes.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer::Trouble;
use super::operation::Operation;
use super::run::{Output, Run};
use super::template::Template;
use super::version::{self, TargetRegion, Version};
use super::{World, build, compute, event, plain, region, soft_deleted};
use crate::guid;

/// A build has come to its end.
pub(super) fn ended(
    world: &World<'_>,
    template_id: &str,
    run_id: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    let Some(mut template) = world.records.get::<Template>(template_id)? else { return Ok(()) };
    let run = template.last_run.clone();
    let Some(mut run) = run.filter(|it| it.id == run_id && it.state == "Running") else {
        return Ok(());
    };
    let built = build::rehearse(world, &template, run_id, run.started, run.base.as_ref())?;
    keep_logs(world, &template, run_id, &built.logs)?;
    if let Some((account, container, key, bytes)) = built.report {
        world.blobs.put(&account, &container, &key, bytes)?;
    }

    let mut failures = Vec::new();
    if built.distributes {
        for target in template.properties["distribute"].as_array().into_iter().flatten() {
            match publish(world, &template, &run, target, &built.software, at)? {
                Ok(output) => run.outputs.push(output),
                Err(message) => failures.push(message),
            }
        }
    }
    finish(&mut run, built.failure, &failures, at);
    let (operation, state, message) =
        (run.operation.clone(), run.state.clone(), run.message.clone());
    template.last_run = Some(run);
    template.store(world)?;

    let good = state == "Succeeded";
    event::run_ended(world, template_id, at, good)?;
    Operation::end(world, &operation, at, (!good).then(|| ("RunFailed".to_owned(), message)))
}

fn finish(run: &mut Run, failure: Option<String>, failures: &[String], at: DateTime<Utc>) {
    run.ended = Some(at);
    let published = run.outputs.len();
    if let Some(message) = failure {
        run.state = "Failed".to_owned();
        run.message = message;
        return;
    }
    if failures.is_empty() {
        run.state = "Succeeded".to_owned();
        return;
    }
    run.state = if published == 0 { "Failed" } else { "PartiallySucceeded" }.to_owned();
    run.message = format!(
        "Failed in distributing {} images out of total {}: {{{}}}",
        failures.len(),
        failures.len() + published,
        failures.join(", ")
    );
}

fn keep_logs(
    world: &World<'_>,
    template: &Template,
    run: &str,
    logs: &[String; 2],
) -> Result<(), Trouble> {
    let Some(staging) = &template.staging else { return Ok(()) };
    for (name, log) in ["customization", "validation"].iter().zip(logs) {
        if !log.is_empty() {
            let key = format!("{run}/{name}.log");
            world.blobs.put(&staging.account, "packerlogs", &key, log.as_bytes())?;
        }
    }
    Ok(())
}

fn publish(
    world: &World<'_>,
    template: &Template,
    run: &Run,
    target: &Value,
    software: &super::software::Software,
    at: DateTime<Utc>,
) -> Result<Result<Output, String>, Trouble> {
    let name = target["runOutputName"].as_str().unwrap_or_default().to_owned();
    let mut output = Output { name, artifact_id: None, artifact_uri: None };
    match target["type"].as_str() {
        Some("SharedImage") => {
            let id = match publish_version(world, template, run, target, software, at)? {
                Ok(id) => id,
                Err(message) => return Ok(Err(message)),
            };
            output.artifact_id = Some(id);
        }
        Some("ManagedImage") => {
            let id = target["imageId"].as_str().unwrap_or_default();
            let location = target["location"].as_str().unwrap_or(&template.location);
            plain::put(world, &compute::managed_image(id, location, &target["artifactTags"]))?;
            output.artifact_id = Some(id.to_owned());
        }
        _ => {
            let disk = build::disk_source(world, template, &run.id);
            output.artifact_uri = disk["uri"].as_str().map(str::to_owned);
        }
    }
    Ok(Ok(output))
}

fn publish_version(
    world: &World<'_>,
    template: &Template,
    run: &Run,
    target: &Value,
    software: &super::software::Software,
    at: DateTime<Utc>,
) -> Result<Result<String, String>, Trouble> {
    let asked = target["galleryImageId"].as_str().unwrap_or_default();
    let definition_id: Vec<&str> = asked.split('/').take(11).collect();
    let definition_id = definition_id.join("/");
    let failed = |why: &str| {
        format!(
            "[Error 0] [Distribute 0] Error publishing MDI to Azure Compute Gallery:{definition_id}, \
             Location:{}. Error: Error returned from SIG client while publishing MDI to Azure \
             Compute Gallery: {why}",
            template.location
        )
    };

    let Some(definition) = world.records.get::<Value>(&definition_id)? else {
        return Ok(Err(failed("Code=\"ResourceNotFound\" the image definition was not found.")));
    };
    let definition_id = definition["id"].as_str().unwrap_or_default().to_owned();
    let number = match asked.split('/').nth(12) {
        Some(number) => number.to_owned(),
        None => next_number(world, &definition_id)?,
    };
    let id = format!("{definition_id}/versions/{number}");
    let taken = world.records.exists(&id)? || soft_deleted::of_version(world, &id)?.is_some();
    if taken {
        let why = format!("Code=\"Conflict\" the gallery image version '{number}' already exists.");
        return Ok(Err(failed(&why)));
    }

    // A version is where its definition is, wherever the template is.
    let home = region::short(definition["location"].as_str().unwrap_or_default());
    let storage = target["storageAccountType"].as_str().unwrap_or("Standard_LRS");
    let regions = target_regions(target, &home, storage, at);
    if let Some(out) = regions.iter().find(|it| version::is_out(world, &it.name, at)) {
        let region = region::display(&out.name);
        let why = format!(
            "Code=\"ReplicationJobsNotCompleted\" the replication job has not completed at region \
             '{region}'."
        );
        return Ok(Err(failed(&why)));
    }
    let source = &template.properties["source"];
    let text = |member: &str| source[member].as_str().unwrap_or_default().to_owned();
    let windows = definition["properties"]["osType"] == json!("Windows");
    let version = Version {
        id: id.clone(),
        location: home,
        tags: tags(template, run, target),
        replica_count: regions.first().map_or(1, |it| it.replicas),
        regions,
        exclude_from_latest: target["excludeFromLatest"] == true,
        published: at,
        end_of_life: None,
        storage_account_type: storage.to_owned(),
        replication_mode: target["replicationMode"].as_str().map(str::to_owned),
        source: None,
        disk_source: build::disk_source(world, template, &run.id),
        disk_gb: disk_gb(world, template, windows),
        allow_deletion_of_replicated_locations: false,
        block_deletion_before_end_of_life: None,
        state: "Succeeded".to_owned(),
        operation: None,
        software: software.clone(),
        platform: (source["type"] == json!("PlatformImage"))
            .then(|| [text("publisher"), text("offer"), text("sku")]),
    };
    version.store(world)?;
    event::version_written(world, &id, at, true)?;
    Ok(Ok(id))
}

/// The larger of the source's disk and the one that the template asks for.
fn disk_gb(world: &World<'_>, template: &Template, windows: bool) -> u32 {
    let source = &template.properties["source"];
    let text = |member: &str| source[member].as_str().unwrap_or_default();
    let image = crate::estate::reference::platform_image(
        world.estate,
        text("publisher"),
        text("offer"),
        text("sku"),
    );
    let asked = template.properties["vmProfile"]["osDiskSizeGB"].as_u64().unwrap_or(0);
    let asked = u32::try_from(asked).unwrap_or(0);
    asked.max(image.map_or(if windows { 127 } else { 30 }, |it| it.disk_gb))
}

fn target_regions(
    target: &Value,
    home: &str,
    storage: &str,
    at: DateTime<Utc>,
) -> Vec<TargetRegion> {
    let region = |name: &str, replicas: u64, storage: &str| TargetRegion {
        name: region::short(name),
        replicas,
        storage_account_type: storage.to_owned(),
        exclude_from_latest: None,
        besides: serde_json::Map::new(),
        begun: at,
        completes: at,
        fails: false,
    };
    let mut regions: Vec<TargetRegion> = Vec::new();
    for asked in target["targetRegions"].as_array().into_iter().flatten() {
        let name = asked["name"].as_str().unwrap_or_default();
        let replicas = asked["replicaCount"].as_u64().unwrap_or(1);
        regions.push(region(
            name,
            replicas,
            asked["storageAccountType"].as_str().unwrap_or(storage),
        ));
    }
    for name in target["replicationRegions"].as_array().into_iter().flatten() {
        regions.push(region(name.as_str().unwrap_or_default(), 1, storage));
    }
    if !regions.iter().any(|it| it.name == home) {
        regions.insert(0, region(home, 1, storage));
    }
    regions
}

/// artifactTags and what Image Builder adds (recorded).
fn tags(template: &Template, run: &Run, target: &Value) -> Value {
    let source = &template.properties["source"];
    let text = |member: &str| source[member].as_str().unwrap_or_default();
    let origin = if source["type"] == json!("PlatformImage") {
        let asked = if text("version").is_empty() { "latest" } else { text("version") };
        format!(
            "PlatformImage {}::{}::{}::{asked} ({})",
            text("publisher"),
            text("offer"),
            text("sku"),
            template.exact_version
        )
    } else {
        format!("{} {}", text("type"), template.exact_version)
    };
    let mut tags = target["artifactTags"].as_object().cloned().unwrap_or_default();
    tags.insert("VMImageBuilderSource".to_owned(), json!(origin));
    tags.insert("correlationId".to_owned(), json!(guid::of(&["correlation", &run.id])));
    Value::Object(tags)
}

/// 1.0.0 for the first version (recorded), else the patch after the highest.
fn next_number(world: &World<'_>, definition_id: &str) -> Result<String, Trouble> {
    let mut numbers: Vec<Vec<u64>> = world
        .records
        .below_of::<Version>(definition_id, version::KIND)?
        .iter()
        .map(|it| version::numbers(it.number()))
        .collect();
    for kept in soft_deleted::of_definition(world, definition_id)? {
        numbers.push(version::numbers(kept.version.number()));
    }
    let Some(highest) = numbers.into_iter().max() else { return Ok("1.0.0".to_owned()) };
    let part = |index: usize| highest.get(index).copied().unwrap_or(0);
    Ok(format!("{}.{}.{}", part(0), part(1), part(2) + 1))
}
