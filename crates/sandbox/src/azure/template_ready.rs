//! The validation of a template, some seconds after its PUT: a PUT with a fault is answered with
//! 201 all the same, and the template ends as Failed (recorded).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::Trouble;
use super::operation::Operation;
use super::template::{Staging, Template};
use super::version::{Replication, Version};
use super::{World, compute, event, group, moment, plain, platform, region, version};
use crate::blob::Blobs;
use crate::guid;

/// The longest name of a resource group.
const GROUP_NAME_LIMIT: usize = 90;

/// Provisioning error code and message.
type Fault = (String, String);

/// The template `id` was validated.
pub(super) fn ready(
    world: &World<'_>,
    id: &str,
    operation: &str,
    at: DateTime<Utc>,
) -> Result<(), Trouble> {
    let Some(mut template) = world.records.get::<Template>(id)? else {
        return Operation::end(world, operation, at, None);
    };
    // Deleted meanwhile.
    if template.state != "Creating" {
        return Operation::end(world, operation, at, None);
    }

    let fault = validate(world, &mut template)?;
    if template.staging.is_none() {
        template.staging = Some(stage(world, &template)?);
    }
    template.state = if fault.is_none() { "Succeeded" } else { "Failed" }.to_owned();
    template.error.clone_from(&fault);
    template.store(world)?;
    event::template_written(world, id, at, fault.is_none())?;
    Operation::end(world, operation, at, fault)
}

fn fault(code: &str, message: impl Into<String>) -> Option<Fault> {
    let message = message.into();
    let help = "For more details, go to https://aka.ms/azvmimagebuilderts.";
    Some((code.to_owned(), format!("{message} {help}")))
}

fn validate(world: &World<'_>, template: &mut Template) -> Result<Option<Fault>, Trouble> {
    match resolve_source(world, template)? {
        Ok(exact) => template.exact_version = exact,
        Err(message) => {
            let shared = template.properties["source"]["type"] == json!("SharedImageVersion");
            let code = if shared { "BadSharedImageVersionSource" } else { "BadPIRSource" };
            return Ok(fault(code, message));
        }
    }
    if let Some(found) = check_scripts(world, template)? {
        return Ok(Some(found));
    }
    if let Some(message) = check_targets(world, template)? {
        return Ok(fault("BadSharedImageDistribute", message));
    }
    if let Some(message) = check_staging_group(world, template)? {
        return Ok(fault("BadStagingResourceGroup", message));
    }
    Ok(None)
}

/// The version that the source means at the world's instant.
pub(super) fn resolve_source(
    world: &World<'_>,
    template: &Template,
) -> Result<Result<String, String>, Trouble> {
    let source = &template.properties["source"];
    match source["type"].as_str() {
        Some("PlatformImage") => Ok(platform_source(world, template, source)),
        Some("SharedImageVersion") => shared_source(world, template, source),
        _ => {
            let id = source["imageId"].as_str().unwrap_or_default();
            if world.records.exists(id)? {
                return Ok(Ok(String::new()));
            }
            Ok(Err(format!("The managed image '{id}' was not found.")))
        }
    }
}

fn platform_source(
    world: &World<'_>,
    template: &Template,
    source: &Value,
) -> Result<String, String> {
    let text = |member: &str| source[member].as_str().unwrap_or_default();
    let (publisher, offer, sku) = (text("publisher"), text("offer"), text("sku"));
    let asked = if text("version").is_empty() { "latest" } else { text("version") };
    let urn = format!("{publisher}:{offer}:{sku}:{asked}");
    let missing = || {
        format!(
            "The platform image '{urn}' is not available in '{}'. Verify that all fields in the \
             source are correct.",
            template.location
        )
    };

    let image = platform::image(world, &template.location, publisher, offer, sku);
    let image = image.ok_or_else(missing)?;
    let version = match asked {
        "latest" => platform::newest(image, world.now),
        _ => platform::offered(image, world.now).find(|it| it.version == asked),
    };
    let version = version.ok_or_else(missing)?;
    if let Some(plan) = &image.plan {
        let given = &source["planInfo"];
        let same = given["planName"] == *plan.name
            && given["planProduct"] == *plan.product
            && given["planPublisher"] == *plan.publisher;
        if !same {
            return Err(format!(
                "The platform image '{urn}' requires plan information that is missing or wrong: \
                 name '{}', product '{}', publisher '{}'.",
                plan.name, plan.product, plan.publisher
            ));
        }
    }
    Ok(version.version.clone())
}

fn shared_source(
    world: &World<'_>,
    template: &Template,
    source: &Value,
) -> Result<Result<String, String>, Trouble> {
    let id = source["imageVersionId"].as_str().unwrap_or_default();
    let pieces = id.trim_matches('/').split('/').count();
    let last = plain::name_of(id);
    let version = if pieces == 10 || last.eq_ignore_ascii_case("latest") {
        let definition: Vec<&str> = id.split('/').take(11).collect();
        version::latest(world, &definition.join("/"), &template.location)?
    } else {
        world.records.get::<Version>(id)?
    };
    let Some(version) = version else {
        return Ok(Err(format!("The gallery image version '{id}' was not found.")));
    };
    let here = version.region(&template.location);
    if here.is_none_or(|it| it.replication(world.now) != Replication::Completed) {
        let region = region::display(&template.location);
        return Ok(Err(format!(
            "The gallery image version '{}' is not replicated to '{region}', where the template is.",
            version.id
        )));
    }
    Ok(Ok(version.id))
}

/// Fetches every script and file, and notes its checksum.
fn check_scripts(world: &World<'_>, template: &mut Template) -> Result<Option<Fault>, Trouble> {
    let mut checksums = BTreeMap::new();
    for (list, code) in
        [("/customize", "NoCustomizerScript"), ("/validate/inVMValidations", "NoValidatorScript")]
    {
        let steps = template.properties.pointer(list).and_then(Value::as_array);
        for step in steps.into_iter().flatten() {
            let address = step["scriptUri"].as_str().or(step["sourceUri"].as_str());
            let Some(address) = address.filter(|it| !it.is_empty()) else { continue };
            let name = step["name"].as_str().unwrap_or_default();
            let Some(bytes) = fetch(world.blobs, address)? else {
                let message =
                    format!("The script of '{name}' could not be downloaded from {address}.");
                return Ok(fault(code, message));
            };
            let found = HEXLOWER.encode(&Sha256::digest(&bytes));
            let wanted = step["sha256Checksum"].as_str().unwrap_or_default();
            if !wanted.is_empty() && !wanted.eq_ignore_ascii_case(&found) {
                let message = format!(
                    "The sha256 checksum of the script of '{name}' is {found}, and {wanted} was expected."
                );
                return Ok(fault(code, message));
            }
            checksums.insert(address.to_owned(), found);
        }
    }
    template.checksums = checksums;
    Ok(None)
}

fn check_targets(world: &World<'_>, template: &Template) -> Result<Option<String>, Trouble> {
    for target in template.properties["distribute"].as_array().into_iter().flatten() {
        let Some(id) = target["galleryImageId"].as_str() else { continue };
        let definition: Vec<&str> = id.split('/').take(11).collect();
        let definition = definition.join("/");
        if definition.split('/').count() != 11 || !world.records.exists(&definition)? {
            return Ok(Some(format!("The gallery image definition '{definition}' was not found.")));
        }
    }
    Ok(None)
}

fn check_staging_group(world: &World<'_>, template: &Template) -> Result<Option<String>, Trouble> {
    let id = template.properties["stagingResourceGroup"].as_str().unwrap_or_default();
    if id.is_empty() {
        return Ok(None);
    }
    let Some(group) = world.records.get::<Value>(id)? else {
        return Ok(Some(format!("The staging resource group '{id}' was not found.")));
    };
    if group["location"] != json!(template.location) {
        return Ok(Some(format!("The staging resource group '{id}' is in another region.")));
    }
    if !world.records.below(id)?.is_empty() {
        return Ok(Some(format!("The staging resource group '{id}' is not empty.")));
    }
    Ok(None)
}

/// Makes the staging group, or uses the one that the template names, and its storage account.
fn stage(world: &World<'_>, template: &Template) -> Result<Staging, Trouble> {
    let given = template.properties["stagingResourceGroup"].as_str().unwrap_or_default();
    let ours = given.is_empty();
    let sequence = world.records.count("stagings")?.to_string();
    let unique = guid::of(&["staging", &template.id.to_ascii_lowercase(), &sequence]);
    let group = if ours { made_group(world, template, &unique)? } else { given.to_owned() };

    let account = account_name(&unique);
    let id = format!("{group}/providers/Microsoft.Storage/storageAccounts/{account}");
    let body = compute::storage_account(&id, &template.location, &world.blobs.base_url(&account));
    plain::put(world, &body)?;
    Ok(Staging { group, account, ours })
}

fn made_group(world: &World<'_>, template: &Template, unique: &str) -> Result<String, Trouble> {
    let name = plain::name_of(&template.id);
    let subscription = template.id.split('/').nth(2).unwrap_or_default();
    let template_group = plain::group_of(&template.id);
    // Recorded: IT_{group}_{template}_{guid}, cut to what a group's name may have.
    let room = GROUP_NAME_LIMIT - unique.len() - 1;
    let mut prefix = format!("IT_{template_group}_{name}");
    prefix.truncate(prefix.floor_char_boundary(room));
    let id = group::id(subscription, &format!("{prefix}_{unique}"));

    let mut tags = json!({
        "createdBy": "AzureVMImageBuilder",
        "imageTemplateName": name,
        "imageTemplateResourceGroupName": template_group,
    });
    let managed = template.properties["managedResourceTags"].as_object();
    for (name, value) in managed.into_iter().flatten() {
        tags[name] = value.clone();
    }
    plain::put(world, &group::body(&id, &template.location, tags, Some(&template.id)))?;
    Ok(id)
}

/// 24 letters and digits, as recorded: `0z4wmebxze16dew6bieocpdd`.
fn account_name(unique: &str) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..24)
        .map(|index: u32| {
            let lot = moment::lot(&["account", unique, &index.to_string()]) % 36;
            char::from(ALPHABET[usize::try_from(lot).unwrap_or(0)])
        })
        .collect()
}

/// The account, container and key of an address on our own blob endpoint. What was recorded holds
/// the port of the time, and there is one blob store on this machine, so any port of it is ours.
pub(super) fn blob_address(blobs: &Blobs, address: &str) -> Option<(String, String, String)> {
    let rest = match address.strip_prefix(&blobs.base_url("")) {
        Some(rest) => rest,
        None => on_loopback(address)?,
    };
    let mut parts = rest.split(['?', '#']).next()?.splitn(3, '/');
    let (account, container, key) = (parts.next()?, parts.next()?, parts.next()?);
    let decode =
        |it: &str| percent_encoding::percent_decode_str(it).decode_utf8_lossy().into_owned();
    let named = !account.is_empty() && !container.is_empty() && !key.is_empty();
    named.then(|| (account.to_owned(), decode(container), decode(key)))
}

/// The path and what follows it, without its first slash, of an address on this machine.
fn on_loopback(address: &str) -> Option<&str> {
    let url = url::Url::parse(address).ok()?;
    let here = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let (_, rest) = address.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    here.then_some(path)
}

/// The bytes at an address; none when it is not on our blob endpoint, which is all there is here.
pub(super) fn fetch(blobs: &Blobs, address: &str) -> Result<Option<Vec<u8>>, Trouble> {
    match blob_address(blobs, address) {
        Some((account, container, key)) => Ok(blobs.get(&account, &container, &key)?),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_under_the_port_that_its_address_was_recorded_with() {
        let blobs = Blobs::memory("http://127.0.0.1:10000");
        let named = |address: &str| {
            blob_address(&blobs, address).map(|(account, container, key)| [account, container, key])
        };
        let script = ["acc", "scripts", "a b/c.sh"].map(str::to_owned);

        for host in ["127.0.0.1:10000", "127.0.0.1:43211", "localhost:1", "[::1]:2"] {
            let address = format!("http://{host}/acc/scripts/a%20b/c.sh?sig=x");
            assert_eq!(named(&address), Some(script.clone()), "{address}");
        }
        assert_eq!(named("http://example.com/acc/scripts/c.sh"), None);
        assert_eq!(named("http://127.0.0.1.example.com/acc/scripts/c.sh"), None);
        assert_eq!(named("http://127.0.0.1:10000/acc/scripts/"), None);
        assert_eq!(named("http://127.0.0.1:1"), None);
    }
}
