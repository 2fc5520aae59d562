//! What a message says: which entry of which image's ledger wants which function.

use std::fmt;
use std::str::FromStr;

use rules::ImageName;
use rules::wake::Function;
use serde::{Deserialize, Serialize};

use crate::BODY_LIMIT;

/// A pointer into the ledger. As text it is the id of its message,
/// `<image>:<seq>:<function>:<generation>.<ordinal>`; as JSON it is the body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pointer {
    pub image: ImageName,
    /// The entry that wants it; the first is 1.
    pub seq: u64,
    pub function: Function,
    /// Raised only when the wish is woken again; a message of an older one is dropped.
    #[serde(default)]
    pub generation: u32,
    /// Counts the looks of one wish, so that each of its messages has an id of its own.
    #[serde(default)]
    pub ordinal: u32,
    /// How many of these looks failed one after another; not a part of the id.
    #[serde(default)]
    pub failures: u32,
}

/// A text or body that is not a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("a message of {0} bytes is not a pointer, which has at most {BODY_LIMIT}")]
    TooLong(usize),
    #[error("the message is not a pointer: {0}")]
    NotAPointer(String),
    #[error("the message points at entry 0, and the first entry of a ledger is 1")]
    NoEntry,
    #[error("`{0}` is not `<image>:<seq>:<function>:<generation>.<ordinal>`")]
    NotAnId(String),
}

impl Pointer {
    /// Reads the body of a message. Members that it does not know are left to those who do.
    ///
    /// # Errors
    /// For any bytes that are not a pointer, and says why.
    pub fn from_body(body: &[u8]) -> Result<Pointer, PointerError> {
        if body.len() > BODY_LIMIT {
            return Err(PointerError::TooLong(body.len()));
        }
        let pointer: Pointer = serde_json::from_slice(body)
            .map_err(|error| PointerError::NotAPointer(error.to_string()))?;
        if pointer.seq == 0 {
            return Err(PointerError::NoEntry);
        }
        Ok(pointer)
    }

    /// The body of its message.
    pub fn to_body(&self) -> String {
        let Pointer { image, seq, function, generation, ordinal, failures } = self;
        // Names hold no character that JSON escapes.
        format!(
            "{{\"image\":\"{image}\",\"seq\":{seq},\"function\":\"{function}\",\
             \"generation\":{generation},\"ordinal\":{ordinal},\"failures\":{failures}}}"
        )
    }

    /// The same wish, one look later.
    pub fn next_look(&self) -> Pointer {
        Pointer { ordinal: self.ordinal.saturating_add(1), failures: 0, ..self.clone() }
    }

    /// The same wish, one look later, when nothing was looked at this time.
    pub fn put_off(&self) -> Pointer {
        Pointer { ordinal: self.ordinal.saturating_add(1), ..self.clone() }
    }

    /// The same wish, one look later, after one that failed.
    pub fn next_try(&self) -> Pointer {
        Pointer { failures: self.failures.saturating_add(1), ..self.next_look() }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pointer { image, seq, function, generation, ordinal, .. } = self;
        write!(f, "{image}:{seq}:{function}:{generation}.{ordinal}")
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Pointer, PointerError> {
        let parsed = parts(text).filter(|pointer| pointer.to_string() == text);
        parsed.ok_or_else(|| PointerError::NotAnId(text.chars().take(128).collect()))
    }
}

fn parts(text: &str) -> Option<Pointer> {
    let mut parts = text.split(':');
    let (image, seq, function) = (parts.next()?, parts.next()?, parts.next()?);
    let (generation, ordinal) = parts.next()?.split_once('.')?;
    if parts.next().is_some() {
        return None;
    }
    Some(Pointer {
        image: image.parse().ok()?,
        seq: seq.parse().ok().filter(|seq| *seq > 0)?,
        function: function.parse().ok()?,
        generation: generation.parse().ok()?,
        ordinal: ordinal.parse().ok()?,
        failures: 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pointer() -> Pointer {
        Pointer {
            image: "ubuntu-web".parse().unwrap(),
            seq: 12,
            function: Function::JudgeImage,
            generation: 1,
            ordinal: 3,
            failures: 0,
        }
    }

    #[test]
    fn a_pointer_is_the_id_and_the_body_of_its_message() {
        let body = r#"{"image":"ubuntu-web","seq":12,"function":"judge_image","generation":1,"ordinal":3,"failures":0}"#;

        assert_eq!(pointer().to_string(), "ubuntu-web:12:judge_image:1.3");
        assert_eq!(pointer().to_body(), body);
        assert_eq!(pointer().to_body(), serde_json::to_string(&pointer()).unwrap());
        assert_eq!(pointer().next_look().to_string(), "ubuntu-web:12:judge_image:1.4");
    }

    #[test]
    fn a_failure_is_carried_on_and_a_good_look_forgets_it() {
        let tried_twice = pointer().next_try().next_try();

        assert_eq!(tried_twice.to_string(), "ubuntu-web:12:judge_image:1.5");
        assert_eq!(Pointer::from_body(tried_twice.to_body().as_bytes()).unwrap().failures, 2);
        assert_eq!(tried_twice.next_look().failures, 0);
    }

    #[test]
    fn a_message_of_a_later_release_is_still_a_pointer() {
        let body = br#"{"image":"web","seq":1,"function":"notify","because":"a person asked"}"#;

        let pointer = Pointer::from_body(body).unwrap();

        assert_eq!(pointer.to_string(), "web:1:notify:0.0");
    }

    #[test]
    fn what_is_not_a_pointer_is_refused_with_a_reason() {
        let cases = [
            ("", "not a pointer"),
            ("null", "not a pointer"),
            (r#"{"image":"../x","seq":1,"function":"notify"}"#, "`../x` is not the name"),
            (r#"{"image":"web","seq":1,"function":"format_disk"}"#, "format_disk"),
            (r#"{"image":"web","seq":-1,"function":"notify"}"#, "not a pointer"),
            (r#"{"image":"web","seq":0,"function":"notify"}"#, "the first entry"),
            (r#"{"image":"web","function":"notify"}"#, "seq"),
        ];
        for (body, expected) in cases {
            let error = Pointer::from_body(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
        assert_eq!(Pointer::from_body(&[b' '; 1025]), Err(PointerError::TooLong(1025)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_pointer_or_a_reason(body in proptest::collection::vec(any::<u8>(), 0..1100)) {
            if let Err(error) = Pointer::from_body(&body) {
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn any_text_gives_the_id_it_came_from_or_a_reason(text in "[a-z-]{0,3}:?[0-9]{0,21}:?[a-z_]{0,8}(:notify)?:?[0-9]{0,11}\\.?[0-9]{0,2}") {
            if let Ok(pointer) = text.parse::<Pointer>() {
                prop_assert_eq!(pointer.to_string(), text);
            }
        }

        #[test]
        fn every_pointer_comes_back_from_its_id_and_its_body(
            image in "[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}",
            seq in 1..=u64::MAX,
            function in 0..Function::ALL.len(),
            generation: u32,
            ordinal: u32,
            failures: u32,
        ) {
            let function = Function::ALL[function];
            let image = image.parse().unwrap();
            let pointer = Pointer { image, seq, function, generation, ordinal, failures };

            let from_id = Pointer { failures: 0, ..pointer.clone() };
            prop_assert_eq!(pointer.to_string().parse(), Ok(from_id));
            prop_assert_eq!(Pointer::from_body(pointer.to_body().as_bytes()), Ok(pointer.clone()));
            prop_assert!(pointer.to_string().len() <= 128);
            prop_assert!(pointer.to_body().len() <= BODY_LIMIT);
        }
    }
}
