//! Answers of the identity endpoint.

use std::sync::Arc;

use http::Method;
use seam::outbound::Audience;
use seam::{Outbound, Request, Tokens};

use super::script::{Leaping, Told, block_on};

pub(crate) fn token(bytes: &[u8]) {
    let wire = Arc::new(Told::new(bytes));
    let tokens = Arc::new(Tokens::managed(wire.clone(), Some("ours".to_owned())));
    let host = "management.azure.com".to_owned();
    let outbound = Outbound::new(wire, Arc::new(Leaping::default()), tokens, [host]);
    let mut request = Request::default();
    *request.method_mut() = Method::GET;
    *request.uri_mut() = "https://management.azure.com/x".parse().expect("an address");
    request.extensions_mut().insert(Audience("https://management.azure.com"));

    if let Err(fault) = block_on(outbound.send(request)) {
        let text = fault.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(text.len() < 10_000, "{} bytes", text.len());
    }
}
