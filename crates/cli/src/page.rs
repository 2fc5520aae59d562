//! Text in columns: what a row is about, and beside it its sentence, wrapped below itself.

use rules::plain::one_line;
use textwrap::{Options, WordSplitter};

/// A row of at most `width` columns, a line break at its end: `head`, then `sentence`, whose further
/// lines begin in column `below`. Names are not divided at their hyphens.
pub fn wrap(width: usize, head: &str, below: usize, sentence: &str) -> String {
    let sentence = &one_line(sentence);
    if sentence.is_empty() {
        return format!("{}\n", head.trim_end());
    }
    let below = " ".repeat(below);
    let options = Options::new(width)
        .initial_indent(head)
        .subsequent_indent(&below)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    format!("{}\n", textwrap::fill(sentence, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_wrapped_below_itself_and_names_stay_whole() {
        let text = wrap(25, "web  ", 5, "it has CVE-2026-41107 in it");

        assert_eq!(text, "web  it has\n     CVE-2026-41107 in it\n");
    }

    #[test]
    fn a_sentence_with_line_breaks_makes_no_line_of_its_own() {
        let text =
            wrap(80, "web  ", 5, "held: x\n2026-09-08 12:00  web 1.0.0  released\r\n\u{2028}");

        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn a_row_without_a_sentence_is_its_head() {
        assert_eq!(wrap(24, "web  ", 5, ""), "web\n");
    }
}
