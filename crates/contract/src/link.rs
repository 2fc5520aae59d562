//! The links that answers handed out: nobody but Azure knows what they look like, so a request that
//! follows one is checked for being one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use http::{Method, Uri};

/// What a link leads to, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) leads: Leads,
    /// The request that was answered with it first: whatever comes later is of its operation.
    pub(crate) began: Began,
}

/// A request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Began {
    pub(crate) method: Method,
    /// With its query, without a host.
    pub(crate) path: String,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// The status of a long-running operation.
    Status,
    /// The result of one: 202 while there is none.
    Result,
    /// The next page of a list.
    Page,
}

/// The links. They are secret, so only their digests are kept.
#[derive(Debug, Default)]
pub(crate) struct Links(BTreeMap<u64, Link>);

impl Links {
    /// An answer handed out `link`.
    pub(crate) fn handed_out(&mut self, link: &str, leads: Leads, began: &Began) {
        if let Some(path) = below_host(link) {
            self.0.insert(digest(&path), Link { leads, began: began.clone() });
        }
    }

    /// What `path`, with its query, leads to when it was handed out.
    pub(crate) fn followed(&self, path: &str) -> Option<Link> {
        self.0.get(&digest(path)).cloned()
    }
}

fn below_host(link: &str) -> Option<String> {
    let uri: Uri = link.parse().ok()?;
    Some(uri.path_and_query()?.as_str().to_owned())
}

fn digest(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Whether `path` looks like one that only an answer can hand out.
pub(crate) fn is_status(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let mut parts = path.trim_matches('/').rsplit('/');
    let (_, kind) = (parts.next(), parts.next().unwrap_or_default());
    kind.ends_with("operations") || kind.ends_with("operationresults")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_by_all_that_stands_below_its_host() {
        let mut links = Links::default();
        let began = Began { method: Method::PUT, path: "/a".to_owned() };
        links.handed_out("http://127.0.0.1:1/a/operations/1?t=1&s=x", Leads::Status, &began);

        let link = Link { leads: Leads::Status, began };
        assert_eq!(links.followed("/a/operations/1?t=1&s=x"), Some(link));
        assert_eq!(links.followed("/a/operations/1?t=1&s=y"), None);
        assert_eq!(links.followed("/a/operations/1"), None);
    }

    #[test]
    fn status_urls_are_known_by_their_kind() {
        assert!(is_status(
            "/subscriptions/s/providers/Microsoft.Compute/locations/l/capsOperations/1"
        ));
        assert!(is_status("/subscriptions/s/operationresults/1?t=1"));
        assert!(!is_status("/providers/Microsoft.VirtualMachineImages/operations"));
        assert!(!is_status("/subscriptions/s/resourceGroups/g"));
    }
}
