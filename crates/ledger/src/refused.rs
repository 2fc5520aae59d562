//! Messages that are not what they should be: kept with the reason, since a custom handler
//! cannot dead-letter.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::path::Path;
use serde::Serialize;

use crate::entry::sha256;
use crate::{Ledger, LedgerError};

/// How much of a refused message is kept, in bytes.
const KEPT: usize = 64 * 1024;

#[derive(Serialize)]
struct Refused<'a> {
    id: &'a str,
    reason: &'a str,
    /// The length of the message in bytes, of which only a beginning may be kept.
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// The body when it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Ledger {
    /// Keeps a message that cannot be acted on, under `refused/`, with the reason. The same id
    /// keeps its first.
    ///
    /// # Errors
    /// [`LedgerError::Store`] when the store is ill.
    pub async fn refuse(
        &self,
        message_id: &str,
        reason: &str,
        body: &[u8],
    ) -> Result<(), LedgerError> {
        let (text, base64) = beginning(body);
        let refused = Refused { id: message_id, reason, size: body.len(), body: text, base64 };
        let file = format!("{}.json", file_name(message_id));
        let key = Path::from_iter(["refused", file.as_str()]);
        let bytes = serde_json::to_vec(&refused).map_err(|error| LedgerError::Unusable {
            key: key.to_string(),
            because: error.to_string(),
        })?;
        self.create(&key, bytes.into()).await
    }
}

/// The beginning of a body: as text when it is text, else in base64.
fn beginning(body: &[u8]) -> (Option<&str>, Option<String>) {
    let kept = &body[..body.len().min(KEPT)];
    match std::str::from_utf8(kept) {
        Ok(text) => (Some(text), None),
        // Text that was cut in the middle of a character.
        Err(error) if error.error_len().is_none() && kept.len() < body.len() => {
            (std::str::from_utf8(&kept[..error.valid_up_to()]).ok(), None)
        }
        Err(_) => (None, Some(BASE64_STANDARD.encode(kept))),
    }
}

/// A message id is anybody's text; the name of a file is not. What had to be changed is told
/// apart by a hash.
fn file_name(message_id: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    let replaced = message_id.chars().map(|it| if plain(it) { it } else { '-' });
    let name: String = replaced.take(100).collect();
    if name == message_id && !name.is_empty() && !name.starts_with('.') {
        return name;
    }
    let hash = sha256(message_id.as_bytes());
    format!("{}-{}", name.trim_start_matches('.'), &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_messages_never_share_a_file_and_none_leaves_its_folder() {
        assert_eq!(file_name("d3b0-1.x"), "d3b0-1.x");
        for id in ["", "..", "../../x", "web:1:notify:0.0", "ä/b", &"x".repeat(200)] {
            let name = file_name(id);
            assert!(name.len() <= 117 && !name.contains('/') && !name.starts_with('.'), "{name}");
        }
        assert_ne!(file_name("web:1"), file_name("web/1"));
        assert_ne!(file_name(&"x".repeat(200)), file_name(&"x".repeat(201)));
    }

    #[test]
    fn text_stays_text_and_other_bytes_stay_what_they_are() {
        let long = "ä".repeat(KEPT);

        assert_eq!(beginning(b"{\"a\":1}"), (Some("{\"a\":1}"), None));
        assert_eq!(beginning(&[0xff, 0x00]), (None, Some("/wA=".to_owned())));
        assert_eq!(beginning(format!("x{long}").as_bytes()).0.map(str::len), Some(KEPT - 1));
    }
}
