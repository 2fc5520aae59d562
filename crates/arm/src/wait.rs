//! How long an answer says to wait.

use std::time::Duration;

use http::HeaderMap;

/// How long to wait: the header in seconds, Resource Graph's quota header, or the number of seconds
/// in the text, which ARM's own throttling gives.
pub(crate) fn retry_after(headers: &HeaderMap, message: &str) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim);
    let seconds = header("retry-after")
        .and_then(|it| it.parse().ok())
        .or_else(|| header("x-ms-user-quota-resets-after").and_then(clock_seconds))
        .or_else(|| seconds_in(message))?;
    // A day is more than any limit that Azure documents.
    Some(Duration::from_secs(u64::min(seconds, 86_400)))
}

/// `00:00:05` in seconds.
fn clock_seconds(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|it| it.parse::<u64>().ok());
    let (Some(hours), Some(minutes), Some(seconds), None) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next())
    else {
        return None;
    };
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

/// `Please try again after '324' seconds`, `Retry after 2 seconds`.
fn seconds_in(message: &str) -> Option<u64> {
    let lower = message.to_ascii_lowercase();
    let marker = ["try again after ", "retry after "].into_iter().find(|it| lower.contains(it))?;
    let (_, after) = lower.split_once(marker)?;
    let after = after.trim_start_matches('\'');
    let digits = after.split(|it: char| !it.is_ascii_digit()).next()?;
    let rest = after.strip_prefix(digits)?.trim_start_matches(['\'', ' ']);
    rest.starts_with("second").then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_wait_is_read_from_the_header_the_quota_and_the_text() {
        let wait = |name: &'static str, value: &'static str, text: &str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            retry_after(&headers, text).map(|it| it.as_secs())
        };

        assert_eq!(wait("retry-after", "17", "Please try again after '324' seconds."), Some(17));
        assert_eq!(wait("x-ms-user-quota-resets-after", "00:01:05", ""), Some(65));
        assert_eq!(
            wait("x-ignored", "", "exceeded. Please try again after '324' seconds."),
            Some(324)
        );
        assert_eq!(wait("x-ignored", "", "Retry after 2 seconds."), Some(2));
        assert_eq!(wait("x-ignored", "", "Retry after lunch"), None);
        assert_eq!(wait("retry-after", "99999999999", ""), Some(86_400));
        assert_eq!(wait("retry-after", "soon", ""), None);
    }
}
