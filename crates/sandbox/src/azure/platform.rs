//! Marketplace images. Lists are bare arrays (recorded); what is not released yet, or withdrawn, is
//! not there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::{World, moment, region, route, throttle, version};
use crate::estate::{Generation, PlatformImage, PlatformVersion, reference};

/// The image of that publisher, offer and sku, if `location` offers it.
pub(super) fn image<'a>(
    world: &World<'a>,
    location: &str,
    publisher: &str,
    offer: &str,
    sku: &str,
) -> Option<&'a PlatformImage> {
    let image = reference::platform_image(world.estate, publisher, offer, sku)?;
    is_offered(image, location).then_some(image)
}

fn is_offered(image: &PlatformImage, location: &str) -> bool {
    let location = region::short(location);
    image.regions.is_empty() || image.regions.iter().any(|it| region::short(it) == location)
}

/// The versions that are there at `now`.
pub(super) fn offered(
    image: &PlatformImage,
    now: DateTime<Utc>,
) -> impl Iterator<Item = &PlatformVersion> {
    let there =
        move |it: &&PlatformVersion| it.released <= now && it.withdrawn.is_none_or(|at| now < at);
    image.versions.iter().filter(there)
}

/// The highest version that is there at `now`, its parts compared as numbers.
pub(super) fn newest(image: &PlatformImage, now: DateTime<Utc>) -> Option<&PlatformVersion> {
    offered(image, now).max_by_key(|it| version::numbers(&it.version))
}

/// `GET .../locations/{l}/publishers[/{p}/artifacttypes/vmimage/offers[/{o}/skus[/{k}/versions[/{v}]]]]`.
pub(super) fn browse(
    world: &World<'_>,
    call: &Call,
    location: &str,
    inside: &[&str],
) -> Result<Reply, Trouble> {
    let Some(location) = region::known(location) else {
        let message = format!("The location '{location}' is not valid.");
        return Err(Refusal::parameter(message, "location").into());
    };
    let here: Vec<&PlatformImage> =
        world.estate.marketplace.iter().filter(|it| is_offered(it, location)).collect();
    let place = Place { subscription: &call.segments[1], location };
    match inside {
        [] => Ok(publishers(&place, &here)),
        [publisher, "artifacttypes", "vmimage", "offers"] => {
            let quota = throttle::LIST_OFFERS.take(world)?;
            Ok(offers(&place, &here, publisher)?.header(QUOTA, quota))
        }
        [publisher, "artifacttypes", "vmimage", "offers", offer, "skus"] => {
            let quota = throttle::LIST_SKUS.take(world)?;
            Ok(skus(&place, &here, publisher, offer)?.header(QUOTA, quota))
        }
        [
            publisher,
            "artifacttypes",
            "vmimage",
            "offers",
            offer,
            "skus",
            sku,
            "versions",
            rest @ ..,
        ] => {
            let image = here.iter().find(|it| {
                it.publisher.eq_ignore_ascii_case(publisher)
                    && it.offer.eq_ignore_ascii_case(offer)
                    && it.sku.eq_ignore_ascii_case(sku)
            });
            let image = image.copied();
            match rest {
                [] => {
                    let quota = throttle::LIST_PLATFORM_VERSIONS.take(world)?;
                    Ok(versions(world, call, &place, image)?.header(QUOTA, quota))
                }
                [number] => {
                    let quota = throttle::GET_PLATFORM_VERSION.take(world)?;
                    Ok(one(world, &place, image, number)?.header(QUOTA, quota))
                }
                _ => Err(route::unknown(call)),
            }
        }
        _ => Err(route::unknown(call)),
    }
}

/// Where the catalog is looked at.
struct Place<'a> {
    subscription: &'a str,
    location: &'a str,
}

impl Place<'_> {
    /// An item of a list; ids begin with a capital here (recorded).
    fn item(&self, name: &str, path: &str) -> Value {
        let Place { subscription, location } = self;
        json!({
            "location": location,
            "name": name,
            "id": format!(
                "/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers/{path}"
            ),
        })
    }
}

fn publishers(place: &Place<'_>, here: &[&PlatformImage]) -> Reply {
    let names: BTreeMap<&str, ()> = here.iter().map(|it| (it.publisher.as_str(), ())).collect();
    Reply::ok(names.keys().map(|it| place.item(it, it)).collect())
}

fn not_found(message: String) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "NotFound", message)
}

fn offers(place: &Place<'_>, here: &[&PlatformImage], publisher: &str) -> Result<Reply, Trouble> {
    let ours = here.iter().filter(|it| it.publisher.eq_ignore_ascii_case(publisher));
    let names: BTreeMap<&str, &str> =
        ours.map(|it| (it.offer.as_str(), it.publisher.as_str())).collect();
    if names.is_empty() {
        return Err(not_found(format!("Publisher: {publisher} was not found.")).into());
    }
    let items = names.iter().map(|(offer, publisher)| {
        place.item(offer, &format!("{publisher}/ArtifactTypes/VMImage/Offers/{offer}"))
    });
    Ok(Reply::ok(items.collect()))
}

fn skus(
    place: &Place<'_>,
    here: &[&PlatformImage],
    publisher: &str,
    offer: &str,
) -> Result<Reply, Trouble> {
    let ours: Vec<&&PlatformImage> = here
        .iter()
        .filter(|it| {
            it.publisher.eq_ignore_ascii_case(publisher) && it.offer.eq_ignore_ascii_case(offer)
        })
        .collect();
    if ours.is_empty() {
        let message =
            format!("Artifact: VMImage was not found: publisher {publisher}, offer {offer}.");
        return Err(not_found(message).into());
    }
    let items = ours.iter().map(|it| {
        let path =
            format!("{}/ArtifactTypes/VMImage/Offers/{}/Skus/{}", it.publisher, it.offer, it.sku);
        let mut item = place.item(&it.sku, &path);
        item["properties"] =
            json!({ "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": false } });
        item
    });
    Ok(Reply::ok(items.collect()))
}

/// `$top`, `$orderby=name desc` (an order of texts, as the service's) and `$expand`. Empty where
/// nothing is, with 200 (recorded).
fn versions(
    world: &World<'_>,
    call: &Call,
    place: &Place<'_>,
    image: Option<&PlatformImage>,
) -> Result<Reply, Trouble> {
    let Some(image) = image else { return Ok(Reply::ok(json!([]))) };
    let mut there: Vec<&PlatformVersion> = offered(image, world.now).collect();
    there.sort_by(|one, other| one.version.cmp(&other.version));
    match call.query("$orderby").map(str::to_ascii_lowercase).as_deref() {
        None | Some("name" | "name asc") => {}
        Some("name desc") => there.reverse(),
        Some(other) => {
            let message = format!("The value '{other}' of parameter '$orderby' is invalid.");
            return Err(Refusal::parameter(message, "$orderby").into());
        }
    }
    if let Some(top) = call.query("$top") {
        let Ok(top) = top.parse() else {
            let message = format!("The value '{top}' of parameter '$top' is invalid.");
            return Err(Refusal::parameter(message, "$top").into());
        };
        there.truncate(top);
    }

    let status = call.expands("properties/imageDeprecationStatus");
    let expanded = status || call.expands("properties");
    let items = there.iter().map(|version| {
        let mut item = place.item(&version.version, &path(image, version));
        if expanded {
            item["extendedLocation"] = Value::Null;
            item["properties"] = json!({
                "hyperVGeneration": generation(image),
                "architecture": "x64",
                "replicaType": "Managed",
                "replicaCount": 10,
                "goLiveDate": moment::compute(version.released),
            });
        }
        if status {
            let mut state = deprecation(version, world.now);
            if state["scheduledDeprecationTime"].is_null() {
                state["scheduledDeprecationTime"] = Value::Null;
            }
            item["properties"]["imageDeprecationStatus"] = state;
        }
        item
    });
    Ok(Reply::ok(items.collect()))
}

fn path(image: &PlatformImage, version: &PlatformVersion) -> String {
    format!(
        "{}/ArtifactTypes/VMImage/Offers/{}/Skus/{}/Versions/{}",
        image.publisher, image.offer, image.sku, version.version
    )
}

fn generation(image: &PlatformImage) -> &'static str {
    match image.generation {
        Generation::V1 => "V1",
        Generation::V2 => "V2",
    }
}

fn deprecation(version: &PlatformVersion, now: DateTime<Utc>) -> Value {
    match version.deprecated {
        None => json!({ "imageState": "Active" }),
        Some(at) => json!({
            "imageState": if at <= now { "Deprecated" } else { "ScheduledForDeprecation" },
            "scheduledDeprecationTime": moment::compute(at),
        }),
    }
}

fn one(
    world: &World<'_>,
    place: &Place<'_>,
    image: Option<&PlatformImage>,
    number: &str,
) -> Result<Reply, Trouble> {
    let found = image.and_then(|image| {
        let version = match number {
            "latest" => newest(image, world.now),
            _ => offered(image, world.now).find(|it| it.version == number),
        };
        version.map(|it| (image, it))
    });
    let Some((image, version)) = found else {
        let message = format!("Artifact: VMImage was not found: version {number}.");
        return Err(not_found(message).into());
    };

    let mut item = place.item(&version.version, &path(image, version));
    item["properties"] = json!({
        "hyperVGeneration": generation(image),
        "architecture": "x64",
        "replicaType": "Managed",
        "disallowed": { "vmDiskType": "Unmanaged" },
        "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": false },
        "imageDeprecationStatus": deprecation(version, world.now),
        // Recorded in 2026: the last instant that .NET knows, with seven digits.
        "imageDiscontinuationStatus": {
            "imageDiscontinuationState": "None",
            "imageDiscontinuationDate": "9999-12-31T23:59:59.9999999+00:00",
        },
        "features": [
            { "name": "IsAcceleratedNetworkSupported", "value": "True" },
            { "name": "IsHibernateSupported", "value": "True" },
        ],
        "osDiskImage": {
            "operatingSystem": image.os_type,
            "sizeInBytes": u64::from(image.disk_gb) * (1 << 30) + 512,
        },
        "dataDiskImages": [],
        "goLiveDate": moment::compute(version.released),
    });
    if let Some(plan) = &image.plan {
        item["properties"]["plan"] =
            json!({ "publisher": plan.publisher, "name": plan.name, "product": plan.product });
    }
    Ok(Reply::ok(item))
}
