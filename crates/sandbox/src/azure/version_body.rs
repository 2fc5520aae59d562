//! What a version looks like in an answer.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::version::{KIND, Replication, Version};
use super::{World, moment, region};
use crate::estate::UnsetFlag;

/// From this api-version on, a GET tells `validationsProfile` (recorded in 2026; absent in 2023).
const VALIDATIONS_TOLD: &str = "2024-03-03";

impl Version {
    /// Its body as a GET or a list tells it, in `read_version` of the api. What it shows as the
    /// flag of a region for which none was ever sent is an open question.
    pub(super) fn read_body(&self, world: &World<'_>, read_version: &str) -> Value {
        let mut body = self.body(Some(read_version));
        let shown = match world.estate.variants.unset_flag {
            UnsetFlag::Absent => return body,
            UnsetFlag::False => false,
            UnsetFlag::LikeGlobal => self.exclude_from_latest,
        };
        let regions = body["properties"]["publishingProfile"]["targetRegions"].as_array_mut();
        for region in regions.into_iter().flatten() {
            if region["excludeFromLatest"].is_null() {
                region["excludeFromLatest"] = json!(shown);
            }
        }
        body
    }

    /// Its body, as an answer to a PUT, or to a GET in `read_version` of the api.
    pub(super) fn body(&self, read_version: Option<&str>) -> Value {
        let regions: Vec<Value> = self
            .regions
            .iter()
            .map(|it| {
                let mut region = Value::Object(it.besides.clone());
                region["name"] = json!(region::display(&it.name));
                region["regionalReplicaCount"] = json!(it.replicas);
                region["storageAccountType"] = json!(it.storage_account_type);
                if let Some(excluded) = it.exclude_from_latest {
                    region["excludeFromLatest"] = json!(excluded);
                }
                region
            })
            .collect();
        let mut profile = json!({
            "targetRegions": regions,
            "replicaCount": self.replica_count,
            "excludeFromLatest": self.exclude_from_latest,
            "publishedDate": moment::compute(self.published),
            "storageAccountType": self.storage_account_type,
        });
        if let Some(date) = self.end_of_life {
            profile["endOfLifeDate"] = json!(moment::compute(date));
        }
        if let Some(mode) = &self.replication_mode {
            profile["replicationMode"] = json!(mode);
        }

        let mut storage = json!({});
        if let Some(source) = &self.source {
            storage["source"] = source.clone();
        }
        // While it is Creating the disk is not known (recorded).
        if self.state != "Creating" {
            storage["osDiskImage"] = json!({
                "sizeInGB": self.disk_gb, "hostCaching": "ReadWrite", "source": self.disk_source,
            });
        }
        let mut safety = json!({
            "reportedForPolicyViolation": false,
            "allowDeletionOfReplicatedLocations": self.allow_deletion_of_replicated_locations,
        });
        if let Some(block) = self.block_deletion_before_end_of_life {
            safety["blockDeletionBeforeEndOfLife"] = json!(block);
        }

        let mut body = json!({
            "name": self.number(),
            "id": self.id,
            "type": KIND,
            "location": self.location,
            "tags": self.tags,
            "properties": {
                "publishingProfile": profile,
                "storageProfile": storage,
                "safetyProfile": safety,
                "provisioningState": self.state,
            },
        });
        if read_version.is_some_and(|it| it >= VALIDATIONS_TOLD)
            && let Some([publisher, offer, sku]) = &self.platform
        {
            body["properties"]["validationsProfile"] = json!({
                "validationOperationStatus": "NotExecuted",
                "platformAttributes": [
                    { "name": "source_image_publisher", "value": publisher },
                    { "name": "source_image_offer", "value": offer },
                    { "name": "source_image_sku", "value": sku },
                ],
            });
        }
        body
    }

    /// `properties.replicationStatus`: regions in their short form (recorded).
    pub(super) fn replication_status(&self, now: DateTime<Utc>) -> Value {
        let states: Vec<Replication> = self.regions.iter().map(|it| it.replication(now)).collect();
        let aggregated = if states.iter().any(|it| matches!(it, Replication::Replicating { .. })) {
            "InProgress"
        } else if states.contains(&Replication::Failed) {
            "Failed"
        } else {
            "Completed"
        };
        let regions = self.regions.iter().zip(&states);
        let summary: Vec<Value> = regions
            .map(|(region, state)| match state {
                Replication::Completed => {
                    json!({ "region": region.name, "state": "Completed", "progress": 100 })
                }
                Replication::Replicating { progress } => {
                    json!({ "region": region.name, "state": "Replicating", "progress": progress })
                }
                Replication::Failed => json!({
                    "region": region.name,
                    "state": "Failed",
                    "progress": 0,
                    "details": format!(
                        "Replication to {} failed. Please repeat the request.",
                        region::display(&region.name)
                    ),
                }),
            })
            .collect();
        json!({ "aggregatedState": aggregated, "summary": summary })
    }
}
