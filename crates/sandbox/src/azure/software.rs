//! What is installed on a machine, and how customize steps change it. A verdict about an image has
//! its cause here: a base, steps, and advisories that become known over time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::package_version::compare;
use crate::estate::{Advisory, Estate, PlatformImage, StepEffect};

/// The packages of one machine or image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Software {
    /// The distribution and its release, `ubuntu/22.04`; empty when it is not known.
    pub(super) os: String,
    /// Package to version.
    pub(super) packages: BTreeMap<String, String>,
}

/// What a step did: the lines that it printed, and why it failed if it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StepRun {
    pub(super) lines: Vec<String>,
    pub(super) failure: Option<String>,
}

impl Software {
    /// What a version of a Marketplace image holds: each version lists what differs from the one
    /// before it.
    pub(super) fn of_platform(image: &PlatformImage, version: &str) -> Software {
        let mut packages = BTreeMap::new();
        for release in &image.versions {
            packages.extend(release.packages.clone());
            if release.version == version {
                break;
            }
        }
        Software { os: image.os.clone(), packages }
    }

    /// Runs the customize step `name` at the instant `at`.
    pub(super) fn run_step(&mut self, estate: &Estate, name: &str, at: DateTime<Utc>) -> StepRun {
        let mut run = StepRun::default();
        let os = self.os.clone();
        let effects = estate
            .steps
            .iter()
            .filter(|it| it.name == name && (it.os.is_empty() || it.os.contains(&os)));
        for effect in effects {
            if let Some(reason) = failure(effect, at) {
                run.lines.push(reason.clone());
                run.failure = Some(reason);
                return run;
            }
            self.apply(estate, effect, at, &mut run.lines);
        }
        run
    }

    fn apply(
        &mut self,
        estate: &Estate,
        effect: &StepEffect,
        at: DateTime<Utc>,
        lines: &mut Vec<String>,
    ) {
        for package in &effect.removes {
            if let Some(version) = self.packages.remove(package) {
                lines.push(format!("Removing {package} ({version}) ..."));
            }
        }
        for (package, version) in &effect.installs {
            let newest = self.newest(estate, package, version, at);
            lines.push(format!("Setting up {package} ({newest}) ..."));
            self.packages.insert(package.clone(), newest);
        }

        let installed: Vec<(String, String)> =
            self.packages.iter().map(|(name, version)| (name.clone(), version.clone())).collect();
        for (package, version) in installed {
            let named = effect.upgrades.contains(&package);
            let newest = self.newest(estate, &package, &version, at);
            if newest == version || !(named || effect.upgrades_all) {
                continue;
            }
            if effect.holds.contains(&package) && !named {
                lines.push(format!("The following packages have been kept back: {package}"));
                continue;
            }
            lines.push(format!("Unpacking {package} ({newest}) over ({version}) ..."));
            self.packages.insert(package, newest);
        }
    }

    /// The newest version of `package` that its publisher offers at `at`, at least `least`.
    fn newest(&self, estate: &Estate, package: &str, least: &str, at: DateTime<Utc>) -> String {
        let mut newest = least;
        for advisory in estate.advisories.iter().filter(|it| self.concerns(it, package)) {
            let Some(fix) = advisory.fixed.as_ref().filter(|it| it.published <= at) else {
                continue;
            };
            if compare(&fix.version, newest) == Ordering::Greater {
                newest = &fix.version;
            }
        }
        newest.to_owned()
    }

    fn concerns(&self, advisory: &Advisory, package: &str) -> bool {
        advisory.os == self.os && advisory.package == package
    }

    /// The advisories known at `at` that the software has, each with the installed version.
    pub(super) fn findings<'a>(
        &'a self,
        estate: &'a Estate,
        at: DateTime<Utc>,
    ) -> Vec<(&'a Advisory, &'a str)> {
        let known = estate.advisories.iter().filter(|it| it.published <= at);
        known
            .filter_map(|advisory| {
                let installed = self.packages.get(&advisory.package)?;
                let affected = advisory.os == self.os && is_affected(advisory, installed);
                affected.then_some((advisory, installed.as_str()))
            })
            .collect()
    }
}

fn is_affected(advisory: &Advisory, installed: &str) -> bool {
    let below_fix = advisory
        .fixed
        .as_ref()
        .is_none_or(|fix| compare(installed, &fix.version) == Ordering::Less);
    let introduced = advisory
        .introduced
        .as_ref()
        .is_none_or(|first| compare(installed, first) != Ordering::Less);
    below_fix && introduced
}

fn failure(effect: &StepEffect, at: DateTime<Utc>) -> Option<String> {
    let failure = effect.fails.as_ref()?;
    let begun = failure.from.is_none_or(|from| from <= at);
    let over = failure.until.is_some_and(|until| until <= at);
    (begun && !over).then(|| failure.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate::Estate;

    const ESTATE: &str = "
start: 2026-09-07T06:00:00Z
tenant: 0f1c2d3e-4b5a-4c6d-8e7f-901234567890
subscriptions: [{ id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff, name: images }]
marketplace:
  - publisher: Canonical
    offer: jammy
    sku: gen2
    os: ubuntu/22.04
    versions:
      - { version: 22.4.1, released: 2026-08-01T00:00:00Z, packages: { openssl: 3.0.2-17, kernel: 5.15.1, bash: '5.1' } }
      - { version: 22.4.2, released: 2026-09-10T00:00:00Z, packages: { kernel: 5.15.2 } }
advisories:
  - { id: CVE-1, os: ubuntu/22.04, package: openssl, severity: high, title: t, published: 2026-09-08T00:00:00Z,
      fixed: { version: 3.0.2-18, published: 2026-09-09T00:00:00Z } }
  - { id: CVE-2, os: ubuntu/22.04, package: kernel, severity: critical, title: t, published: 2026-09-08T00:00:00Z,
      fixed: { version: 5.15.2, published: 2026-09-08T00:00:00Z } }
  - { id: CVE-3, os: ubuntu/22.04, package: bash, severity: low, title: t, published: 2020-01-01T00:00:00Z }
steps:
  - { name: apply-updates, upgradesAll: true, holds: [kernel] }
  - { name: install-nginx, installs: { nginx: '1.18' } }
  - { name: drop-bash, removes: [bash] }
  - { name: flaky, fails: { reason: 'no mirror', until: 2026-09-08T00:00:00Z } }
";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn estate() -> Estate {
        Estate::parse(ESTATE).unwrap()
    }

    fn base(version: &str) -> Software {
        Software::of_platform(&estate().marketplace[0], version)
    }

    fn found(software: &Software, when: &str) -> Vec<String> {
        let estate = estate();
        software.findings(&estate, at(when)).iter().map(|it| it.0.id.clone()).collect()
    }

    #[test]
    fn a_version_inherits_what_it_does_not_change() {
        assert_eq!(base("22.4.2").packages["openssl"], "3.0.2-17");
        assert_eq!(base("22.4.2").packages["kernel"], "5.15.2");
    }

    #[test]
    fn a_finding_appears_when_its_advisory_is_published() {
        assert_eq!(found(&base("22.4.1"), "2026-09-07T23:59:59Z"), ["CVE-3"]);
        assert_eq!(found(&base("22.4.1"), "2026-09-08T00:00:00Z"), ["CVE-1", "CVE-2", "CVE-3"]);
    }

    #[test]
    fn an_upgrade_cures_what_has_a_fix_by_then() {
        let estate = estate();
        let (mut early, mut late) = (base("22.4.1"), base("22.4.1"));

        early.run_step(&estate, "apply-updates", at("2026-09-08T12:00:00Z"));
        late.run_step(&estate, "apply-updates", at("2026-09-09T00:00:00Z"));

        assert_eq!(early.packages["openssl"], "3.0.2-17");
        assert_eq!(late.packages["openssl"], "3.0.2-18");
        assert_eq!(found(&late, "2026-09-09T00:00:00Z"), ["CVE-2", "CVE-3"]);
    }

    #[test]
    fn a_held_package_is_cured_by_a_new_base_alone() {
        let estate = estate();
        let (mut old, mut new) = (base("22.4.1"), base("22.4.2"));

        let run = old.run_step(&estate, "apply-updates", at("2026-09-12T00:00:00Z"));
        new.run_step(&estate, "apply-updates", at("2026-09-12T00:00:00Z"));

        assert!(
            run.lines.contains(&"The following packages have been kept back: kernel".to_owned())
        );
        assert_eq!(found(&old, "2026-09-12T00:00:00Z"), ["CVE-2", "CVE-3"]);
        assert_eq!(found(&new, "2026-09-12T00:00:00Z"), ["CVE-3"]);
    }

    #[test]
    fn a_removed_package_has_no_findings() {
        let mut software = base("22.4.2");

        software.run_step(&estate(), "drop-bash", at("2026-09-07T00:00:00Z"));

        assert_eq!(found(&software, "2026-09-07T00:00:00Z"), Vec::<String>::new());
    }

    #[test]
    fn a_step_fails_in_its_time_only() {
        let estate = estate();
        let mut software = base("22.4.1");

        let early = software.run_step(&estate, "flaky", at("2026-09-07T00:00:00Z"));
        let late = software.run_step(&estate, "flaky", at("2026-09-08T00:00:00Z"));

        assert_eq!(early.failure.as_deref(), Some("no mirror"));
        assert_eq!(late, StepRun::default());
    }

    #[test]
    fn a_step_the_estate_does_not_know_changes_nothing() {
        let mut software = base("22.4.1");

        let run = software.run_step(&estate(), "motd", at("2026-09-07T00:00:00Z"));

        assert_eq!((run, software), (StepRun::default(), base("22.4.1")));
    }
}
