//! Text of the other side, made fit for an error or a log: no control characters, no queries of
//! URLs (they hold signatures), no more than is read.

/// `text` in at most `limit` characters, control characters escaped, the query of every URL left
/// out.
pub(crate) fn readable(text: &str, limit: usize) -> String {
    let mut shown = String::new();

    for (length, letter) in without_queries(text).chars().enumerate() {
        if length >= limit {
            shown.push('…');
            break;
        }
        if !rules::plain::is_plain(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }

    shown
}

/// A query begins at the first `?` after a `://` and ends where a URL must end.
fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;

    while let Some(scheme) = rest.find("://") {
        let (before, url) = rest.split_at(scheme);
        shown.push_str(before);
        let ends = |letter: char| letter.is_whitespace() || "\"'<>`()[]{}|\\^".contains(letter);
        let (url, after) = url.split_at(url.find(ends).unwrap_or(url.len()));
        match url.split_once(['?', '#']) {
            Some((address, _)) => {
                shown.push_str(address);
                shown.push_str("?…");
            }
            None => shown.push_str(url),
        }
        rest = after;
    }

    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_in_a_url_is_not_shown() {
        let text = "see https://a.blob.core.windows.net/packerlogs/x/customization.log?sv=1&sig=s3cret. and 'https://b/c?t=1&s=zzz', done?yes";
        assert_eq!(
            readable(text, 500),
            "see https://a.blob.core.windows.net/packerlogs/x/customization.log?… and 'https://b/c?…', done?yes"
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(readable("a\r\n\u{1b}[31mb", 50), "a\\r\\n\\u{1b}[31mb");
        assert_eq!(readable("a\u{202e}b\u{2028}", 50), "a\\u{202e}b\\u{2028}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(readable("äöüß", 3), "äöü…");
        assert_eq!(readable("äöü", 3), "äöü");
    }
}
