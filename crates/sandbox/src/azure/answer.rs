//! What the simulated Azure answers: replies, refusals in Azure's own shapes, and its own troubles.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// An answer to one request.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Reply {
    /// 200 with a body.
    pub(super) fn ok(body: Value) -> Reply {
        Reply::with(StatusCode::OK, body)
    }

    /// A status with a body.
    pub(super) fn with(status: StatusCode, body: Value) -> Reply {
        Reply { status, headers: Vec::new(), body: Some(body) }
    }

    /// A status without a body.
    pub(super) fn empty(status: StatusCode) -> Reply {
        Reply { status, headers: Vec::new(), body: None }
    }

    /// The same, with one more header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_response(self) -> Response {
        let body = self.body.map(|it| it.to_string().into_bytes());
        let length = body.as_ref().map_or(0, Vec::len);
        let has_body = body.is_some();

        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // Names are ours and lower case; a value that is no header value is left out.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        if has_body {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            headers.insert(http::header::CONTENT_TYPE, json);
        }
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        response
    }
}

/// Why a request is not carried out, in Azure's words.
#[derive(Clone, Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: String,
    message: String,
    target: Option<String>,
    details: Vec<Value>,
    gateway: bool,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal of the resource provider.
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal(Box::new(Parts {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            gateway: false,
            headers: Vec::new(),
        }))
    }

    /// A refusal of Azure Resource Manager itself, before a provider saw the request.
    pub(super) fn gateway(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Refusal {
        let mut refusal = Refusal::new(status, code, message);
        refusal.0.gateway = true;
        refusal
    }

    /// Compute's 400 for a wrong value.
    pub(super) fn parameter(message: impl Into<String>, target: impl Into<String>) -> Refusal {
        let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", message);
        refusal.0.target = Some(target.into());
        refusal
    }

    /// 409 `Conflict`.
    pub(super) fn conflict(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 404 for a resource: `kind` with all its names, as `galleries/g/images/i` (recorded).
    pub(super) fn not_found(kind: &str, name: &str, group: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "The Resource '{kind}/{name}' under resource group '{group}' was not found. For \
                 more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    /// 404 for a resource group (recorded).
    pub(super) fn no_group(group: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    pub(super) fn detail(mut self, detail: Value) -> Refusal {
        self.0.details.push(detail);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Refusal {
        self.0.headers.push((name, value.into()));
        self
    }

    pub(super) fn reply(self) -> Reply {
        let Parts { status, code, message, target, details, gateway, headers } = *self.0;
        let mut error = json!({ "code": code, "message": message });
        if let Some(target) = target {
            error["target"] = json!(target);
        }
        if !details.is_empty() {
            error["details"] = json!(details);
        }
        let mut reply = Reply::with(status, json!({ "error": error }));
        reply.headers = headers;
        if gateway {
            reply.headers.push(("x-ms-failure-cause", "gateway".to_owned()));
        }
        reply
    }
}

/// Why there is no good answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Azure says no.
    Refused(Refusal),
    /// The simulator itself is ill; the text names what failed.
    Broken(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        Trouble::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Broken(format!("the sandbox's database failed: {error}"))
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Trouble {
        Trouble::Broken(format!("a record in the sandbox's database is not readable: {error}"))
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Broken(format!("the sandbox's blob storage failed: {error}"))
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Refused(refusal) => write!(f, "{}: {}", refusal.0.code, refusal.0.message),
            Trouble::Broken(text) => f.write_str(text),
        }
    }
}
