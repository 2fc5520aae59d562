//! GUIDs that are made of what they name: nothing on the desk is left to chance, so that the same
//! state and time give the same ids.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The GUID (version 8, custom) of these words, in lower case.
pub fn of(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;

    let hex = HEXLOWER.encode(&bytes);
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_give_the_same_guid_and_others_another() {
        assert_eq!(of(&["lock", "a", "1"]), of(&["lock", "a", "1"]));
        assert_ne!(of(&["lock", "a", "1"]), of(&["lock", "a1", ""]));
    }

    #[test]
    fn a_guid_has_its_shape() {
        let guid = of(&["x"]);

        let groups: Vec<usize> = guid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(&guid[14..15], "8");
    }
}
