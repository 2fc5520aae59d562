//! The packaged function app: `host.json` and one `<function>/function.json` per function, read as
//! the Functions host reads them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use serde::Deserialize;

use super::retry::{Retry, Written};
use super::schedule::{Schedule, span};

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostJson {
    version: String,
    function_timeout: Option<String>,
    custom_handler: Option<CustomHandler>,
    #[serde(default)]
    extensions: Extensions,
    /// Of every function that says nothing itself.
    retry: Option<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomHandler {
    description: Option<Description>,
    #[serde(default)]
    enable_forwarding_http_request: bool,
    initialization_timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    #[serde(default)]
    default_executable_path: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    working_directory: String,
    use_std_error_stream_for_errors_only: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Extensions {
    service_bus: ServiceBus,
    http: Http,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceBus {
    max_concurrent_calls: Option<usize>,
    max_auto_lock_renewal_duration: Option<String>,
    auto_complete_messages: Option<bool>,
    max_concurrent_sessions: Option<usize>,
    max_message_batch_size: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    route_prefix: Option<String>,
}

impl HostJson {
    fn forwards(&self) -> bool {
        self.custom_handler.as_ref().is_some_and(|it| it.enable_forwarding_http_request)
    }

    fn settings(self) -> Result<HostSettings, String> {
        if self.version != "2.0" {
            return Err(format!("its version is `{}`; it must be `2.0`", self.version));
        }
        let handler = self.custom_handler.ok_or("it has no `customHandler`")?;
        let description = handler.description.ok_or("`customHandler` has no `description`")?;
        if description.default_executable_path.is_empty() {
            return Err("`defaultExecutablePath` is empty".to_owned());
        }
        let or = |text: Option<String>, name: &str, default: TimeDelta| match text {
            None => Ok(default),
            Some(text) => span(&text).ok_or(format!("`{name}` is `{text}`; write `hh:mm:ss`")),
        };

        let function_timeout = match self.function_timeout.as_deref() {
            Some("-1") => None,
            _ => Some(or(self.function_timeout, "functionTimeout", TimeDelta::minutes(30))?),
        };
        let bus = self.extensions.service_bus;
        let folder = description.working_directory;
        Ok(HostSettings {
            function_timeout,
            max_concurrent_calls: bus.max_concurrent_calls.unwrap_or(16).max(1),
            max_concurrent_sessions: bus.max_concurrent_sessions.unwrap_or(8).max(1),
            max_batch: bus.max_message_batch_size.unwrap_or(1000).max(1),
            max_auto_lock_renewal: or(
                bus.max_auto_lock_renewal_duration,
                "maxAutoLockRenewalDuration",
                TimeDelta::minutes(5),
            )?,
            auto_complete: bus.auto_complete_messages.unwrap_or(true),
            initialization_timeout: or(
                handler.initialization_timeout,
                "initializationTimeout",
                TimeDelta::seconds(30),
            )?,
            executable: description.default_executable_path,
            arguments: description.arguments,
            working_folder: (!folder.is_empty()).then(|| folder.into()),
            stderr_is_errors: description.use_std_error_stream_for_errors_only.unwrap_or(true),
            route_prefix: self.extensions.http.route_prefix.unwrap_or_else(|| "api".to_owned()),
        })
    }
}

#[derive(Deserialize)]
struct FunctionJson {
    bindings: Vec<Binding>,
    #[serde(default)]
    disabled: bool,
    retry: Option<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    direction: Option<String>,
    schedule: Option<String>,
    use_monitor: Option<bool>,
    #[serde(default)]
    run_on_startup: bool,
    queue_name: Option<String>,
    data_type: Option<DataType>,
    cardinality: Option<String>,
    #[serde(default)]
    is_sessions_enabled: bool,
    route: Option<String>,
    methods: Option<Vec<String>>,
    auth_level: Option<String>,
}

fn function(
    name: &str,
    text: &str,
    settings: &BTreeMap<String, String>,
) -> Result<Function, String> {
    let first_is_letter = name.starts_with(|it: char| it.is_ascii_alphabetic());
    let rest_fits = name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-'));
    if !first_is_letter || !rest_fits || name.len() > 128 || name.eq_ignore_ascii_case("host") {
        return Err(format!("`{name}` is not a function's name"));
    }
    let file: FunctionJson =
        serde_json::from_str(text).map_err(|error| format!("function.json: {error}"))?;
    if file.disabled {
        return Err("it is disabled".to_owned());
    }

    let is_http_output =
        |it: &&Binding| it.kind == "http" && it.direction.as_deref() == Some("out");
    let http_output = file.bindings.iter().find(is_http_output).map(|it| it.name.clone());
    let (bindings, retry) = (file.bindings.len(), file.retry.as_ref().map(Written::read));
    let retry = retry.transpose()?;
    let mut triggers = file.bindings.into_iter().filter(|it| it.kind.ends_with("Trigger"));
    let binding = triggers.next().ok_or("it has no trigger")?;
    if triggers.next().is_some() {
        return Err("it has more than one trigger".to_owned());
    }
    let forwarded = bindings == 2 && http_output.is_some() && binding.kind == "httpTrigger";
    let name = name.to_owned();
    Ok(Function {
        binding: binding.name.clone(),
        trigger: trigger(&name, binding, settings)?,
        name,
        http_output,
        forwarded,
        retry,
    })
}

fn trigger(
    function: &str,
    binding: Binding,
    settings: &BTreeMap<String, String>,
) -> Result<Trigger, String> {
    match binding.kind.as_str() {
        "timerTrigger" => {
            let text = resolved(binding.schedule.ok_or("its timer has no `schedule`")?, settings)?;
            let schedule = Schedule::parse(&text)?;
            let use_monitor = binding.use_monitor.unwrap_or(true);
            Ok(Trigger::Timer {
                schedule,
                text,
                use_monitor,
                run_on_startup: binding.run_on_startup,
            })
        }
        "serviceBusTrigger" => {
            let queue = binding.queue_name.ok_or("its trigger has no `queueName`")?;
            let queue = resolved(queue, settings)?;
            let many = is_many(binding.cardinality.as_deref());
            let untyped = if many { DataType::Untyped } else { DataType::String };
            let data_type = binding.data_type.unwrap_or(untyped);
            let sessions = binding.is_sessions_enabled;
            Ok(Trigger::ServiceBus { queue, data_type, sessions, many })
        }
        "httpTrigger" => {
            let methods = binding.methods.unwrap_or_default();
            let methods = methods.iter().map(|it| it.to_ascii_uppercase()).collect();
            let anonymous =
                binding.auth_level.is_some_and(|it| it.eq_ignore_ascii_case("anonymous"));
            let route = binding.route.unwrap_or_else(|| function.to_owned());
            Ok(Trigger::Http { route: route.trim_matches('/').to_owned(), methods, anonymous })
        }
        "eventGridTrigger" => {
            Ok(Trigger::EventGrid { many: is_many(binding.cardinality.as_deref()) })
        }
        other => Err(format!("the desk has no `{other}`")),
    }
}

fn is_many(cardinality: Option<&str>) -> bool {
    cardinality.is_some_and(|it| it.eq_ignore_ascii_case("many"))
}

/// `%NAME%` stands for an app setting, as a whole.
fn resolved(text: String, settings: &BTreeMap<String, String>) -> Result<String, String> {
    let Some(name) = text.strip_prefix('%').and_then(|it| it.strip_suffix('%')) else {
        return Ok(text);
    };
    settings.get(name).cloned().ok_or_else(|| format!("there is no app setting `{name}`"))
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
