//! The part of Entra ID that a client needs to log in to a desk: where a tenant's token endpoint is,
//! and a token for a service principal; beside it the metadata by which `az cloud register` learns
//! the addresses of a cloud.
//!
//! The token opens nothing; it only looks like one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::TimeDelta;
use http::{HeaderMap, StatusCode, Uri};
use seam::Clock;
use serde_json::json;

use crate::identity::Identity;
use crate::origin;

/// How long a service principal's token is good for, the service's own choice.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// What the cloud is called in its metadata.
const CLOUD: &str = "Goldsmith";

/// For whom a token is asked when Azure Resource Manager is meant, as its metadata tells.
const AUDIENCES: [&str; 2] =
    ["https://management.core.windows.net/", "https://management.azure.com/"];

/// Tenants that mean whichever one somebody belongs to.
const ANY_TENANT: [&str; 3] = ["common", "organizations", "consumers"];

/// The token endpoint of one tenant.
#[derive(Debug)]
pub struct Entra {
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    tenant: String,
    secret: String,
}

impl Entra {
    /// The endpoint of `tenant`, in which every service principal has the same `secret`. `clock` is
    /// what its clients go by.
    pub fn new(
        identity: Arc<Identity>,
        clock: Arc<dyn Clock>,
        tenant: impl Into<String>,
        secret: impl Into<String>,
    ) -> Arc<Entra> {
        Arc::new(Entra { identity, clock, tenant: tenant.into(), secret: secret.into() })
    }

    /// `/{tenant}/v2.0/.well-known/openid-configuration`, `/{tenant}/oauth2/v2.0/token` and
    /// `/metadata/endpoints`. Addresses in answers are made from the request's own.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/{tenant}/v2.0/.well-known/openid-configuration", get(configuration))
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .route("/metadata/endpoints", get(endpoints))
            .with_state(Arc::clone(self))
    }

    fn knows(&self, tenant: &str) -> bool {
        tenant.eq_ignore_ascii_case(&self.tenant)
            || ANY_TENANT.iter().any(|it| tenant.eq_ignore_ascii_case(it))
    }
}

async fn configuration(
    State(entra): State<Arc<Entra>>,
    Path(tenant): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !entra.knows(&tenant) {
        return no_tenant(&tenant);
    }
    let origin = origin::of(&uri, &headers);
    let base = format!("{origin}/{tenant}");
    Json(json!({
        "issuer": format!("{origin}/{}/v2.0", entra.tenant),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "offline_access"],
    }))
    .into_response()
}

/// The client credentials flow: <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.
async fn token(
    State(entra): State<Arc<Entra>>,
    Path(tenant): Path<String>,
    body: Bytes,
) -> Response {
    if !entra.knows(&tenant) {
        return no_tenant(&tenant);
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let given = |name: &str| form.get(name).map_or("", String::as_str);

    if given("grant_type") != "client_credentials" {
        let text = "AADSTS70003: this desk knows service principals alone; use `az login \
                    --service-principal`.";
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", text);
    }
    for name in ["client_id", "scope"] {
        if given(name).is_empty() {
            let text = format!(
                "AADSTS900144: The request body must contain the following parameter: '{name}'."
            );
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", &text);
        }
    }
    if given("client_secret") != entra.secret {
        let text = "AADSTS7000215: Invalid client secret provided.";
        return refusal(StatusCode::UNAUTHORIZED, "invalid_client", text);
    }

    let token = entra.identity.token(given("scope"), entra.clock.now() + LIFE);
    let secs = LIFE.num_seconds();
    Json(json!({
        "token_type": "Bearer", "expires_in": secs, "ext_expires_in": secs, "access_token": token,
    }))
    .into_response()
}

/// `GET /metadata/endpoints`: an object, one cloud, as from api-version 2022-09-01 on. Only what a
/// desk has is named.
async fn endpoints(
    State(entra): State<Arc<Entra>>,
    Query(query): Query<BTreeMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !query.contains_key("api-version") {
        let text = "The api-version query parameter (?api-version=) is required for all requests.";
        let error = json!({ "code": "MissingApiVersionParameter", "message": text });
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    }
    let origin = origin::of(&uri, &headers);
    Json(json!({
        "name": CLOUD,
        "resourceManager": format!("{origin}/"),
        "authentication": {
            "loginEndpoint": origin,
            "audiences": AUDIENCES,
            "tenant": entra.tenant,
            "identityProvider": "AAD",
        },
        "suffixes": {},
    }))
    .into_response()
}

fn no_tenant(tenant: &str) -> Response {
    let text = format!(
        "AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant \
         ID and are signing into the correct cloud."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_request", &text)
}

fn refusal(status: StatusCode, error: &str, text: &str) -> Response {
    (status, Json(json!({ "error": error, "error_description": text }))).into_response()
}
