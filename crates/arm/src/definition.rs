//! Image definitions: what the versions of one image have in common.

use std::collections::BTreeMap;

use rules::Region;
use rules::catalog::{Generation, Identifier, Os, Plan, Security};
use serde::{Deserialize, Serialize};

use crate::api::GALLERIES;
use crate::client::{Arm, Permit, Written};
use crate::error::{At, Error};
use crate::id::{DefinitionId, path};
use crate::state::Provisioning;

/// An image definition, as it is. What Azure may call something that a catalog cannot is a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub location: Region,
    pub provisioning: Provisioning,
    pub identifier: Identifier,
    /// `Linux` or `Windows`.
    pub os: String,
    /// `Generalized` or `Specialized`.
    pub os_state: String,
    /// `V1` or `V2`; Azure leaves V1 out at times.
    pub generation: Option<String>,
    /// The feature `SecurityType`; without it, standard.
    pub security: Option<String>,
    /// `x64` or `Arm64`.
    pub architecture: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// What an image definition shall be. All but the tags is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionIntent {
    pub location: Region,
    pub identifier: Identifier,
    pub os: Os,
    pub generation: Generation,
    pub security: Security,
    /// The plan of the platform image below it, however many images lie between.
    pub plan: Option<Plan>,
    pub tags: BTreeMap<String, String>,
}

impl Arm {
    /// Reads an image definition.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; else why it could not be read.
    pub async fn definition(&self, id: &DefinitionId) -> Result<Definition, Error> {
        let answer =
            self.get("read the image definition", id.to_string(), definition_path(id)).await?;
        answer.read(WireDefinition::facts)
    }

    /// Makes an image definition.
    ///
    /// # Errors
    /// [`Error::Conflict`] or [`Error::Invalid`] when another is in its way; else why it was
    /// refused.
    pub async fn create_definition(
        &self,
        permit: &Permit,
        id: &DefinitionId,
        intent: &DefinitionIntent,
    ) -> Result<Written, Error> {
        let at = At { operation: "make the image definition", resource: id.to_string() };
        self.put(permit, at, definition_path(id), &body(intent)).await
    }
}

fn definition_path(id: &DefinitionId) -> String {
    format!("{}?api-version={GALLERIES}", path(&id.to_string()))
}

#[derive(Deserialize)]
struct WireDefinition {
    name: String,
    location: String,
    tags: Option<BTreeMap<String, String>>,
    properties: WireProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties {
    provisioning_state: String,
    identifier: Identifier,
    os_type: String,
    os_state: String,
    #[serde(rename = "hyperVGeneration")]
    generation: Option<String>,
    architecture: Option<String>,
    features: Option<Vec<WireFeature>>,
}

#[derive(Deserialize)]
struct WireFeature {
    name: Option<String>,
    value: Option<String>,
}

impl WireDefinition {
    fn facts(self) -> Result<Definition, String> {
        let WireProperties { features, .. } = self.properties;
        let is_security = |it: &WireFeature| {
            it.name.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("SecurityType"))
        };
        Ok(Definition {
            name: self.name,
            location: Region::try_from(self.location).map_err(|error| error.to_string())?,
            provisioning: Provisioning::named(&self.properties.provisioning_state),
            identifier: self.properties.identifier,
            os: self.properties.os_type,
            os_state: self.properties.os_state,
            generation: self.properties.generation,
            security: features
                .unwrap_or_default()
                .into_iter()
                .find(is_security)
                .and_then(|it| it.value),
            architecture: self.properties.architecture,
            tags: self.tags.unwrap_or_default(),
        })
    }
}

#[derive(Serialize)]
struct Body<'a> {
    location: &'a str,
    tags: &'a BTreeMap<String, String>,
    properties: BodyProperties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyProperties<'a> {
    os_type: &'static str,
    os_state: &'static str,
    #[serde(rename = "hyperVGeneration")]
    generation: &'static str,
    identifier: &'a Identifier,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    features: Vec<BodyFeature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase_plan: Option<&'a Plan>,
}

#[derive(Serialize)]
struct BodyFeature {
    name: &'static str,
    value: &'static str,
}

/// Generation and security type are always said: their defaults changed with API version
/// 2025-03-03 (MicrosoftDocs, azure-compute-gallery.md).
fn body(intent: &DefinitionIntent) -> Body<'_> {
    let feature = |value| BodyFeature { name: "SecurityType", value };
    Body {
        location: intent.location.as_str(),
        tags: &intent.tags,
        properties: BodyProperties {
            os_type: match intent.os {
                Os::Linux => "Linux",
                Os::Windows => "Windows",
            },
            os_state: "Generalized",
            generation: match intent.generation {
                Generation::V1 => "V1",
                Generation::V2 => "V2",
            },
            identifier: &intent.identifier,
            features: security(intent).into_iter().map(feature).collect(),
            purchase_plan: intent.plan.as_ref(),
        },
    }
}

/// The value of the feature `SecurityType` (MicrosoftDocs, trusted-launch.md). A definition of the
/// first generation has none (recorded: gallery_definition_defaults, n=21); one of the second would
/// get `TrustedLaunchSupported` if nothing were said, so there `Standard` is, which Compute's
/// `SecurityTypes` has and no recording shows.
fn security(intent: &DefinitionIntent) -> Option<&'static str> {
    match intent.security {
        Security::Standard if intent.generation == Generation::V1 => None,
        Security::Standard => Some("Standard"),
        Security::TrustedLaunchSupported => Some("TrustedLaunchSupported"),
        Security::TrustedLaunch => Some("TrustedLaunch"),
        Security::ConfidentialVmSupported => Some("ConfidentialVmSupported"),
        Security::TrustedLaunchAndConfidentialVmSupported => {
            Some("TrustedLaunchAndConfidentialVmSupported")
        }
    }
}
