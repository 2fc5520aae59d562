//! The command `goldsmith`; all of it is in `crates/cli`.

fn main() -> std::process::ExitCode {
    cli::main()
}
