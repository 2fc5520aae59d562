//! What is in a resource group: a build's staging group holds the storage account of its logs.

use rules::Region;
use serde::Deserialize;

use crate::api::RESOURCES;
use crate::client::Arm;
use crate::error::Error;
use crate::id::{GroupId, path};

/// A resource of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub id: String,
    pub name: String,
    /// Its type, `Microsoft.Storage/storageAccounts`.
    pub kind: String,
    pub location: Option<Region>,
}

impl Resource {
    /// Whether it is of the type `kind`, in any case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }
}

impl Arm {
    /// Lists what is in `group`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the group is not there; else why it could not be listed.
    pub async fn resources(&self, group: &GroupId) -> Result<Vec<Resource>, Error> {
        let path = format!("{}/resources?api-version={RESOURCES}", path(&group.to_string()));
        let operation = "list the resources of";
        self.list(operation, group.to_string(), path, |it: WireResource| Ok(it.fact())).await
    }

    /// The names of the storage accounts in `group`.
    ///
    /// # Errors
    /// As [`Arm::resources`].
    pub async fn storage_accounts(&self, group: &GroupId) -> Result<Vec<String>, Error> {
        let resources = self.resources(group).await?;
        let accounts =
            resources.into_iter().filter(|it| it.is("Microsoft.Storage/storageAccounts"));
        Ok(accounts.map(|it| it.name).collect())
    }
}

#[derive(Deserialize)]
struct WireResource {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    location: Option<String>,
}

impl WireResource {
    /// Some resources are in no region, or in one called `global`.
    fn fact(self) -> Resource {
        let location = self.location.and_then(|it| Region::try_from(it).ok());
        Resource { id: self.id, name: self.name, kind: self.kind, location }
    }
}
