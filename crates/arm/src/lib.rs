//! Azure Resource Manager, as far as the lifecycle of images needs it: one file per resource kind.
//! Answers become facts and intents become bodies here; no JSON value leaves this crate, and no
//! status URL is ever kept (they are signed): the resource itself is what is followed.

pub mod client;
pub mod error;
pub mod id;
pub mod template;
pub mod template_intent;
pub mod gallery;
pub mod definition;
pub mod version;
pub mod version_intent;
pub mod platform;
pub mod group;
pub mod graph;
pub mod users;
pub mod scale_set;
mod api;
mod date;
mod left;
mod page;
mod provider;
mod readable;
mod refusal;
mod state;
mod wait;

pub use client::{Arm, Deletion, Permit, Written};
pub use definition::{Definition, DefinitionIntent};
pub use error::{At, Error};
pub use gallery::{Gallery, SoftDeleted};
pub use graph::Rows;
pub use group::Resource;
pub use id::{DefinitionId, GalleryId, GroupId, TemplateId, VersionId};
pub use platform::newest;
pub use state::{Provisioning, ReplicationState, RunState};
pub use template::{LastRun, RunOutput, Template};
pub use template_intent::{Customizer, Distribution, Script, Source, TemplateIntent, Validator};
pub use users::{Sought, Users};
pub use version::{RegionReplication, TargetRegion, Version};
pub use version_intent::{RegionIntent, VersionIntent};
