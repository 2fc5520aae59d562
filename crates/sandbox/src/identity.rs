//! The identity endpoint: a token for whoever asks in the way of an App Service or of a virtual
//! machine. The token looks like one of Entra's and is not signed; the doors of the desk ([`door`])
//! hold whoever brings it to what it says.

pub mod door;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use seam::Clock;
use serde_json::{Value, json};

/// How long a token says it is good for, the service's own choice.
const LIFE: TimeDelta = TimeDelta::hours(24);

/// What tokens can be had for: the audiences of Azure Resource Manager, Service Bus and Storage.
const ARM: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];
const BUS: [&str; 1] = ["https://servicebus.azure.net"];
const BLOB: [&str; 1] = ["https://storage.azure.com"];

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Whoever names no client id: the owner of the desk, who may do everything.
    Owner,
    /// The handler: everything, but it may delete nothing on Azure Resource Manager.
    Handler,
    /// Who deletes for the handler, and may do nothing else.
    Deleter,
}

impl Principal {
    /// Its client id in `tenant`.
    pub fn client_id(self, tenant: &str) -> String {
        match self {
            Principal::Owner => crate::guid::of(&["client", tenant]),
            Principal::Handler => crate::guid::of(&["client", tenant, "handler"]),
            Principal::Deleter => crate::guid::of(&["client", tenant, "deleter"]),
        }
    }
}

/// The managed identities of a desk.
#[derive(Debug)]
pub struct Identity {
    clock: Arc<dyn Clock>,
    tenant: String,
    secret: String,
    /// How many tokens it has given.
    given: AtomicU64,
}

impl Identity {
    /// The identities of `tenant`. `secret` is what an App Service's `IDENTITY_HEADER` says.
    pub fn new(
        clock: Arc<dyn Clock>,
        tenant: impl Into<String>,
        secret: impl Into<String>,
    ) -> Arc<Identity> {
        let (tenant, secret) = (tenant.into(), secret.into());
        Arc::new(Identity { clock, tenant, secret, given: AtomicU64::new(0) })
    }

    /// `/msi/token` (App Service) and `/metadata/identity/oauth2/token` (virtual machine).
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/msi/token", get(app_service))
            .route("/metadata/identity/oauth2/token", get(virtual_machine))
            .with_state(Arc::clone(self))
    }

    /// The client id of the owner.
    pub fn client_id(&self) -> String {
        self.client_id_of(Principal::Owner)
    }

    /// The client id of `principal`.
    pub fn client_id_of(&self, principal: Principal) -> String {
        principal.client_id(&self.tenant)
    }

    /// A token of the owner for `resource`: header, claims and a signature that is none, as text of
    /// a JWT.
    pub fn token(&self, resource: &str, expires: DateTime<Utc>) -> String {
        self.token_of(Principal::Owner, resource, expires)
    }

    /// A token of `principal` for `resource`.
    pub fn token_of(&self, principal: Principal, resource: &str, expires: DateTime<Utc>) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let client_id = self.client_id_of(principal);
        let issued = (expires - LIFE).timestamp();
        let header = part(json!({ "alg": "none", "typ": "JWT" }));
        let claims = part(json!({
            "aud": resource.trim_end_matches("/.default"),
            "iss": self.issuer(),
            "iat": issued,
            "nbf": issued,
            "exp": expires.timestamp(),
            "oid": crate::guid::of(&["object", &client_id]),
            // Entra's own number of the token: two that are given within a second differ by it.
            "uti": URL_SAFE_NO_PAD.encode(self.given.fetch_add(1, Ordering::Relaxed).to_be_bytes()),
            "appid": client_id,
            "tid": self.tenant,
        }));
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode("unsigned"))
    }

    fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.tenant)
    }

    fn principal(&self, client_id: &str) -> Option<Principal> {
        [Principal::Owner, Principal::Handler, Principal::Deleter]
            .into_iter()
            .find(|it| self.client_id_of(*it).eq_ignore_ascii_case(client_id))
    }

    fn grant(&self, query: &BTreeMap<String, String>) -> Result<Grant, NoGrant> {
        let resource = query.get("resource").filter(|it| !it.is_empty());
        let resource = resource.ok_or(NoGrant::NoResource)?;
        if ![&ARM[..], &BUS, &BLOB].iter().any(|it| door::is_audience(resource, it)) {
            return Err(NoGrant::UnknownResource(resource.clone()));
        }
        let principal = match query.get("client_id") {
            None => Principal::Owner,
            Some(id) => self.principal(id).ok_or(NoGrant::UnknownIdentity)?,
        };
        let expires = self.clock.now() + LIFE;
        let token = self.token_of(principal, resource, expires);
        let client_id = self.client_id_of(principal);
        Ok(Grant { token, expires, resource: resource.clone(), client_id })
    }
}

/// Why there is no token.
enum NoGrant {
    NoResource,
    UnknownResource(String),
    UnknownIdentity,
}

impl NoGrant {
    fn text(&self) -> String {
        match self {
            NoGrant::NoResource => "the query has no `resource`".to_owned(),
            NoGrant::UnknownResource(resource) => format!(
                "AADSTS500011: The resource principal named {resource} was not found in the tenant."
            ),
            NoGrant::UnknownIdentity => "Identity not found".to_owned(),
        }
    }
}

struct Grant {
    token: String,
    expires: DateTime<Utc>,
    resource: String,
    client_id: String,
}

async fn app_service(
    State(identity): State<Arc<Identity>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let shown = request.headers().get("x-identity-header");
    if shown.is_none_or(|it| it.as_bytes() != identity.secret.as_bytes()) {
        return refusal(StatusCode::UNAUTHORIZED, "X-IDENTITY-HEADER is missing or wrong");
    }
    if query.get("api-version").map(String::as_str) != Some("2019-08-01") {
        return refusal(StatusCode::BAD_REQUEST, "api-version must be 2019-08-01");
    }
    match identity.grant(&query) {
        // As it is reported of App Service (Azure-Samples/azure-search-openai-demo#2148).
        Err(NoGrant::UnknownIdentity) => {
            let message = "No User Assigned or Delegated Managed Identity found for specified \
                           ClientId/ResourceId/PrincipalId.";
            let body = json!({ "statusCode": 400, "message": message });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Err(no) => refusal(StatusCode::BAD_REQUEST, &no.text()),
        Ok(grant) => Json(json!({
            "access_token": grant.token,
            "expires_on": grant.expires.timestamp().to_string(),
            "resource": grant.resource,
            "token_type": "Bearer",
            "client_id": grant.client_id,
        }))
        .into_response(),
    }
}

async fn virtual_machine(
    State(identity): State<Arc<Identity>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let shown = request.headers().get("metadata");
    if shown.is_none_or(|it| !it.as_bytes().eq_ignore_ascii_case(b"true")) {
        return refusal(StatusCode::BAD_REQUEST, "the header `Metadata: true` is missing");
    }
    match identity.grant(&query) {
        // As it is reported of IMDS (Azure/azure-sdk-for-net#37278).
        Err(no) => refusal(StatusCode::BAD_REQUEST, &no.text()),
        Ok(grant) => Json(json!({
            "access_token": grant.token,
            "client_id": grant.client_id,
            "expires_in": LIFE.num_seconds().to_string(),
            "expires_on": grant.expires.timestamp().to_string(),
            "ext_expires_in": LIFE.num_seconds().to_string(),
            "not_before": (grant.expires - LIFE).timestamp().to_string(),
            "resource": grant.resource,
            "token_type": "Bearer",
        }))
        .into_response(),
    }
}

fn refusal(status: StatusCode, text: &str) -> Response {
    let error = if status == StatusCode::UNAUTHORIZED { "unauthorized" } else { "invalid_request" };
    (status, Json(json!({ "error": error, "error_description": text }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use seam::ToldClock;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, header: (&str, &str)) -> (u16, Value) {
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(1_789_000_000, 0).unwrap()));
        let identity = Identity::new(clock, "contoso", "secret");
        let request = Request::get(path).header(header.0, header.1).body(Body::empty()).unwrap();
        let answer = identity.router().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn an_app_service_gets_a_token_for_the_resource_it_names() {
        let path = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com";

        let (status, body) = ask(path, ("x-identity-header", "secret")).await;

        assert_eq!(status, 200);
        assert_eq!(body["expires_on"], "1789086400");
        let token = body["access_token"].as_str().unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://management.azure.com");
    }

    #[tokio::test]
    async fn no_two_tokens_are_the_same_even_within_a_second() {
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(1_789_000_000, 0).unwrap()));
        let identity = Identity::new(clock, "contoso", "secret");
        let expires = identity.clock.now() + LIFE;

        assert_ne!(identity.token(ARM[0], expires), identity.token(ARM[0], expires));
    }

    #[tokio::test]
    async fn a_wrong_header_gets_no_token() {
        let path = "/msi/token?api-version=2019-08-01&resource=https://storage.azure.com";

        assert_eq!(ask(path, ("x-identity-header", "guess")).await.0, 401);
        assert_eq!(ask(path, ("metadata", "true")).await.0, 401);
        assert_eq!(
            ask("/msi/token?resource=https://storage.azure.com", ("x-identity-header", "secret"))
                .await
                .0,
            400
        );
    }

    #[tokio::test]
    async fn a_virtual_machine_is_asked_for_its_own_header() {
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://storage.azure.com";

        assert_eq!(ask(path, ("metadata", "true")).await.0, 200);
        assert_eq!(ask(path, ("x-identity-header", "secret")).await.0, 400);
    }

    #[tokio::test]
    async fn an_identity_that_is_not_assigned_and_a_resource_that_is_none_get_no_token() {
        let base = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com/";
        let secret = ("x-identity-header", "secret");

        let (status, body) = ask(&format!("{base}&client_id=somebody-elses"), secret).await;
        assert_eq!(status, 400);
        assert!(body["message"].as_str().unwrap().contains("No User Assigned"), "{body}");
        let machine = "/metadata/identity/oauth2/token?resource=https://storage.azure.com";
        let (status, body) = ask(&format!("{machine}&client_id=x"), ("metadata", "true")).await;
        assert_eq!((status, body["error_description"].as_str()), (400, Some("Identity not found")));

        let graph = base.replace("management.azure.com", "graph.example");
        let (status, body) = ask(&graph, secret).await;
        assert_eq!(status, 400);
        assert!(body["error_description"].as_str().unwrap().contains("AADSTS500011"), "{body}");
    }

    #[tokio::test]
    async fn each_user_assigned_identity_gets_a_token_of_its_own() {
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(1_789_000_000, 0).unwrap()));
        let identity = Identity::new(clock, "contoso", "secret");
        let base = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com";

        let mut ids = std::collections::BTreeSet::new();
        for principal in [Principal::Owner, Principal::Handler, Principal::Deleter] {
            let id = identity.client_id_of(principal);
            let path = format!("{base}&client_id={id}");
            let (status, body) = ask(&path, ("x-identity-header", "secret")).await;
            assert_eq!((status, body["client_id"].as_str()), (200, Some(id.as_str())));
            ids.insert(id);
        }

        assert_eq!(ids.len(), 3);
        assert_eq!(
            ask(base, ("x-identity-header", "secret")).await.1["client_id"],
            identity.client_id()
        );
    }
}
