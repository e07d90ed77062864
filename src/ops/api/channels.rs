//! `GET api/v1/channels`: whom the service notifies, how that went, and what was given up.

use std::{sync::Arc, time::SystemTime};

use axum::{Json, extract::State};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiResult, Problem,
    operator::Operator,
    params::Params,
    path::{Body, PathParams},
    state::ApiState,
};
use crate::ops::{
    journal::{Event, EventKind, Severity},
    notify::{ChannelHandle, DeliveryState, NotResent},
};

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let channels = state.core.notifications.channels().iter();
    let channels: Vec<Value> = channels.map(|channel| channel.to_json()).collect();
    Json(json!({"channels": channels}))
}

/// Answers `GET api/v1/channels/{name}/deliveries`.
pub(super) async fn deliveries(
    State(state): State<ApiState>,
    params: PathParams,
    uri: Uri,
) -> ApiResult<Json<Value>> {
    let query = Params::parse(&uri, &["state", "limit"])?;
    let limit = query.number("limit", 1..=200, 50)? as usize;
    let wanted = query.text("state").map(parse_state).transpose()?;
    let channel = find(&state, &params)?;
    let (deliveries, truncated) = channel.deliveries(wanted, limit);
    Ok(Json(
        json!({"deliveries": deliveries, "truncated": truncated}),
    ))
}

/// Answers `POST api/v1/channels/{name}/test`.
pub(super) async fn test(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["reason"])?;
    let reason = members.reason()?;
    let channel = find(&state, &params)?;
    let name = channel.name().to_owned();
    let who = by.name().map(str::to_owned);
    // In a task of its own: it is in the log and the journal even if the one who asked goes away.
    let testing = tokio::spawn(channel.test(who));
    let event = Event::new(
        EventKind::Control,
        Severity::Info,
        &name,
        format!("test of the notification channel: {reason}"),
    );
    let event = event.with("kind", "notification_channel");
    let event = event.with("action", "test").with("reason", reason);
    let seq = state.core.audit(event.with_who(by.name()));
    let failed = |_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the channel has panicked",
        )
    };
    let delivery = testing.await.map_err(failed)?;
    let delivery = delivery.ok_or_else(|| {
        let detail = "another test of this channel has not ended";
        Problem::new(StatusCode::CONFLICT, detail)
    })?;
    Ok(Json(json!({"seq": seq, "delivery": delivery})))
}

/// Answers `POST api/v1/channels/{name}/deliveries/{id}/retry`.
pub(super) async fn retry(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["reason"])?;
    let reason = members.reason()?;
    let channel = find(&state, &params)?;
    let retried = channel.retry(params.get("id"), SystemTime::now(), Instant::now());
    retried.map_err(|error| match error {
        NotResent::NoDeadLetter => {
            Problem::not_found("there is no dead letter of this ID that can be sent again")
        }
        NotResent::Outdated => {
            let detail = "the channel hears something newer of these alerts";
            Problem::new(StatusCode::CONFLICT, detail)
        }
    })?;
    let text = format!("a dead letter is sent again: {reason}");
    let event = Event::new(EventKind::Control, Severity::Info, channel.name(), text)
        .with_who(by.name())
        .with("kind", "notification_channel")
        .with("action", "retry")
        .with("delivery", params.get("id"))
        .with("reason", reason);
    let seq = state.core.audit(event);
    Ok(Json(json!({"seq": seq})))
}

fn find(state: &ApiState, params: &PathParams) -> ApiResult<Arc<ChannelHandle>> {
    let found = state.core.notifications.channel(params.get("name"));
    let missing = || Problem::not_found("there is no notification channel of this name");
    found.cloned().ok_or_else(missing)
}

fn parse_state(text: &str) -> ApiResult<DeliveryState> {
    DeliveryState::parse(text).ok_or_else(|| {
        let all = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
        Problem::invalid("state", format!("state is {text:?}, must be one of {all}"))
    })
}
