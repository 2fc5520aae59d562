//! The function app: one folder, one queue (or timer, or route), one name per function, in the
//! order in which an image meets them.

pub mod find_due_images;
pub mod watch_base_images;
pub mod receive_events;
pub mod api;
pub mod create_template;
pub mod start_build;
pub mod follow_build;
pub mod start_scan;
pub mod follow_scan;
pub mod judge_image;
pub mod replicate_version;
pub mod release_version;
pub mod follow_version;
pub mod tidy_build;
pub mod deprecate_version;
pub mod trim_version;
pub mod delete_version;
pub mod find_expired_versions;
pub mod look_again;
pub mod notify;

pub mod package;
pub mod settings;
pub mod invocation;
pub mod evidence;
pub mod tags;
pub mod version_body;
pub mod context;
pub mod step;
pub mod dispatch;
mod candidate;
mod newcomer;
mod outbox;
mod pause;
mod message;
mod record;
mod request;
mod refusal;
mod webhook;
mod log;
pub mod serve;

pub use context::{Context, Intent, Visit};
pub use dispatch::App;
pub use record::Record;
pub use settings::Settings;
pub use step::{Done, Failure, Step};
