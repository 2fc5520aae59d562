//! What ships: the custom handler that the Functions host starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    functions::serve::run()
}
