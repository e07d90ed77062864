//! A receiver of webhooks, as a team would have one: it prints a line for each alert that it is told of.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use super::process::say;

/// More than any notification has.
const MAX_LEN: usize = 1024 * 1024;

/// Listens on a free port of the loopback until the process ends, and returns the address.
///
/// # Errors
///
/// One line, where no port is free.
pub async fn start() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| format!("cannot listen for alerts: {error}"))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot listen for alerts: {error}"))?;
    let app = Router::new()
        .route("/", post(receive))
        .layer(DefaultBodyLimit::max(MAX_LEN));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn receive(body: Bytes) -> StatusCode {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    lines(&message).iter().for_each(|line| say(line));
    StatusCode::NO_CONTENT
}

/// Returns a line for each alert of a message in Alertmanager's format.
fn lines(message: &Value) -> Vec<String> {
    let alerts = message["alerts"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let line = |alert: &Value| {
        let status = text(&alert["status"]);
        let name = text(&alert["labels"]["alertname"]);
        let summary = text(&alert["annotations"]["summary"]);
        format!("alert {status}: {name}, {summary}")
    };
    alerts.map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn message_has_a_line_for_each_alert() {
        let alert = |status| {
            json!({
                "status": status, "labels": {"alertname": "breaker_open"},
                "annotations": {"summary": "Circuit breaker upstream is open"}
            })
        };
        let message = json!({"alerts": [alert("firing"), alert("resolved")]});
        let expected = [
            "alert firing: breaker_open, Circuit breaker upstream is open",
            "alert resolved: breaker_open, Circuit breaker upstream is open",
        ];
        assert_eq!(lines(&message), expected);
        assert!(lines(&json!({})).is_empty());
        assert_eq!(lines(&json!({"alerts": [7]})), ["alert ?: ?, ?"]);
    }

    #[tokio::test]
    async fn receiver_rejects_what_is_no_message() {
        assert_eq!(receive(Bytes::from("{")).await, StatusCode::BAD_REQUEST);
        assert_eq!(receive(Bytes::from("{}")).await, StatusCode::NO_CONTENT);
    }
}
