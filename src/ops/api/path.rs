//! Parameters of the path, and bodies.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use tokio::time::timeout;

use super::problem::{ApiResult, Problem};
use crate::ops::members::Members;

/// The longest parameter, in bytes.
const MAX_PARAM: usize = 512;
/// The longest body of a request, in bytes.
pub(super) const MAX_BODY: usize = 4 * 1_024;
/// The time for a body to arrive: long for a few kilobytes, and short for a stranger who sends none.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// The parameters of the path, those of where the console is mounted included.
pub(super) struct PathParams(RawPathParams);

impl PathParams {
    /// Returns a parameter of the route; where it is mounted comes before.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().filter(|(each, _)| *each == name).last();
        found.map_or("", |(_, value)| value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::invalid("path", "the path is malformed"))?;
        for (name, value) in &params {
            if value.len() > MAX_PARAM {
                let length = value.len();
                let detail = format!("{name} has {length} bytes, at most {MAX_PARAM} are allowed");
                return Err(Problem::invalid(name, detail));
            }
        }
        Ok(PathParams(params))
    }
}

/// A body, which has a bound.
pub(super) struct Body {
    headers: HeaderMap,
    bytes: Bytes,
}

impl Body {
    /// Returns the members of a JSON object.
    pub(super) fn json(&self, known: &[&str]) -> ApiResult<Members> {
        self.require_type("application/json")?;
        Ok(Members::parse(&self.bytes, known)?)
    }

    /// Returns a field of a form.
    pub(super) fn form_field(&self, name: &str) -> ApiResult<Option<String>> {
        self.require_type("application/x-www-form-urlencoded")?;
        let text = std::str::from_utf8(&self.bytes);
        let text = text.map_err(|_| Problem::invalid("body", "the body is no text"))?;
        let mut fields = text.split('&').filter_map(|pair| pair.split_once('='));
        let found = fields.find(|(field, _)| *field == name);
        Ok(found.map(|(_, value)| {
            let value = value.replace('+', " ");
            let value = percent_encoding::percent_decode_str(&value);
            value.decode_utf8_lossy().into_owned()
        }))
    }

    fn require_type(&self, expected: &str) -> ApiResult<()> {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next());
        match essence {
            Some(essence) if essence.trim().eq_ignore_ascii_case(expected) => Ok(()),
            _ => {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Err(Problem::new(
                    status,
                    format!("content-type must be {expected}"),
                ))
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let headers = request.headers().clone();
        let arrived = timeout(BODY_LIMIT, Bytes::from_request(request, state)).await;
        let arrived = arrived.map_err(|_| {
            let seconds = BODY_LIMIT.as_secs();
            let detail = format!("the body did not arrive within {seconds} seconds");
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
        })?;
        match arrived {
            Ok(bytes) => Ok(Body { headers, bytes }),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body has more than {MAX_BODY} bytes");
                Err(Problem::new(error.status(), detail))
            }
            Err(_) => Err(Problem::invalid("body", "the body did not arrive whole")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, extract::DefaultBodyLimit, response::IntoResponse, routing::post};
    use tower::ServiceExt;

    use super::*;

    /// Sends a body to a route with a parameter, mounted below another parameter of the same name.
    async fn send(path: &str, body: String) -> (u16, String) {
        let handler = async |params: PathParams, body: Body| match body.json(&["a"]) {
            Ok(_) => params.get("name").to_owned().into_response(),
            Err(problem) => problem.into_response(),
        };
        let router = Router::new().route("/guards/{name}", post(handler));
        let router = Router::new().nest("/{name}", router);
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(axum::body::Body::from(body));
        let router = router.layer(DefaultBodyLimit::max(MAX_BODY));
        let response = router
            .oneshot(request.expect("a request"))
            .await
            .expect("infallible");
        let status = response.status().as_u16();
        let text = axum::body::to_bytes(response.into_body(), 10_000).await;
        let text = String::from_utf8_lossy(&text.expect("a body")).into_owned();
        (status, text)
    }

    #[tokio::test]
    async fn path_parameter_is_that_of_the_route_and_bounded() {
        let empty = || "{}".to_owned();
        let (status, name) = send("/mount/guards/db%20a", empty()).await;
        assert_eq!((status, &*name), (200, "db a"));
        let name = "x".repeat(512);
        let (status, _) = send(&format!("/mount/guards/{name}"), empty()).await;
        assert_eq!(status, 200);
        let (status, problem) = send(&format!("/mount/guards/{name}x"), empty()).await;
        assert_eq!(status, 400);
        assert!(
            problem.contains("name has 513 bytes, at most 512 are allowed"),
            "{problem}"
        );
    }

    #[tokio::test]
    async fn body_is_bounded() {
        let body = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        let (status, _) = send("/mount/guards/a", body(4_096)).await;
        assert_eq!(status, 200);
        let (status, problem) = send("/mount/guards/a", body(4_097)).await;
        assert_eq!(status, 413);
        assert!(
            problem.contains("the body has more than 4096 bytes"),
            "{problem}"
        );
    }

    #[tokio::test]
    async fn body_that_breaks_off_is_a_problem() {
        let broken = futures_util::stream::iter([Err::<Bytes, _>("reset")]);
        let request = Request::new(axum::body::Body::from_stream(broken));
        let problem = Body::from_request(request, &())
            .await
            .err()
            .expect("broken");
        let expected = Problem::invalid("body", "the body did not arrive whole");
        assert_eq!(problem, expected);
    }

    fn body(content_type: &str, text: &'static str) -> Body {
        let value = content_type.parse().expect("a value");
        Body {
            headers: [(header::CONTENT_TYPE, value)].into_iter().collect(),
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    #[test]
    fn body_has_fields_of_a_form() {
        let form = |text| body("application/x-www-form-urlencoded", text);
        let token = |text| form(text).form_field("token").expect("a form");
        assert_eq!(token("a=b&token=x+y%2Bz&token=2"), Some("x y+z".to_owned()));
        assert_eq!(token("tokens=1&token"), None);
        assert_eq!(token(""), None);
        let json = body("application/json", "token=x").form_field("token");
        assert_eq!(
            json.map_err(|problem| problem.to_json()["status"].clone()),
            Err(415.into())
        );
    }

    #[test]
    fn body_is_json_by_its_content_type() {
        for (content_type, is_json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json-seq", false),
            ("text/plain", false),
        ] {
            let parsed = body(content_type, r#"{"a":1}"#).json(&["a"]);
            assert_eq!(parsed.is_ok(), is_json, "{content_type}");
        }
        let nothing = Body {
            headers: HeaderMap::new(),
            bytes: Bytes::new(),
        };
        assert!(nothing.json(&[]).is_err());
    }
}
