//! From a refusing answer to an error.

mod offered;
mod shape;

use http::{HeaderMap, StatusCode};

use crate::error::{At, Error};
use crate::readable::readable;
use crate::wait::retry_after;
pub(crate) use offered::offered;
use shape::{Refusal, read};

/// The error that the answer of `status` to `at` means.
pub(crate) fn error(at: At, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let raw = String::from_utf8_lossy(body);
    let Refusal { code, message, target } = read(&raw).unwrap_or_else(|| Refusal {
        code: status.as_str().to_owned(),
        message: readable(&raw, 200),
        target: None,
    });
    let retry_after = retry_after(headers, &message);

    if is_busy(&code, &message, status) {
        return Error::Busy { at, code, message, retry_after };
    }
    // Compute says `OperationNotAllowed` of a used-up quota too; that passes by itself.
    if forbids(&code) && status != StatusCode::TOO_MANY_REQUESTS {
        return Error::NotAllowed { at, code, message };
    }
    match status.as_u16() {
        401 => Error::Unauthorized { at, code },
        403 => Error::Forbidden { at, action: missing_action(&message), code },
        // Azure says the same of a subscription that is not there and of one that may not be read:
        // what is in it is not gone.
        404 if code.eq_ignore_ascii_case("SubscriptionNotFound") => {
            Error::Forbidden { at, code, action: None }
        }
        404 | 410 => Error::NotFound { at, code },
        409 | 412 | 423 => Error::Conflict { at, code, message },
        429 => Error::Throttled { at, code, retry_after },
        400 if code.eq_ignore_ascii_case("Conflict") => Error::Conflict { at, code, message },
        408 | 500.. => {
            let status = status.as_u16();
            let message = format!("{message}{}", who_failed(headers));
            Error::Unavailable { at, status, code, message, retry_after }
        }
        300..400 => {
            let what = format!("it redirects ({status}), and a redirect is never followed");
            Error::Malformed { at, what, excerpt: message }
        }
        _ => Error::Invalid { at, code, message, target },
    }
}

/// `x-ms-failure-cause`: which of the two behind the one address has failed (recorded).
fn who_failed(headers: &HeaderMap) -> &'static str {
    match headers.get("x-ms-failure-cause").map(|it| it.as_bytes()) {
        Some(b"gateway") => " [Azure Resource Manager itself]",
        Some(b"service") => " [the resource provider behind it]",
        _ => "",
    }
}

/// Some providers say 429 or 409 for "another operation holds it".
fn is_busy(code: &str, message: &str, status: StatusCode) -> bool {
    const BUSY: [&str; 5] = [
        "AnotherOperationInProgress",
        "NamespaceInTransition",
        "RetryableError",
        "RetryableErrorDueToAnotherOperation",
        "ConcurrentOperationInProgress",
    ];
    let may_be = matches!(status.as_u16(), 400 | 409 | 412 | 423 | 429);
    may_be
        && (BUSY.iter().any(|it| it.eq_ignore_ascii_case(code))
            || message.contains("exclusive lock"))
}

/// Codes that mean the same with whatever status they come.
fn forbids(code: &str) -> bool {
    const FORBIDS: [&str; 9] = [
        "OperationNotAllowed",
        "ScopeLocked",
        "RequestDisallowedByAzure",
        "RequestDisallowedByPolicy",
        "MissingSubscriptionRegistration",
        "MissingRegistrationForLocation",
        "ReadOnlyDisabledSubscription",
        "DeleteGalleryImageVersionBlockedBeforeEndOfLife",
        "QuotaExceeded",
    ];
    FORBIDS.iter().any(|it| it.eq_ignore_ascii_case(code))
}

/// `perform action 'X'` and `perform action(s) 'X'`; the latter, of a linked scope, comes last.
fn missing_action(message: &str) -> Option<String> {
    let marker = ["action(s) '", "action '"].into_iter().find(|it| message.contains(it))?;
    let (_, after) = message.rsplit_once(marker)?;
    let (action, _) = after.split_once('\'')?;
    let named = !action.is_empty()
        && action.chars().all(|it| it.is_ascii_alphanumeric() || "./*-,_ ".contains(it));
    named.then(|| action.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn at() -> At {
        At { operation: "read the version", resource: "/x".to_owned() }
    }

    fn refused(status: u16, body: &str) -> Error {
        error(at(), StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    /// The variant, the code, and the beginning of the message.
    fn told(error: &Error) -> (&'static str, String, String) {
        let (kind, code, message) = match error {
            Error::NotFound { code, .. } => ("NotFound", code.as_str(), ""),
            Error::Conflict { code, message, .. } => ("Conflict", code.as_str(), message.as_str()),
            Error::NotAllowed { code, message, .. } => {
                ("NotAllowed", code.as_str(), message.as_str())
            }
            Error::Throttled { code, .. } => ("Throttled", code.as_str(), ""),
            Error::Busy { code, message, .. } => ("Busy", code.as_str(), message.as_str()),
            Error::Unavailable { code, message, .. } => {
                ("Unavailable", code.as_str(), message.as_str())
            }
            Error::Forbidden { code, .. } => ("Forbidden", code.as_str(), ""),
            Error::Unauthorized { code, .. } => ("Unauthorized", code.as_str(), ""),
            Error::Invalid { code, message, .. } => ("Invalid", code.as_str(), message.as_str()),
            Error::NoCommonVersion { code, .. } => ("NoCommonVersion", code.as_str(), ""),
            Error::Malformed { what, excerpt, .. } => {
                ("Malformed", what.as_str(), excerpt.as_str())
            }
            Error::NotSent { because, .. } => ("NotSent", "", because.as_str()),
            Error::PerhapsDone { because, .. } => ("PerhapsDone", "", because.as_str()),
        };
        (kind, code.to_owned(), message.chars().take(24).collect())
    }

    #[test]
    fn every_recorded_shape_is_read() {
        let table: &[(u16, &str, (&str, &str, &str))] = &[
            (
                404,
                r#"{"error":{"code":"ResourceNotFound","message":"The Resource 'x' was not found."}}"#,
                ("NotFound", "ResourceNotFound", ""),
            ),
            (
                404,
                r#"{"error":{"code":"NotFound","message":"The entity was not found in this Azure location."}}"#,
                ("NotFound", "NotFound", ""),
            ),
            (410, "", ("NotFound", "410", "")),
            (
                400,
                r#"{"error":{"code":"InvalidParameter","message":"EndOfLifeDate must be set to a future date.","target":"galleryImage.properties.endOfLifeDate"}}"#,
                ("Invalid", "InvalidParameter", "EndOfLifeDate must be set"),
            ),
            (
                400,
                r#"{"code":"BadRequest","message":"unwrapped"}"#,
                ("Invalid", "BadRequest", "unwrapped"),
            ),
            (
                429,
                r#"{"error":{"code":"TooManyRequests","message":"Too many requests."}}"#,
                ("Throttled", "TooManyRequests", ""),
            ),
            (
                429,
                r#"{"error":{"code":"OperationNotAllowed","message":"The server rejected the request because too many requests have been received for this subscription.","details":[{"code":"TooManyRequests","target":"HighCostGet30Min","message":"{}"}]}}"#,
                ("Throttled", "OperationNotAllowed", ""),
            ),
            (
                429,
                r#"{"error":{"code":"NamespaceInTransition","message":"The namespace is in transitioning state."}}"#,
                ("Busy", "NamespaceInTransition", "The namespace is in trans"),
            ),
            (
                429,
                r#"{"Code":"429","Message":"Cannot acquire exclusive lock to create, update or delete this site.","Target":null,"Details":[{"Code":"429"}],"Innererror":null}"#,
                ("Busy", "429", "Cannot acquire exclusive "),
            ),
            (
                429,
                r#"{"error":{"code":"OperationNotAllowed","message":"The server rejected the request because too many requests have been received for this subscription.","details":[{"code":"TooManyRequests","target":"PutVersion3Min","message":"{}"}]}}"#,
                ("Throttled", "OperationNotAllowed", ""),
            ),
            (
                404,
                r#"{"error":{"code":"SubscriptionNotFound","message":"The subscription 's' could not be found."}}"#,
                ("Forbidden", "SubscriptionNotFound", ""),
            ),
            (
                409,
                r#"{"error":{"code":"OperationNotAllowed","message":"not in run state"}}"#,
                ("NotAllowed", "OperationNotAllowed", "not in run state"),
            ),
            (
                400,
                r#"{"error":{"code":"OperationNotAllowed","message":"not in run state"}}"#,
                ("NotAllowed", "OperationNotAllowed", "not in run state"),
            ),
            (
                409,
                r#"{"error":{"code":"Conflict","message":"Update/Upgrade of image templates is currently not supported"}}"#,
                ("Conflict", "Conflict", "Update/Upgrade of image t"),
            ),
            (
                409,
                r#"{"error":{"code":"MissingSubscriptionRegistration","message":"not registered","details":[{"code":"MissingSubscriptionRegistration","target":"Microsoft.X","message":"not registered"}]}}"#,
                ("NotAllowed", "MissingSubscriptionRegistration", "not registered [MissingSu"),
            ),
            (
                500,
                r#"{"Message":"An error has occurred."}"#,
                ("Unavailable", "no code", "An error has occurred."),
            ),
            (502, "Forbidden\n", ("Unavailable", "502", "Forbidden\\n")),
            (503, "", ("Unavailable", "503", "")),
            (
                503,
                "<!DOCTYPE HTML><h2>Service Unavailable</h2>",
                ("Unavailable", "503", "<!DOCTYPE HTML><h2>Servi"),
            ),
            (
                504,
                r#"{"error":{"code":"GatewayTimeout","message":"The gateway did not receive a response"}}"#,
                ("Unavailable", "GatewayTimeout", "The gateway did not recei"),
            ),
            (
                401,
                r#"{"error":{"code":"ExpiredAuthenticationToken","message":"The access token expiry"}}"#,
                ("Unauthorized", "ExpiredAuthenticationToken", ""),
            ),
            (
                302,
                "",
                ("Malformed", "it redirects (302 Found), and a redirect is never followed", ""),
            ),
            (
                403,
                r#"{"error":{"code":"RequestDisallowedByAzure","message":"Resource 'x' was disallowed by Azure: This policy maintains a set of best available regions where your subscription can deploy resources."}}"#,
                ("NotAllowed", "RequestDisallowedByAzure", "Resource 'x' was disallowed by Azure"),
            ),
            (418, "[1,2]", ("Invalid", "418", "[1,2]")),
        ];

        for (status, body, (kind, code, message)) in table {
            let (found, its_code, its_message) = told(&refused(*status, body));
            assert_eq!((found, its_code.as_str()), (*kind, *code), "{status} {body}");
            assert!(its_message.starts_with(message.get(..24).unwrap_or(message)), "{its_message}");
        }
    }

    #[test]
    fn who_has_failed_is_told() {
        for (cause, says) in
            [("gateway", "Azure Resource Manager itself"), ("service", "provider behind it")]
        {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-ms-failure-cause"),
                HeaderValue::from_static(cause),
            )]);
            let error = error(at(), StatusCode::BAD_GATEWAY, &headers, b"Forbidden\n");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn the_details_of_a_bad_query_are_named() {
        let body = r#"{"error":{"code":"BadRequest","message":"Please provide below info when asking for support: timestamp = 2021, correlationId = 27.","details":[{"code":"InvalidQuery","message":"Query is invalid."},{"code":"ParserFailure","message":"ParserFailure","line":1,"characterPositionInLine":11,"token":"<EOF>"}]}}"#;

        let Error::Invalid { message, .. } = refused(400, body) else { panic!() };

        assert!(
            message.ends_with("[InvalidQuery: Query is invalid.] [ParserFailure]"),
            "{message}"
        );
    }

    #[test]
    fn the_target_is_kept() {
        let body = r#"{"error":{"code":"InvalidParameter","message":"m","target":"galleryImage.properties.endOfLifeDate"}}"#;

        let text = refused(400, body).to_string();

        assert_eq!(
            text,
            "could not read the version `/x`: Azure refused it as wrong (`InvalidParameter`: m, about `galleryImage.properties.endOfLifeDate`); correct what was asked"
        );
    }

    #[test]
    fn a_missing_permission_is_named_and_the_callers_ids_are_not() {
        let body = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'a1' with object id 'b2' does not have authorization to perform action 'Microsoft.Compute/galleries/images/versions/write' over scope '/subscriptions/s' or the scope is invalid."}}"#;

        let error = refused(403, body);

        assert!(
            error
                .to_string()
                .contains("may not `Microsoft.Compute/galleries/images/versions/write`")
        );
        assert!(!error.to_string().contains("b2"));
    }

    #[test]
    fn a_missing_permission_on_a_linked_scope_is_named() {
        let body = r#"{"error":{"code":"LinkedAuthorizationFailed","message":"The client has permission to perform action 'Microsoft.VirtualMachineImages/imageTemplates/write' on scope 's'; however, it does not have permission to perform action(s) 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) 'x'"}}"#;

        let Error::Forbidden { action, .. } = refused(403, body) else { panic!() };

        assert_eq!(
            action.as_deref(),
            Some("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action")
        );
    }
}
