//! Machines, scale sets, disks, managed images and storage accounts, as far as they tell who uses an
//! image. Machines can be made and deleted; the rest is read only.

use http::Method;
use serde_json::{Value, json};

use super::answer::{Refusal, Reply, Trouble};
use super::call::Call;
use super::gallery::QUOTA;
use super::{World, machine, moment, plain, region, route, throttle};
use crate::estate::ExactVersion;
use crate::guid;

pub(super) const MACHINE: &str = "Microsoft.Compute/virtualMachines";
pub(super) const SCALE_SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
pub(super) const INSTANCE: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines";
pub(super) const DISK: &str = "Microsoft.Compute/disks";
pub(super) const IMAGE: &str = "Microsoft.Compute/images";
pub(super) const STORAGE_ACCOUNT: &str = "Microsoft.Storage/storageAccounts";

/// The type that a piece of a path names.
fn kind(piece: &str) -> Option<&'static str> {
    match piece {
        "virtualmachines" => Some(MACHINE),
        "virtualmachinescalesets" => Some(SCALE_SET),
        "disks" => Some(DISK),
        "images" => Some(IMAGE),
        "storageaccounts" => Some(STORAGE_ACCOUNT),
        _ => None,
    }
}

/// Resources in a group.
pub(super) fn in_group(world: &World<'_>, call: &Call, rest: &[&str]) -> Result<Reply, Trouble> {
    if let ["virtualmachines", _] = rest
        && call.method != Method::GET
    {
        return machine::write(world, call);
    }
    if call.method != Method::GET {
        return Err(route::unknown(call));
    }
    match rest {
        [piece] => list(world, call, &call.id(4), kind(piece).ok_or_else(|| route::unknown(call))?),
        [piece, _] => {
            let kind = kind(piece).ok_or_else(|| route::unknown(call))?;
            one(world, call, kind, &call.id(8))
        }
        ["virtualmachinescalesets", _, "virtualmachines"] => {
            let set = call.id(8);
            if !world.records.exists(&set)? {
                return Err(not_found(call, SCALE_SET).into());
            }
            list(world, call, &set, INSTANCE)
        }
        ["virtualmachinescalesets", _, "virtualmachines", number] => {
            let id = format!("{}/virtualMachines/{number}", call.id(8));
            one(world, call, INSTANCE, &id)
        }
        _ => Err(route::unknown(call)),
    }
}

/// Lists over a subscription.
pub(super) fn in_subscription(
    world: &World<'_>,
    call: &Call,
    rest: &[&str],
) -> Result<Reply, Trouble> {
    let [piece] = rest else { return Err(route::unknown(call)) };
    let kind = kind(piece).filter(|_| call.method == Method::GET);
    list(world, call, &call.id(2), kind.ok_or_else(|| route::unknown(call))?)
}

fn not_found(call: &Call, kind: &str) -> Refusal {
    Refusal::not_found(kind, &call.segments[7], &call.segments[3])
}

fn list(world: &World<'_>, call: &Call, scope: &str, kind: &str) -> Result<Reply, Trouble> {
    let mut bodies: Vec<Value> = world.records.below_of(scope, kind)?;
    let filter = call.query("$filter");
    if let Some(filter) = filter.filter(|_| kind == MACHINE) {
        let wanted = filter.split('\'').nth(1).unwrap_or_default();
        bodies.retain(|it| {
            let set = it["properties"]["virtualMachineScaleSet"]["id"].as_str();
            set.is_some_and(|it| it.eq_ignore_ascii_case(wanted))
        });
    }
    let in_subscription = call.lower[2] != "resourcegroups";
    let quota = match kind {
        // Lists over a whole subscription carry no quota of the resource (recorded).
        _ if in_subscription => None,
        MACHINE => Some(throttle::LIST_MACHINES.take(world, scope)?),
        INSTANCE => Some(throttle::LIST_INSTANCES.take(world, scope)?),
        _ => None,
    };
    // Upper case, as recorded: machines with a filter, scale sets of a subscription.
    let upper = filter.is_some() && kind == MACHINE || in_subscription && kind == SCALE_SET;
    let shown = bodies.into_iter().map(|it| told(world, it, Teller::Arm));
    let shown: Vec<Value> =
        if upper { shown.map(plain::upper_case_group).collect() } else { shown.collect() };
    let reply = Reply::ok(json!({ "value": shown }));
    Ok(match quota {
        Some(quota) => reply.header(QUOTA, quota),
        None => reply,
    })
}

fn one(world: &World<'_>, call: &Call, kind: &str, id: &str) -> Result<Reply, Trouble> {
    let body = world.records.get::<Value>(id)?.ok_or_else(|| not_found(call, kind))?;
    let body = told(world, body, Teller::Arm);
    if kind == DISK {
        let quota = throttle::GET_DISK.take(world)?;
        return Ok(Reply::ok(body).header(QUOTA, quota));
    }
    let view = call.expands("instanceView");
    let with_etag = matches!(kind, MACHINE | SCALE_SET) && !view;
    let mut reply = Reply::ok(body);
    if view
        && kind == MACHINE
        && let Some(body) = &mut reply.body
    {
        body["properties"]["instanceView"] = json!({
            "statuses": [
                { "code": "ProvisioningState/succeeded", "level": "Info",
                  "displayStatus": "Provisioning succeeded" },
                { "code": "PowerState/running", "level": "Info", "displayStatus": "VM running" },
            ],
        });
    }
    let policy = match kind {
        MACHINE => Some(throttle::GET_MACHINE),
        SCALE_SET => Some(throttle::GET_SCALE_SET),
        INSTANCE => Some(throttle::GET_INSTANCE),
        _ => None,
    };
    if let Some(policy) = policy {
        reply = reply.header(QUOTA, policy.take(world, id)?);
    }
    // A counter in the header, not with an instance view and not in lists (recorded).
    Ok(if with_etag { reply.header("etag", "\"1\"") } else { reply })
}

/// Who tells of a machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Teller {
    Arm,
    Graph,
}

/// The body as Azure tells it: whether a machine made from *latest* tells its version is an open
/// question, of ARM and of Resource Graph apart.
pub(super) fn told(world: &World<'_>, mut body: Value, teller: Teller) -> Value {
    let tells = match world.estate.variants.exact_version_of_latest {
        ExactVersion::Told => true,
        ExactVersion::ArmAlone => teller == Teller::Arm,
        ExactVersion::GraphAlone => teller == Teller::Graph,
        ExactVersion::Absent => false,
    };
    if tells {
        return body;
    }
    let Some(reference) = body.pointer_mut("/properties/storageProfile/imageReference") else {
        return body;
    };
    let names_no_version = reference["id"].as_str().is_some_and(|it| !it.contains("/versions/"));
    if names_no_version && let Some(members) = reference.as_object_mut() {
        members.remove("exactVersion");
    }
    body
}

/// A virtual machine.
pub(super) fn machine(
    id: &str,
    location: &str,
    tags: Value,
    reference: &Value,
    windows: bool,
    created: chrono::DateTime<chrono::Utc>,
) -> Value {
    let name = plain::name_of(id);
    let group = id.split('/').take(5).collect::<Vec<_>>().join("/");
    let disk = disk_name(id);
    json!({
        "name": name,
        "id": id,
        "type": MACHINE,
        "location": region::short(location),
        "tags": tags,
        "properties": {
            "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
            "provisioningState": "Succeeded",
            "vmId": guid::of(&["machine", &id.to_ascii_lowercase()]),
            "storageProfile": {
                "imageReference": reference,
                "osDisk": {
                    "osType": if windows { "Windows" } else { "Linux" },
                    "name": disk,
                    "createOption": "FromImage",
                    "caching": "ReadWrite",
                    "managedDisk": {
                        "storageAccountType": "Premium_LRS",
                        "id": format!("{group}/providers/Microsoft.Compute/disks/{disk}"),
                    },
                    "deleteOption": "Detach",
                    "diskSizeGB": if windows { 127 } else { 30 },
                },
                "dataDisks": [],
            },
            "timeCreated": moment::compute(created),
        },
    })
}

/// The name that Compute gives the OS disk of a machine.
pub(super) fn disk_name(machine: &str) -> String {
    let name = plain::name_of(machine);
    let unique = guid::of(&["disk", &machine.to_ascii_lowercase()]).replace('-', "");
    format!("{name}_OsDisk_1_{unique}")
}

/// The OS disk of a machine; `image` is the id of what it was made from.
pub(super) fn os_disk(machine: &Value, image: &Value) -> Value {
    let id = &machine["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"];
    let disk = &machine["properties"]["storageProfile"]["osDisk"];
    json!({
        "name": plain::name_of(id.as_str().unwrap_or_default()),
        "id": id,
        "type": DISK,
        "location": machine["location"],
        "tags": {},
        "managedBy": machine["id"],
        "sku": { "name": "Premium_LRS", "tier": "Premium" },
        "properties": {
            "osType": disk["osType"],
            "hyperVGeneration": "V2",
            "creationData": { "createOption": "FromImage", "imageReference": { "id": image } },
            "diskSizeGB": disk["diskSizeGB"],
            "timeCreated": machine["properties"]["timeCreated"],
            "provisioningState": "Succeeded",
            "diskState": "Attached",
        },
    })
}

/// A scale set. Its model never tells an exact version (recorded).
pub(super) fn scale_set(
    id: &str,
    location: &str,
    tags: Value,
    reference: &Value,
    orchestration: &str,
    size: u32,
    created: chrono::DateTime<chrono::Utc>,
) -> Value {
    json!({
        "name": plain::name_of(id),
        "id": id,
        "type": SCALE_SET,
        "location": region::short(location),
        "tags": tags,
        "sku": { "name": "Standard_D2s_v5", "tier": "Standard", "capacity": size },
        "properties": {
            "singlePlacementGroup": false,
            "orchestrationMode": orchestration,
            "upgradePolicy": { "mode": "Manual" },
            "virtualMachineProfile": {
                "storageProfile": {
                    "osDisk": {
                        "createOption": "FromImage",
                        "caching": "ReadWrite",
                        "managedDisk": { "storageAccountType": "Premium_LRS" },
                    },
                    "imageReference": reference,
                },
            },
            "provisioningState": "Succeeded",
            "uniqueId": guid::of(&["scale set", &id.to_ascii_lowercase()]),
            "timeCreated": moment::compute(created),
        },
    })
}

/// An instance of a uniform scale set.
pub(super) fn instance(set: &Value, number: u32, reference: &Value) -> Value {
    let (set_id, set_name) = (set["id"].as_str().unwrap_or_default(), &set["name"]);
    let set_name = set_name.as_str().unwrap_or_default();
    let id = format!("{set_id}/virtualMachines/{number}");
    json!({
        "name": format!("{set_name}_{number}"),
        "id": id,
        "type": INSTANCE,
        "location": set["location"],
        "tags": {},
        "instanceId": number.to_string(),
        "sku": { "name": "Standard_D2s_v5", "tier": "Standard" },
        "properties": {
            "latestModelApplied": true,
            "vmId": guid::of(&["machine", &id.to_ascii_lowercase()]),
            "storageProfile": { "imageReference": reference },
            "provisioningState": "Succeeded",
            "timeCreated": set["properties"]["timeCreated"],
        },
    })
}

/// A managed image that a build made.
pub(super) fn managed_image(id: &str, location: &str, tags: &Value) -> Value {
    json!({
        "name": plain::name_of(id),
        "id": id,
        "type": IMAGE,
        "location": region::short(location),
        "tags": if tags.is_object() { tags.clone() } else { json!({}) },
        "properties": { "provisioningState": "Succeeded", "hyperVGeneration": "V2" },
    })
}

/// The storage account of a staging group.
pub(super) fn storage_account(id: &str, location: &str, blob_url: &str) -> Value {
    json!({
        "name": plain::name_of(id),
        "id": id,
        "type": STORAGE_ACCOUNT,
        "location": region::short(location),
        "tags": { "createdBy": "AzureVMImageBuilder" },
        "kind": "StorageV2",
        "sku": { "name": "Standard_LRS", "tier": "Standard" },
        "properties": {
            "provisioningState": "Succeeded",
            "primaryEndpoints": { "blob": format!("{blob_url}/") },
            "primaryLocation": region::short(location),
            "statusOfPrimary": "available",
        },
    })
}
