//! Resource Graph: queries over many subscriptions, page by page. It shows only what the identity
//! may read, so an answer without a row proves nothing by itself; and its pages are offsets, so
//! rows may be missed while the data moves. Both are told with the rows.

use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::RESOURCE_GRAPH;
use crate::client::{Arm, Call};
use crate::error::{At, Error};

#[cfg(test)]
mod recorded;

/// The most rows of a page (resourcegraph.json).
const PAGE: u32 = 1000;

/// The most pages of one query.
const MOST_PAGES: usize = 500;

/// The most subscriptions in one query (MicrosoftDocs, guidance-for-throttled-requests.md).
pub(crate) const MOST_SUBSCRIPTIONS: usize = 300;

/// Where a query looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Subscriptions(Vec<String>),
    ManagementGroup(String),
}

/// The rows of a query, and how far they can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    /// How many rows there are, by the last page.
    pub total: u64,
    /// True: their number changed between the pages, or is not what arrived; rows may be missing.
    pub moved: bool,
    /// False: Azure says that it left something out.
    pub complete: bool,
}

impl Arm {
    /// Asks Resource Graph. `query` must project and order by `id`, or its pages are not stable.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        query: &str,
    ) -> Result<Rows<T>, Error> {
        let at = At { operation: "ask Resource Graph about", resource: scope.to_string() };
        let mut answer = Rows { rows: Vec::new(), total: 0, moved: false, complete: true };
        let mut skip_token: Option<String> = None;

        for page_number in 0..MOST_PAGES {
            let body = body(scope, query, skip_token.as_deref());
            let body = match serde_json::to_vec(&body) {
                Ok(body) => Some(body),
                Err(error) => return Err(Error::NotSent { at, because: error.to_string() }),
            };
            let path = format!(
                "/providers/Microsoft.ResourceGraph/resources?api-version={RESOURCE_GRAPH}"
            );
            let call = Call { at: at.clone(), method: Method::POST, path, body, permit: None };
            let page = self.call(call).await?;
            let limited = page
                .headers
                .get("x-ms-tenant-subscription-limit-hit")
                .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"true"));
            let page: Page<T> = page.read(Ok)?;

            let truncated = page.result_truncated.eq_ignore_ascii_case("true");
            let next = page.skip_token.filter(|it| !it.is_empty());
            if page_number > 0 && page.total_records != answer.total {
                answer.moved = true;
            }
            answer.total = page.total_records;
            let left_out = limited || (truncated && next.is_none());
            answer.complete &= !left_out;
            answer.rows.extend(page.data);

            // The token says whether there is more; `resultTruncated` was recorded as "false" with
            // a token beside it.
            let Some(next) = next else {
                answer.moved |= u64::try_from(answer.rows.len()) != Ok(answer.total);
                return Ok(answer);
            };
            if skip_token.as_ref() == Some(&next) {
                let what = "the token of its next page is that of the last one".to_owned();
                return Err(Error::Malformed { at, what, excerpt: String::new() });
            }
            skip_token = Some(next);
        }

        let what = format!("the answer has more than {MOST_PAGES} pages");
        Err(Error::Malformed { at, what, excerpt: String::new() })
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Subscriptions(ids) => match ids.as_slice() {
                [id] => write!(f, "subscription {id}"),
                ids => write!(f, "{} subscriptions", ids.len()),
            },
            Scope::ManagementGroup(name) => write!(f, "management group {name}"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriptions: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    management_groups: Option<[&'a str; 1]>,
    query: &'a str,
    options: Options<'a>,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(rename = "resultFormat")]
    result_format: &'static str,
    #[serde(rename = "$top")]
    top: u32,
    #[serde(rename = "$skipToken", skip_serializing_if = "Option::is_none")]
    skip_token: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
struct Page<T> {
    total_records: u64,
    /// A text, not a boolean.
    result_truncated: String,
    #[serde(rename = "$skipToken")]
    skip_token: Option<String>,
    data: Vec<T>,
}

fn body<'a>(scope: &'a Scope, query: &'a str, skip_token: Option<&'a str>) -> Body<'a> {
    let (subscriptions, management_groups) = match scope {
        Scope::Subscriptions(ids) => (Some(ids.as_slice()), None),
        Scope::ManagementGroup(name) => (None, Some([name.as_str()])),
    };
    let options = Options { result_format: "objectArray", top: PAGE, skip_token };
    Body { subscriptions, management_groups, query, options }
}

/// `text` as a literal of the query language.
pub(crate) fn literal(text: &str) -> String {
    let mut literal = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => literal.extend(['\\', letter]),
            letter if letter.is_control() => {}
            letter => literal.push(letter),
        }
    }
    literal.push('\'');
    literal
}
