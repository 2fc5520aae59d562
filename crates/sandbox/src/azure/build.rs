//! What happens inside a build: its phases, its steps on the build machine, its validation, its
//! logs. It follows from the template, the estate and the instants alone, so that it can be told
//! when a run starts how it will end.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::answer::Trouble;
use super::run::Phase;
use super::software::Software;
use super::template::Template;
use super::template_ready::{blob_address, fetch};
use super::version::Version;
use super::{World, moment, platform, scan};

/// Recorded: 849 to 993 seconds.
const RUN_SECS: (f64, f64) = (850.0, 1000.0);
/// Not recorded: what a WindowsUpdate step adds.
const WINDOWS_UPDATE_SECS: (f64, f64) = (900.0, 1800.0);
/// The timeout of a template that names none, in minutes.
const DEFAULT_TIMEOUT_MINUTES: u64 = 240;

/// How a build goes.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) phases: Vec<Phase>,
    /// Why it failed, in Image Builder's words.
    pub(super) failure: Option<String>,
    /// Whether something is published.
    pub(super) distributes: bool,
    pub(super) software: Software,
    /// The customization and the validation log.
    pub(super) logs: [String; 2],
    /// A scan report: account, container, key, bytes.
    pub(super) report: Option<(String, String, String, Vec<u8>)>,
}

/// What the source of a template holds; none when it is gone.
pub(super) fn base(world: &World<'_>, template: &Template) -> Result<Option<Software>, Trouble> {
    let source = &template.properties["source"];
    match source["type"].as_str() {
        Some("PlatformImage") => {
            let text = |member: &str| source[member].as_str().unwrap_or_default();
            let image = platform::image(
                world,
                &template.location,
                text("publisher"),
                text("offer"),
                text("sku"),
            );
            let offered = image.filter(|image| {
                platform::offered(image, world.now).any(|it| it.version == template.exact_version)
            });
            Ok(offered.map(|it| Software::of_platform(it, &template.exact_version)))
        }
        Some("SharedImageVersion") => {
            let version = world.records.get::<Version>(&template.exact_version)?;
            Ok(version.map(|it| it.software))
        }
        _ => Ok(Some(Software::default())),
    }
}

/// Plays the run `run` of `template` that started at `started` on a machine with `base`.
pub(super) fn rehearse(
    world: &World<'_>,
    template: &Template,
    run: &str,
    started: DateTime<Utc>,
    base: Option<&Software>,
) -> Result<Built, Trouble> {
    let mut play = Play {
        world,
        template,
        run,
        started,
        whole: whole(template, run),
        built: Built {
            phases: Vec::new(),
            failure: None,
            distributes: false,
            software: base.cloned().unwrap_or_default(),
            logs: [String::new(), String::new()],
            report: None,
        },
    };
    play.prepare(base.is_some());
    if play.built.failure.is_none() {
        play.customize();
    }
    if play.built.failure.is_none()
        && template.properties["optimize"]["vmBoot"]["state"] == "Enabled"
    {
        play.phase("Optimizing", 0.08);
    }
    if play.built.failure.is_none() {
        play.validate()?;
    }
    play.distribute();
    play.cut_at_timeout();
    Ok(play.built)
}

fn whole(template: &Template, run: &str) -> TimeDelta {
    let mut whole = moment::between(&[run, "run"], RUN_SECS.0, RUN_SECS.1);
    let steps = template.properties["customize"].as_array().into_iter().flatten();
    for (index, _) in steps.enumerate().filter(|it| it.1["type"] == "WindowsUpdate") {
        let (least, most) = WINDOWS_UPDATE_SECS;
        whole += moment::between(&[run, "update", &index.to_string()], least, most);
    }
    whole
}

/// The state of a rehearsal.
struct Play<'a> {
    world: &'a World<'a>,
    template: &'a Template,
    run: &'a str,
    started: DateTime<Utc>,
    whole: TimeDelta,
    built: Built,
}

impl Play<'_> {
    /// Where the last phase ended.
    fn reached(&self) -> DateTime<Utc> {
        self.built.phases.last().map_or(self.started, |it| it.ends)
    }

    /// Appends a phase that takes `share` of the whole.
    fn phase(&mut self, name: &str, share: f64) {
        let ends = self.reached() + moment::share(self.whole, share);
        self.built.phases.push(Phase { name: name.to_owned(), ends });
    }

    fn say(&mut self, log: usize, at: DateTime<Utc>, text: &str) {
        let stamp = at.format("%Y/%m/%d %H:%M:%S");
        let line = format!("[{}] PACKER {stamp} {text}\n", self.run);
        self.built.logs[log].push_str(&line);
    }

    fn prepare(&mut self, has_base: bool) {
        self.phase("Queued", 0.01);
        let minutes = self.template.properties["buildTimeoutInMinutes"].as_u64().unwrap_or(0);
        if (1..=5).contains(&minutes) {
            // Azure's documents name a client_jwt error for 1 to 5 minutes.
            self.built.failure = Some(format!(
                "Failed in building/customizing image: error creating client_jwt: the build \
                 timeout of {minutes} minutes is too short, it must be 0 or at least 6."
            ));
            return;
        }
        self.phase("Building", 0.12);
        let at = self.reached();
        let exact = self.template.exact_version.clone();
        self.say(0, at, "==> azure-arm: Running builder ...");
        self.say(0, at, "==> azure-arm: Getting tokens using Managed Identity for Azure");
        self.say(
            0,
            at,
            &format!("==> azure-arm: Validating deployment template of source {exact} ..."),
        );
        if !has_base {
            self.say(
                0,
                at,
                "==> azure-arm: ERROR: -> ImageNotFound : The source image was not found.",
            );
            self.built.failure = Some(self.packer_failed("building/customizing", "customization"));
            return;
        }
        self.say(0, at, "==> azure-arm: Deploying deployment template ...");
        self.say(0, at, "==> azure-arm: Waiting for the build machine to become available ...");
        self.say(0, at, "==> azure-arm: Connected to the build machine!");
    }

    fn customize(&mut self) {
        let only_validates = self.template.properties["validate"]["sourceValidationOnly"] == true;
        let steps = self.template.properties["customize"].as_array().cloned().unwrap_or_default();
        if only_validates || steps.is_empty() {
            return;
        }
        let begins = self.reached();
        self.phase("Customizing", 0.30);
        let each = (self.reached() - begins) / i32::try_from(steps.len()).unwrap_or(1).max(1);

        let mut at = begins;
        for step in &steps {
            at += each;
            let name = step["name"].as_str().unwrap_or_default();
            self.say(0, at, &format!("==> azure-arm: Provisioning with {}", tool(step)));
            self.say(0, at, &format!("    azure-arm: (step '{name}')"));
            let run = self.built.software.run_step(self.world.estate, name, at);
            for line in &run.lines {
                self.say(0, at, &format!("    azure-arm: {line}"));
            }
            if run.failure.is_none() {
                continue;
            }
            let text = "==> azure-arm: Script exited with non-zero exit status: 1. \
                        Allowed exit codes are: [0]";
            self.say(0, at, text);
            self.say(0, at, "==> azure-arm: Deleting individual resources ...");
            self.say(0, at, "Build 'azure-arm' errored.");
            if let Some(phase) = self.built.phases.last_mut() {
                phase.ends = at;
            }
            self.built.failure = Some(self.packer_failed("building/customizing", "customization"));
            return;
        }
        self.say(0, at, "==> azure-arm: Powering off machine ...");
        self.say(0, at, "==> azure-arm: Capturing image ...");
        self.say(0, at, "Build 'azure-arm' finished.");
    }

    fn validate(&mut self) -> Result<(), Trouble> {
        let steps = self.template.properties["validate"]["inVMValidations"].as_array();
        let steps = steps.cloned().unwrap_or_default();
        if steps.is_empty() {
            return Ok(());
        }
        self.phase("Validating", 0.12);
        let at = self.reached();
        for step in &steps {
            let name = step["name"].as_str().unwrap_or_default();
            self.say(1, at, &format!("==> azure-arm: Provisioning with {}", tool(step)));
            self.say(1, at, &format!("    azure-arm: (validation '{name}')"));
            // On a second machine: what a validation changes is not in the image.
            let run = self.built.software.clone().run_step(self.world.estate, name, at);
            let failure = match run.failure {
                Some(reason) => Some(reason),
                None => self.scan(step, at)?,
            };
            if let Some(reason) = failure {
                self.say(1, at, &format!("    azure-arm: {reason}"));
                self.say(1, at, "==> azure-arm: Script exited with non-zero exit status: 1.");
                self.built.failure = Some(self.packer_failed("validating", "validation"));
                return Ok(());
            }
        }
        self.say(1, at, "Build 'azure-arm' finished.");
        Ok(())
    }

    /// A validation that runs a scanner uploads its report; why it could not, if so.
    fn scan(&mut self, step: &Value, at: DateTime<Utc>) -> Result<Option<String>, Trouble> {
        let script = script(self.world, step)?;
        let windows = step["type"] == "PowerShell";
        let scans = if windows { "Microsoft.Update.Session" } else { "trivy" };
        if !script.contains(scans) {
            return Ok(None);
        }
        let Some(address) = report_address(&script, windows) else { return Ok(None) };
        let Some((account, container, key)) = blob_address(self.world.blobs, &address) else {
            let host = url::Url::parse(&address).ok();
            let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("?").to_owned();
            return Ok(Some(if windows {
                format!("Invoke-WebRequest : The remote name could not be resolved: '{host}'")
            } else {
                format!("curl: (6) Could not resolve host: {host}")
            }));
        };
        let (software, estate) = (&self.built.software, self.world.estate);
        let report = if windows {
            scan::windows_update(software, estate, at)
        } else {
            scan::trivy(software, estate, at, self.run)
        };
        let bytes = serde_json::to_vec_pretty(&report)?;
        let text = format!("    azure-arm: uploaded {} bytes of scan report", bytes.len());
        self.say(1, at, &text);
        self.built.report = Some((account, container, key, bytes));
        Ok(None)
    }

    fn distribute(&mut self) {
        let goes_on = self.template.properties["validate"]["continueDistributeOnFailure"] == true;
        let validated = self.built.phases.iter().any(|it| it.name == "Validating");
        let only_validates = self.template.properties["validate"]["sourceValidationOnly"] == true;
        self.built.distributes =
            !only_validates && (self.built.failure.is_none() || (goes_on && validated));
        if !self.built.distributes {
            return;
        }
        let ends = (self.started + self.whole).max(self.reached());
        self.built.phases.push(Phase { name: "Distributing".to_owned(), ends });
    }

    fn cut_at_timeout(&mut self) {
        let minutes = match self.template.properties["buildTimeoutInMinutes"].as_u64() {
            None | Some(0) => DEFAULT_TIMEOUT_MINUTES,
            Some(minutes) => minutes,
        };
        let limit = self.started + TimeDelta::minutes(i64::try_from(minutes).unwrap_or(960));
        if self.reached() <= limit {
            return;
        }
        let first = self.built.phases.iter().position(|it| it.ends > limit).unwrap_or(0);
        self.built.phases.truncate(first + 1);
        if let Some(phase) = self.built.phases.last_mut() {
            phase.ends = limit;
        }
        self.built.distributes = false;
        self.built.failure = Some(
            "Failed in building/customizing image: Failed while waiting for packerizer: Timeout \
             waiting for microservice to complete: 'context deadline exceeded'"
                .to_owned(),
        );
    }

    /// The message of a failed run (text: Azure's troubleshooting guide).
    fn packer_failed(&self, doing: &str, log: &str) -> String {
        let staging = self.template.staging.as_ref();
        let account = staging.map_or("", |it| it.account.as_str());
        let base = self.world.blobs.base_url(account);
        let run = self.run;
        format!(
            "Failed in {doing} image: Failed while waiting for packerizer: Microservice has \
             failed: Failed while processing request: Error when executing packerizer: Packer \
             build command has failed: exit status 1. During the image build, a failure has \
             occurred, please review the build log to identify which build/customization step \
             failed. For more troubleshooting steps go to https://aka.ms/azvmimagebuilderts. Image \
             Build log location: {base}/packerlogs/{run}/{log}.log. OperationId: {run}. Use this \
             operationId to search packer logs."
        )
    }
}

fn tool(step: &Value) -> &'static str {
    match step["type"].as_str() {
        Some("Shell") => "shell script: /tmp/packer-shell",
        Some("PowerShell") => "Powershell...",
        Some("WindowsUpdate") => "windows-update...",
        Some("WindowsRestart") => "windows-restart...",
        _ => "file upload...",
    }
}

/// The lines of a step, or the bytes of its script.
fn script(world: &World<'_>, step: &Value) -> Result<String, Trouble> {
    if let Some(lines) = step["inline"].as_array() {
        let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
        return Ok(lines.join("\n"));
    }
    let address = step["scriptUri"].as_str().unwrap_or_default();
    let bytes = fetch(world.blobs, address)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The address that a script uploads its report to: `REPORT_URL='...'`, or `$ReportUrl = '...'` in
/// PowerShell.
fn report_address(script: &str, windows: bool) -> Option<String> {
    script.lines().find_map(|line| {
        let line = line.trim();
        let value = if windows {
            let rest = line.strip_prefix("$ReportUrl")?.trim_start();
            rest.strip_prefix('=')?.trim_start()
        } else {
            line.strip_prefix("export ").unwrap_or(line).strip_prefix("REPORT_URL=")?
        };
        let quote = value.chars().next().filter(|it| *it == '\'' || *it == '"')?;
        value[1..].split(quote).next().map(str::to_owned)
    })
}

/// The URI and the account of the disk that a run leaves in the staging group (recorded).
pub(super) fn disk_source(world: &World<'_>, template: &Template, run: &str) -> Value {
    let Some(staging) = &template.staging else { return json!({}) };
    let account = &staging.account;
    let group = staging.group.replacen("/resourceGroups/", "/resourcegroups/", 1);
    json!({
        "uri": format!("{}/vhds/{run}.vhd", world.blobs.base_url(account)),
        "storageAccountId":
            format!("{group}/providers/Microsoft.Storage/storageAccounts/{account}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_address_is_found_in_either_language() {
        let shell = "set -eu\nREPORT_URL='http://127.0.0.1:1/a/b/c'\ntrivy rootfs /";
        let powershell = "# x\n  $ReportUrl = 'http://127.0.0.1:1/a/b/c?sig=x'\n";

        assert_eq!(report_address(shell, false).as_deref(), Some("http://127.0.0.1:1/a/b/c"));
        assert_eq!(
            report_address(powershell, true).as_deref(),
            Some("http://127.0.0.1:1/a/b/c?sig=x")
        );
        assert_eq!(report_address("REPORT_URL=$1", false), None);
    }
}
