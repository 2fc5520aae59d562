//! What the template of a run shall be, and the definition that its version is published under.

use std::collections::BTreeMap;

use arm::{Customizer, DefinitionIntent, Distribution, Script, Source, TemplateIntent, Validator};
use chrono::TimeDelta;
use rules::catalog::{Base, Customize, Image, Os, Plan, ScriptStep};
use rules::event::{Operation, PinnedBase};
use rules::standing::Standing;
use rules::state::Run;
use rules::{ImageName, VersionNumber};

use super::report_key;
use crate::step::Settled;
use crate::{Context, Done, Failure, Intent, Step, Visit, tags};

/// A template's name has at most so many characters.
const LONGEST_NAME: usize = 64;

/// The name of a run's template: the same for every delivery, and of no other run.
pub(super) fn name(image: &ImageName, version: VersionNumber) -> String {
    let name = format!("{image}-{version}");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    // A version's number has at most 32 characters, so this much of the image's name fits.
    let version = version.to_string();
    let room = LONGEST_NAME - version.len() - 1;
    let image: String = image.as_str().chars().take(room).collect();
    format!("{image}-{version}")
}

/// Makes the image definition of a new image; the run is opened at the next look.
pub(super) async fn create_definition(cx: &Context, visit: &mut Visit) -> Step {
    let image = visit.policy()?.clone();
    let target = image.name.to_string();
    let intent = Intent {
        target: target.clone(),
        operation: Operation::CreateDefinition,
        text: format!("publish `{}` in gallery `{}`", image.name, cx.catalog.gallery.name),
        evidence: vec!["the gallery has no such definition".to_owned()],
    };
    let definition = DefinitionIntent {
        location: cx.catalog.gallery.location.clone(),
        identifier: image.identifier.clone(),
        os: image.os,
        generation: image.generation,
        security: image.security,
        plan: plan(cx, &image),
        tags: tags::of_resource(cx, &image.name),
    };

    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.create_definition(&permit, &cx.definition(&image.name), &definition).await;
    match cx.settle(&target, Operation::CreateDefinition, answer)? {
        Settled::Accepted(_, settled) => {
            let at = cx.now + TimeDelta::seconds(10);
            Ok(Done::RecordAndLookAgain { events: vec![settled], at })
        }
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}

/// The purchase plan of the platform image at the root, however many images lie between.
fn plan(cx: &Context, image: &Image) -> Option<Plan> {
    let mut image = image;
    // A catalog in force has no cycle; the bound is the number of its images all the same.
    for _ in 0..=cx.catalog.images.len() {
        match &image.base {
            Base::Platform(platform) => return platform.plan.clone(),
            Base::Image(parent) => image = cx.catalog.image(parent)?,
        }
    }
    None
}

/// What the template of `run` shall be.
pub(super) fn intent(cx: &Context, image: &Image, run: &Run) -> Result<TemplateIntent, Failure> {
    let build = &cx.catalog.build;
    let home = &cx.catalog.gallery.location;

    let source = match (&image.base, &run.base) {
        (Base::Platform(platform), PinnedBase::Platform { version }) => {
            Source::Platform { image: platform.clone(), version: version.clone() }
        }
        (Base::Image(_), PinnedBase::Image { image, version }) => {
            Source::Version { id: cx.definition(image).version(*version) }
        }
        _ => return Err(Failure::never("the catalog gave it another kind of base meanwhile")),
    };
    let customize: Result<Vec<Customizer>, Failure> =
        image.customize.iter().map(|step| customizer(cx, step)).collect();

    Ok(TemplateIntent {
        location: home.clone(),
        identity: build.identity.clone(),
        machine_identities: vec![build.identity.clone()],
        vm_size: build.vm_size.clone(),
        subnet: build.subnet.clone(),
        timeout_minutes: build.timeout_minutes,
        source,
        customize: customize?,
        validate: vec![scan(cx, image, run)],
        distribute: Distribution {
            definition: cx.definition(&image.name),
            number: run.version,
            region: home.clone(),
            run_output_name: run.template.clone(),
            tags: tags::of_version(cx, &image.name, run, Standing::Candidate),
        },
        tags: tags::of_resource(cx, &image.name),
        managed_resource_tags: tags::of_resource(cx, &image.name),
    })
}

fn customizer(cx: &Context, step: &Customize) -> Result<Customizer, Failure> {
    Ok(match step {
        Customize::Shell(step) => {
            Customizer::Shell { name: step.name.clone(), script: script(cx, step)? }
        }
        Customize::Powershell(step) => Customizer::PowerShell {
            name: step.name.clone(),
            script: script(cx, step)?,
            run_elevated: true,
        },
        Customize::File(step) => {
            let (uri, sha256) = stored(cx, &step.name, step.sha256.as_deref())?;
            let (name, destination) = (step.name.clone(), step.destination.clone());
            Customizer::File { name, uri, sha256, destination }
        }
        Customize::WindowsUpdate(step) => Customizer::WindowsUpdate {
            name: step.name.clone(),
            search_criteria: step.search_criteria.clone(),
            filters: step.filters.clone(),
            update_limit: step.update_limit,
        },
        Customize::Restart(step) => {
            Customizer::Restart { name: step.name.clone(), timeout_minutes: step.timeout_minutes }
        }
    })
}

fn script(cx: &Context, step: &ScriptStep) -> Result<Script, Failure> {
    if !step.inline.is_empty() {
        return Ok(Script::Inline(step.inline.clone()));
    }
    let (uri, sha256) = stored(cx, &step.name, step.sha256.as_deref())?;
    Ok(Script::At { uri, sha256 })
}

/// The address of a file of the catalog, which was put among the blobs when it came into force.
fn stored(cx: &Context, step: &str, sha256: Option<&str>) -> Result<(String, String), Failure> {
    let Some(sha256) = sha256 else {
        let why = format!("the file of step `{step}` was not stored; publish the catalog again");
        return Err(Failure::never(why));
    };
    Ok((format!("{}/blobs/{sha256}", store(cx)), sha256.to_owned()))
}

fn store(cx: &Context) -> &str {
    cx.settings.store.as_str().trim_end_matches('/')
}

/// The validation: the image boots on a second machine, is scanned there, and the report is
/// uploaded.
fn scan(cx: &Context, image: &Image, run: &Run) -> Validator {
    let key = report_key(&cx.settings.catalog, &image.name, run.version);
    let values = BTreeMap::from([
        ("{{report_url}}", format!("{}/inbox/{key}", store(cx))),
        ("{{identity}}", cx.catalog.build.identity.clone()),
    ]);
    let fill = |text: &str| {
        let filled = values.iter().fold(text.to_owned(), |text, (name, it)| text.replace(name, it));
        Script::Inline(filled.lines().map(str::to_owned).collect())
    };
    let name = "scan".to_owned();
    match image.os {
        Os::Linux => Validator::Shell { name, script: fill(include_str!("scan.sh")) },
        Os::Windows => Validator::PowerShell {
            name,
            script: fill(include_str!("scan.ps1")),
            run_elevated: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_templates_name_fits_whatever_the_image_and_version_are() {
        let image: ImageName = "a".repeat(48).parse().unwrap();
        let longest = VersionNumber::MAX_PART;
        let version = VersionNumber::new(longest, longest, longest);

        let name = name(&image, version);

        assert_eq!(name.len(), LONGEST_NAME);
        assert!(name.ends_with("-2147483647.2147483647.2147483647"), "{name}");
    }
}
