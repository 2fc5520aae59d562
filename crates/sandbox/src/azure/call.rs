//! One request as the routes see it: a path in pieces, a query, a body.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::answer::Refusal;
use crate::origin;

/// A parsed request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The pieces of the path as they were sent.
    pub(super) segments: Vec<String>,
    /// The pieces in lower case: paths are matched without regard to case.
    pub(super) lower: Vec<String>,
    /// The query; names in lower case.
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// `http://127.0.0.1:4711`: the address under which the client knows us.
    pub(super) origin: String,
}

impl Call {
    /// Parses a request.
    pub(super) fn new(method: Method, uri: &Uri, headers: &HeaderMap, body: Vec<u8>) -> Call {
        let segments: Vec<String> =
            uri.path().split('/').filter(|it| !it.is_empty()).map(decoded).collect();
        let lower = segments.iter().map(|it| it.to_ascii_lowercase()).collect();
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
            .collect();
        Call { method, segments, lower, query, body, origin: origin::of(uri, headers) }
    }

    /// The api-version; empty when there is none.
    pub(super) fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// A value of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Whether `$expand` names `what`.
    pub(super) fn expands(&self, what: &str) -> bool {
        let expand = self.query("$expand").unwrap_or_default();
        expand.split(',').any(|it| it.trim().eq_ignore_ascii_case(what))
    }

    /// The body as a JSON object.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        let invalid = |why: &str| {
            Refusal::gateway(
                StatusCode::BAD_REQUEST,
                "InvalidRequestContent",
                format!("The request content was invalid and could not be deserialized: '{why}'."),
            )
        };
        let value: Value =
            serde_json::from_slice(&self.body).map_err(|error| invalid(&error.to_string()))?;
        if !value.is_object() {
            return Err(invalid("the body is not a JSON object"));
        }
        Ok(value)
    }

    /// The id of the resource that the first `pieces` pieces of the path name, as they were sent
    /// but with ARM's own words in their proper case.
    pub(super) fn id(&self, pieces: usize) -> String {
        let mut id = String::new();
        for (index, piece) in self.segments.iter().take(pieces).enumerate() {
            let proper = match (index, self.lower[index].as_str()) {
                (0, "subscriptions") => "subscriptions",
                (2, "resourcegroups") => "resourceGroups",
                (4, "providers") => "providers",
                (5, "microsoft.compute") => "Microsoft.Compute",
                (5, "microsoft.virtualmachineimages") => "Microsoft.VirtualMachineImages",
                (6, "galleries") => "galleries",
                (6, "imagetemplates") => "imageTemplates",
                (6, "virtualmachines") => "virtualMachines",
                (6, "virtualmachinescalesets") => "virtualMachineScaleSets",
                (8, "images") => "images",
                (8, "runoutputs") => "runOutputs",
                (10, "versions") => "versions",
                _ => piece,
            };
            id.push('/');
            id.push_str(proper);
        }
        id
    }
}

fn decoded(piece: &str) -> String {
    percent_decode_str(piece).decode_utf8_lossy().into_owned()
}
