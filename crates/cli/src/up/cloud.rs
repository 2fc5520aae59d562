//! `up --tls`: the desk as a cloud of its own, which Microsoft's clients can be pointed at.

use std::fs;
use std::path::{Path, PathBuf};

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
    /// The lines that point an `az` here. Its user's own configuration is not touched.
    pub az: Vec<String>,
}

impl Cloud {
    /// Gives `door` a certificate, and writes its authority's to the state folder; no key is
    /// written.
    ///
    /// # Errors
    /// When no certificate can be made, or the folder cannot be written.
    pub fn behind(door: Door, folder: &StateFolder, tenant: &str) -> anyhow::Result<(Cloud, Door)> {
        // Clients go by the machine's time.
        let certificate = Certificate::issue(SystemClock.now())?;
        let authority = folder.authority();
        fs::write(&authority, certificate.authority())
            .with_context(|| format!("writing `{}`", authority.display()))?;
        let door = door.showing(&certificate);
        let https = door.url();
        let az = lines(&https, &authority, &folder.az(), tenant);
        Ok((Cloud { https, authority, az }, door))
    }

    /// The lines, for a person.
    pub fn invitation(&self) -> String {
        let lines = self.az.iter().map(|it| format!("\n  {it}"));
        std::iter::once("to look at it with `az`, in another terminal:".to_owned())
            .chain(lines)
            .collect()
    }
}

fn lines(https: &str, authority: &Path, configuration: &Path, tenant: &str) -> Vec<String> {
    let quoted = |path: &Path| quoted(&path.to_string_lossy());
    let (authority, configuration) = (quoted(authority), quoted(configuration));
    // Any client id will do.
    let client = "00000000-0000-0000-0000-000000000000";
    vec![
        format!("export AZURE_CONFIG_DIR={configuration} REQUESTS_CA_BUNDLE={authority}"),
        format!("az cloud register --name Goldsmith --endpoint-resource-manager {https}"),
        "az cloud set --name Goldsmith".to_owned(),
        // Else it asks the public cloud whether it knows this one.
        "az config set core.instance_discovery=false".to_owned(),
        format!(
            "az login --service-principal --username {client} --password {IDENTITY_SECRET} \
             --tenant {tenant}"
        ),
        "az sig list --output table".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_client_is_told_to_trust_is_written_and_no_key_is() {
        let state = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(state.path());
        let door = Door::bind(0).await.unwrap();

        let (cloud, _door) = Cloud::behind(door, &folder, "contoso").unwrap();
        let first = fs::read_to_string(&cloud.authority).unwrap();
        let (again, _door) =
            Cloud::behind(Door::bind(0).await.unwrap(), &folder, "contoso").unwrap();
        let second = fs::read_to_string(&again.authority).unwrap();

        let files: Vec<_> =
            fs::read_dir(state.path()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(files, [cloud.authority]);
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----") && !first.contains("KEY"));
        assert_ne!(first, second, "one that has run out is never used again");
    }

    #[test]
    fn the_lines_keep_az_away_from_its_users_own_configuration() {
        let lines = lines(
            "https://127.0.0.1:8443",
            Path::new("/tmp/my desk/ca.pem"),
            Path::new("/tmp/my desk/az"),
            "contoso",
        );

        assert_eq!(
            lines[0],
            "export AZURE_CONFIG_DIR='/tmp/my desk/az' REQUESTS_CA_BUNDLE='/tmp/my desk/ca.pem'"
        );
        assert!(lines[1].ends_with("--endpoint-resource-manager https://127.0.0.1:8443"));
        assert!(lines[4].starts_with("az login") && lines[4].ends_with("--tenant contoso"));
    }
}
