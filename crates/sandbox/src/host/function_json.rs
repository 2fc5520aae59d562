//! `function.json`: what wakes one function.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::package::{DataType, Function, Trigger};
use super::retry::Written;
use super::schedule::Schedule;

/// The file.
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

/// Reads the `function.json` of `name`. `settings` stand for `%NAME%`.
///
/// # Errors
/// Why the function cannot be hosted.
pub(super) fn function(
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
