//! The ports of a desk. What is recorded on it holds addresses of its own, and clients keep them, so
//! a desk that is started again opens where it was open before.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use sandbox::serve::Door;
use serde::{Deserialize, Serialize};

use super::UpArgs;

/// A value for each service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services<T> {
    pub arm: T,
    pub bus: T,
    pub blob: T,
    pub identity: T,
    pub host: T,
}

/// What the file remembers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ports {
    #[serde(flatten)]
    services: Services<u16>,
    /// Of the https address, if the desk ever had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    https: Option<u16>,
}

/// The doors of a desk.
#[derive(Debug)]
pub struct Doors {
    pub services: Services<Door>,
    /// With `--tls`.
    pub https: Option<Door>,
}

/// The doors of a desk, open on the ports that were asked for, else on those that the file at
/// `path` remembers and that are free, else wherever the system chooses. The file then remembers
/// these.
///
/// # Errors
/// A port that was asked for and is taken; a file that cannot be written.
pub async fn bind(args: &UpArgs, path: &Path) -> anyhow::Result<Doors> {
    let ports = remembered(path);
    let before = ports.map(|it| it.services);
    let services = Services {
        arm: door("arm", args.arm_port, before.map(|it| it.arm)).await?,
        bus: door("bus", args.bus_port, before.map(|it| it.bus)).await?,
        blob: door("blob", args.blob_port, before.map(|it| it.blob)).await?,
        identity: door("identity", args.identity_port, before.map(|it| it.identity)).await?,
        host: door("host", args.host_port, before.map(|it| it.host)).await?,
    };
    let https_before = ports.and_then(|it| it.https);
    let https = match args.tls {
        true => Some(door("tls", args.tls_port, https_before).await?),
        false => None,
    };
    let doors = Doors { services, https };
    remember(path, &doors, https_before)
        .with_context(|| format!("writing `{}`", path.display()))?;
    Ok(doors)
}

/// What the file says. One that is not there, or was spoiled, costs no more than other ports.
fn remembered(path: &Path) -> Option<Ports> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn remember(path: &Path, doors: &Doors, https_before: Option<u16>) -> io::Result<()> {
    let port = |door: &Door| door.address().port();
    let Doors { services, https } = doors;
    let services = Services {
        arm: port(&services.arm),
        bus: port(&services.bus),
        blob: port(&services.blob),
        identity: port(&services.identity),
        host: port(&services.host),
    };
    let ports = Ports { services, https: https.as_ref().map(port).or(https_before) };
    // Whole or not at all: a desk that is killed here is to open where it was open before.
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(&serde_json::to_vec(&ports)?)?;
    draft.persist(path)?;
    Ok(())
}

async fn door(name: &str, asked: Option<u16>, before: Option<u16>) -> anyhow::Result<Door> {
    if let Some(port) = asked {
        return Door::bind(port).await.with_context(|| {
            format!(
                "port {port} of this machine cannot be listened on; give another `--{name}-port`"
            )
        });
    }
    if let Some(port) = before
        && let Ok(door) = Door::bind(port).await
    {
        return Ok(door);
    }
    Door::bind(0).await.context("no port of this machine can be listened on")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Cli, Command};

    fn parse(arguments: &[&str]) -> UpArgs {
        match Cli::try_parse_from([&["goldsmith", "up"], arguments].concat()).unwrap().command {
            Command::Up(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn numbers(doors: &Doors) -> [u16; 5] {
        let Services { arm, bus, blob, identity, host } = &doors.services;
        [arm, bus, blob, identity, host].map(|it| it.address().port())
    }

    #[tokio::test]
    async fn a_desk_opens_again_on_the_ports_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        let first = numbers(&bind(&parse(&[]), &path).await.unwrap());

        let again = bind(&parse(&[]), &path).await.unwrap();

        assert_eq!(numbers(&again), first);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_ports_are_noted_whole_or_not_at_all() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        bind(&parse(&[]), &path).await.unwrap();
        let before = fs::metadata(&path).unwrap().ino();

        bind(&parse(&[]), &path).await.unwrap();

        // Another file has its place: this one was never cut off to be written anew.
        assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_meanwhile_is_replaced_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        let first = numbers(&bind(&parse(&[]), &path).await.unwrap());
        let _taken = Door::bind(first[2]).await.unwrap();

        let again = numbers(&bind(&parse(&[]), &path).await.unwrap());

        assert_ne!(again[2], first[2]);
        assert_eq!(again[..2], first[..2]);
        assert_eq!(again[3..], first[3..]);
    }

    #[tokio::test]
    async fn the_https_port_is_remembered_over_a_start_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        let port = |doors: Doors| doors.https.map(|it| it.address().port());
        let first = port(bind(&parse(&["--tls"]), &path).await.unwrap());

        let without = port(bind(&parse(&[]), &path).await.unwrap());
        let again = port(bind(&parse(&["--tls"]), &path).await.unwrap());

        assert_eq!((without, again), (None, first));
        assert!(first.is_some());
    }

    #[tokio::test]
    async fn a_port_that_is_asked_for_wins_and_none_other_is_taken_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        bind(&parse(&[]), &path).await.unwrap();
        let free = Door::bind(0).await.unwrap().address().port().to_string();
        let asked = parse(&["--blob-port", &free]);

        let doors = bind(&asked, &path).await.unwrap();

        assert_eq!(doors.services.blob.address().port().to_string(), free);
        let refused = bind(&asked, &path).await.unwrap_err();
        assert!(format!("{refused:#}").contains("--blob-port"), "{refused:#}");
    }
}
