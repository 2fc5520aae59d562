//! The doors of the desk: what a bearer token says is held against what its bearer asks, before the
//! service behind the door sees the request.
//!
//! Only tokens of this desk are held to what they say. Microsoft's clients bring what they were
//! given by whoever started them, and shared access signatures are the bus's own affair.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{Identity, Principal};
use crate::estate::MissingRole;

/// How Azure Resource Manager asks for a better token.
const CHALLENGE: &str =
    "Bearer authorization_uri=\"https://login.microsoftonline.com/\", error=\"invalid_token\"";

/// What is behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Arm,
    /// Whose answer to a missing role is a question.
    Bus(MissingRole),
    Blob,
}

/// What a token says.
#[derive(Debug, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    exp: i64,
    appid: String,
    oid: String,
}

/// Why somebody does not come in.
enum No {
    Expired {
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    },
    OtherAudience(String),
    /// The identity is not one of the tenant's.
    Nobody,
    NotAllowed(Claims),
}

impl Identity {
    /// `router`, behind a door that asks what `service` asks of a token.
    pub fn guard(self: &Arc<Self>, service: Service, router: Router) -> Router {
        let state = (Arc::clone(self), service);
        router.layer(middleware::from_fn_with_state(state, enter))
    }

    /// Checks the token of this desk that `request` carries; any other is not looked at.
    fn check(&self, service: Service, request: &Request) -> Result<(), No> {
        let Some(claims) = self.claims(request) else { return Ok(()) };
        let now = self.clock.now();
        let at = DateTime::from_timestamp(claims.exp, 0).unwrap_or_default();
        if at <= now {
            return Err(No::Expired { at, now });
        }
        let audiences: &[&str] = match service {
            Service::Arm => &super::ARM,
            Service::Bus(_) => &super::BUS,
            Service::Blob => &super::BLOB,
        };
        if !is_audience(&claims.aud, audiences) {
            return Err(No::OtherAudience(claims.aud));
        }

        let delete = *request.method() == Method::DELETE;
        let may = match self.principal(&claims.appid).ok_or(No::Nobody)? {
            Principal::Owner => true,
            Principal::Handler => service != Service::Arm || !delete,
            Principal::Deleter => service == Service::Arm && delete,
        };
        if may { Ok(()) } else { Err(No::NotAllowed(claims)) }
    }

    /// What the bearer token of `request` says, if this desk gave it.
    fn claims(&self, request: &Request) -> Option<Claims> {
        let (scheme, token) =
            request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (claims.iss == self.issuer()).then_some(claims)
    }
}

/// Whether `resource` is one of `audiences`, or the address of this desk itself.
pub(super) fn is_audience(resource: &str, audiences: &[&str]) -> bool {
    let resource = resource.trim_end_matches("/.default").trim_end_matches('/');
    audiences.iter().any(|it| it.eq_ignore_ascii_case(resource))
        || url::Url::parse(resource).is_ok_and(|it| it.host_str() == Some("127.0.0.1"))
}

async fn enter(
    State((identity, service)): State<(Arc<Identity>, Service)>,
    request: Request,
    next: Next,
) -> Response {
    match identity.check(service, &request) {
        Ok(()) => next.run(request).await,
        Err(no) => match service {
            Service::Arm => no.by_arm(&request),
            Service::Bus(missing_role) => no.by_bus(missing_role),
            Service::Blob => no.by_blob(),
        },
    }
}

impl No {
    /// Azure Resource Manager's words: `ExpiredAuthenticationToken` as in
    /// microsoft/PlanetaryComputer#343, `AuthorizationFailed` as in
    /// danielsollondon/azvmimagebuilder#20.
    fn by_arm(self, request: &Request) -> Response {
        let (status, code, message) = match self {
            No::Expired { at, now } => {
                let told = |it: DateTime<Utc>| it.format("%-m/%-d/%Y %-I:%M:%S %p");
                let message = format!(
                    "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
                    told(at),
                    told(now)
                );
                (StatusCode::UNAUTHORIZED, "ExpiredAuthenticationToken", message)
            }
            No::OtherAudience(audience) => {
                let message = format!(
                    "The access token has been obtained for wrong audience or resource \
                     '{audience}'. It should exactly match with one of the allowed audiences \
                     'https://management.core.windows.net/','https://management.core.windows.net',\
                     'https://management.azure.com/','https://management.azure.com'."
                );
                (StatusCode::UNAUTHORIZED, "InvalidAuthenticationTokenAudience", message)
            }
            No::Nobody => {
                let message = "The access token is invalid.".to_owned();
                (StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
            }
            No::NotAllowed(claims) => {
                let (action, scope) = action(request.method(), request.uri().path());
                let message = format!(
                    "The client '{}' with object id '{}' does not have authorization to perform \
                     action '{action}' over scope '{scope}' or the scope is invalid. If access was \
                     recently granted, please refresh your credentials.",
                    claims.appid, claims.oid
                );
                (StatusCode::FORBIDDEN, "AuthorizationFailed", message)
            }
        };
        let body = json!({ "error": { "code": code, "message": message } }).to_string();
        let mut response =
            (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }

    /// Service Bus tells by its status alone; the text is for people.
    fn by_bus(self, missing_role: MissingRole) -> Response {
        let status = match self {
            No::NotAllowed(_) => missing_role.into(),
            No::Expired { .. } | No::OtherAudience(_) | No::Nobody => StatusCode::UNAUTHORIZED,
        };
        let detail = match self {
            No::Expired { .. } => "ExpiredToken: The token is expired.",
            No::OtherAudience(_) => {
                "InvalidAudience: The authorization header's audience is wrong."
            }
            No::Nobody => "InvalidIssuer: The token has an invalid issuer.",
            No::NotAllowed(_) => {
                "Unauthorized access. 'Send,Listen' claim(s) are required to perform this operation."
            }
        };
        let body =
            format!("<Error><Code>{}</Code><Detail>{detail}</Detail></Error>", status.as_u16());
        let headers = [(CONTENT_TYPE, "application/xml; charset=utf-8")];
        (status, headers, body).into_response()
    }

    /// Storage's words: <https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes>.
    fn by_blob(self) -> Response {
        let (status, code, detail) = match self {
            No::Expired { .. } => (
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationInfo",
                "Lifetime validation failed. The token is expired.",
            ),
            No::OtherAudience(_) => (
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationInfo",
                "Audience validation failed. Audience did not match.",
            ),
            No::Nobody => (
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationInfo",
                "Issuer validation failed. Issuer did not match.",
            ),
            No::NotAllowed(_) => (
                StatusCode::FORBIDDEN,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            ),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <Error><Code>{code}</Code><Message>{detail}</Message></Error>"
        );
        let headers = [("content-type", "application/xml"), ("x-ms-error-code", code)];
        (status, headers, body).into_response()
    }
}

/// The permission that a request to Azure Resource Manager needs, and the scope it needs it over:
/// `Microsoft.Compute/galleries/images/versions/delete` over the version's id.
fn action(method: &Method, path: &str) -> (String, String) {
    let segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let provider = segments.iter().rposition(|it| it.eq_ignore_ascii_case("providers"));
    let (types, alone) = match provider {
        // `{namespace}/{type}/{name}/{type}/{name}`, with a last type alone in lists and actions.
        Some(at) => {
            let inside = segments.get(at + 2..).unwrap_or_default();
            let types = inside.iter().step_by(2);
            let namespace = segments.get(at + 1).unwrap_or(&"");
            let names: Vec<&str> = std::iter::once(namespace).chain(types).copied().collect();
            (names.join("/"), inside.len() % 2 == 1)
        }
        None => {
            let types: Vec<&str> = segments.iter().step_by(2).copied().collect();
            (format!("Microsoft.Resources/{}", types.join("/")), segments.len() % 2 == 1)
        }
    };
    let verb = match *method {
        Method::GET | Method::HEAD => "read",
        Method::DELETE => "delete",
        Method::POST => "action",
        _ => "write",
    };
    let above = if alone { segments.len().saturating_sub(1) } else { segments.len() };
    (format!("{types}/{verb}"), format!("/{}", segments[..above].join("/")))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use chrono::TimeDelta;
    use http_body_util::BodyExt;
    use seam::ToldClock;
    use tower::ServiceExt;

    use super::*;

    const VERSION: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/\
                           g/images/web/versions/1.0.0";

    fn identity() -> Arc<Identity> {
        let now = DateTime::from_timestamp(1_789_000_000, 0).unwrap();
        Identity::new(Arc::new(ToldClock(now)), "contoso", "secret")
    }

    /// What somebody with `token` is answered by a door with an obliging service behind it.
    async fn knock(service: Service, method: &str, path: &str, token: &str) -> (u16, String) {
        let open = Router::new().fallback(|| async { "come in" });
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let answer = identity().guard(service, open).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn token(principal: Principal, audience: &str, minutes: i64) -> String {
        let expires = identity().clock.now() + TimeDelta::minutes(minutes);
        identity().token_of(principal, audience, expires)
    }

    const DOORS: [(Service, &str); 3] = [
        (Service::Arm, "https://management.azure.com"),
        (Service::Bus(MissingRole::Unauthorized), "https://servicebus.azure.net"),
        (Service::Blob, "https://storage.azure.com"),
    ];

    #[tokio::test]
    async fn a_good_token_comes_in_and_an_expired_one_does_not() {
        let words = [
            "The access token expiry UTC time '9/10/2026 12:25:40 AM' is earlier than current UTC \
             time '9/10/2026 12:26:40 AM'.",
            "ExpiredToken",
            "The token is expired",
        ];
        for ((service, audience), words) in DOORS.into_iter().zip(words) {
            let good = knock(service, "GET", "/x", &token(Principal::Handler, audience, 1)).await;
            assert_eq!(good, (200, "come in".to_owned()), "{service:?}");

            let late = knock(service, "GET", "/x", &token(Principal::Handler, audience, -1)).await;
            assert_eq!(late.0, 401, "{service:?}");
            assert!(late.1.contains(words), "{late:?}");
        }
    }

    #[tokio::test]
    async fn a_token_for_another_service_does_not_come_in() {
        for (service, ours) in DOORS {
            for (_, audience) in DOORS.iter().filter(|(_, it)| *it != ours) {
                let answer =
                    knock(service, "GET", "/x", &token(Principal::Owner, audience, 1)).await;
                assert_eq!(answer.0, 401, "{service:?} {audience}");
                assert!(answer.1.to_lowercase().contains("audience"), "{answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_handler_deletes_nothing_and_the_deleter_does_nothing_else() {
        let arm = "https://management.azure.com";
        let handler = token(Principal::Handler, arm, 1);
        let deleter = token(Principal::Deleter, arm, 1);

        for method in ["GET", "PUT", "POST", "PATCH"] {
            assert_eq!(knock(Service::Arm, method, VERSION, &handler).await.0, 200, "{method}");
            assert_eq!(knock(Service::Arm, method, VERSION, &deleter).await.0, 403, "{method}");
        }
        assert_eq!(knock(Service::Arm, "DELETE", VERSION, &deleter).await.0, 200);
        let refused = knock(Service::Arm, "DELETE", VERSION, &handler).await;
        assert_eq!(refused.0, 403);
        let action = "perform action 'Microsoft.Compute/galleries/images/versions/delete' over \
                      scope '/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/";
        assert!(refused.1.contains("AuthorizationFailed"), "{refused:?}");
        assert!(refused.1.contains(action), "{refused:?}");

        for (service, audience) in &DOORS[1..] {
            let token = token(Principal::Deleter, audience, 1);
            assert!(matches!(knock(*service, "PUT", "/x", &token).await.0, 401 | 403));
        }
    }

    #[tokio::test]
    async fn whether_a_token_without_a_role_is_unauthorized_or_forbidden_is_the_estates_to_say() {
        let token = token(Principal::Deleter, "https://servicebus.azure.net", 1);
        for (answer, status) in [(MissingRole::Unauthorized, 401), (MissingRole::Forbidden, 403)] {
            let refused = knock(Service::Bus(answer), "POST", "/builds/messages", &token).await;

            assert_eq!(refused.0, status);
            assert!(refused.1.starts_with(&format!("<Error><Code>{status}<")), "{}", refused.1);
        }
    }

    #[tokio::test]
    async fn what_this_desk_did_not_give_is_left_to_the_service() {
        for token in ["opaque", "a.b.c", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.x"] {
            assert_eq!(knock(Service::Arm, "DELETE", VERSION, token).await.0, 200, "{token}");
        }
    }

    #[test]
    fn the_missing_permission_is_named_as_azure_names_it() {
        let template = "/subscriptions/s/resourceGroups/g/providers/Microsoft.VirtualMachineImages/\
                        imageTemplates/t";
        let cases = [
            (Method::PUT, VERSION.to_owned(), "Microsoft.Compute/galleries/images/versions/write"),
            (
                Method::GET,
                template.to_owned(),
                "Microsoft.VirtualMachineImages/imageTemplates/read",
            ),
            (
                Method::POST,
                format!("{template}/run"),
                "Microsoft.VirtualMachineImages/imageTemplates/run/action",
            ),
            (
                Method::DELETE,
                "/subscriptions/s/resourceGroups/g".to_owned(),
                "Microsoft.Resources/subscriptions/resourceGroups/delete",
            ),
        ];
        for (method, path, expected) in cases {
            assert_eq!(action(&method, &path).0, expected);
        }
        assert_eq!(action(&Method::POST, &format!("{template}/run")).1, template);
    }
}
