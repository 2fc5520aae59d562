//! Nothing secret is ever in an event or a tag: no token, no signed address.

use super::{Invariant, Seen};
use crate::world::TOKEN;

/// What is in every signed status URL of the sandbox, and in every shared access signature.
const SIGNED: [&str; 3] = ["&c=MII", "sig=", "&s="];

/// Looks at the bytes.
#[derive(Debug)]
pub(super) struct Secrets;

impl Invariant for Secrets {
    fn name(&self) -> &'static str {
        "no secret is written down"
    }

    fn look(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        for (stream, entry) in &seen.entries {
            let text = String::from_utf8_lossy(&entry.bytes);
            if let Some(secret) = secret(&text) {
                return Err(format!("{stream}: entry {} has {secret}", entry.seq));
            }
        }
        for write in seen.writes.iter().filter(|it| it.ours) {
            let tags = write.body["tags"].to_string();
            if let Some(secret) = secret(&tags) {
                return Err(format!("the tags of {} have {secret}", write.path));
            }
        }
        Ok(())
    }
}

fn secret(text: &str) -> Option<&'static str> {
    if text.contains(TOKEN) {
        return Some("a token");
    }
    SIGNED.iter().any(|it| text.contains(it)).then_some("a signed address")
}
