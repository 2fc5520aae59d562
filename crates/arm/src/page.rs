//! Lists, page by page. An empty page with a next link is legal and was recorded hundreds of times;
//! a link to another host is not followed, since it would be sent our token.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::Arm;
use crate::error::Error;

/// The most pages of one list; a subscription's whole quota of versions fits in far fewer.
const MOST_PAGES: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    value: Vec<T>,
    next_link: Option<String>,
}

impl Arm {
    /// Every item of the list at `path`, each made a fact by `fact`.
    pub(crate) async fn list<T: DeserializeOwned, F>(
        &self,
        operation: &'static str,
        resource: String,
        path: String,
        fact: impl Fn(T) -> Result<F, String>,
    ) -> Result<Vec<F>, Error> {
        let mut facts = Vec::new();
        let mut path = path;

        for _ in 0..MOST_PAGES {
            let answer = self.get(operation, resource.clone(), path.clone()).await?;
            let at = answer.at.clone();
            let next = answer.read(|page: Page<T>| {
                for item in page.value {
                    facts.push(fact(item)?);
                }
                Ok(page.next_link.filter(|it| !it.is_empty()))
            })?;
            let Some(next) = next else { return Ok(facts) };
            let own = self.own_path(&next).filter(|it| *it != path);
            let Some(own) = own else {
                let what = "the link to its next page leads to another host, or nowhere".to_owned();
                // The link itself may be signed.
                return Err(Error::Malformed { at, what, excerpt: String::new() });
            };
            path = own;
        }

        let at = crate::error::At { operation, resource };
        let what = format!("the list has more than {MOST_PAGES} pages");
        Err(Error::Malformed { at, what, excerpt: String::new() })
    }
}
