//! The identity endpoint: a token for whoever asks in the way of an App Service or of a virtual
//! machine. The token opens nothing; it only looks like one.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// One managed identity.
#[derive(Debug)]
pub struct Identity {
    clock: Arc<dyn Clock>,
    tenant: String,
    secret: String,
}

impl Identity {
    /// An identity of `tenant`. `secret` is what an App Service's `IDENTITY_HEADER` says.
    pub fn new(
        clock: Arc<dyn Clock>,
        tenant: impl Into<String>,
        secret: impl Into<String>,
    ) -> Arc<Identity> {
        Arc::new(Identity { clock, tenant: tenant.into(), secret: secret.into() })
    }

    /// `/msi/token` (App Service) and `/metadata/identity/oauth2/token` (virtual machine).
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/msi/token", get(app_service))
            .route("/metadata/identity/oauth2/token", get(virtual_machine))
            .with_state(Arc::clone(self))
    }

    /// The client id of the identity.
    pub fn client_id(&self) -> String {
        crate::guid::of(&["client", &self.tenant])
    }

    /// A token for `resource`: header, claims and an empty signature, as text of a JWT.
    pub fn token(&self, resource: &str, expires: DateTime<Utc>) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "none", "typ": "JWT" }));
        let claims = part(json!({
            "aud": resource.trim_end_matches("/.default"),
            "iss": format!("https://sts.windows.net/{}/", self.tenant),
            "exp": expires.timestamp(),
            "nbf": (expires - LIFE).timestamp(),
            "appid": self.client_id(),
            "oid": crate::guid::of(&["object", &self.tenant]),
            "tid": self.tenant,
        }));
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode("unsigned"))
    }

    /// None when the query does not say for what.
    fn grant(&self, query: &BTreeMap<String, String>) -> Option<Grant> {
        let resource = query.get("resource").filter(|it| !it.is_empty())?;
        let expires = self.clock.now() + LIFE;
        let client_id = query.get("client_id").cloned().unwrap_or_else(|| self.client_id());
        let token = self.token(resource, expires);
        Some(Grant { token, expires, resource: resource.clone(), client_id })
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
        None => refusal(StatusCode::BAD_REQUEST, "the query has no `resource`"),
        Some(grant) => Json(json!({
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
        None => refusal(StatusCode::BAD_REQUEST, "the query has no `resource`"),
        Some(grant) => Json(json!({
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
    async fn a_wrong_header_gets_no_token() {
        let path = "/msi/token?api-version=2019-08-01&resource=x";

        assert_eq!(ask(path, ("x-identity-header", "guess")).await.0, 401);
        assert_eq!(ask(path, ("metadata", "true")).await.0, 401);
        assert_eq!(ask("/msi/token?resource=x", ("x-identity-header", "secret")).await.0, 400);
    }

    #[tokio::test]
    async fn a_virtual_machine_is_asked_for_its_own_header() {
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x";

        assert_eq!(ask(path, ("metadata", "true")).await.0, 200);
        assert_eq!(ask(path, ("x-identity-header", "secret")).await.0, 400);
    }
}
