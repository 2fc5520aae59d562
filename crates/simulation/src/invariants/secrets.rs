//! Nothing secret ever leaves or is written down: no token and no signed address, in no entry, no
//! blob, no snapshot, no body that is sent to Azure, its tags among it; nor, as they are sent or said
//! ([`crate::world::Watch::says`]), in a message, a notice to people, an answer of the app's own API
//! or a line of its log.

use super::{Invariant, Seen};
use crate::world::{HOOK, TOKEN};

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
        for (key, bytes) in seen.objects {
            if let Some(secret) = secret(&String::from_utf8_lossy(bytes)) {
                return Err(format!("{key} has {secret}"));
            }
        }
        for write in seen.writes.iter().filter(|it| it.ours) {
            if let Some(secret) = secret(&write.body.to_string()) {
                return Err(format!("the body of {} has {secret}", write.path));
            }
        }
        Ok(())
    }
}

/// What of `text` is secret.
pub(crate) fn secret(text: &str) -> Option<&'static str> {
    if text.contains(TOKEN) {
        return Some("a token");
    }
    if text.contains(HOOK) {
        return Some("the address of the people's webhook");
    }
    SIGNED.iter().any(|it| text.contains(it)).then_some("a signed address")
}
