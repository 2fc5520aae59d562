//! Tells people: one line of JSON to the webhook of the settings.

use rules::event::Event;
use rules::plain::{escaped, one_line};
use rules::wake::Subject;
use serde_json::json;

use crate::{Context, Done, Failure, Step, Visit, webhook};

/// The longest notice, in characters: Teams takes 28 KB in all, Slack cuts at 4000.
const LONGEST_TEXT: usize = 4000;

/// Posts one notice. Without an address there is nobody to tell.
pub async fn handle(cx: &Context, visit: &mut Visit) -> Step {
    let Subject::Notice(seq) = visit.wake.subject else {
        return Err(Failure::never("the wish is not about a notice"));
    };
    let notice = visit.state().notices.iter().find(|it| it.task.seq == seq);
    let Some(notice) = notice else { return Ok(Done::Nothing) };

    // A person may be told twice; that is better than never.
    if let Some(address) = &cx.settings.webhook {
        let text = harmless(&format!("{}: {}", visit.image, notice.text));
        let body = json!({ "text": text, "image": visit.image, "at": notice.at });
        webhook::post(cx, address, &body).await?;
    }
    Ok(Done::Record(vec![Event::PeopleTold { seq }]))
}

/// `text` as a chat may be given it: on one line, without letters that would be obeyed, and without
/// what Slack, Teams or Mattermost would make a link under another name, a mention of everybody or
/// HTML. What Azure, a person or a package has called itself stands in it.
fn harmless(text: &str) -> String {
    let mut shown = String::new();
    let mut before = ' ';
    for (length, letter) in escaped(&one_line(text)).chars().enumerate() {
        if length >= LONGEST_TEXT {
            shown.push('…');
            break;
        }
        match letter {
            '<' => shown.push('‹'),
            '>' => shown.push('›'),
            '&' => shown.push('＆'),
            // `[text](address)`, `![image](address)`.
            '(' if before == ']' => shown.push_str(" ("),
            // `@channel`; the one in an address of mail is left.
            '@' if !before.is_alphanumeric() => shown.push('＠'),
            letter => shown.push(letter),
        }
        before = letter;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn nothing_in_a_notice_is_a_link_a_mention_or_markup() {
        let text = "<!channel> <https://evil.example|click> [click](https://evil.example) \
                    @everyone <b>x</b> &lt; \u{1b}[31m\u{202e}\r\nmore, says me@contoso.com";

        assert_eq!(
            harmless(text),
            "‹!channel› ‹https://evil.example|click› [click] (https://evil.example) \
             ＠everyone ‹b›x‹/b› ＆lt; \\u001b[31m\\u202e  more, says me@contoso.com"
        );
    }

    #[test]
    fn a_notice_is_cut_where_no_chat_would_take_it() {
        let text = harmless(&"é".repeat(1 << 20));

        assert_eq!(text.chars().count(), 4001);
        assert!(text.ends_with('…'));
    }
}
