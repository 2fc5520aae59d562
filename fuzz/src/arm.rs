//! Answers of Azure Resource Manager to every question of ours: the first byte says which.

use std::collections::BTreeMap;

use arm::{
    Arm, DefinitionIntent, Distribution, Error, GalleryId, GroupId, Permit, RegionIntent, Sought,
    Source, TemplateId, TemplateIntent, VersionIntent,
};
use chrono::TimeDelta;
use rules::catalog::{Consumers, Generation, Identifier, Os, PlatformImage, Security};

use super::script::{Told, block_on, noon};

const HOST: &str = "management.azure.com";

pub(crate) fn arm(bytes: &[u8]) {
    let Some((which, answers)) = bytes.split_first() else { return };
    let outbound = Told::new(answers).outbound(HOST);
    let arm = Arm::new(format!("https://{HOST}").parse().expect("an address"), outbound);

    if let Err(error) = block_on(asked(&arm, *which)) {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(text.len() < 20_000, "{} bytes", text.len());
        let _ = (error.is_transient(), error.perhaps_done(), error.retry_after());
    }
    let _ = rules::pace::recovery(&arm.left());
}

async fn asked(arm: &Arm, which: u8) -> Result<(), Error> {
    let gallery = GalleryId::new("s", "rg", "g");
    let definition = gallery.definition("web");
    let version = definition.version("1.2.3".parse().expect("a number"));
    let template = TemplateId::new("s", "rg", "web-1.2.3");
    let group = GroupId::new("s", "rg");
    let permit = Permit { send_before: noon() + TimeDelta::seconds(60) };
    let text = |it: &str| it.to_owned();
    let location = || "westeurope".parse().expect("a region");

    match which {
        b'a' => arm.gallery(&gallery).await.map(drop),
        b'b' => arm.definition(&definition).await.map(drop),
        b'c' => arm.versions(&definition).await.map(drop),
        b'd' => arm.version(&version).await.map(drop),
        b'e' => arm.soft_deleted(&definition).await.map(drop),
        b'f' => arm.template(&template).await.map(drop),
        b'g' => arm.templates(&group).await.map(drop),
        b'h' => arm.run_output(&template, "image").await.map(drop),
        b'i' => arm.resources(&group).await.map(drop),
        b'j' => arm.storage_accounts(&group).await.map(drop),
        b'k' => {
            let (publisher, offer, sku) = (text("p"), text("o"), text("s"));
            let image = PlatformImage { publisher, offer, sku, plan: None };
            let versions = arm.platform_versions("s", &location(), &image).await?;
            let newest = arm::newest(&versions);
            assert!(versions.is_empty() || newest.is_some());
            Ok(())
        }
        b'l' => arm.scale_set_instances("/subscriptions/s/x").await.map(drop),
        b'm' => arm.run_template(&permit, &template).await.map(drop),
        b'n' => arm.delete_version(&permit, &version).await.map(drop),
        b'o' => arm.delete_template(&permit, &template).await.map(drop),
        b'p' => arm.cancel_template(&permit, &template).await.map(drop),
        b'q' => {
            let home = RegionIntent {
                region: location(),
                replicas: 1,
                exclude_from_latest: true,
                storage: None,
            };
            let intent = VersionIntent {
                location: location(),
                regions: vec![home],
                exclude_from_latest: true,
                end_of_life: None,
                allow_deletion_of_replicated_locations: false,
                block_deletion_before_end_of_life: None,
                tags: BTreeMap::new(),
            };
            arm.put_version(&permit, &version, &intent).await.map(drop)
        }
        b'r' => {
            let identifier = Identifier { publisher: text("p"), offer: text("o"), sku: text("s") };
            let intent = DefinitionIntent {
                location: location(),
                identifier,
                os: Os::Linux,
                generation: Generation::V2,
                security: Security::Standard,
                plan: None,
                tags: BTreeMap::new(),
            };
            arm.create_definition(&permit, &definition, &intent).await.map(drop)
        }
        b's' => {
            let intent = TemplateIntent {
                location: location(),
                identity: text("i"),
                machine_identities: Vec::new(),
                vm_size: text("Standard_D2ds_v5"),
                subnet: None,
                timeout_minutes: 60,
                source: Source::Version { id: version.clone() },
                customize: Vec::new(),
                validate: Vec::new(),
                distribute: Distribution {
                    definition,
                    number: version.number,
                    region: location(),
                    run_output_name: text("image"),
                    tags: BTreeMap::new(),
                },
                tags: BTreeMap::new(),
                managed_resource_tags: BTreeMap::new(),
            };
            arm.create_template(&permit, &template, &intent).await.map(drop)
        }
        _ => {
            let sought = [Sought { definition, shared_names: vec![text("6f96-GAL")] }];
            let subscriptions = vec![text("s")];
            let consumers = Consumers { subscriptions, management_groups: vec![text("all")] };
            arm.users_of(&sought, &consumers).await.map(drop)
        }
    }
}
