//! What Azure's answers say is left of its budgets. Nothing of it outlives an invocation, since
//! functions share no memory: it decides when this invocation's next messages come due.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use rules::pace::Left;

/// ARM's budgets, each in a header of its own behind this.
const REMAINING: &str = "x-ms-ratelimit-remaining-";

/// The budgets that the answers to one client have named, each at its lowest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budgets(Arc<Mutex<Left>>);

impl Budgets {
    /// Notes what an answer says is left.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, requests) in told(headers) {
            let known = left.entry(name).or_insert(requests);
            *known = requests.min(*known);
        }
    }

    /// What was left at the lowest.
    pub(crate) fn left(&self) -> Left {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The budgets of one answer: `subscription-reads`, `user-quota`, and Compute's own by their names,
/// `GetGallery3Min`, of which one header holds several.
fn told(headers: &HeaderMap) -> Vec<(String, u64)> {
    let mut told = Vec::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if name == "x-ms-user-quota-remaining" {
            told.extend(value.trim().parse().ok().map(|it| ("user-quota".to_owned(), it)));
            continue;
        }
        match name.as_str().strip_prefix(REMAINING) {
            Some("resource") => told.extend(value.split(',').filter_map(policy)),
            Some(name) => told.extend(value.trim().parse().ok().map(|it| (name.to_owned(), it))),
            None => {}
        }
    }
    told
}

/// `Microsoft.Compute/GetGallery3Min;349`.
fn policy(text: &str) -> Option<(String, u64)> {
    let (name, left) = text.split_once(';')?;
    let (_, name) = name.trim().rsplit_once('/')?;
    Some((name.to_owned(), left.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    /// The headers of gallery_e2e.json, vm_from_gallery.json and resource_graph_queries.json.
    #[test]
    fn the_recorded_headers_are_read() {
        let headers = headers(&[
            (
                "x-ms-ratelimit-remaining-resource",
                "Microsoft.Compute/CreateUpdateGalleryImageVersion3Min;374,Microsoft.Compute/CreateUpdateGalleryImageVersion30Min;1199",
            ),
            ("x-ms-ratelimit-remaining-subscription-writes", "199"),
            ("x-ms-ratelimit-remaining-subscription-global-writes", "2999"),
            ("x-ms-user-quota-remaining", "14"),
            ("x-ms-user-quota-resets-after", "00:00:05"),
        ]);

        let mut told = told(&headers);

        told.sort();
        let expected = [
            ("CreateUpdateGalleryImageVersion30Min", 1199),
            ("CreateUpdateGalleryImageVersion3Min", 374),
            ("subscription-global-writes", 2999),
            ("subscription-writes", 199),
            ("user-quota", 14),
        ];
        assert_eq!(told, expected.map(|(name, left)| (name.to_owned(), left)));
    }

    #[test]
    fn what_is_no_number_is_passed_over() {
        let headers = headers(&[
            ("x-ms-ratelimit-remaining-resource", "Microsoft.Compute/A;many,,B;3,;"),
            ("x-ms-ratelimit-remaining-subscription-reads", "-1"),
            ("x-ms-ratelimit-microsoft.costmanagement", "9"),
        ]);

        assert_eq!(told(&headers), []);
    }

    #[test]
    fn the_lowest_of_several_answers_counts() {
        let budgets = Budgets::default();
        for value in ["7", "5", "6"] {
            budgets.note(&headers(&[("x-ms-ratelimit-remaining-subscription-reads", value)]));
        }

        assert_eq!(budgets.left(), Left::from([("subscription-reads".to_owned(), 5)]));
    }
}
