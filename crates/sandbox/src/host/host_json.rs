//! `host.json`, as far as the host goes by it.

use chrono::TimeDelta;
use serde::Deserialize;

use super::package::HostSettings;
use super::retry::Written;
use super::schedule::span;

/// The file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostJson {
    version: String,
    function_timeout: Option<String>,
    custom_handler: Option<CustomHandler>,
    #[serde(default)]
    extensions: Extensions,
    /// Of every function that says nothing itself.
    pub(super) retry: Option<Written>,
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
    pub(super) fn forwards(&self) -> bool {
        self.custom_handler.as_ref().is_some_and(|it| it.enable_forwarding_http_request)
    }

    pub(super) fn settings(self) -> Result<HostSettings, String> {
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
