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

    /// `/{tenant}/v2.0/.well-known/openid-configuration`, `/{tenant}/oauth2/v2.0/token`,
    /// `/metadata/endpoints`, and a refusal where a person would sign in. Addresses in answers are made from the request's own.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/{tenant}/v2.0/.well-known/openid-configuration", get(configuration))
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .route("/{tenant}/oauth2/v2.0/authorize", get(no_people))
            .route("/{tenant}/oauth2/v2.0/devicecode", post(no_people))
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
        return no_people().await;
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

/// Whoever signs in as a person is told how to come in.
async fn no_people() -> Response {
    let text = "AADSTS70003: this desk knows service principals and managed identities alone; use \
                `az login --service-principal` as `goldsmith up --tls` prints it.";
    refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", text)
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::DateTime;
    use http_body_util::BodyExt;
    use seam::ToldClock;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    const TENANT: &str = "0e7c5a1f-3d2b-4a68-9c41-7f6e5d4c3b2a";

    async fn send(request: Request) -> (u16, Value) {
        let clock = Arc::new(ToldClock(DateTime::from_timestamp(1_789_000_000, 0).unwrap()));
        let identity = Identity::new(clock.clone(), TENANT, "desk");
        let entra = Entra::new(identity, clock, TENANT, "desk");
        let answer = entra.router().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// As it comes in over https, on a port that is not the one we listen on.
    async fn get(path: &str) -> (u16, Value) {
        let request = Request::get(path).header("host", "az.example:8443");
        send(request.header("x-forwarded-proto", "https").body(Body::empty()).unwrap()).await
    }

    async fn ask_token(tenant: &str, form: &str) -> (u16, Value) {
        send(
            Request::post(format!("/{tenant}/oauth2/v2.0/token"))
                .body(form.to_owned().into())
                .unwrap(),
        )
        .await
    }

    #[tokio::test]
    async fn addresses_are_those_under_which_the_client_came() {
        let (_, configuration) =
            get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
        let (_, cloud) = get("/metadata/endpoints?api-version=2022-09-01").await;

        let token = format!("https://az.example:8443/{TENANT}/oauth2/v2.0/token");
        assert_eq!(configuration["token_endpoint"], token);
        assert_eq!(configuration["issuer"], format!("https://az.example:8443/{TENANT}/v2.0"));
        assert_eq!(cloud["resourceManager"], "https://az.example:8443/");
        assert_eq!(cloud["authentication"]["loginEndpoint"], "https://az.example:8443");
    }

    /// `az cloud register` takes an object; the older versions' list it cannot read.
    #[tokio::test]
    async fn the_metadata_are_one_object_with_all_that_az_reads_without_asking() {
        let (status, cloud) = get("/metadata/endpoints?api-version=2022-09-01").await;

        assert!(status == 200 && cloud.is_object());
        assert!(cloud["name"].is_string() && cloud["suffixes"].is_object());
        assert_eq!(cloud["authentication"]["audiences"][0], AUDIENCES[0]);
        assert_eq!(get("/metadata/endpoints").await.0, 400);
    }

    #[tokio::test]
    async fn a_service_principal_with_the_secret_gets_a_token_for_what_it_names() {
        let scope = "https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default";
        let form =
            format!("client_id=me&grant_type=client_credentials&scope={scope}&client_secret=desk");

        let (status, body) = ask_token(TENANT, &form).await;

        assert_eq!((status, &body["expires_in"]), (200, &json!(3600)));
        let token = body["access_token"].as_str().unwrap();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://management.core.windows.net/");
        assert_eq!(claims["exp"], 1_789_003_600);
    }

    #[tokio::test]
    async fn a_person_is_told_how_to_come_in() {
        let browser = get(&format!("/{TENANT}/oauth2/v2.0/authorize?client_id=az")).await;
        let device = Request::post("/organizations/oauth2/v2.0/devicecode");
        let device = send(device.body(Body::from("client_id=az")).unwrap()).await;

        for (status, body) in [browser, device] {
            let text = body["error_description"].as_str().unwrap();
            assert!(status == 400 && text.contains("az login --service-principal"), "{body}");
        }
    }

    #[tokio::test]
    async fn whoever_is_wrong_gets_no_token_and_hears_why() {
        let right = "client_id=me&grant_type=client_credentials&scope=x&client_secret=desk";
        let cases = [
            (TENANT, right.replace("=desk", "=guess"), 401, "AADSTS7000215"),
            (TENANT, right.replace("&client_secret=desk", ""), 401, "AADSTS7000215"),
            (TENANT, right.replace("&scope=x", ""), 400, "'scope'"),
            (TENANT, right.replace("client_credentials", "password"), 400, "--service-principal"),
            ("contoso.example", right.to_owned(), 400, "AADSTS90002"),
        ];
        for (tenant, form, status, says) in cases {
            let (found, body) = ask_token(tenant, &form).await;

            let text = body["error_description"].as_str().unwrap_or_default();
            assert!(found == status && text.contains(says), "{form}: {found} {body}");
            assert!(!body.to_string().contains("guess"), "{body}");
        }
    }
}
