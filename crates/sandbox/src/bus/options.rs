//! What a queue is told at its creation: how long a lock lasts, how often a message is delivered,
//! how long duplicates are remembered.

use std::str::FromStr;

use chrono::TimeDelta;

/// How one queue treats its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// How long a received message is hidden from others.
    pub lock: TimeDelta,
    /// A message that was delivered this often and not completed is dead-lettered.
    pub max_delivery: u32,
    /// How long a message id is remembered; a message with a remembered id is accepted and dropped.
    /// `None` when duplicates are not looked for.
    pub duplicates: Option<TimeDelta>,
    /// The longest life of a message, and the life of one that asks for none.
    pub time_to_live: Option<TimeDelta>,
    /// Whether an expired message is dead-lettered; else it is dropped.
    pub dead_letter_expired: bool,
    /// Whether each message needs a session id. Such a queue cannot be received from over REST.
    pub sessions: bool,
}

impl Default for QueueOptions {
    /// As `infra` creates them: 60 s locks, 10 deliveries, duplicates remembered for 7 days.
    fn default() -> QueueOptions {
        QueueOptions {
            lock: TimeDelta::seconds(60),
            max_delivery: 10,
            duplicates: Some(TimeDelta::days(7)),
            time_to_live: None,
            dead_letter_expired: false,
            sessions: false,
        }
    }
}

/// The options as they are written on a command line: `lock=2s,maxDelivery=3,duplicates=600s,sessions`.
impl FromStr for QueueOptions {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<QueueOptions, QueueError> {
        let mut options = QueueOptions::default();

        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            match name {
                "lock" => options.lock = span(name, value, 1, 300)?,
                "maxDelivery" => options.max_delivery = count(name, value)?,
                "duplicates" if value == "none" => options.duplicates = None,
                "duplicates" => options.duplicates = Some(span(name, value, 1, 7 * 86_400)?),
                "ttl" => options.time_to_live = Some(span(name, value, 1, 366 * 86_400)?),
                "deadLetterExpired" if value.is_empty() => options.dead_letter_expired = true,
                "sessions" if value.is_empty() => options.sessions = true,
                _ => return Err(QueueError::Unknown(part.trim().to_owned())),
            }
        }

        Ok(options)
    }
}

/// A queue and its options: `NAME` or `NAME:lock=2s,maxDelivery=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub options: QueueOptions,
}

impl FromStr for Queue {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<Queue, QueueError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        if !is_queue_name(name) {
            return Err(QueueError::Name(name.to_owned()));
        }
        Ok(Queue { name: name.to_owned(), options: options.parse()? })
    }
}

/// Why a queue on the command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    #[error("`{0}` is not a queue's name; use 1 to 260 of letters, digits, `.`, `-`, `_` and `/`")]
    Name(String),
    #[error(
        "`{0}` is not an option of a queue; there are `lock=60s`, `maxDelivery=10`, \
         `duplicates=7d` (or `none`), `ttl=1h`, `deadLetterExpired` and `sessions`"
    )]
    Unknown(String),
    #[error("`{name}={value}` is not {wanted}")]
    Value { name: String, value: String, wanted: String },
}

/// Whether `name` may name a queue. `messages` and names with `$` are paths of the service.
pub(crate) fn is_queue_name(name: &str) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | '/');
    let segments = || name.split('/');

    (1..=260).contains(&name.len())
        && name.chars().all(allowed)
        && segments().all(|it| !it.is_empty() && !it.eq_ignore_ascii_case("messages"))
}

fn count(name: &str, value: &str) -> Result<u32, QueueError> {
    match value.parse() {
        Ok(number @ 1..=2000) => Ok(number),
        _ => Err(QueueError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            wanted: "a whole number from 1 to 2000".to_owned(),
        }),
    }
}

fn span(name: &str, value: &str, at_least: i64, at_most: i64) -> Result<TimeDelta, QueueError> {
    let refused = || QueueError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        wanted: format!("a span from {at_least}s to {at_most}s, such as `600s`, `10m`, `1h`, `7d`"),
    };

    let unit = value.chars().last().ok_or_else(refused)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(refused()),
    };
    let number: i64 = value[..value.len() - unit.len_utf8()].parse().map_err(|_| refused())?;
    let total = number.checked_mul(seconds).ok_or_else(refused)?;
    if !(at_least..=at_most).contains(&total) {
        return Err(refused());
    }
    Ok(TimeDelta::seconds(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_read_from_a_command_line() {
        let queue: Queue = "builds:lock=2s,maxDelivery=3,duplicates=600s,sessions".parse().unwrap();

        assert_eq!(queue.name, "builds");
        assert_eq!(queue.options.lock, TimeDelta::seconds(2));
        assert_eq!(queue.options.max_delivery, 3);
        assert_eq!(queue.options.duplicates, Some(TimeDelta::minutes(10)));
        assert!(queue.options.sessions);
    }

    #[test]
    fn a_bare_name_gets_what_infra_gives() {
        let queue: Queue = "judge_image".parse().unwrap();

        assert_eq!(queue.options, QueueOptions::default());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("a?b", "`a?b`"),
            ("", "``"),
            ("q/messages", "`q/messages`"),
            ("q:locks=2s", "`locks=2s`"),
            ("q:lock=2", "`lock=2`"),
            ("q:lock=6m", "`lock=6m`"),
            ("q:lock=é", "`lock=é`"),
            ("q:maxDelivery=0", "`maxDelivery=0`"),
            ("q:duplicates=8d", "`duplicates=8d`"),
            ("q:ttl=9223372036854775807d", "`ttl="),
        ] {
            let error = text.parse::<Queue>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
