//! The one seam: every HTTP request that leaves or enters Goldsmith, and time itself, pass here.
//!
//! In the cloud the wire is reqwest; in tests and in the simulation it is an axum router in the
//! same process. Nothing else in the workspace opens a socket, reads a clock or asks for a token.

pub mod wire;
pub mod clock;
pub mod endpoint;
pub mod internet;
pub mod local;
pub mod serve;
pub mod outbound;
mod credential;
pub mod tokens;
pub mod legacy;
pub mod store;

pub use clock::{Clock, PausedClock, SystemClock, ToldClock};
pub use endpoint::Endpoint;
pub use internet::Internet;
pub use local::Local;
pub use outbound::Outbound;
pub use tokens::Tokens;
pub use wire::{Body, Fault, Request, Response, Wire};
