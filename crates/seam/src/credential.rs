//! azure_identity's credentials, over the seam: a managed identity, or whoever is logged in to a
//! tool on this machine.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{
    DeveloperToolsCredential, DeveloperToolsCredentialOptions, Executor, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use tokio::sync::Mutex;

use crate::{Clock, Fault, Wire};

/// An identity endpoint answers with a few kilobytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// How much of a refusal is worth quoting.
const REFUSAL_LIMIT: usize = 256;

/// A developer's token that is good for less than so many seconds is not used, as azure_identity
/// does with those that it keeps itself.
const REFRESH_BEFORE_SECS: i64 = 300;

/// Whose tokens are asked for.
pub(crate) enum Whose {
    /// The user-assigned identity with this client id, else the system-assigned one.
    Managed { wire: Arc<dyn Wire>, client_id: Option<String> },
    /// Whoever is logged in; `executor` runs the tool, azure_identity's own one when there is none.
    Developer { clock: Arc<dyn Clock>, executor: Option<Arc<dyn Executor>> },
}

impl Whose {
    /// The identity, in words.
    pub(crate) fn name(&self) -> String {
        match self {
            Whose::Managed { client_id: Some(id), .. } => {
                format!("the managed identity with client id `{id}`")
            }
            Whose::Managed { client_id: None, .. } => {
                "the system-assigned managed identity".to_owned()
            }
            Whose::Developer { .. } => "whoever is logged in to `az` or `azd`".to_owned(),
        }
    }

    /// A credential that has asked for nothing yet.
    pub(crate) fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        match self {
            Whose::Managed { wire, client_id } => {
                let client_options = ClientOptions {
                    retry: RetryOptions::none(),
                    transport: Some(Transport::new(Arc::new(OverTheWire(Arc::clone(wire))))),
                    ..ClientOptions::default()
                };
                let credential =
                    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                        user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                        client_options,
                    }))?;
                Ok(credential)
            }
            Whose::Developer { clock, executor } => {
                let options = DeveloperToolsCredentialOptions { executor: executor.clone() };
                let tools = DeveloperToolsCredential::new(Some(options))?;
                let clock = Arc::clone(clock);
                Ok(Arc::new(Remembered { tools, clock, token: Mutex::new(None) }))
            }
        }
    }

    /// Says what happened and what to do. A credential's own text may quote the answer, and an
    /// answer that could not be read may be a good one; so only refusals are quoted.
    pub(crate) fn refused(&self, audience: &str, error: &azure_core::Error) -> String {
        let identity = self.name();
        let no_token = format!("no token for `{audience}`");
        if let Whose::Developer { .. } = self {
            return format!(
                "{no_token} of {identity}: log in with `az login`, and see what `az account \
                 get-access-token --scope {audience}/.default` says"
            );
        }

        match no_answer(error) {
            Some(NoAnswer::Refused { status: status @ (429 | 500..), detail }) => format!(
                "{no_token}: the identity endpoint answered {status} {detail}; it is asked again \
                 with the next step"
            ),
            Some(NoAnswer::Refused { status, detail }) => format!(
                "{no_token}: the identity endpoint answered {status} {detail}; check that \
                 {identity} is assigned to the function app"
            ),
            Some(NoAnswer::Fault(fault)) => format!(
                "{no_token}: the identity endpoint cannot be reached ({fault}); check that \
                 {identity} is assigned to the function app"
            ),
            None => format!(
                "{no_token}: what the identity endpoint answered is not a token of {identity}; \
                 check `IDENTITY_ENDPOINT`"
            ),
        }
    }
}

/// The tools' credential runs a program of several seconds for every token; a token is kept here.
#[derive(Debug)]
struct Remembered {
    tools: Arc<DeveloperToolsCredential>,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<AccessToken>>,
}

#[async_trait]
impl TokenCredential for Remembered {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut kept = self.token.lock().await;
        let soon = self.clock.now().timestamp() + REFRESH_BEFORE_SECS;
        if let Some(token) = kept.as_ref()
            && token.expires_on.unix_timestamp() > soon
        {
            return Ok(token.clone());
        }
        let token = self.tools.get_token(scopes, options).await?;
        Ok(kept.insert(token).clone())
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
