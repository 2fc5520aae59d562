//! Why ARM did not do what was asked: one variant for each thing that a caller may do about it.

use std::fmt;
use std::time::Duration;

/// What was asked, of what. Every error carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// What was asked, `run the template`.
    pub operation: &'static str,
    /// The resource's id.
    pub resource: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} `{}`", self.operation, self.resource)
    }
}

/// Why ARM did not do what was asked. Codes and messages are Azure's own, made readable; they hold
/// no query of a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The resource, or one above it, is not there (404, 410).
    #[error(
        "{at}: it is not there (`{code}`); look whether its name, group and subscription are right"
    )]
    NotFound { at: At, code: String },

    /// What is there stands against it (409, 412, 423): read it, then decide again.
    #[error("{at}: it stands against what is there (`{code}`: {message}); read the resource again")]
    Conflict { at: At, code: String, message: String },

    /// The resource's state, a lock, a policy or a missing registration forbids it. It does not
    /// pass by itself unless the state does.
    #[error(
        "{at}: it is not allowed (`{code}`: {message}); read the resource, or lift what forbids it"
    )]
    NotAllowed { at: At, code: String, message: String },

    /// Too many requests. Asking before `retry_after` has passed starts another wait.
    #[error("{at}: too many requests (`{code}`); try again {}", later(*retry_after))]
    Throttled { at: At, code: String, retry_after: Option<Duration> },

    /// Another operation holds the resource.
    #[error("{at}: another operation holds it (`{code}`: {message}); try again {}", later(*retry_after))]
    Busy { at: At, code: String, message: String, retry_after: Option<Duration> },

    /// ARM or the provider behind it is ill (408, 5xx). A write may have been carried out.
    #[error("{at}: Azure answered {status} (`{code}`: {message}); try again {}", later(*retry_after))]
    Unavailable {
        at: At,
        status: u16,
        code: String,
        message: String,
        retry_after: Option<Duration>,
    },

    /// The identity may not do this (403). `action` is the missing permission, where Azure names it.
    #[error("{at}: the identity may not {} (`{code}`); grant it a role that allows this, as infra/ does", action.as_deref().map_or("do this".to_owned(), |it| format!("`{it}`")))]
    Forbidden { at: At, code: String, action: Option<String> },

    /// The token is not accepted (401).
    #[error(
        "{at}: the token is not accepted (`{code}`); look at the identity, its tenant and the audience"
    )]
    Unauthorized { at: At, code: String },

    /// The cloud has none of the api-versions that we speak of this resource type, or not the type
    /// itself.
    #[error(
        "{at}: this cloud has no api-version of it that goldsmith speaks ({spoken}), only {} (`{code}`); look for a goldsmith that speaks one of these",
        some_of(offered)
    )]
    NoCommonVersion {
        at: At,
        code: String,
        /// Those that we speak, the newest first.
        spoken: String,
        /// Those that the cloud has; empty when it does not say.
        offered: Vec<String>,
    },

    /// What we sent is wrong (400, 422, and every other 4xx).
    #[error("{at}: Azure refused it as wrong (`{code}`: {message}{}); correct what was asked", about(target.as_deref()))]
    Invalid { at: At, code: String, message: String, target: Option<String> },

    /// An answer that is not what Azure's specification says. `excerpt` is the beginning of it.
    #[error("{at}: the answer is not one we know: {what}; it begins `{excerpt}`")]
    Malformed { at: At, what: String, excerpt: String },

    /// Azure cannot have seen the request.
    #[error("{at}: the request was not sent: {because}")]
    NotSent { at: At, because: String },

    /// The request left and its answer was lost: read the resource before anything else.
    #[error("{at}: the answer was lost: {because}; read the resource before asking again")]
    PerhapsDone { at: At, because: String },
}

impl Error {
    /// What was asked, of what.
    pub fn at(&self) -> &At {
        match self {
            Error::NotFound { at, .. }
            | Error::Conflict { at, .. }
            | Error::NotAllowed { at, .. }
            | Error::Throttled { at, .. }
            | Error::Busy { at, .. }
            | Error::Unavailable { at, .. }
            | Error::Forbidden { at, .. }
            | Error::Unauthorized { at, .. }
            | Error::NoCommonVersion { at, .. }
            | Error::Invalid { at, .. }
            | Error::Malformed { at, .. }
            | Error::NotSent { at, .. }
            | Error::PerhapsDone { at, .. } => at,
        }
    }

    /// Whether the same request may well succeed later with nothing changed by a person. After a
    /// write, the resource is read first.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Throttled { .. }
            | Error::Busy { .. }
            | Error::Unavailable { .. }
            | Error::NotSent { .. }
            | Error::PerhapsDone { .. } => true,
            Error::NotFound { .. }
            | Error::Conflict { .. }
            | Error::NotAllowed { .. }
            | Error::Forbidden { .. }
            | Error::Unauthorized { .. }
            | Error::NoCommonVersion { .. }
            | Error::Invalid { .. }
            | Error::Malformed { .. } => false,
        }
    }

    /// Whether a write that ended so may have been carried out all the same.
    pub fn perhaps_done(&self) -> bool {
        match self {
            Error::Unavailable { .. } | Error::Malformed { .. } | Error::PerhapsDone { .. } => true,
            Error::Throttled { .. }
            | Error::Busy { .. }
            | Error::NotSent { .. }
            | Error::NotFound { .. }
            | Error::Conflict { .. }
            | Error::NotAllowed { .. }
            | Error::Forbidden { .. }
            | Error::Unauthorized { .. }
            | Error::NoCommonVersion { .. }
            | Error::Invalid { .. } => false,
        }
    }

    /// How long Azure asks us to wait, where it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Throttled { retry_after, .. }
            | Error::Busy { retry_after, .. }
            | Error::Unavailable { retry_after, .. } => *retry_after,
            Error::NotFound { .. }
            | Error::Conflict { .. }
            | Error::NotAllowed { .. }
            | Error::Forbidden { .. }
            | Error::Unauthorized { .. }
            | Error::NoCommonVersion { .. }
            | Error::Invalid { .. }
            | Error::Malformed { .. }
            | Error::NotSent { .. }
            | Error::PerhapsDone { .. } => None,
        }
    }
}

fn later(retry_after: Option<Duration>) -> String {
    retry_after.map_or("later".to_owned(), |it| format!("in {} s", it.as_secs()))
}

fn some_of(versions: &[String]) -> String {
    let some = versions.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    match versions.len() {
        0 => "none that it tells".to_owned(),
        1..=5 => some,
        _ => format!("{some}, …"),
    }
}

fn about(target: Option<&str>) -> String {
    target.map_or(String::new(), |it| format!(", about `{it}`"))
}
