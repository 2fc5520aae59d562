//! The arguments of `goldsmith up`, and the command that goes on where one of them ended.

use std::path::PathBuf;

use sandbox::bus::{Queue, SharedKey};

/// Desk seconds per second, at most, for somebody who watches: half an hour a second.
pub const DEFAULT_SPEED: f64 = 1800.0;

/// The arguments of `goldsmith up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
examples:\n  \
    goldsmith up --once                      the example catalog, to its end, and a summary\n  \
    goldsmith up                             goes on until Ctrl-C; keeps its state in .goldsmith\n  \
    goldsmith up --catalog web.yaml --estate azure.yaml --state desk\n  \
    goldsmith up --once --json               a line of JSON for each thing that happens\n  \
    goldsmith up --tls                       can be looked at with `az`, too\n\n\
then, beside it or after it:\n  \
    goldsmith status\n  \
    goldsmith log ubuntu-2204-base\n\n\
exit codes: 0 everything ended well, 1 something did not or a file was refused, 2 it failed")]
pub struct UpArgs {
    /// The catalog: a file or a folder; the example without one.
    #[arg(long, value_name = "PATH")]
    pub catalog: Option<PathBuf>,
    /// The estate, what is there on the simulated Azure: a file; the example without one.
    #[arg(long, value_name = "PATH")]
    pub estate: Option<PathBuf>,
    /// End when every image has walked to its release and its predecessors have been judged.
    #[arg(long)]
    pub once: bool,
    /// Desk seconds per second, at most; 1800 without it, half an hour a second, and with --once as
    /// fast as it goes.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub speed: Option<f64>,
    /// Where everything is kept, and gone on from; `.goldsmith`, and with --once a folder that is
    /// removed when all has ended well.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The handler to start, as it ships; this very program without one.
    #[arg(long, value_name = "PATH")]
    pub handler: Option<PathBuf>,
    /// Give each function a handler process of its own, as Flex Consumption does: they share
    /// nothing but the bus, the ledger and Azure.
    #[arg(long)]
    pub isolate: bool,
    /// Tell everything in lines of JSON, on stdout.
    #[arg(long)]
    pub json: bool,
    /// Show what the handler logs, too.
    #[arg(long, short)]
    pub verbose: bool,
    /// With --once: give up after so many desk days, counted from this start.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub until_days: u32,
    /// When answers about running operations say Retry-After: as recorded, or always, for clients
    /// that else sleep 30 seconds.
    #[arg(long, value_enum, default_value_t = RetryAfter::Recorded, value_name = "WHEN")]
    pub retry_after: RetryAfter,
    /// Hold every request and answer of the simulated Resource Manager against Microsoft's OpenAPI
    /// documents in DIR, which holds `specs/`; a violation is said, and the exit code is 1.
    #[arg(long, value_name = "DIR")]
    pub verify_wire: Option<PathBuf>,
    /// A queue beside the function app's, or other options for one of them:
    /// `NAME:lock=2s,maxDelivery=3,duplicates=600s,sessions`.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    pub queue: Vec<Queue>,
    /// The shared access key that Service Bus takes signatures of, beside bearer tokens, for clients
    /// that sign; `dev=local-dev-key` without it. Make one up: it guards nothing here.
    #[arg(long, value_name = "NAME=KEY")]
    pub bus_key: Option<SharedKey>,
    /// The port of Azure Resource Manager. Without it, and for all of these: the one the state had
    /// the last time when it is free, else one that the system chooses.
    #[arg(long, value_name = "PORT")]
    pub arm_port: Option<u16>,
    /// The port of Service Bus.
    #[arg(long, value_name = "PORT")]
    pub bus_port: Option<u16>,
    /// The port of the blobs.
    #[arg(long, value_name = "PORT")]
    pub blob_port: Option<u16>,
    /// The port of the identity endpoint.
    #[arg(long, value_name = "PORT")]
    pub identity_port: Option<u16>,
    /// The port of the Functions host.
    #[arg(long, value_name = "PORT")]
    pub host_port: Option<u16>,
    /// Serve Azure Resource Manager over https too, with the sign-in and the cloud metadata that
    /// `az` and Microsoft's libraries ask for, and print the lines that point an `az` here. The
    /// certificate is made anew at each start; its authority is written to `ca.pem` in the state
    /// folder. Over https, answers about running operations always say Retry-After.
    #[arg(long)]
    pub tls: bool,
    /// The port of the https address.
    #[arg(long, value_name = "PORT", requires = "tls")]
    pub tls_port: Option<u16>,
}

/// When an answer about a running operation says `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryAfter {
    /// Where Azure was recorded saying it.
    Recorded,
    /// Always, one second.
    Always,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.001 => Ok(number),
        _ => Err("a number from 0.001 on; 60 makes a minute of each second".to_owned()),
    }
}

/// The command that was typed, for somebody who wants to go on: `typed` are its arguments, without
/// the program.
pub fn command(typed: impl IntoIterator<Item = String>) -> String {
    let words = typed.into_iter().map(|it| quoted(&it));
    std::iter::once("goldsmith".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_alphanumeric() || "-_./:=,@%+".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Cli, Command};

    fn parse(arguments: &[&str]) -> Result<UpArgs, clap::Error> {
        let cli = Cli::try_parse_from([&["goldsmith", "up"], arguments].concat())?;
        match cli.command {
            Command::Up(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_arguments_it_is_the_example_for_somebody_who_watches() {
        let args = parse(&[]).unwrap();

        assert!(args.catalog.is_none() && args.estate.is_none() && !args.once);
        assert_eq!((args.until_days, args.retry_after), (45, RetryAfter::Recorded));
        assert_eq!(args.arm_port, None);
    }

    #[test]
    fn queues_and_ports_are_read() {
        let args = parse(&[
            "--queue",
            "mine:lock=2s,maxDelivery=3",
            "--queue",
            "other",
            "--arm-port",
            "8001",
            "--retry-after",
            "always",
        ]);
        let args = args.unwrap();

        assert_eq!(args.queue.len(), 2);
        assert_eq!(args.queue[0].options.max_delivery, 3);
        assert_eq!((args.arm_port, args.retry_after), (Some(8001), RetryAfter::Always));
    }

    #[test]
    fn an_https_port_without_https_is_refused() {
        assert!(parse(&["--tls-port", "8443"]).is_err());
        assert_eq!(parse(&["--tls", "--tls-port", "8443"]).unwrap().tls_port, Some(8443));
    }

    #[test]
    fn what_is_not_meant_is_refused() {
        for wrong in
            [["--speed", "0"], ["--queue", "a?"], ["--bus-key", "dev"], ["--until-days", "0"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_way_on_is_the_command_that_was_typed_with_every_flag() {
        let typed = ["up", "--catalog", "my images/web.yaml", "--once", "--queue", "a:lock=2s"];

        assert_eq!(
            command(typed.map(str::to_owned)),
            "goldsmith up --catalog 'my images/web.yaml' --once --queue a:lock=2s"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
