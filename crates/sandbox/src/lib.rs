//! Azure on your desk: Azure Resource Manager, Service Bus, blobs, identity and the Functions host,
//! simulated well enough that the deployed handler cannot tell.
//!
//! Everything it knows is in one SQLite database and one folder of blobs, so it can be killed at any
//! moment and goes on from there.

pub mod database;
pub mod guid;
pub mod desk;
pub mod blob;
pub mod bus;
pub mod identity;
pub mod entra;
pub mod estate;
pub mod azure;
pub mod host;
pub mod certificate;
pub mod serve;
mod origin;
mod composition;

pub use composition::{
    OwnFolder, Place, Routers, Sandbox, SandboxError, SandboxOptions, Time, open_database,
};
