//! Bearer tokens: one credential, built at the first use, behind one lock.
//!
//! azure_identity reads the wall clock and the environment, and its cache never rests while
//! virtual time is behind; so in virtual time there is a fixed token instead.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use tokio::sync::Mutex;

use crate::{Fault, Wire};

/// An identity endpoint answers with a few kilobytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// How much of a refusal is worth quoting.
const REFUSAL_LIMIT: usize = 256;

/// Where bearer tokens come from.
pub struct Tokens(Source);

enum Source {
    Fixed(String),
    Managed {
        wire: Arc<dyn Wire>,
        client_id: Option<String>,
        credential: Mutex<Option<Arc<ManagedIdentityCredential>>>,
    },
}

impl Tokens {
    /// The same token for every audience: tests, the simulation and the desk.
    pub fn fixed(token: impl Into<String>) -> Tokens {
        Tokens(Source::Fixed(token.into()))
    }

    /// Tokens of the function app's managed identity, asked for over `wire`: the user-assigned one
    /// with `client_id`, else the system-assigned one. `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`
    /// in the environment say where to ask, as the platform sets them; without them it is the
    /// virtual machine's metadata service.
    pub fn managed(wire: Arc<dyn Wire>, client_id: Option<String>) -> Tokens {
        Tokens(Source::Managed { wire, client_id, credential: Mutex::new(None) })
    }

    /// A token for `audience` (`https://management.azure.com`), from the cache while it is good
    /// for 5 minutes more.
    ///
    /// # Errors
    /// A text that names the audience and the next move, and never holds a token.
    pub async fn bearer(&self, audience: &str) -> Result<String, String> {
        let (wire, client_id, credential) = match &self.0 {
            Source::Fixed(token) => return Ok(token.clone()),
            Source::Managed { wire, client_id, credential } => (wire, client_id, credential),
        };

        // Held over the request, so that a burst of steps asks the endpoint once.
        let mut credential = credential.lock().await;
        let built = match credential.as_ref() {
            Some(built) => Arc::clone(built),
            None => {
                let built = build(wire, client_id.clone())
                    .map_err(|error| refused(audience, client_id.as_deref(), &error))?;
                Arc::clone(credential.insert(built))
            }
        };

        let scope = format!("{}/.default", audience.trim_end_matches('/'));
        let token = built
            .get_token(&[&scope], None)
            .await
            .map_err(|error| refused(audience, client_id.as_deref(), &error))?;
        Ok(token.token.secret().to_owned())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Fixed(_) => f.write_str("Tokens::fixed(…)"),
            Source::Managed { client_id, .. } => write!(f, "Tokens::managed({client_id:?})"),
        }
    }
}

fn build(
    wire: &Arc<dyn Wire>,
    client_id: Option<String>,
) -> azure_core::Result<Arc<ManagedIdentityCredential>> {
    let client_options = ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(OverTheWire(Arc::clone(wire))))),
        ..ClientOptions::default()
    };
    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(UserAssignedId::ClientId),
        client_options,
    }))
}

/// Says what happened and what to do. A credential's own text may quote the answer, and an answer
/// that could not be read may be a good one; so only refusals are quoted.
fn refused(audience: &str, client_id: Option<&str>, error: &azure_core::Error) -> String {
    let identity = match client_id {
        Some(id) => format!("the managed identity with client id `{id}`"),
        None => "the system-assigned managed identity".to_owned(),
    };
    let no_token = format!("no token for `{audience}`");

    match no_answer(error) {
        Some(NoAnswer::Refused { status: status @ (429 | 500..), detail }) => format!(
            "{no_token}: the identity endpoint answered {status} {detail}; it is asked again with \
             the next step"
        ),
        Some(NoAnswer::Refused { status, detail }) => format!(
            "{no_token}: the identity endpoint answered {status} {detail}; check that {identity} \
             is assigned to the function app"
        ),
        Some(NoAnswer::Fault(fault)) => format!(
            "{no_token}: the identity endpoint cannot be reached ({fault}); check that {identity} \
             is assigned to the function app"
        ),
        None => format!(
            "{no_token}: what the identity endpoint answered is not a token of {identity}; check \
             `IDENTITY_ENDPOINT`"
        ),
    }
}

/// What our transport said; the credential wraps it in its own words.
fn no_answer(error: &azure_core::Error) -> Option<&NoAnswer> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<NoAnswer>() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// Why there is no answer to read a token from.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("answered {status} {detail}")]
    Refused { status: u16, detail: String },
    #[error(transparent)]
    Fault(Fault),
}

/// azure_core knows kinds of errors that it tries again. On a virtual machine the credential
/// does so for 72 seconds whatever its options say, which is longer than a step may take; so
/// everything but a good answer is an error of the kind that nobody tries again.
fn at_once(cause: NoAnswer) -> azure_core::Error {
    azure_core::Error::new(ErrorKind::Other, cause)
}

/// azure_core 1.x's transport over the seam.
#[derive(Debug)]
struct OverTheWire(Arc<dyn Wire>);

#[async_trait]
impl HttpClient for OverTheWire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else {
            let text = "a credential never sends a stream";
            return Err(azure_core::Error::with_message(ErrorKind::Other, text));
        };

        // azure_core keeps headers in a hash map; sorted, every process sends the same bytes.
        let mut headers: Vec<_> = request.headers().iter().collect();
        headers.sort_by_key(|(name, _)| *name);
        let mut ours =
            http::Request::builder().method(request.method().as_ref()).uri(request.url().as_str());
        for (name, value) in headers {
            ours = ours.header(name.as_str(), value.as_str());
        }
        let ours = ours.body(body.clone()).map_err(|error| {
            azure_core::Error::with_message(ErrorKind::Other, format!("not a request: {error}"))
        })?;

        let fault = |fault| at_once(NoAnswer::Fault(fault));
        let answer = self.0.send(ours).await.map_err(fault)?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            let detail = answer.excerpt(REFUSAL_LIMIT).await;
            return Err(at_once(NoAnswer::Refused { status, detail }));
        }
        let (status, _, body) = answer.collect(ANSWER_LIMIT).await.map_err(fault)?;
        Ok(AsyncRawResponse::from_bytes(status.as_u16().into(), Headers::new(), body))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::RawQuery;
    use axum::routing::get;
    use http::StatusCode;

    use super::*;
    use crate::Local;

    /// A machine's metadata service that counts what it is asked and gives `answer`.
    fn metadata(status: StatusCode, answer: &str) -> (Tokens, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let answer = answer.to_owned();
        let route = get(move |RawQuery(query): RawQuery| async move {
            let count = counter.fetch_add(1, Ordering::SeqCst);
            let query = query.unwrap_or_default();
            assert!(query.contains("client_id=ours"), "{query}");
            let audience = if query.contains("storage") { "storage" } else { "management" };
            (status, answer.replace("{n}", &format!("{audience}-{count}")))
        });
        let router = Router::new().route("/metadata/identity/oauth2/token", route);
        let wire = Local::to([("169.254.169.254".to_owned(), router)]);
        (Tokens::managed(Arc::new(wire), Some("ours".to_owned())), asked)
    }

    const GOOD: &str = r#"{"access_token":"secret-{n}","expires_on":"4102444800",
        "resource":"r","token_type":"Bearer"}"#;

    #[tokio::test]
    async fn a_token_is_asked_for_once_per_audience() {
        let (tokens, asked) = metadata(StatusCode::OK, GOOD);

        let first = tokens.bearer("https://management.azure.com").await.unwrap();
        let again = tokens.bearer("https://management.azure.com/").await.unwrap();
        let other = tokens.bearer("https://storage.azure.com").await.unwrap();

        assert_eq!(
            (first.as_str(), again.as_str()),
            ("secret-management-0", "secret-management-0")
        );
        assert_eq!(other, "secret-storage-1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_missing_identity_is_named_with_the_next_move_and_asked_for_once() {
        let (tokens, asked) = metadata(StatusCode::BAD_REQUEST, "{\"error\":\"invalid_request\"}");

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("https://management.azure.com"), "{error}");
        assert!(error.contains("`ours` is assigned to the function app"), "{error}");
        assert!(error.contains("invalid_request"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "azure_core's own retries are off");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_not_quoted() {
        let (tokens, _) = metadata(StatusCode::OK, r#"{"access_token":"secret","expires_on":1}"#);

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("is not a token of"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_is_busy_is_asked_once_per_step() {
        let (tokens, asked) = metadata(StatusCode::TOO_MANY_REQUESTS, "slow down");

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("429 slow down; it is asked again"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_machine_without_an_identity_endpoint_says_so() {
        let tokens = Tokens::managed(Arc::new(Local::default()), None);

        let error = tokens.bearer("https://management.azure.com").await.unwrap_err();

        assert!(error.contains("cannot be reached"), "{error}");
        assert!(error.contains("nothing listens on `169.254.169.254`"), "{error}");
    }

    #[tokio::test]
    async fn a_fixed_token_is_never_shown() {
        let tokens = Tokens::fixed("hush");

        assert_eq!(tokens.bearer("https://any").await.unwrap(), "hush");
        assert!(!format!("{tokens:?}").contains("hush"));
    }
}
