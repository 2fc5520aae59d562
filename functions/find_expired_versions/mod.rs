//! Judges every version of every image by what time alone makes due: retention, pins, quarantine,
//! dwell times. Since it lists all versions, it also finds those of others that no event told of.

use std::collections::BTreeMap;

use ledger::StreamName;
use rules::catalog::Image;
use rules::event::Event;
use rules::pace;
use rules::retention::cap::{Judged, Proposal, cap};
use rules::retention::judge;
use rules::{ImageName, VersionNumber};
use tracing::warn;

use crate::evidence::Evidence;
use crate::{Context, Failure, Record, newcomer, record};

/// Reads the world once, judges everything, and wants no more deletions than the catalog allows
/// one sweep.
pub async fn handle(cx: &Context) -> Result<Vec<Record>, Failure> {
    let mut images: Vec<&Image> = cx.catalog.images.iter().collect();
    let begin = pace::first(cx.now, images.len());
    images.rotate_left(begin);
    let mut evidence = Evidence::read(cx, &images).await?;
    let broke_off = evidence.take_broke_off();
    if let Some(failure) = &broke_off {
        warn!("The sweep broke off, the next one begins elsewhere: {failure:?}");
    }

    let mut judged = Vec::new();
    for image in images.iter().filter(|it| evidence.is_there(&it.name)) {
        let facts = evidence.facts(cx, image);
        for (number, verdict) in judge(&image.retention, &facts) {
            let published_at = evidence.published_at(&image.name, number);
            let image = image.name.clone();
            judged.push(Judged { image, number, published_at, verdict });
        }
    }

    let mut records = newcomers(cx, &evidence).await?;
    let mut proposal_notice = None;
    let limit = cx.catalog.deletions_per_sweep;
    let mut capped = cap(judged.clone(), limit, None);
    // A plan is of a whole sweep: half of one would be another plan each time.
    if let Some(proposal) = &capped.proposal
        && broke_off.is_none()
    {
        let stream = cx.ledger.read(&StreamName::Catalog).await?;
        match stream.state.plans.get(&proposal.plan) {
            Some(plan) if plan.approved_by.is_some() => {
                capped = cap(judged, limit, Some(&proposal.plan));
            }
            Some(_) => {}
            None => {
                let Proposal { plan, deletions } = proposal.clone();
                warn!(deletions, "Plan {plan} deletes {deletions} versions; approve it first");
                let proposed = Event::DeletionPlanProposed { plan: plan.clone(), deletions };
                record::merge(&mut records, [(stream, vec![vec![proposed]])]);
                let text = format!(
                    "a sweep would delete {deletions} versions, more than {limit}: approve it with \
                     POST plans/{plan}/approve"
                );
                proposal_notice = cx.notice(text);
            }
        }
    }

    let mut by_image: BTreeMap<ImageName, Vec<Judged>> = BTreeMap::new();
    for verdict in capped.verdicts {
        by_image.entry(verdict.image.clone()).or_default().push(verdict);
    }
    for (image, verdicts) in by_image {
        let Some(stream) = cx.readable(&image).await? else { continue };
        let mut entries = Vec::new();
        for version in evidence.gone(&image) {
            let reasons = vec!["it was gone from the gallery".to_owned()];
            entries.push(vec![Event::VersionDeleted { version, reasons }]);
        }
        let kept: BTreeMap<VersionNumber, Vec<String>> = verdicts
            .iter()
            .filter(|it| it.verdict.stage().is_none())
            .map(|it| (it.number, it.verdict.reasons().to_vec()))
            .collect();
        if stream.state.kept != kept || stream.state.judged_at.is_none() {
            entries.push(vec![Event::VersionsJudged { kept }]);
        }
        entries.extend(proposal_notice.take().map(|notice| vec![notice]));
        for Judged { number: version, verdict, .. } in verdicts {
            let known = stream.state.versions.get(&version);
            let under_way = known.is_some_and(|it| it.retiring.is_some());
            if let (Some(stage), false) = (verdict.stage(), under_way) {
                let reasons = verdict.reasons().to_vec();
                let standing = evidence.standing(&image, version);
                entries.push(vec![Event::RetirementDue { version, stage, standing, reasons }]);
            }
        }
        if !entries.is_empty() {
            record::merge(&mut records, [(stream, entries)]);
        }
    }
    Ok(records)
}

/// The triggers that versions of others are to the images built from them: an event may have been
/// lost, or Event Grid may tell of no versions at all.
async fn newcomers(cx: &Context, evidence: &Evidence) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for image in &cx.catalog.images {
        if let Some(version) = evidence.newcomer(image) {
            record::merge(&mut records, newcomer::tell(cx, image, version).await?);
        }
    }
    Ok(records)
}
