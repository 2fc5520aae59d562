//! The product as a whole, in one binary: the walk in one process under paused time, and the
//! processes that `goldsmith up` starts.

mod desk;
mod spoiled;
mod lifecycle;
mod fabrikam;
mod processes;
mod twice;
mod faults;
mod bad_input;
mod layout;
