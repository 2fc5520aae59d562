//! The handler's processes, as the host sees them: where each function's is, whether it is up, and its
//! end when a function's time is out.

use std::collections::BTreeMap;
use std::sync::Arc;

use seam::Fault;
use tokio::sync::watch;

use super::process::{Process, ProcessState};
use super::{Host, Invoked, Package};

/// How long the handler's end may go unnoticed: a refused connection may be its first sign.
const NOTICE: std::time::Duration = std::time::Duration::from_secs(1);
/// A handler that starts is waited for so many times as long as it may take.
const STARTS_WAITED_FOR: i32 = 4;

impl Package {
    /// Starts the processes that its functions run in: one for all of them, or, `isolated`, one for
    /// each, by its name. A package of which no function can be hosted has none, as in the real host
    /// (`HttpFunctionInvocationDispatcher.InitializeAsync`).
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start<T, E>(
        &self,
        isolated: bool,
        mut start: impl FnMut() -> Result<T, E>,
    ) -> Result<(Option<T>, BTreeMap<String, T>), E> {
        let mut own = BTreeMap::new();
        if self.functions.is_empty() {
            return Ok((None, own));
        }
        if !isolated {
            return Ok((Some(start()?), own));
        }
        for function in &self.functions {
            own.insert(function.name.clone(), start()?);
        }
        Ok((None, own))
    }
}

impl Host {
    /// Waits while the handler's process starts. One that ended for good is not waited for: it
    /// refuses the call.
    ///
    /// # Errors
    /// When it does not become ready; the host ends then.
    pub(super) async fn handler_is_up(&self, function: &str) -> Result<ProcessState, Fault> {
        let Some(process) = self.process_of(function) else {
            return Ok(ProcessState::Ended);
        };
        let mut state = process.state();
        let up = |it: &ProcessState| match it {
            ProcessState::Ready { .. } | ProcessState::Ended => true,
            ProcessState::Starting => false,
        };
        let longest = self.package.settings.initialization_timeout * STARTS_WAITED_FOR;
        let longest = longest.to_std().unwrap_or_default();
        match tokio::time::timeout(longest, state.wait_for(up)).await {
            // Fails only when the supervisor is gone, and then nothing starts any more.
            Ok(state) => Ok(state.map_or(ProcessState::Ended, |it| it.clone())),
            Err(_) => {
                self.gave_up.send_replace(true);
                let why = "initialization timed out and the host is shutting down";
                Err(Fault::NotSent(why.to_owned()))
            }
        }
    }

    /// Whether a handler that refused a call turns out to be starting again.
    pub(super) async fn comes_back(&self, function: &str, was: ProcessState) -> bool {
        let Some(process) = self.process_of(function) else {
            return false;
        };
        let mut state = process.state();
        let changed = state.wait_for(|it| *it != was && *it != ProcessState::Ended);
        tokio::time::timeout(NOTICE, changed).await.is_ok_and(|it| it.is_ok())
    }

    /// The process that `function` runs in.
    fn process_of(&self, function: &str) -> Option<&Arc<Process>> {
        self.options.isolated.get(function).or(self.options.process.as_ref())
    }

    /// Where the handler of `function` listens.
    pub(super) fn handler_of(&self, function: &str) -> String {
        let own = self.options.isolated.get(function);
        own.map_or_else(|| self.options.handler.clone(), |it| it.url())
    }

    /// Hears of each kill of the process that `function` runs in. Of a function that is not of the
    /// package there is none.
    pub(super) fn kills_of(&self, function: &str) -> watch::Receiver<u64> {
        self.kills
            .get(function)
            .map_or_else(|| watch::Sender::new(0).subscribe(), |it| it.subscribe())
    }

    /// The time of `function` is out: its process is killed, and with it everything in flight there.
    pub(super) fn time_out(&self, function: &str) -> Invoked {
        let alone = self.options.isolated.contains_key(function);
        for (name, kills) in &self.kills {
            let shares = !alone && !self.options.isolated.contains_key(name);
            if name == function || shares {
                kills.send_modify(|it| *it += 1);
            }
        }
        if let Some(process) = self.process_of(function) {
            process.kill();
        }
        Invoked::TimedOut
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const HOST: &str = r#"{"version":"2.0",
        "customHandler":{"description":{"defaultExecutablePath":"handler"}}}"#;
    const GOOD: &str = r#"{"bindings":[{"type":"httpTrigger","name":"req"}]}"#;
    const BAD: &str = r#"{"bindings":[{"type":"blobTrigger","name":"b"}]}"#;

    /// The processes of a package of these functions, numbered as they were started.
    fn started(functions: &[(&str, &str)], isolated: bool) -> (Option<u32>, Vec<(String, u32)>) {
        let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
        let package = Package::of(HOST, functions.iter().map(owned), &BTreeMap::new()).unwrap();
        let mut number = 0;
        let start = || {
            number += 1;
            Ok::<_, Infallible>(number)
        };
        let (shared, own) = package.start(isolated, start).unwrap();
        (shared, own.into_iter().collect())
    }

    #[test]
    fn all_functions_have_one_process_or_each_its_own() {
        let functions = [("a", GOOD), ("bad", BAD), ("b", GOOD)];

        assert_eq!(started(&functions, false), (Some(1), Vec::new()));
        let own = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        assert_eq!(started(&functions, true), (None, own));
    }

    #[test]
    fn a_package_without_a_function_that_can_be_hosted_starts_nothing() {
        for isolated in [false, true] {
            assert_eq!(started(&[], isolated), (None, Vec::new()));
            assert_eq!(started(&[("bad", BAD)], isolated), (None, Vec::new()));
        }
    }
}
