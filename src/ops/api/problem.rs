use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::ops::members::MemberError;

/// An error as `application/problem+json` (RFC 9457).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    /// The parameter or member that is wrong.
    field: Option<String>,
}

pub(crate) type ApiResult<T> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
        }
    }

    /// Creates that of a parameter with a value that is not allowed.
    pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Self {
        let field = Some(field.to_owned());
        let problem = Problem::new(StatusCode::BAD_REQUEST, detail);
        Problem { field, ..problem }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut problem = json!({
            "type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail
        });
        if let Some(field) = &self.field {
            problem["field"] = field.as_str().into();
        }
        problem
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// Creates that of a request which was sent by a page that is not the console.
    pub(crate) fn foreign_origin() -> Self {
        Problem::forbidden(
            "the request comes from a page of another origin: see AccessBuilder::trusted_origin",
        )
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        Problem::invalid(&error.name, error.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.to_json())).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_names_the_field_if_there_is_one() {
        let expected = json!({
            "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "limit is 0", "field": "limit"
        });
        assert_eq!(Problem::invalid("limit", "limit is 0").to_json(), expected);
        let expected = json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such guard"
        });
        assert_eq!(Problem::not_found("no such guard").to_json(), expected);
    }

    #[test]
    fn problem_has_its_own_media_type_and_status() {
        let response = Problem::foreign_origin().into_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let content_type = &response.headers()[header::CONTENT_TYPE];
        assert_eq!(content_type, "application/problem+json");
    }
}
