//! The retry policy of a function: in this process, under the same invocation id, counted as
//! additional attempts (`retry` in function.json, or in host.json for all functions).

use chrono::TimeDelta;
use serde::Deserialize;

use super::json::{Json, Members};
use super::schedule::span;

/// How often and when a failed invocation is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// None: for ever.
    most: Option<u32>,
    pause: Pause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    Fixed(TimeDelta),
    /// Doubled each time, up to the second. The real host adds a random fifth; a desk does not.
    Doubled(TimeDelta, TimeDelta),
}

/// `retry` as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    strategy: String,
    max_retry_count: i64,
    delay_interval: Option<String>,
    minimum_interval: Option<String>,
    maximum_interval: Option<String>,
}

impl Written {
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn read(&self) -> Result<Retry, String> {
        let interval = |text: &Option<String>, name: &str| {
            let given = text.as_deref().ok_or(format!("its `retry` has no `{name}`"))?;
            span(given).ok_or(format!("`{name}` is `{given}`; write `hh:mm:ss`"))
        };
        let most = match self.max_retry_count {
            -1 => None,
            count => Some(u32::try_from(count).map_err(|_| format!("`maxRetryCount` is {count}"))?),
        };
        let pause = match self.strategy.to_ascii_lowercase().as_str() {
            "fixeddelay" => Pause::Fixed(interval(&self.delay_interval, "delayInterval")?),
            "exponentialbackoff" => Pause::Doubled(
                interval(&self.minimum_interval, "minimumInterval")?,
                interval(&self.maximum_interval, "maximumInterval")?,
            ),
            other => return Err(format!("`{other}` is not a retry strategy")),
        };
        Ok(Retry { most, pause })
    }
}

impl Retry {
    /// How long to wait after `failed` attempts beyond the first; None when it is given up.
    pub(super) fn pause_after(&self, failed: u32) -> Option<TimeDelta> {
        if self.most.is_some_and(|most| failed >= most) {
            return None;
        }
        Some(match self.pause {
            Pause::Fixed(pause) => pause,
            Pause::Doubled(least, most) => {
                let factor = 1_i32.checked_shl(failed.min(20)).unwrap_or(i32::MAX);
                least.checked_mul(factor).map_or(most, |it| it.min(most))
            }
        })
    }

    /// `Metadata.RetryContext`: present from the first attempt, with real numbers.
    pub(super) fn context(&self, attempt: u32, failure: Option<(&str, &str)>) -> Members {
        let exception = failure.map_or(Json::Null, |(function, why)| {
            let inner = exception("System.Net.Http.HttpRequestException", why, Json::Null);
            let message = format!("Exception while executing function: {function}");
            let class = "Microsoft.Azure.WebJobs.Host.FunctionInvocationException";
            Json::Object(exception(class, &message, Json::Object(inner)))
        });
        let most = self.most.map_or(-1, i64::from);
        Members::default()
            .with("RetryCount", i64::from(attempt))
            .with("MaxRetryCount", most)
            .with("Exception", exception)
            .with("Instance", Json::Null)
            .with("State", Members::default())
    }
}

/// An exception as .NET serialises it.
fn exception(class: &str, message: &str, inner: Json) -> Members {
    Members::default()
        .with("ClassName", class)
        .with("Message", message)
        .with("Data", Json::Null)
        .with("InnerException", inner)
        .with("HelpURL", Json::Null)
        .with("StackTraceString", Json::Null)
        .with("RemoteStackTraceString", Json::Null)
        .with("RemoteStackIndex", 0)
        .with("ExceptionMethod", Json::Null)
        .with("HResult", -2_146_233_088)
        .with("Source", Json::Null)
        .with("WatsonBuckets", Json::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retry, String> {
        serde_json::from_str::<Written>(text).unwrap().read()
    }

    #[test]
    fn a_fixed_delay_is_the_same_until_it_gives_up() {
        let retry =
            read(r#"{"strategy":"fixedDelay","maxRetryCount":2,"delayInterval":"00:00:10"}"#)
                .unwrap();

        let pauses: Vec<_> = (0..4).map(|it| retry.pause_after(it)).collect();
        let ten = Some(TimeDelta::seconds(10));
        assert_eq!(pauses, [ten, ten, None, None]);
    }

    #[test]
    fn a_back_off_doubles_to_its_maximum_for_ever() {
        let retry = read(
            r#"{"strategy":"exponentialBackoff","maxRetryCount":-1,
                "minimumInterval":"00:00:04","maximumInterval":"00:00:20"}"#,
        )
        .unwrap();

        let seconds = |it| retry.pause_after(it).unwrap().num_seconds();
        assert_eq!([0, 1, 2, 3, 400].map(seconds), [4, 8, 16, 20, 20]);
    }

    #[test]
    fn a_policy_that_lacks_its_interval_is_named() {
        let error = read(r#"{"strategy":"fixedDelay","maxRetryCount":2}"#).unwrap_err();

        assert!(error.contains("delayInterval"), "{error}");
    }
}
