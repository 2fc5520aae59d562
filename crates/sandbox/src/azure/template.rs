//! Image templates: what one is, and creating, reading, patching and deleting it.

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::operation::{Operation, Provider};
use super::run::Run;
use super::settle::Work;
use super::{World, event, gallery, group, moment, plain, region, route, template_shape, version};
use crate::guid;

pub(super) const KIND: &str = "Microsoft.VirtualMachineImages/imageTemplates";

/// An image template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Template {
    pub(super) id: String,
    /// The short name of its region.
    pub(super) location: String,
    pub(super) tags: Value,
    pub(super) identity: Value,
    /// As they were sent.
    pub(super) properties: Value,
    /// Creating, Updating, Succeeded, Failed, Deleting.
    pub(super) state: String,
    /// Code and message, when it is Failed.
    pub(super) error: Option<(String, String)>,
    /// The version of the source that will be built from; `latest` until that is known.
    pub(super) exact_version: String,
    /// The SHA-256 of scripts by their address; filled in by the service (recorded).
    pub(super) checksums: std::collections::BTreeMap<String, String>,
    pub(super) staging: Option<Staging>,
    pub(super) last_run: Option<Run>,
}

/// Where the build of a template happens and where its logs are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Staging {
    /// The id of the resource group.
    pub(super) group: String,
    /// The name of the storage account in it.
    pub(super) account: String,
    /// True: Image Builder made the group, and deletes it with the template.
    pub(super) ours: bool,
}

impl Template {
    /// Stores it.
    pub(super) fn store(&self, world: &World<'_>) -> Result<(), Trouble> {
        world.records.put(&self.id, KIND, self)
    }

    /// Its id as it comes back: `/resourcegroups/` in lower case, whatever was sent (recorded).
    pub(super) fn told_id(&self) -> String {
        self.id.replacen("/resourceGroups/", "/resourcegroups/", 1)
    }

    /// The name of its run state in refusals.
    fn run_state(&self) -> &str {
        self.last_run.as_ref().map_or("", |it| it.state.as_str())
    }

    /// Whether a build is under way.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.run_state(), "Running" | "Canceling")
    }

    /// The refusal of `operation` in the state that it is in (text: Azure's issue trackers).
    pub(super) fn not_allowed(&self, operation: &str) -> Refusal {
        let (state, run_state) = (&self.state, self.run_state());
        Refusal::new(
            StatusCode::CONFLICT,
            "OperationNotAllowed",
            format!(
                "Operation 'Microsoft.VirtualMachineImages/imageTemplates/{operation}' is not \
                 allowed in provisioning state: '{state}' or run state: '{run_state}'."
            ),
        )
    }

    /// The body of an answer. What the service fills in is absent until it is done with the
    /// template (recorded).
    pub(super) fn body(&self, now: DateTime<Utc>) -> Value {
        let fresh = self.state == "Creating";
        let mut properties = self.properties.clone();
        for read_only in ["provisioningState", "provisioningError", "lastRunStatus"] {
            if let Some(members) = properties.as_object_mut() {
                members.remove(read_only);
            }
        }
        if properties["source"]["type"] != json!("ManagedImage") {
            properties["source"]["exactVersion"] = json!(self.exact_version);
        }
        for list in ["/customize", "/validate/inVMValidations"] {
            let steps = properties.pointer_mut(list).and_then(Value::as_array_mut);
            steps.into_iter().flatten().for_each(|it| self.fill_in_checksum(it));
        }
        let targets = properties.pointer_mut("/distribute").and_then(Value::as_array_mut);
        for target in targets.into_iter().flatten() {
            fill_in(target, "artifactTags", json!({}));
            if target["type"] == json!("SharedImage") {
                fill_in(target, "excludeFromLatest", json!(false));
                // Recorded: null comes back even where a scheme was sent.
                target["versioning"] = Value::Null;
            }
        }
        fill_in(&mut properties, "buildTimeoutInMinutes", json!(0));
        fill_in(&mut properties, "vmProfile", json!({}));
        fill_in(&mut properties["vmProfile"], "vmSize", json!(""));
        fill_in(&mut properties["vmProfile"], "osDiskSizeGB", json!(0));
        fill_in(&mut properties, "stagingResourceGroup", json!(""));
        let staging = self.staging.as_ref().map_or("", |it| it.group.as_str());
        properties["exactStagingResourceGroup"] = json!(staging);
        properties["provisioningState"] = json!(self.state);
        if let Some((code, message)) = &self.error {
            properties["provisioningError"] =
                json!({ "provisioningErrorCode": code, "message": message });
        }
        if let Some(run) = &self.last_run {
            properties["lastRunStatus"] = run.status(now);
        }

        json!({
            "properties": properties,
            "identity": if fresh { self.identity.clone() } else { filled_identity(&self.identity) },
            "tags": self.tags,
            "location": self.location,
            "id": self.told_id(),
            "name": plain::name_of(&self.id),
            "type": KIND,
        })
    }

    fn fill_in_checksum(&self, step: &mut Value) {
        let Some(step) = step.as_object_mut() else { return };
        if step.get("sha256Checksum").is_some_and(|it| it == "") {
            step.remove("sha256Checksum");
        }
        let address = step.get("scriptUri").or(step.get("sourceUri")).and_then(Value::as_str);
        let known = address.and_then(|it| self.checksums.get(it)).cloned();
        if let Some(checksum) = known {
            step.insert("sha256Checksum".to_owned(), json!(checksum));
        }
    }
}

fn fill_in(object: &mut Value, member: &str, value: Value) {
    if object[member].is_null() {
        object[member] = value;
    }
}

/// The identity with the ids that Entra knows it by.
fn filled_identity(identity: &Value) -> Value {
    let mut identity = identity.clone();
    for (id, value) in identity["userAssignedIdentities"].as_object_mut().into_iter().flatten() {
        let id = id.to_ascii_lowercase();
        *value = json!({
            "principalId": guid::of(&["principal", &id]),
            "clientId": guid::of(&["client", &id]),
        });
    }
    identity
}

/// Lists the templates of a group or a subscription.
pub(super) fn list(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    let scope = call.id(if call.lower[2] == "resourcegroups" { 4 } else { 2 });
    let templates: Vec<Template> = world.records.below_of(&scope, KIND)?;
    let bodies: Vec<Value> = templates.iter().map(|it| it.body(world.now)).collect();
    Ok(Reply::ok(json!({ "value": bodies })))
}

/// GET, PUT, PATCH and DELETE of one template.
pub(super) fn one(world: &World<'_>, call: &Call) -> Result<Reply, Trouble> {
    let id = call.id(8);
    let found = world.records.get::<Template>(&id)?;
    match call.method {
        Method::GET => {
            let template = found.ok_or_else(|| not_found(call))?;
            Ok(Reply::ok(template.body(world.now)))
        }
        Method::PUT => create(world, call, &id, found),
        Method::PATCH => patch(world, call, found.ok_or_else(|| not_found(call))?),
        Method::DELETE => match found {
            Some(template) => delete(world, call, template),
            None => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        },
        _ => Err(route::unknown(call)),
    }
}

/// 404 for the template of this path.
pub(super) fn not_found(call: &Call) -> Refusal {
    Refusal::not_found(KIND, &call.segments[7], &call.segments[3])
}

fn create(
    world: &World<'_>,
    call: &Call,
    id: &str,
    found: Option<Template>,
) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    if found.is_some() {
        // Also for one that failed, which must be deleted first.
        let message = "Update/Upgrade of image templates is currently not supported.";
        return Err(Refusal::conflict(message).into());
    }
    let name = &call.segments[7];
    let named_well = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
    };
    if !named_well(name) {
        return Err(invalid(format!(
            "The template name '{name}' does not match the pattern ^[A-Za-z0-9-_.]{{1,64}}$."
        ))
        .into());
    }
    template_shape::check_template(&asked, call.api_version())?;
    let location = gallery::location(&asked)?;
    check_identity(&asked["identity"])?;
    check_properties(&asked["properties"], named_well)?;

    let template = Template {
        id: id.to_owned(),
        location,
        tags: plain::tags(&asked),
        identity: asked["identity"].clone(),
        properties: asked["properties"].clone(),
        state: "Creating".to_owned(),
        error: None,
        exact_version: match asked["properties"]["source"]["imageVersionId"].as_str() {
            Some(version) => version.to_owned(),
            None => "latest".to_owned(),
        },
        checksums: std::collections::BTreeMap::new(),
        staging: None,
        last_run: None,
    };
    template.store(world)?;
    let operation = Operation::start(world, Provider::Builder, id, &template.location)?;
    let work = Work::TemplateReady { id: id.to_owned(), operation: operation.id.clone() };
    // Recorded: 11 to 46 seconds.
    world.records.schedule(world.now + moment::between(&[id, "put"], 11.0, 46.0), &work)?;
    let reply = Reply::with(StatusCode::CREATED, template.body(world.now));
    Ok(operation.on_put(world, call, reply))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "ValidationFailed",
        format!("Validation failed: {message}"),
    )
}

fn check_identity(identity: &Value) -> Result<(), Refusal> {
    let count = identity["userAssignedIdentities"].as_object().map_or(0, serde_json::Map::len);
    if identity["type"] == json!("UserAssigned") && count == 1 {
        return Ok(());
    }
    Err(invalid(
        "the image template must have exactly one user-assigned identity, of type 'UserAssigned'."
            .to_owned(),
    ))
}

fn check_properties(properties: &Value, named_well: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    if !properties["source"].is_object() {
        return Err(invalid("property 'source' is required.".to_owned()));
    }
    let targets = properties["distribute"].as_array().map(Vec::as_slice).unwrap_or_default();
    if targets.is_empty() {
        return Err(invalid("property 'distribute' must have at least one target.".to_owned()));
    }
    let mut names = std::collections::BTreeSet::new();
    for target in targets {
        let name = target["runOutputName"].as_str().unwrap_or_default();
        if !named_well(name) || !names.insert(name) {
            return Err(invalid(format!(
                "the runOutputName '{name}' is missing, not unique or does not match the pattern \
                 ^[A-Za-z0-9-_.]{{1,64}}$."
            )));
        }
        if !target["replicationRegions"].is_null() && !target["targetRegions"].is_null() {
            return Err(invalid(
                "only one of 'replicationRegions' and 'targetRegions' may be given.".to_owned(),
            ));
        }
        let regions = target["targetRegions"].as_array().into_iter().flatten();
        let regions = regions.map(|it| &it["name"]);
        let regions = regions.chain(target["replicationRegions"].as_array().into_iter().flatten());
        for name in regions {
            let name = name.as_str().unwrap_or_default();
            if region::known(name).is_none() {
                return Err(invalid(format!("'{name}' is not a region.")));
            }
        }
    }
    let minutes = properties["buildTimeoutInMinutes"].as_u64().unwrap_or(0);
    if minutes > 960 {
        return Err(invalid(format!(
            "buildTimeoutInMinutes {minutes} is not in the range 0 to 960."
        )));
    }
    for step in properties["customize"].as_array().into_iter().flatten() {
        one_script(step)?;
    }
    for step in properties["validate"]["inVMValidations"].as_array().into_iter().flatten() {
        one_script(step)?;
    }
    Ok(())
}

/// A shell or PowerShell step has a script or lines, not both and not neither.
fn one_script(step: &Value) -> Result<(), Refusal> {
    if !matches!(step["type"].as_str(), Some("Shell" | "PowerShell")) {
        return Ok(());
    }
    let has_script = step["scriptUri"].as_str().is_some_and(|it| !it.is_empty());
    let has_lines = step["inline"].as_array().is_some_and(|it| !it.is_empty());
    if has_script != has_lines {
        return Ok(());
    }
    let name = step["name"].as_str().unwrap_or_default();
    Err(invalid(format!("step '{name}' must have one of 'scriptUri' and 'inline'.")))
}

fn patch(world: &World<'_>, call: &Call, mut template: Template) -> Result<Reply, Trouble> {
    let asked = call.json()?;
    template_shape::check_patch(&asked, call.api_version())?;
    if template.state == "Deleting" || template.state == "Creating" || template.is_running() {
        return Err(template.not_allowed("write").into());
    }
    let targets = asked["properties"]["distribute"].as_array();
    if let Some(targets) = targets {
        for ours in template.properties["distribute"].as_array().into_iter().flatten() {
            let name = ours["runOutputName"].as_str().unwrap_or_default();
            if !targets.iter().any(|it| it["runOutputName"] == *name) {
                return Err(invalid(format!(
                    "Distribute target with Runoutput name {name} not found in the update \
                     request. Deleting a distribution target is not allowed."
                ))
                .into());
            }
        }
        template.properties["distribute"] = json!(targets);
    }
    if asked.get("tags").is_some() {
        template.tags = plain::tags(&asked);
    }
    if let Some(profile) = asked["properties"].get("vmProfile") {
        template.properties["vmProfile"] = profile.clone();
    }
    if asked["identity"]["type"] == json!("None") {
        // Accepted, and it takes the identity away (recorded).
        template.identity = json!({ "type": "None" });
    }
    for (id, value) in asked["identity"]["userAssignedIdentities"].as_object().into_iter().flatten()
    {
        let Some(ours) = template.identity["userAssignedIdentities"].as_object_mut() else { break };
        if value.is_null() {
            ours.remove(id);
        } else {
            ours.insert(id.clone(), json!({}));
        }
    }
    template.state = "Updating".to_owned();
    template.store(world)?;

    let operation = Operation::start(world, Provider::Builder, &template.id, &template.location)?;
    let work = Work::TemplateUpdated { id: template.id.clone(), operation: operation.id.clone() };
    // Recorded: 0.3 to 1.3 seconds.
    world
        .records
        .schedule(world.now + moment::between(&[&template.id, "patch"], 0.3, 1.3), &work)?;
    Ok(operation.accepted(world, call))
}

/// A patch is done.
pub(super) fn updated(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    if let Some(mut template) = world.records.get::<Template>(id)?
        && template.state == "Updating"
    {
        template.state = if template.error.is_some() { "Failed" } else { "Succeeded" }.to_owned();
        template.store(world)?;
    }
    Operation::end(world, operation, at, None)
}

fn delete(world: &World<'_>, call: &Call, mut template: Template) -> Result<Reply, Trouble> {
    if template.is_running() {
        return Err(template.not_allowed("delete").into());
    }
    template.state = "Deleting".to_owned();
    template.store(world)?;

    let operation = Operation::start(world, Provider::Builder, &template.id, &template.location)?;
    let work = Work::TemplateDeleted { id: template.id.clone(), operation: operation.id.clone() };
    // Recorded: 139 seconds.
    let time = moment::between(&[&template.id, "delete"], 136.0, 142.0);
    world.records.schedule(world.now + time, &work)?;
    Ok(operation.accepted(world, call))
}

/// A template is gone, and its staging group with it.
pub(super) fn deleted(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    if let Some(template) = world.records.get::<Template>(id)? {
        if let Some(staging) = &template.staging {
            version::staging_gone(world, &staging.group)?;
            // In a group that was ours before, only what Image Builder put there goes.
            if staging.ours {
                group::remove(world, &staging.group)?;
            } else {
                for stored in world.records.below(&staging.group)? {
                    world.records.remove(&stored.key)?;
                }
            }
        }
        world.records.remove(id)?;
        event::template_deleted(world, id, at)?;
    }
    Operation::end(world, operation, at, None)
}
