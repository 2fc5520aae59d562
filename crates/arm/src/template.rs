//! Image templates: what Image Builder builds, and how its last run went. A template never changes
//! once it is there (Image Builder refuses it): another is made, and this one deleted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::Region;
use serde::Deserialize;

use crate::api::IMAGE_BUILDER;
use crate::client::{Arm, Deletion, Permit, Written};
use crate::error::{At, Error};
use crate::id::{GroupId, TemplateId, VersionId, escaped, path};
use crate::readable::readable;
use crate::state::{Provisioning, RunState};
use crate::template_intent::TemplateIntent;
use crate::{date, template_intent};

/// The most of a run's message that is kept, in characters.
const MESSAGE: usize = 2000;

/// An image template, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub id: TemplateId,
    pub location: Region,
    /// Of the template, not of its build.
    pub provisioning: Provisioning,
    /// Why the template could not be made: Image Builder's code and message.
    pub error: Option<String>,
    /// Absent before the first run.
    pub last_run: Option<LastRun>,
    /// Where the build's machine, logs and disks are. It is deleted with the template.
    pub staging_group: Option<GroupId>,
    /// What the base was resolved to: a platform version, or a version's id. Image Builder says
    /// `latest` while it does not know.
    pub source_exact_version: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// The last run of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    pub state: RunState,
    /// `Queued`, `Building`, `Customizing`, `Optimizing`, `Validating`, `Distributing`; absent when
    /// the run is over or being canceled.
    pub sub_state: Option<String>,
    /// What Image Builder says; of a failure, what failed and where the log is. Queries of URLs are
    /// left out.
    pub message: String,
    pub started: Option<DateTime<Utc>>,
    /// Absent until the run is over (Azure says year 1).
    pub ended: Option<DateTime<Utc>>,
}

/// What the last run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutput {
    pub name: String,
    /// The id of what it made; absent while there is nothing.
    pub artifact: Option<String>,
    /// The same, when it is a version of a gallery.
    pub version: Option<VersionId>,
    pub provisioning: Option<Provisioning>,
}

impl Arm {
    /// Reads a template. During a long run Azure sometimes answers 500: a failed look is not a
    /// failed build.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else why it could not be read.
    pub async fn template(&self, id: &TemplateId) -> Result<Template, Error> {
        let answer = self.get("read the template", id.to_string(), template_path(id, "")).await?;
        answer.read(WireTemplate::facts)
    }

    /// Lists the templates of a resource group.
    ///
    /// # Errors
    /// Why they could not be listed.
    pub async fn templates(&self, group: &GroupId) -> Result<Vec<Template>, Error> {
        let types = "providers/Microsoft.VirtualMachineImages/imageTemplates";
        let path = format!("{}/{types}?api-version={IMAGE_BUILDER}", path(&group.to_string()));
        self.list("list the templates of", group.to_string(), path, WireTemplate::facts).await
    }

    /// Makes a template. It is ready when it reads [`Provisioning::Succeeded`]; a wrong intent may
    /// be accepted here and then read [`Provisioning::Failed`].
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is one of this name; else why it was refused.
    pub async fn create_template(
        &self,
        permit: &Permit,
        id: &TemplateId,
        intent: &TemplateIntent,
    ) -> Result<Written, Error> {
        let at = At { operation: "make the template", resource: id.to_string() };
        self.put(permit, at, template_path(id, ""), &template_intent::body(intent)).await
    }

    /// Starts a run. A run has no key: whoever asks again compares [`LastRun::started`] first.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] when one is running already; else why it was refused.
    pub async fn run_template(&self, permit: &Permit, id: &TemplateId) -> Result<(), Error> {
        let at = At { operation: "run the template", resource: id.to_string() };
        self.post(permit, at, template_path(id, "/run")).await
    }

    /// Cancels the run. Azure answers at once; the run is over when it reads
    /// [`RunState::Canceled`].
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn cancel_template(&self, permit: &Permit, id: &TemplateId) -> Result<(), Error> {
        let at = At { operation: "cancel the run of", resource: id.to_string() };
        self.post(permit, at, template_path(id, "/cancel")).await
    }

    /// Deletes a template and its staging group.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] while it runs; else why it was refused.
    pub async fn delete_template(
        &self,
        permit: &Permit,
        id: &TemplateId,
    ) -> Result<Deletion, Error> {
        let at = At { operation: "delete the template", resource: id.to_string() };
        self.delete(permit, at, template_path(id, "")).await
    }

    /// Reads one output of a template's last run.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the last run made none of this name; else why it could not be read.
    pub async fn run_output(&self, id: &TemplateId, name: &str) -> Result<RunOutput, Error> {
        let path = template_path(id, &format!("/runOutputs/{}", escaped(name)));
        let answer =
            self.get("read the run output", format!("{id}/runOutputs/{name}"), path).await?;
        answer.read(WireRunOutput::facts)
    }
}

fn template_path(id: &TemplateId, below: &str) -> String {
    format!("{}{below}?api-version={IMAGE_BUILDER}", path(&id.to_string()))
}

#[derive(Deserialize)]
struct WireTemplate {
    id: String,
    name: String,
    location: String,
    tags: Option<BTreeMap<String, String>>,
    properties: WireProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    /// Microsoft's example of a GET has none; recorded answers always do.
    #[serde(default)]
    provisioning_state: String,
    provisioning_error: Option<WireProvisioningError>,
    last_run_status: Option<WireLastRun>,
    exact_staging_resource_group: Option<String>,
    source: Option<WireSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProvisioningError {
    provisioning_error_code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLastRun {
    run_state: Option<String>,
    run_sub_state: Option<String>,
    message: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource {
    exact_version: Option<String>,
}

#[derive(Deserialize)]
struct WireRunOutput {
    name: String,
    properties: WireRunOutputProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRunOutputProperties {
    artifact_id: Option<String>,
    provisioning_state: Option<String>,
}

impl WireTemplate {
    fn facts(self) -> Result<Template, String> {
        let group = self.id.split("/providers/").next().unwrap_or_default();
        let group: GroupId = group.parse().map_err(|error| format!("its id: {error}"))?;
        let WireProperties { source, last_run_status, .. } = self.properties;
        let staging = self.properties.exact_staging_resource_group.filter(|it| !it.is_empty());
        let exact = source.and_then(|it| it.exact_version);
        Ok(Template {
            staging_group: staging
                .map(|it| it.parse())
                .transpose()
                .map_err(|it: crate::id::IdError| it.to_string())?,
            id: TemplateId::new(&group.subscription, &group.name, &self.name),
            location: Region::try_from(self.location).map_err(|error| error.to_string())?,
            provisioning: Provisioning::named(&self.properties.provisioning_state),
            error: self.properties.provisioning_error.and_then(WireProvisioningError::fact),
            last_run: last_run_status.map_or(Ok(None), WireLastRun::fact)?,
            source_exact_version: exact
                .filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("latest")),
            tags: self.tags.unwrap_or_default(),
        })
    }
}

impl WireProvisioningError {
    fn fact(self) -> Option<String> {
        let code = self.provisioning_error_code.filter(|it| !it.is_empty());
        let message = self.message.filter(|it| !it.is_empty());
        let text = match (code, message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (code, message) => code.or(message)?,
        };
        Some(readable(&text, MESSAGE))
    }
}

impl WireLastRun {
    /// Without a state there was no run.
    fn fact(self) -> Result<Option<LastRun>, String> {
        let Some(state) = self.run_state.filter(|it| !it.is_empty()) else { return Ok(None) };
        Ok(Some(LastRun {
            state: RunState::named(&state),
            sub_state: self.run_sub_state.filter(|it| !it.is_empty()),
            message: readable(&self.message.unwrap_or_default(), MESSAGE),
            started: date::optional(self.start_time.as_deref())?,
            ended: date::optional(self.end_time.as_deref())?,
        }))
    }
}

impl WireRunOutput {
    fn facts(self) -> Result<RunOutput, String> {
        let WireRunOutputProperties { artifact_id, provisioning_state } = self.properties;
        let artifact = artifact_id.filter(|it| !it.is_empty());
        Ok(RunOutput {
            name: self.name,
            version: artifact.as_ref().and_then(|it| it.parse().ok()),
            artifact,
            provisioning: provisioning_state.map(|it| Provisioning::named(&it)),
        })
    }
}
