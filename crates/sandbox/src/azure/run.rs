//! Runs of a template: starting one, canceling it, what it says of itself, what came out of it.

use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::build;
use super::call::Call;
use super::operation::{Operation, Provider};
use super::settle::Work;
use super::software::Software;
use super::template::{self, Template};
use super::{World, event, moment, plain, route};
use crate::guid;

const OUTPUT_KIND: &str = "Microsoft.VirtualMachineImages/imageTemplates/runOutputs";

/// The last run of a template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) operation: String,
    pub(super) started: DateTime<Utc>,
    pub(super) ended: Option<DateTime<Utc>>,
    /// Running, Canceling, Succeeded, PartiallySucceeded, Failed, Canceled.
    pub(super) state: String,
    pub(super) message: String,
    /// The parts of the run, in order; the last one ends when the run does.
    pub(super) phases: Vec<Phase>,
    pub(super) outputs: Vec<Output>,
    /// What the source holds; none when the source was gone when the run began.
    pub(super) base: Option<Software>,
}

/// A part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Phase {
    /// Queued, Building, Customizing, Optimizing, Validating, Distributing.
    pub(super) name: String,
    pub(super) ends: DateTime<Utc>,
}

/// What a run made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Output {
    pub(super) name: String,
    /// The id of a version or an image.
    pub(super) artifact_id: Option<String>,
    /// The address of a disk.
    pub(super) artifact_uri: Option<String>,
}

impl Run {
    /// `lastRunStatus`: nanoseconds, year 1 while there is no end, a sub-state while it runs alone.
    pub(super) fn status(&self, now: DateTime<Utc>) -> Value {
        let mut status = json!({
            "startTime": moment::run(self.started),
            "endTime": self.ended.map_or_else(|| moment::YEAR_ONE.to_owned(), moment::run),
            "runState": self.state,
            "message": self.message,
        });
        if self.state == "Running" {
            let phase = self.phases.iter().find(|it| now < it.ends).or(self.phases.last());
            status["runSubState"] = json!(phase.map_or("Queued", |it| it.name.as_str()));
        }
        status
    }
}

/// POST of `run` and `cancel`.
pub(super) fn action(world: &World<'_>, call: &Call, action: &str) -> Result<Reply, Trouble> {
    if call.method != Method::POST {
        return Err(route::unknown(call));
    }
    let found = world.records.get::<Template>(&call.id(8))?;
    let template = found.ok_or_else(|| template::not_found(call))?;
    match action {
        "run" => start(world, call, template),
        _ => cancel(world, template),
    }
}

fn start(world: &World<'_>, call: &Call, mut template: Template) -> Result<Reply, Trouble> {
    if template.state != "Succeeded" || template.is_running() {
        return Err(template.not_allowed("run").into());
    }
    let sequence = world.records.count("runs")?.to_string();
    let id = guid::of(&["run", &template.id.to_ascii_lowercase(), &sequence]);
    // The service notes the nanosecond at which it took the run up; requests come at even instants
    // here, so that the digits below a millisecond are drawn.
    let digits = moment::lot(&["digits", &id]) % 1_000_000;
    let started = world.now + TimeDelta::nanoseconds(i64::try_from(digits).unwrap_or(0));
    let base = build::base(world, &template)?;
    let built = build::rehearse(world, &template, &id, started, base.as_ref())?;
    let ends = built.phases.last().map_or(started, |it| it.ends);

    let operation = Operation::start(world, Provider::Builder, &template.id, &template.location)?;
    template.last_run = Some(Run {
        id: id.clone(),
        operation: operation.id.clone(),
        started,
        ended: None,
        state: "Running".to_owned(),
        message: String::new(),
        phases: built.phases,
        outputs: Vec::new(),
        base,
    });
    template.store(world)?;
    let work = Work::RunEnded { template: template.id.clone(), run: id };
    world.records.schedule(ends, &work)?;
    event::run_accepted(world, &template.id, world.now)?;
    Ok(operation.accepted(world, call))
}

/// 204 at once, while the run is only Canceling (recorded).
fn cancel(world: &World<'_>, mut template: Template) -> Result<Reply, Trouble> {
    let refusal = template.not_allowed("cancel");
    let id = template.id.clone();
    let Some(run) = template.last_run.as_mut().filter(|it| it.state == "Running") else {
        return Err(refusal.into());
    };
    run.state = "Canceling".to_owned();
    run.message = "Canceling image build".to_owned();
    let work = Work::RunCanceled { template: id.clone(), run: run.id.clone() };
    // Not recorded: how long a cancellation takes.
    let ends = world.now + moment::between(&[&run.id, "cancel"], 30.0, 120.0);
    template.store(world)?;
    world.records.schedule(ends, &work)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// A run has been canceled.
pub(super) fn canceled(
    world: &World<'_>,
    template_id: &str,
    run_id: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    let Some(mut template) = world.records.get::<Template>(template_id)? else { return Ok(()) };
    let run = template.last_run.as_mut();
    let Some(run) = run.filter(|it| it.id == run_id && it.state == "Canceling") else {
        return Ok(());
    };
    run.state = "Canceled".to_owned();
    run.message = "Image build was canceled".to_owned();
    run.ended = Some(at);
    let operation = run.operation.clone();
    template.store(world)?;
    event::run_ended(world, template_id, at, false)?;
    let error = ("Canceled".to_owned(), "The image build was canceled.".to_owned());
    Operation::end(world, &operation, at, Some(error))
}

/// `GET .../runOutputs` and `.../runOutputs/{name}`: of the last run alone.
pub(super) fn outputs(world: &World<'_>, call: &Call, rest: &[&str]) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let found = world.records.get::<Template>(&call.id(8))?;
    let template = found.ok_or_else(|| template::not_found(call))?;
    let outputs = template.last_run.as_ref().map(|it| it.outputs.as_slice()).unwrap_or_default();
    match rest {
        [] => {
            let bodies: Vec<Value> = outputs.iter().map(|it| body(&template, it)).collect();
            Ok(Reply::ok(json!({ "value": bodies })))
        }
        [name] => {
            let output = outputs.iter().find(|it| it.name.eq_ignore_ascii_case(name));
            let output = output.ok_or_else(|| {
                let name = format!("{}/runOutputs/{}", call.segments[7], call.segments[9]);
                Refusal::not_found(template::KIND, &name, plain::group_of(&template.id))
            })?;
            Ok(Reply::ok(body(&template, output)))
        }
        _ => Err(route::unknown(call)),
    }
}

fn body(template: &Template, output: &Output) -> Value {
    let mut properties = json!({ "provisioningState": "Succeeded" });
    if let Some(id) = &output.artifact_id {
        properties["artifactId"] = json!(id);
    }
    if let Some(uri) = &output.artifact_uri {
        properties["artifactUri"] = json!(uri);
    }
    json!({
        "properties": properties,
        "id": format!("{}/runOutputs/{}", template.told_id(), output.name),
        "name": output.name,
        "type": OUTPUT_KIND,
    })
}
