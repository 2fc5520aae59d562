//! Answers of the ledger's store.

use ledger::{Ledger, StreamName};

use super::script::{Told, block_on};

const HOST: &str = "a.blob.core.windows.net";

pub(crate) fn store(bytes: &[u8]) {
    let outbound = Told::new(bytes).outbound(HOST);
    let store = seam::store::open(&format!("https://{HOST}/goldsmith"), &outbound);
    let ledger = Ledger::new(store.expect("an address"), "contoso".parse().expect("a name"));
    block_on(async {
        let _ = ledger.read(&StreamName::Image("web".parse().expect("a name"))).await;
        let _ = ledger.blob(&"0".repeat(64)).await;
        let _ = ledger.streams().await;
    });
}
