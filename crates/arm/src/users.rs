//! Who uses an image: the machines, scale sets, disks, templates and versions of the consumers'
//! subscriptions that refer to it, and which of those subscriptions could not be read. No row is
//! no proof, so what could not be read is as much of the answer as the rows.

use std::collections::{BTreeMap, BTreeSet};

use rules::catalog::Consumers;
use rules::in_use::{Kind, UseRow};
use serde::Deserialize;

use crate::client::Arm;
use crate::date;
use crate::error::Error;
use crate::graph::{MOST_SUBSCRIPTIONS, Scope, literal};
use crate::id::DefinitionId;

/// The image whose users are sought.
#[derive(Clone, Debug)]
pub struct Sought {
    pub definition: DefinitionId,
    /// The names under which its gallery is shared: [`crate::Gallery::shared_names`].
    pub shared_names: Vec<String>,
}

/// Who uses the images that were sought. `moved` or not `complete` means that rows may be missing:
/// look again before anything is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    pub rows: Vec<UseRow>,
    /// The scopes that could not be read, each with why.
    pub unreadable: Vec<String>,
    /// True: the data changed while it was read.
    pub moved: bool,
    /// True: Azure left nothing out.
    pub complete: bool,
    /// Why the instances of some scale sets were not read, when Azure asked to wait: the rows hold
    /// those sets without their instances.
    pub asked_to_wait: Option<Error>,
}

/// The types that hold a reference to an image.
const TYPES: &str = "'microsoft.compute/virtualmachines','microsoft.compute/virtualmachinescalesets','microsoft.compute/disks','microsoft.compute/galleries/images/versions','microsoft.virtualmachineimages/imagetemplates'";

/// The most images that one question is about, which is some 20 KB then. How long a question may be,
/// Microsoft's documents do not say.
const MOST_SOUGHT: usize = 50;

/// Shows which subscriptions answer at all.
const VISIBLE: &str = "resourcecontainers
| where type =~ 'microsoft.resources/subscriptions'
| project id, subscriptionId
| order by id asc";

impl Arm {
    /// Finds who in the scopes of `consumers` uses the images `sought`. Instances of scale sets
    /// are read from the sets themselves, since they may run older versions than their model names.
    ///
    /// # Errors
    /// Why the question could not be asked; a scope that may not be read is no error but
    /// [`Users::unreadable`].
    pub async fn users_of(&self, sought: &[Sought], consumers: &Consumers) -> Result<Users, Error> {
        let mut users = Users { complete: true, ..Users::default() };
        if sought.is_empty() {
            return Ok(users);
        }
        let queries: Vec<String> = sought.chunks(MOST_SOUGHT).map(query).collect();
        let mut rows = BTreeMap::new();

        'scopes: for scope in scopes(consumers) {
            for query in &queries {
                let found = match self.query::<WireUse>(&scope, query).await {
                    Ok(found) => found,
                    Err(error) => {
                        users.unreadable.extend(unreadable(&scope, error)?);
                        continue 'scopes;
                    }
                };
                users.moved |= found.moved;
                users.complete &= found.complete;
                rows.extend(found.rows.into_iter().map(|it| (it.id.to_ascii_lowercase(), it)));
            }

            let visible = match self.query::<WireSubscription>(&scope, VISIBLE).await {
                Ok(visible) => visible,
                Err(error) => {
                    users.unreadable.extend(unreadable(&scope, error)?);
                    continue;
                }
            };
            users.moved |= visible.moved;
            users.complete &= visible.complete;
            users.unreadable.extend(missing(&scope, visible.rows));
        }

        users.rows = facts(rows.into_values().collect(), sought);
        for set in scale_sets_with_instances(&users.rows) {
            match self.scale_set_instances(&set).await {
                Ok(instances) => users.rows.extend(instances),
                // The rules count a set whose instances were not read against every version.
                Err(Error::NotFound { .. } | Error::Forbidden { .. }) => {}
                // Asking on would only prolong the wait.
                Err(error @ Error::Throttled { .. }) => {
                    users.asked_to_wait = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        users.unreadable.sort();
        users.unreadable.dedup();
        Ok(users)
    }
}

/// A management group is asked by itself: only then is it known that it showed nothing.
fn scopes(consumers: &Consumers) -> Vec<Scope> {
    let subscriptions = consumers
        .subscriptions
        .chunks(MOST_SUBSCRIPTIONS)
        .map(|chunk| Scope::Subscriptions(chunk.to_vec()));
    let groups = consumers.management_groups.iter().cloned().map(Scope::ManagementGroup);
    subscriptions.chain(groups).collect()
}

/// Resource Graph answers 403 when it may read nothing of a scope, and some answer 404 or 400 for
/// a scope that is not there; of several subscriptions at once it leaves out what it may not read.
fn unreadable(scope: &Scope, error: Error) -> Result<Vec<String>, Error> {
    let because = match &error {
        Error::Forbidden { code, .. } | Error::NotFound { code, .. } => code.clone(),
        Error::Conflict { .. }
        | Error::NotAllowed { .. }
        | Error::Throttled { .. }
        | Error::Busy { .. }
        | Error::Unavailable { .. }
        | Error::Unauthorized { .. }
        | Error::NoCommonVersion { .. }
        | Error::Invalid { .. }
        | Error::Malformed { .. }
        | Error::NotSent { .. }
        | Error::PerhapsDone { .. } => return Err(error),
    };
    Ok(match scope {
        Scope::Subscriptions(ids) => {
            ids.iter().map(|id| format!("subscription {id} ({because})")).collect()
        }
        Scope::ManagementGroup(name) => vec![format!("management group {name} ({because})")],
    })
}

/// The declared scopes of which nothing is to be seen.
fn missing(scope: &Scope, visible: Vec<WireSubscription>) -> Vec<String> {
    match scope {
        Scope::Subscriptions(ids) => {
            let seen: BTreeSet<String> =
                visible.iter().map(|it| it.subscription_id.to_ascii_lowercase()).collect();
            ids.iter()
                .filter(|id| !seen.contains(&id.to_ascii_lowercase()))
                .map(|id| format!("subscription {id} (not visible to our identity)"))
                .collect()
        }
        Scope::ManagementGroup(name) if visible.is_empty() => {
            vec![format!(
                "management group {name} (none of its subscriptions is visible to our identity)"
            )]
        }
        Scope::ManagementGroup(_) => Vec::new(),
    }
}

/// Sets in Flexible mode show their instances as machines, which name the set.
fn scale_sets_with_instances(rows: &[UseRow]) -> Vec<String> {
    let lower = |it: &String| it.to_ascii_lowercase();
    let flexible: BTreeSet<String> =
        rows.iter().filter_map(|it| it.scale_set.as_ref().map(lower)).collect();
    rows.iter()
        .filter(|it| it.kind == Kind::ScaleSet && it.size != Some(0))
        .filter(|it| !flexible.contains(&lower(&it.id)))
        .map(|it| it.id.clone())
        .collect()
}

/// The query language's operators used here are few, and every row is of one image at least.
/// `startswith` has a slash at its end, because `…/images/d` is the beginning of `…/images/d2` too.
fn query(sought: &[Sought]) -> String {
    let mut matches = Vec::new();
    for Sought { definition, shared_names } in sought {
        let id = definition.to_string().to_lowercase();
        let below = literal(&format!("{id}/"));
        matches.push(format!("reference == {} or reference startswith {below}", literal(&id)));
        for shared in shared_forms(definition, shared_names) {
            let below = literal(&format!("{shared}/"));
            matches.push(format!("shared == {} or shared startswith {below}", literal(&shared)));
        }
    }
    let matches = matches.join(" or ");

    format!(
        "resources
| where type in~ ({TYPES})
| extend vm = properties.storageProfile.imageReference, ss = properties.virtualMachineProfile.storageProfile.imageReference, disk = properties.creationData
| extend reference = tolower(tostring(coalesce(vm.id, ss.id, disk.galleryImageReference.id, disk.imageReference.id, properties.storageProfile.source.id, properties.source.imageVersionId)))
| extend shared = tolower(tostring(coalesce(vm.sharedGalleryImageId, vm.communityGalleryImageId, ss.sharedGalleryImageId, ss.communityGalleryImageId, disk.galleryImageReference.sharedGalleryImageId, disk.galleryImageReference.communityGalleryImageId)))
| extend exact = tostring(coalesce(vm.exactVersion, ss.exactVersion, properties.source.exactVersion))
| extend osDisk = tolower(tostring(properties.storageProfile.osDisk.managedDisk.id)), scaleSet = tostring(properties.virtualMachineScaleSet.id), timeCreated = tostring(properties.timeCreated)
| where {matches}
| project id, type, location, reference, shared, exact, osDisk, scaleSet, timeCreated, capacity = sku.capacity
| order by id asc"
    )
}

/// How the definition is called in subscriptions that its gallery is shared with, in lower case.
fn shared_forms(definition: &DefinitionId, shared_names: &[String]) -> Vec<String> {
    let name = &definition.name;
    shared_names
        .iter()
        .flat_map(|gallery| {
            ["sharedgalleries", "communitygalleries"]
                .map(|kind| format!("/{kind}/{gallery}/images/{name}").to_lowercase())
        })
        .collect()
}

#[derive(Deserialize)]
struct WireSubscription {
    #[serde(rename = "subscriptionId")]
    subscription_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUse {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    location: Option<String>,
    reference: Option<String>,
    shared: Option<String>,
    exact: Option<String>,
    os_disk: Option<String>,
    scale_set: Option<String>,
    time_created: Option<String>,
    /// A number; what is none is unknown.
    capacity: Option<serde_json::Value>,
}

/// The rows as facts. A machine's OS disk is among the rows when it was made from the same image.
fn facts(rows: Vec<WireUse>, sought: &[Sought]) -> Vec<UseRow> {
    let shared: BTreeMap<String, String> = sought
        .iter()
        .flat_map(|it| {
            let id = it.definition.to_string().to_lowercase();
            let forms = shared_forms(&it.definition, &it.shared_names);
            forms.into_iter().map(move |form| (form, id.clone()))
        })
        .collect();
    let disks: BTreeMap<String, String> = rows
        .iter()
        .filter(|it| kind(&it.kind) == Kind::Disk)
        .filter_map(|it| Some((it.id.to_ascii_lowercase(), it.referred(&shared)?)))
        .collect();
    rows.into_iter().map(|row| row.fact(&shared, &disks)).collect()
}

impl WireUse {
    /// Its reference in the form of a resource id, however it was shared.
    fn referred(&self, shared: &BTreeMap<String, String>) -> Option<String> {
        let filled = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        if let Some(reference) = filled(&self.reference) {
            return Some(reference.to_lowercase());
        }
        let reference = filled(&self.shared)?.to_lowercase();
        let own = shared.iter().find_map(|(form, id)| {
            let tail = reference.strip_prefix(form.as_str())?;
            (tail.is_empty() || tail.starts_with('/')).then(|| format!("{id}{tail}"))
        });
        Some(own.unwrap_or(reference))
    }

    fn fact(self, shared: &BTreeMap<String, String>, disks: &BTreeMap<String, String>) -> UseRow {
        let filled = |it: Option<String>| it.filter(|it| !it.is_empty());
        let os_disk = self.os_disk.as_ref().map(|it| it.to_ascii_lowercase());
        UseRow {
            kind: kind(&self.kind),
            reference: self.referred(shared),
            exact_version: filled(self.exact).map(|it| last_part(&it)),
            os_disk_reference: os_disk.and_then(|it| disks.get(&it).cloned()),
            // A date that cannot be read is one piece of evidence less, not a reason to stop.
            created_at: date::optional(self.time_created.as_deref()).ok().flatten(),
            size: self.capacity.as_ref().and_then(serde_json::Value::as_u64),
            location: filled(self.location),
            scale_set: filled(self.scale_set),
            id: self.id,
        }
    }
}

/// Of a template the exact version is a version's whole id.
fn last_part(exact: &str) -> String {
    exact.rsplit('/').next().unwrap_or(exact).to_owned()
}

fn kind(text: &str) -> Kind {
    match text.to_ascii_lowercase().as_str() {
        "microsoft.compute/virtualmachines" => Kind::Machine,
        "microsoft.compute/virtualmachinescalesets" => Kind::ScaleSet,
        "microsoft.compute/virtualmachinescalesets/virtualmachines" => Kind::ScaleSetInstance,
        "microsoft.compute/disks" => Kind::Disk,
        "microsoft.virtualmachineimages/imagetemplates" => Kind::Template,
        "microsoft.compute/galleries/images/versions" => Kind::Version,
        _ => Kind::Other,
    }
}
