//! What speaks against a stage of a version's retirement, and what would have and does not.

use super::good::Good;
use super::{Facts, Provisioned, VersionFacts, day, participle};
use crate::ImageName;
use crate::catalog::Retention;
use crate::event::Retirement;
use crate::in_use::Use;
use crate::standing::Standing;

/// The most uses that one verdict names.
const MOST_NAMED: usize = 5;

/// What speaks against doing anything to the version.
pub(super) fn blocks_every_stage(
    policy: &Retention,
    facts: &Facts,
    good: &Good,
    version: &VersionFacts,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if !version.ours && !policy.adopt {
        reasons.push("Goldsmith did not make it, and `retention.adopt` is false".to_owned());
    }
    if version.in_a_run {
        reasons.push("a run is under way with it".to_owned());
    }
    if version.provisioned == Provisioned::InProgress {
        reasons.push("something is being done to it on Azure".to_owned());
    }
    if let Some(pin) = &version.pinned {
        match pin.until {
            None => reasons.push(format!("it is pinned: {}", pin.why)),
            Some(until) if until > facts.now => {
                reasons.push(format!("it is pinned until {}: {}", day(until), pin.why));
            }
            Some(_) => {}
        }
    }
    reasons.extend(good.protects(version.number));
    reasons
}

/// What speaks against `stage` in particular. No use of it does against deprecating, which only stops
/// offering the version: who uses it goes on doing so.
pub(super) fn blocks_stage(
    stage: Retirement,
    facts: &Facts,
    good: &Good,
    version: &VersionFacts,
) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    let given_up = version.given_up.get(&stage).filter(|it| it.again_at() > facts.now);
    reasons.extend(given_up.map(|it| {
        let (done, on, again) = (participle(stage), day(it.at), day(it.again_at()));
        format!("it could not be {done} on {on}, which is tried again from {again}: {}", it.why)
    }));
    let home_stays = match stage {
        Retirement::Deprecate => return reasons,
        Retirement::Trim => true,
        Retirement::Delete => false,
    };
    let protected_until = version.protected_until.filter(|it| !home_stays && *it > facts.now);
    reasons.extend(
        protected_until.map(|it| format!("Azure protects it from deletion until {}", day(it))),
    );
    let uses: Vec<&Use> = facts.in_use.of(version.number).collect();
    let named = uses.iter().take(MOST_NAMED);
    reasons.extend(named.map(|it| format!("in use by {}: {}", it.by, it.why)));
    if uses.len() > MOST_NAMED {
        reasons.push(format!("in use by {} more", uses.len() - MOST_NAMED));
    }
    if !version.base_of.is_empty() {
        let children: Vec<&str> = version.base_of.iter().map(ImageName::as_str).collect();
        let children = children.join(", ");
        reasons.push(format!("the current version of {children} is built from it"));
    }

    // Short of good ones, an older version that once was good is the only way back.
    let once_good = matches!(version.standing, Standing::Deprecated | Standing::Trimmed)
        && version.provisioned == Provisioned::Succeeded;
    if once_good {
        reasons.extend(good.is_short_without(version, home_stays.then_some(&facts.home)));
    }
    reasons
}

/// The other side of a stage's reasons.
pub(super) fn does_not_block(
    stage: Retirement,
    good: &Good,
    version: &VersionFacts,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let staying: Vec<String> = good.staying().iter().rev().map(ToString::to_string).collect();
    match staying.is_empty() {
        true => reasons.push("there are no good versions that it could be one of".to_owned()),
        false => reasons.push(format!("the good versions that stay are {}", staying.join(", "))),
    }
    match stage {
        Retirement::Deprecate => {}
        Retirement::Trim | Retirement::Delete => {
            reasons.push(
                "every declared scope was read, and nothing in them uses it; no child image's \
                 current version is built from it"
                    .to_owned(),
            );
        }
    }
    let pin = if version.pinned.is_some() { "its pin has ended" } else { "it is not pinned" };
    reasons.push(pin.to_owned());
    reasons
}
