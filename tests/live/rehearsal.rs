//! The questions, put to the sandbox under each variant that it has for them.

use std::sync::Arc;

use async_trait::async_trait;
use contract::{Checked, Verified};
use sandbox::estate::Estate;
use sandbox::identity::Principal;
use sandbox::{Place, Sandbox, SandboxOptions, Time};
use seam::{Clock, Fault, Local, PausedClock, Request, Response, Tokens, Wire};
use serde_json::json;

use crate::azure::{self, Azure};
use crate::{bus, galleries, machines, templates};

const ARM: &str = "127.0.0.1:4001";
const BUS: &str = "127.0.0.1:4002";
const GROUP: &str = "/subscriptions/6f9619ff-8b86-4d11-b42d-00c04fc964ff/resourceGroups/rg-live";
const ESTATE: &str = "
start: 2026-09-07T06:00:00Z
tenant: 0f1c2d3e-4b5a-4c6d-8e7f-901234567890
subscriptions:
  - id: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    name: live
    resourceGroups: [{ name: rg-live, location: westeurope }]
marketplace:
  - publisher: Canonical
    offer: jammy
    sku: 22_04-lts-gen2
    os: ubuntu/22.04
    versions: [{ version: 22.04.202608090, released: 2026-08-09T00:00:00Z }]
galleries:
  - subscription: 6f9619ff-8b86-4d11-b42d-00c04fc964ff
    resourceGroup: rg-live
    name: galSource
    location: westeurope
    definitions:
      - name: source
        publisher: contoso
        offer: ubuntu
        sku: source
        versions: [{ number: 1.0.0, published: 2026-08-01T00:00:00Z, regions: [westeurope] }]
";

fn open(variants: &str) -> (Sandbox, Arc<dyn Clock>) {
    let estate = Estate::parse(&format!("{ESTATE}variants: {{ {variants} }}\n")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(PausedClock::starting_at(estate.start));
    let queue = "judge_image".parse().unwrap();
    let options = SandboxOptions::new("http://127.0.0.1:4003", [queue], "secret");
    let time = Time::Told(Arc::clone(&clock));
    (Sandbox::open(&estate, &Place::Memory, time, options).unwrap(), clock)
}

/// The same, with a template that has run.
async fn built(variants: &str) -> Azure {
    let mut azure = azure(variants);
    let definition = galleries::definition(&azure, "built").await;
    let template = format!("{GROUP}/providers/Microsoft.VirtualMachineImages/imageTemplates/t");
    let identity =
        format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let body = json!({
        "location": azure.place.location,
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "source": {
                "type": "PlatformImage", "publisher": "Canonical", "offer": "jammy",
                "sku": "22_04-lts-gen2", "version": "latest",
            },
            "distribute": [{
                "type": "SharedImage", "runOutputName": "image", "galleryImageId": definition,
                "targetRegions": [{ "name": azure.place.location, "replicaCount": 1 }],
                "excludeFromLatest": true,
            }],
        },
    });
    azure.put(&template, &body).await.expect("making the template");
    azure.ready(&template).await;
    azure.post(&format!("{template}/run")).await.expect("running it");
    azure.wait(chrono::TimeDelta::hours(2)).await;
    azure.place.template = Some(template);
    azure
}

/// The wire to the sandbox. What the questions ask and what they are told is held against
/// Microsoft's documents as long as anybody asks.
#[derive(Debug)]
struct Heard {
    wire: Local,
    _verified: Verified,
}

#[async_trait]
impl Wire for Heard {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        self.wire.send(request).await
    }
}

/// The sandbox's Azure, with these variants.
fn azure(variants: &str) -> Azure {
    let (sandbox, clock) = open(variants);
    let verified = Verified::new(Checked::Both);
    let wire = Local::to([(ARM.to_owned(), verified.around(sandbox.routers().arm))]);
    let wire = Heard { wire, _verified: verified };
    let place = azure::Place {
        group: GROUP.to_owned(),
        source: format!(
            "{GROUP}/providers/Microsoft.Compute/galleries/galSource/images/source/versions/1.0.0"
        ),
        location: "westeurope".to_owned(),
        second_location: "northeurope".to_owned(),
        subnet: Some(format!(
            "{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/default"
        )),
        template: None,
    };
    Azure::new(ARM, "http", Arc::new(wire), clock, Tokens::fixed("a-token"), place)
}

#[tokio::test(start_paused = true)]
async fn which_flag_hides_a_version_is_told_apart() {
    let either = machines::exclusion(azure("exclusion: either")).await;
    let regional = machines::exclusion(azure("exclusion: regionalWins")).await;
    let global = machines::exclusion(azure("exclusion: globalOnly")).await;
    let only = machines::exclusion(azure("exclusion: regionalOnly")).await;

    assert_eq!(either, "either flag; a GET shows the regional flags: true");
    assert!(regional.starts_with("the regional flag, over the global one"), "{regional}");
    assert!(only.starts_with("the regional flag alone"), "{only}");
    assert!(global.starts_with("the global flag alone"), "{global}");
}

#[tokio::test(start_paused = true)]
async fn what_latest_means_while_a_version_replicates_is_told_apart() {
    let complete = azure("latestWhileReplicating: complete");
    let highest = azure("latestWhileReplicating: highest");

    let complete = machines::latest_while_replicating(complete).await;
    let highest = machines::latest_while_replicating(highest).await;

    assert_eq!(complete, "the highest version that is complete there");
    assert_eq!(highest, "the highest version, complete or not");
}

#[tokio::test(start_paused = true)]
async fn where_the_exact_version_is_told_is_told_apart() {
    let told = machines::exact_version_of_latest(azure("exactVersionOfLatest: told")).await;
    let absent = machines::exact_version_of_latest(azure("exactVersionOfLatest: absent")).await;
    let arm = machines::exact_version_of_latest(azure("exactVersionOfLatest: armAlone")).await;
    let graph = machines::exact_version_of_latest(azure("exactVersionOfLatest: graphAlone")).await;

    assert_eq!(told, "by ARM told, by Resource Graph told, by the OS disk told");
    assert_eq!(arm, "by ARM told, by Resource Graph not told, by the OS disk told");
    assert_eq!(graph, "by ARM not told, by Resource Graph told, by the OS disk told");
    assert_eq!(absent, "by ARM not told, by Resource Graph not told, by the OS disk told");
}

#[tokio::test(start_paused = true)]
async fn whether_a_busy_version_is_written_is_told_apart() {
    let refused = galleries::update_while_updating(azure("updateWhileUpdating: refuse")).await;
    let accepted = galleries::update_while_updating(azure("updateWhileUpdating: accept")).await;

    assert!(refused.starts_with("refused (409"), "{refused}");
    assert_eq!(accepted, "accepted");
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_past_end_of_life_is_told_apart() {
    let strict = azure("unchangedPastEndOfLife: refuse, absentEndOfLife: kept");
    let lenient = azure("unchangedPastEndOfLife: accept, absentEndOfLife: cleared");

    let strict = galleries::past_end_of_life(strict).await;
    let lenient = galleries::past_end_of_life(lenient).await;

    assert_eq!(strict, "unchanged it is refused (400 InvalidParameter); left out it is kept");
    assert_eq!(lenient, "unchanged it is accepted; left out it is cleared");
}

#[tokio::test(start_paused = true)]
async fn whether_one_write_lifts_and_removes_is_told_apart() {
    let refused = galleries::lift_and_remove_at_once(azure("liftAndRemoveAtOnce: refuse")).await;
    let accepted = galleries::lift_and_remove_at_once(azure("liftAndRemoveAtOnce: accept")).await;

    assert!(refused.starts_with("refused (4"), "{refused}");
    assert_eq!(accepted, "accepted");
}

#[tokio::test(start_paused = true)]
async fn how_long_tags_take_is_told_apart() {
    let slow = galleries::tags_only(azure("tagsOnly: slow")).await;
    let quick = galleries::tags_only(azure("tagsOnly: quick")).await;

    assert_eq!((slow.as_str(), quick.as_str()), ("150 s", "under a minute"));
}

#[tokio::test(start_paused = true)]
async fn what_a_bare_write_does_is_told_apart() {
    let tags = galleries::bare_update(azure("bareUpdate: changesTags")).await;
    let resets = galleries::bare_update(azure("bareUpdate: resetsProfile")).await;
    let refused = galleries::bare_update(azure("bareUpdate: refused")).await;
    let ignored = galleries::bare_update(azure("bareUpdate: ignored")).await;

    assert_eq!(tags, "writes the tags and keeps the publishing profile");
    assert_eq!(resets, "writes the tags and leaves 1 regions, excluded from latest: false");
    assert!(refused.starts_with("refused (400"), "{refused}");
    assert_eq!(ignored, "writes nothing and keeps the publishing profile");
}

#[tokio::test(start_paused = true)]
async fn what_a_build_leaves_of_the_flags_is_told_apart() {
    let absent = templates::flags_after_a_build(built("unsetFlag: absent").await).await;
    let unset = templates::flags_after_a_build(built("unsetFlag: false").await).await;
    let like = templates::flags_after_a_build(built("unsetFlag: likeGlobal").await).await;

    assert_eq!(absent, "global true, regional absent");
    assert_eq!(unset, "global true, regional false");
    assert_eq!(like, "global true, regional true");
}

#[tokio::test(start_paused = true)]
async fn whether_a_version_needs_its_template_is_told_apart() {
    let breaks = built("stagingDeleted: breaks").await;
    let harmless = built("stagingDeleted: harmless").await;

    let breaks = templates::deleted_while_replicating(breaks).await;
    let harmless = templates::deleted_while_replicating(harmless).await;

    assert_eq!(breaks, "the deletion is answered 202; the replication ends Failed");
    assert_eq!(harmless, "the deletion is answered 202; the replication ends Completed");
}

/// What the bus of these variants is found to say.
async fn refusals(variants: &str) -> String {
    let (sandbox, _) = open(variants);
    let wire = Local::to([(BUS.to_owned(), sandbox.routers().bus)]);
    // The identity that deletes may do nothing else, by the desk's own doors.
    let expires = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    let stranger = Principal::Deleter;
    let stranger = sandbox.identity.token_of(stranger, "https://servicebus.azure.net", expires);
    let bus = bus::Bus {
        address: format!("http://{BUS}"),
        wire: Arc::new(wire),
        queue: "judge_image".to_owned(),
        token: "a-token".to_owned(),
        stranger,
    };
    bus::refusals(bus).await
}

#[tokio::test(start_paused = true)]
async fn the_buss_refusals_are_told_apart() {
    let documented = refusals("").await;
    let other = "missingQueue: notFound, missingRole: forbidden, largeMessage: tooLarge";
    let others = refusals(other).await;

    let expected = "a missing queue 410, a missing role 401, 255 KiB are taken and more is 403: \
                    missingQueue: gone, missingRole: unauthorized, largeMessage: forbidden";
    assert_eq!(documented, expected);
    let expected = "a missing queue 404, a missing role 403, 255 KiB are taken and more is 413: ";
    assert_eq!(others, format!("{expected}{other}"));
}
