//! How the REST interface says no: in the XML that both of Microsoft's REST clients read.

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

/// `detail` is for people; clients go by the status.
pub(super) fn refusal(status: StatusCode, detail: &str) -> Response {
    let detail = detail.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let code = status.as_u16();
    let body = format!("<Error><Code>{code}</Code><Detail>{detail}</Detail></Error>");
    (status, [(CONTENT_TYPE, "application/xml; charset=utf-8")], body).into_response()
}

pub(super) fn not_allowed(method: &Method) -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} means nothing here"))
}
