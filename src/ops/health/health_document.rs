use axum::{
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};

use super::{
    HealthFormat, HealthSnapshot, HealthStatus, actuator_document, json_document, text_document,
};

/// A health document, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthDocument {
    /// The status of the response: 503 if the process is unhealthy, otherwise 200.
    pub status: StatusCode,
    /// The form of the body.
    pub format: HealthFormat,
    /// True if the body says more than the status, so that no shared cache may keep it.
    pub has_details: bool,
    /// The body.
    pub body: String,
}

impl HealthDocument {
    /// Writes a snapshot. Without `details`, which not everybody may see, it has nothing but the status of all components
    /// together.
    ///
    /// ```
    /// use tower_keep::ops::health::{Health, HealthDocument, HealthFormat};
    ///
    /// let health = Health::builder("orders").build()?;
    /// let document = HealthDocument::new(&health.snapshot(), HealthFormat::HealthJson, false);
    /// assert_eq!(document.status, 200);
    /// assert_eq!(document.body, r#"{"status":"pass"}"#);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn new(snapshot: &HealthSnapshot, format: HealthFormat, details: bool) -> Self {
        let body = match format {
            HealthFormat::HealthJson | HealthFormat::Json => {
                json_document::write(snapshot, details).to_string()
            }
            HealthFormat::Actuator => actuator_document::write(snapshot, details).to_string(),
            HealthFormat::Text => text_document::write(snapshot, details),
        };
        HealthDocument {
            status: http_status(snapshot.status),
            format,
            has_details: details,
            body,
        }
    }
}

/// Returns the HTTP status for a health status. What is unknown is not known to be down.
fn http_status(status: HealthStatus) -> StatusCode {
    match status {
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

impl IntoResponse for HealthDocument {
    fn into_response(self) -> Response {
        // So long that many monitors together cost nothing, and so short that none is late.
        let cache = match self.has_details {
            true => "private, max-age=2",
            false => "max-age=2",
        };
        let headers = [
            (CONTENT_TYPE, self.format.content_type()),
            (CACHE_CONTROL, cache),
            (VARY, "accept"),
        ];
        (self.status, headers, self.body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_of_an_unhealthy_process_has_status_503() {
        let codes = HealthStatus::ALL.map(|status| http_status(status).as_u16());
        assert_eq!(codes, [200, 200, 503, 200]);
    }

    #[test]
    fn document_with_details_is_for_no_shared_cache() {
        let document = |has_details| {
            let document = HealthDocument {
                status: StatusCode::OK,
                format: HealthFormat::Text,
                has_details,
                body: "ok".to_owned(),
            };
            let headers = document.into_response().headers().clone();
            [CONTENT_TYPE, CACHE_CONTROL, VARY]
                .map(|name| headers[name].to_str().expect("text").to_owned())
        };
        let text = "text/plain; charset=utf-8";
        assert_eq!(document(true), [text, "private, max-age=2", "accept"]);
        assert_eq!(document(false), [text, "max-age=2", "accept"]);
    }
}
