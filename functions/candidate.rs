//! A candidate that has to wait for its verdict. Image Builder has hidden it by the global flag
//! alone, since what it distributes to has no flag of a region (imagebuilder.json, TargetRegion), and
//! whether that is enough is an open question. The verdict is most often there with the build, and
//! its own write says every region's flag; a candidate that waits is told them first.

use rules::event::{Event, Operation};

use crate::deprecate_version::wait_for_others;
use crate::step::Settled;
use crate::{Context, Failure, Intent, Visit, version_body};

/// Hides the candidate of the visited run in every region, once: what is to be recorded of it.
///
/// # Errors
/// [`Failure`] when it could not be hidden now.
pub(crate) async fn hide(cx: &Context, visit: &mut Visit) -> Result<Vec<Event>, Failure> {
    let run = visit.run()?;
    if run.hidden {
        return Ok(Vec::new());
    }
    let number = run.version;
    let (id, target) = (cx.definition(&visit.image).version(number), number.to_string());
    let hidden = Event::CandidateHidden { version: number };

    let version = cx.arm.version(&id).await?;
    wait_for_others(cx, visit, &version)?;
    let intent_body = version_body::hidden(&version, version.tags.clone());
    let open = visit.state().intents.get(&target).map(|it| it.operation);
    // What a GET shows of a flag that was never sent says nothing.
    if let Some(operation) = open
        && version_body::carries(&version, &intent_body)
    {
        return Ok(vec![Settled::seen(&target, operation), hidden]);
    }

    let intent = Intent {
        target: target.clone(),
        operation: Operation::UpdateVersion,
        text: format!("hide {target} in every region while it waits for its verdict"),
        evidence: vec!["nobody has judged it yet".to_owned()],
    };
    let permit = cx.intend(visit, intent).await?;
    let answer = cx.arm.put_version(&permit, &id, &intent_body).await;
    match cx.settle(&target, Operation::UpdateVersion, answer)? {
        Settled::Accepted(_, settled) => Ok(vec![settled, hidden]),
        Settled::Refused(error, settled) => Err(Failure::from(error).with(vec![settled])),
    }
}
