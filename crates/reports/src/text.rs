//! Texts of a report, made harmless: a package's name ends up in logs, events and terminals.

/// The longest text that is kept, in characters.
const LONGEST: usize = 512;

/// `text` cut to 512 characters, each control character and each mark that turns the direction of
/// writing replaced.
pub(crate) fn harmless(text: &str) -> String {
    let plain = |it| if rules::plain::is_plain(it) { it } else { '\u{fffd}' };
    text.trim().chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(harmless(" a\u{1b}[31mb\nc\u{202e}d "), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(harmless(&"ö".repeat(600)).chars().count(), 512);
    }
}
