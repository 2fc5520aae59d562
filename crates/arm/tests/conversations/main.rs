//! Conversations with Azure Resource Manager, cut from recorded ones: what we send, and what we
//! make of each answer.

mod script;
mod bodies;
mod definitions;
mod errors;
mod graph;
mod lists;
mod recordings;
mod templates;
mod versions;
