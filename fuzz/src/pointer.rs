//! Messages of the bus, which point into the ledger.

use bus::{BODY_LIMIT, Pointer};

pub(crate) fn pointer(bytes: &[u8]) {
    if let Ok(pointer) = Pointer::from_body(bytes) {
        let written = pointer.to_body();
        assert!(written.len() <= BODY_LIMIT, "{written}");
        assert_eq!(Pointer::from_body(written.as_bytes()).as_ref(), Ok(&pointer));
        // What a visit goes on to.
        let (look, again) = (pointer.next_look(), pointer.next_try());
        assert!(look.to_body().len() <= BODY_LIMIT && again.to_body().len() <= BODY_LIMIT);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(pointer) = text.parse::<Pointer>() {
        assert_eq!(pointer.to_string().parse(), Ok(pointer));
    }
}
