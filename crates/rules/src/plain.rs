//! Which letters of somebody else's text may be shown. The rest would be obeyed: by a terminal, by
//! whatever cuts a log into lines, by the order in which a reader sees what stands there.

use std::borrow::Cow;

/// True for what is shown as itself: no control character, no mark that turns the direction of
/// writing (<https://trojansource.codes>), no separator of lines or paragraphs.
pub fn is_plain(letter: char) -> bool {
    let turns = matches!(letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(letter, '\u{2028}' | '\u{2029}');
    !(letter.is_control() || turns || breaks)
}

/// `text` with every other letter written as JSON would write it, `\u001b`: inside a string of JSON
/// it is still the same letter.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_plain(letter) {
            plain.push(letter);
        } else {
            // All of them are below U+FFFF.
            plain.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
    }
    Cow::Owned(plain)
}

/// `text` on one line: its line breaks and tabs are blanks, so that it cannot pretend to be a line
/// of ours.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |it: char| matches!(it, '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(breaks, " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_obeyed_is_escaped_and_the_rest_is_itself() {
        assert_eq!(escaped("añ → 日本 `x`"), "añ → 日本 `x`");
        assert_eq!(
            escaped("a\u{1b}[2J\0\u{9b}31m\u{202e}b\u{2028}"),
            "a\\u001b[2J\\u0000\\u009b31m\\u202eb\\u2028"
        );
    }

    #[test]
    fn what_was_escaped_is_the_same_text_in_json() {
        let text = "a\u{9b}\u{202e}\u{2029}\u{7f}b";
        let json = serde_json::to_string(text).unwrap();

        let read: String = serde_json::from_str(&escaped(&json)).unwrap();

        assert_eq!(read, text);
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(one_line("a\r\nb\tc\u{2028}d\u{85}e"), "a  b c d e");
        assert_eq!(one_line("a b"), "a b");
    }
}
