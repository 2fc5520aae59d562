//! The packaged function app: `host.json` and one `<function>/function.json` per function, read as
//! the Functions host reads them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use serde::Deserialize;

use super::function_json::function;
use super::host_json::HostJson;
use super::retry::{Retry, Written};
use super::schedule::Schedule;

/// A function app, ready to be hosted.
#[derive(Clone, Debug)]
pub struct Package {
    /// By name, sorted.
    pub functions: Vec<Function>,
    /// The functions that are not hosted, each with its reason. As in the cloud, one that cannot be
    /// read does not keep the others from running.
    pub refused: Vec<(String, String)>,
    pub settings: HostSettings,
}

/// One function: what wakes it, and under which name it gets what woke it.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    /// The name of the trigger's binding, the key in `Data`.
    pub binding: String,
    pub trigger: Trigger,
    /// The name of its `http` output, where the answer to a request is.
    pub http_output: Option<String>,
    /// Whether the very request is passed on, and the very answer: a request is all that comes in
    /// and an answer all that goes out, and host.json wants it so.
    pub forwarded: bool,
    pub retry: Option<Retry>,
}

/// What wakes a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    Timer {
        schedule: Schedule,
        text: String,
        use_monitor: bool,
        run_on_startup: bool,
    },
    ServiceBus {
        queue: String,
        data_type: DataType,
        /// Messages come session by session.
        sessions: bool,
        /// All that are there come in one call.
        many: bool,
    },
    Http {
        route: String,
        methods: Vec<String>,
        anonymous: bool,
    },
    EventGrid {
        /// All events of a delivery come in one call.
        many: bool,
    },
}

/// How the body of a message is given to the handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Base64 of its bytes; nothing of it leaks into Metadata.
    Binary,
    /// A JSON text inside a JSON text.
    #[default]
    String,
    /// Nothing was said: what a batch does with it differs from [`DataType::String`].
    #[serde(skip)]
    Untyped,
}

/// What `host.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// After this the handler is killed. None: never.
    pub function_timeout: Option<TimeDelta>,
    /// Per function.
    pub max_concurrent_calls: usize,
    /// Per function that receives session by session; of each session one call at a time.
    pub max_concurrent_sessions: usize,
    /// How many messages come in one call of a function that takes many.
    pub max_batch: usize,
    pub max_auto_lock_renewal: TimeDelta,
    pub auto_complete: bool,
    /// How long the handler may take to answer its first request.
    pub initialization_timeout: TimeDelta,
    pub executable: String,
    pub arguments: Vec<String>,
    pub working_folder: Option<PathBuf>,
    /// Whether every line of stderr is an error.
    pub stderr_is_errors: bool,
    /// The first part of every HTTP route, without slashes.
    pub route_prefix: String,
}

/// Why a function app cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("`{path}` cannot be read: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("`host.json` is not understood: {0}")]
    HostJson(String),
}

impl Package {
    /// Reads the folder of a packaged function app. `settings` are its app settings, which stand
    /// for `%NAME%`.
    ///
    /// # Errors
    /// When the folder or `host.json` cannot be read; a function that cannot is in
    /// [`Package::refused`].
    pub fn load(
        folder: &Path,
        settings: &BTreeMap<String, String>,
    ) -> Result<Package, PackageError> {
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|error| PackageError::Read { path: path.to_owned(), error })
        };
        let host = read(&folder.join("host.json"))?;

        let mut functions = Vec::new();
        let unreadable = |error| PackageError::Read { path: folder.to_owned(), error };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let file = entry.path().join("function.json");
            if file.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                functions.push((name, read(&file)?));
            }
        }
        Package::of(&host, functions, settings)
    }

    /// A function app from the texts of its files: `host.json` and (name, `function.json`).
    ///
    /// # Errors
    /// As [`Package::load`].
    pub fn of(
        host_json: &str,
        functions: impl IntoIterator<Item = (String, String)>,
        settings: &BTreeMap<String, String>,
    ) -> Result<Package, PackageError> {
        let host: HostJson = serde_json::from_str(host_json)
            .map_err(|error| PackageError::HostJson(error.to_string()))?;
        let retry = host.retry.as_ref().map(Written::read).transpose();
        let retry = retry.map_err(PackageError::HostJson)?;
        let forwards = host.forwards();
        let settings_of_host = host.settings().map_err(PackageError::HostJson)?;

        let mut package =
            Package { functions: Vec::new(), refused: Vec::new(), settings: settings_of_host };
        for (name, text) in functions {
            match function(&name, &text, settings) {
                Ok(mut function) => {
                    function.forwarded &= forwards;
                    function.retry = function.retry.or(retry);
                    package.functions.push(function);
                }
                Err(reason) => package.refused.push((name, reason)),
            }
        }
        package.functions.sort_by(|a, b| a.name.cmp(&b.name));
        package.refused.sort();
        Ok(package)
    }

    /// The queues that wake a function, sorted.
    pub fn queues(&self) -> Vec<String> {
        let queues = self.functions.iter().filter_map(|it| match &it.trigger {
            Trigger::ServiceBus { queue, .. } => Some(queue.clone()),
            Trigger::Timer { .. } | Trigger::Http { .. } | Trigger::EventGrid { .. } => None,
        });
        let queues: std::collections::BTreeSet<String> = queues.collect();
        queues.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = r#"{"version":"2.0","functionTimeout":"00:05:00",
        "customHandler":{"description":{"defaultExecutablePath":"handler","arguments":["serve"]}},
        "extensions":{"serviceBus":{"maxConcurrentCalls":4,"prefetchCount":0,
            "maxAutoLockRenewalDuration":"00:10:00"}}}"#;

    fn bus(queue: &str) -> String {
        format!(
            r#"{{"bindings":[{{"type":"serviceBusTrigger","name":"message","direction":"in",
            "queueName":"{queue}","connection":"ServiceBus","dataType":"binary"}}]}}"#
        )
    }

    fn package(functions: &[(&str, &str)]) -> Package {
        let functions = functions.iter().map(|(name, text)| ((*name).into(), (*text).into()));
        let settings = BTreeMap::from([("QUEUE".to_owned(), "ingress".to_owned())]);
        Package::of(HOST, functions, &settings).unwrap()
    }

    #[test]
    fn host_json_gives_the_limits() {
        let settings = package(&[]).settings;

        assert_eq!(settings.function_timeout, Some(TimeDelta::minutes(5)));
        assert_eq!(settings.max_concurrent_calls, 4);
        assert_eq!(settings.max_auto_lock_renewal, TimeDelta::minutes(10));
        assert_eq!(settings.initialization_timeout, TimeDelta::seconds(30));
        assert_eq!(
            (settings.executable.as_str(), &settings.arguments[..]),
            ("handler", &["serve".to_owned()][..])
        );
        assert_eq!(settings.route_prefix, "api");
    }

    #[test]
    fn a_queue_may_be_named_by_an_app_setting() {
        let package =
            package(&[("receive_events", &bus("%QUEUE%")), ("judge_image", &bus("judge"))]);

        assert_eq!(package.queues(), ["ingress", "judge"]);
        assert_eq!(package.functions[0].name, "judge_image");
        assert_eq!(
            package.functions[1].trigger,
            Trigger::ServiceBus {
                queue: "ingress".into(),
                data_type: DataType::Binary,
                sessions: false,
                many: false
            }
        );
    }

    #[test]
    fn a_function_that_cannot_be_read_does_not_keep_the_others_from_running() {
        let timer = r#"{"bindings":[{"type":"timerTrigger","name":"t","schedule":"at noon"}]}"#;
        let package = package(&[
            ("good", &bus("good")),
            ("bad_json", "{"),
            ("bad_timer", timer),
            ("bad_setting", &bus("%NONE%")),
            ("blob", r#"{"bindings":[{"type":"blobTrigger","name":"b"}]}"#),
            ("1st", &bus("x")),
        ]);

        assert_eq!(package.functions.len(), 1);
        let refused: Vec<&str> = package.refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(refused, ["1st", "bad_json", "bad_setting", "bad_timer", "blob"]);
    }

    #[test]
    fn only_a_request_that_comes_alone_is_forwarded_and_only_when_host_json_wants_it() {
        let request = r#"{"type":"httpTrigger","name":"req","direction":"in"}"#;
        let answer = r#"{"type":"http","name":"res","direction":"out"}"#;
        let queue = r#"{"type":"serviceBus","name":"out","direction":"out"}"#;
        let functions = || {
            [("plain", vec![request, answer]), ("more", vec![request, answer, queue])].map(
                |(name, bindings)| {
                    (name.to_owned(), format!("{{\"bindings\":[{}]}}", bindings.join(",")))
                },
            )
        };
        let forwarded = |host: &str| {
            let package = Package::of(host, functions(), &BTreeMap::new()).unwrap();
            package.functions.iter().map(|it| (it.name.clone(), it.forwarded)).collect::<Vec<_>>()
        };
        let wants = HOST.replace(
            "\"customHandler\":{",
            "\"customHandler\":{\"enableForwardingHttpRequest\":true,",
        );

        assert_eq!(forwarded(&wants), [("more".to_owned(), false), ("plain".to_owned(), true)]);
        assert!(forwarded(HOST).iter().all(|(_, forwarded)| !forwarded));
    }

    #[test]
    fn a_function_has_its_own_retries_or_those_of_the_host() {
        let own = r#"{"bindings":[{"type":"timerTrigger","name":"t","schedule":"0 0 9 * * *"}],
            "retry":{"strategy":"fixedDelay","maxRetryCount":3,"delayInterval":"00:00:10"}}"#;
        let none = r#"{"bindings":[{"type":"timerTrigger","name":"t","schedule":"0 0 9 * * *"}]}"#;
        let host = HOST.replace(
            "\"version\"",
            "\"retry\":{\"strategy\":\"fixedDelay\",\"maxRetryCount\":1,\
             \"delayInterval\":\"00:01:00\"},\"version\"",
        );
        let functions = [("own".to_owned(), own.to_owned()), ("rest".to_owned(), none.to_owned())];

        let package = Package::of(&host, functions, &BTreeMap::new()).unwrap();

        let pauses: Vec<_> =
            package.functions.iter().map(|it| it.retry.unwrap().pause_after(0)).collect();
        assert_eq!(pauses, [Some(TimeDelta::seconds(10)), Some(TimeDelta::seconds(60))]);
    }

    #[test]
    fn a_host_json_without_a_handler_is_refused() {
        for text in [
            r#"{"version":"1.0"}"#,
            r#"{"version":"2.0"}"#,
            r#"{"version":"2.0","customHandler":{}}"#,
            r#"{"version":"2.0","customHandler":{"description":{}}}"#,
            "[]",
        ] {
            assert!(Package::of(text, [], &BTreeMap::new()).is_err(), "{text}");
        }
    }
}
