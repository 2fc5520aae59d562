//! One image: its identifier, steps, schedule, gate, rings and retention.

use std::collections::BTreeSet;

use super::estate::RESERVED_NAMES;
use super::{Place, Problems, shapes};
use crate::catalog::{
    Customize, Gate, Generation, Identifier, Image, Os, Retention, Ring, Schedule, ScriptStep,
    Security,
};
use crate::schedule;

/// A hundred years: more is a slip of the hand.
const MOST_DAYS: u32 = 36_500;

/// A year: a release that bakes longer is forgotten.
const MOST_BAKE_HOURS: u32 = 8_784;

pub(super) fn check(image: &Image, place: &Place, problems: &mut Problems) {
    if RESERVED_NAMES.contains(&image.name.as_str()) {
        let message = format!("`{}` is a reserved name", image.name);
        problems.report_with_hint(&place.field("name"), message, "choose another name");
    }
    check_identifier(&image.identifier, &place.field("identifier"), problems);
    check_security(image, place, problems);
    check_steps(image, &place.field("customize"), problems);
    if let Some(schedule) = &image.schedule {
        check_schedule(schedule, &place.field("schedule"), problems);
    }
    check_gate(&image.gate, &place.field("gate"), problems);
    check_rings(&image.rings, &place.field("rings"), problems);
    check_retention(&image.retention, &place.field("retention"), problems);
}

fn check_identifier(identifier: &Identifier, place: &Place, problems: &mut Problems) {
    let Identifier { publisher, offer, sku } = identifier;
    problems.demand_shape(&place.field("publisher"), publisher, shapes::publisher(publisher));
    problems.demand_shape(&place.field("offer"), offer, shapes::offer_or_sku(offer));
    problems.demand_shape(&place.field("sku"), sku, shapes::offer_or_sku(sku));
}

fn check_security(image: &Image, place: &Place, problems: &mut Problems) {
    let needs_v2 = match image.security {
        Security::Standard => false,
        Security::TrustedLaunchSupported
        | Security::TrustedLaunch
        | Security::ConfidentialVmSupported
        | Security::TrustedLaunchAndConfidentialVmSupported => true,
    };
    if needs_v2 && image.generation == Generation::V1 {
        let message = format!("`{:?}` needs generation `V2`", image.security);
        let hint = "write `generation: V2`, or `security: Standard`";
        problems.report_with_hint(&place.field("security"), message, hint);
    }
}

fn check_steps(image: &Image, place: &Place, problems: &mut Problems) {
    let mut names = BTreeSet::new();
    for (index, step) in image.customize.iter().enumerate() {
        let place = place.index(index);
        let kind = kind_of(step);
        let place_of_step = place.field(kind.member);
        if let Some(wanted) = kind.only_on.filter(|wanted| *wanted != image.os) {
            let message = format!("a `{}` step does not run on {}", kind.member, os_word(image.os));
            let hint = format!("it runs on {}", os_word(wanted));
            problems.report_with_hint(&place_of_step, message, hint);
        }
        if kind.name.trim().is_empty() {
            problems.report(&place_of_step.field("name"), "a step has a name".to_owned());
        } else if !names.insert(kind.name) {
            let message = format!("step `{}` is here twice", kind.name);
            problems.report(&place_of_step.field("name"), message);
        }
        check_step(image.os, step, &place_of_step, problems);
    }
}

fn check_step(os: Os, step: &Customize, place: &Place, problems: &mut Problems) {
    match step {
        Customize::Shell(script) | Customize::Powershell(script) => {
            check_script(script, place, problems);
        }
        Customize::File(file) => {
            let source = shapes::relative_path(&file.source);
            problems.demand_shape(&place.field("source"), &file.source, source);
            let destination = match os {
                Os::Linux => shapes::linux_path(&file.destination),
                Os::Windows => shapes::windows_path(&file.destination),
            };
            problems.demand_shape(&place.field("destination"), &file.destination, destination);
        }
        Customize::WindowsUpdate(update) => {
            if update.search_criteria.trim().is_empty() {
                let message = "nothing is searched for".to_owned();
                let place = place.field("searchCriteria");
                problems.report_with_hint(&place, message, "write `IsInstalled=0`");
            }
            if !(1..=1000).contains(&update.update_limit) {
                let message = format!("{} updates cannot be asked for", update.update_limit);
                problems.report_with_hint(&place.field("updateLimit"), message, "write 1 to 1000");
            }
        }
        Customize::Restart(restart) => {
            if !(1..=960).contains(&restart.timeout_minutes) {
                let message = format!("a restart cannot take {} minutes", restart.timeout_minutes);
                let place = place.field("timeoutMinutes");
                problems.report_with_hint(&place, message, "write 1 to 960");
            }
        }
    }
}

fn check_script(script: &ScriptStep, place: &Place, problems: &mut Problems) {
    match (&script.script, script.inline.is_empty()) {
        (None, true) => {
            let message = format!("step `{}` runs nothing", script.name);
            problems.report_with_hint(place, message, "give it `inline` lines or a `script`");
        }
        (Some(_), false) => {
            let message = format!("step `{}` has both `inline` and `script`", script.name);
            problems.report_with_hint(&place.field("script"), message, "leave one of them out");
        }
        (None, false) if script.inline.iter().all(|line| line.trim().is_empty()) => {
            let message = format!("every line of step `{}` is empty", script.name);
            problems.report(&place.field("inline"), message);
        }
        (None, false) => {}
        (Some(path), true) => {
            problems.demand_shape(&place.field("script"), path, shapes::relative_path(path));
        }
    }
}

struct StepKind<'a> {
    member: &'static str,
    name: &'a str,
    only_on: Option<Os>,
}

fn kind_of(step: &Customize) -> StepKind<'_> {
    let (member, name, only_on) = match step {
        Customize::Shell(it) => ("shell", &it.name, Some(Os::Linux)),
        Customize::Powershell(it) => ("powershell", &it.name, Some(Os::Windows)),
        Customize::File(it) => ("file", &it.name, None),
        Customize::WindowsUpdate(it) => ("windowsUpdate", &it.name, Some(Os::Windows)),
        Customize::Restart(it) => ("restart", &it.name, Some(Os::Windows)),
    };
    StepKind { member, name, only_on }
}

const fn os_word(os: Os) -> &'static str {
    match os {
        Os::Linux => "Linux",
        Os::Windows => "Windows",
    }
}

fn check_schedule(schedule: &Schedule, place: &Place, problems: &mut Problems) {
    let Err(error) = schedule::parse(schedule) else { return };
    let kind = match schedule {
        Schedule::PatchTuesday(_) => "patchTuesday",
        Schedule::Cron(_) => "cron",
    };
    let place = place.field(kind).field(error.member());
    problems.report_with_hint(&place, error.to_string(), error.hint());
}

fn check_gate(gate: &Gate, place: &Place, problems: &mut Problems) {
    let mut ids = BTreeSet::new();
    for (index, exception) in gate.exceptions.iter().enumerate() {
        let place = place.field("exceptions").index(index);
        if exception.id.trim().is_empty() {
            let message = "an exception names an advisory".to_owned();
            problems.report_with_hint(&place.field("id"), message, "write it as `CVE-2026-1234`");
        } else if !ids.insert(exception.id.trim().to_lowercase()) {
            let message = format!("there are two exceptions for `{}`", exception.id);
            problems.report(&place.field("id"), message);
        }
        if exception.why.trim().is_empty() {
            let message = format!("the exception for `{}` gives no reason", exception.id);
            let hint = "say why it is accepted; every verdict that uses it shows this";
            problems.report_with_hint(&place.field("why"), message, hint);
        }
    }
    if gate.max_disk_gb == Some(0) {
        let message = "no OS disk has 0 GB".to_owned();
        problems.report_with_hint(&place.field("maxDiskGb"), message, "leave it out for no limit");
    }
    if !(1..=10_080).contains(&gate.report_within_minutes) {
        let message =
            format!("a report cannot be due within {} minutes", gate.report_within_minutes);
        let place = place.field("reportWithinMinutes");
        problems.report_with_hint(&place, message, "write 1 to 10080, which is a week");
    }
}

fn check_rings(rings: &[Ring], place: &Place, problems: &mut Problems) {
    if rings.is_empty() {
        let message = "there are no rings, so nothing is ever released".to_owned();
        problems.report_with_hint(place, message, "name at least one ring with one region");
    }
    let mut names = BTreeSet::new();
    let mut earlier = BTreeSet::new();
    for (index, ring) in rings.iter().enumerate() {
        let place = place.index(index);
        if ring.name.trim().is_empty() {
            problems.report(&place.field("name"), "a ring has a name".to_owned());
        } else if !names.insert(ring.name.as_str()) {
            let message = format!("ring `{}` is here twice", ring.name);
            problems.report(&place.field("name"), message);
        }

        let regions = place.field("regions");
        if ring.regions.is_empty() {
            problems.report(&regions, format!("ring `{}` has no regions", ring.name));
        }
        let mut here = BTreeSet::new();
        for (index, region) in ring.regions.iter().enumerate() {
            if !here.insert(region) {
                let message = format!("region `{region}` is here twice");
                problems.report(&regions.index(index), message);
            }
        }
        if !here.is_empty() && here.is_subset(&earlier) {
            let message = format!("every region of ring `{}` is in an earlier ring", ring.name);
            let hint = "a region that is in several rings counts in the first of them";
            problems.report_with_hint(&regions, message, hint);
        }
        earlier.extend(here);

        if !(1..=100).contains(&ring.replicas) {
            let message = format!("a region cannot have {} replicas", ring.replicas);
            problems.report_with_hint(&place.field("replicas"), message, "write 1 to 100");
        }
        if ring.bake_hours > MOST_BAKE_HOURS {
            let message = format!("{} hours are more than a year", ring.bake_hours);
            problems.report(&place.field("bakeHours"), message);
        }
    }
}

fn check_retention(retention: &Retention, place: &Place, problems: &mut Problems) {
    if retention.keep == 0 {
        let message = "at least one good version always stays".to_owned();
        problems.report_with_hint(&place.field("keep"), message, "write 1 or more");
    }
    let days = [
        ("deprecateAfterDays", retention.deprecate_after_days),
        ("trimAfterDays", retention.trim_after_days),
        ("deleteAfterDays", retention.delete_after_days),
        ("quarantineDays", retention.quarantine_days),
    ];
    for (member, days) in days {
        if days > MOST_DAYS {
            let message = format!("{days} days are more than a hundred years");
            problems.report(&place.field(member), message);
        }
    }
    if retention.delete_after_days < retention.trim_after_days {
        let Retention { delete_after_days, trim_after_days, .. } = retention;
        let message = format!(
            "deletion after {delete_after_days} days comes before trimming after \
                     {trim_after_days}"
        );
        let hint = "both count from deprecation; `deleteAfterDays` is not below `trimAfterDays`";
        problems.report_with_hint(&place.field("deleteAfterDays"), message, hint);
    }
}
