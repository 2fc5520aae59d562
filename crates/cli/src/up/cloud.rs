//! `up --tls`: the desk as a cloud of its own, which Microsoft's clients can be pointed at.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use sandbox::certificate::Certificate;
use sandbox::serve::Door;
use seam::{Clock, SystemClock};
use serde::Serialize;

use super::args::quoted;
use super::desk::IDENTITY_SECRET;
use crate::state_folder::StateFolder;

/// Where the cloud is, and what its clients need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// `https://127.0.0.1:{port}`: Azure Resource Manager, sign-in and metadata.
    pub https: String,
    /// The file with the authority's certificate.
    pub authority: PathBuf,
    #[serde(skip)]
    az: PathBuf,
}

impl Cloud {
    /// Gives `door` a certificate, and writes its authority's to the state folder; no key is
    /// written.
    ///
    /// # Errors
    /// When no certificate can be made, or the folder cannot be written.
    pub fn behind(door: Door, folder: &StateFolder) -> anyhow::Result<(Cloud, Door)> {
        // Clients go by the machine's time.
        let certificate = Certificate::issue(SystemClock.now())?;
        let authority = folder.authority();
        fs::write(&authority, certificate.authority())
            .with_context(|| format!("writing `{}`", authority.display()))?;
        let door = door.showing(&certificate);
        Ok((Cloud { https: door.url(), authority, az: folder.az() }, door))
    }

    /// The lines that point an `az` here. The user's own configuration is not touched.
    pub fn invitation(&self, tenant: &str) -> String {
        let Cloud { https, authority, az } = self;
        let (authority, az) = (authority.to_string_lossy(), az.to_string_lossy());
        let (authority, az) = (quoted(&authority), quoted(&az));
        // Any client id will do.
        let client = "00000000-0000-0000-0000-000000000000";
        format!(
            "to look at it with `az`, in another terminal:\n  \
             export AZURE_CONFIG_DIR={az} REQUESTS_CA_BUNDLE={authority}\n  \
             az cloud register --name Goldsmith --endpoint-resource-manager {https}\n  \
             az cloud set --name Goldsmith\n  \
             az config set core.instance_discovery=false\n  \
             az login --service-principal --username {client} \\\n    \
             --password {IDENTITY_SECRET} --tenant {tenant}\n  \
             az sig list --output table"
        )
    }
}
