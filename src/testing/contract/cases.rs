//! The cases: behaviors of a service.

use std::time::Duration;

use crate::{
    call::Outcome,
    testing::{Reply, ScriptedBody},
};

/// The message of the only panic that a run may raise.
pub(super) const SCRIPTED_PANIC: &str = "a scripted panic";

/// The delay of a slow reply, which every layer must wait for.
const REPLY_DELAY: Duration = Duration::from_millis(300);

/// A behavior of a service, and the outcome of its calls.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) reply: fn(usize) -> Reply,
    /// The outcome for protocols that classify the response head and body.
    pub(super) outcome: Outcome,
    /// The outcome for a gRPC client, if it differs: a response without a gRPC status is a failure.
    pub(super) grpc_outcome: Option<Outcome>,
    /// The outcome for protocols without a body.
    pub(super) any_protocol_outcome: Outcome,
    pub(super) is_grpc: bool,
    pub(super) hangs: bool,
    pub(super) panics: bool,
}

const DEFAULT_CASE: Case = Case {
    name: "",
    reply: |_| Reply::ok(),
    outcome: Outcome::Success,
    grpc_outcome: None,
    any_protocol_outcome: Outcome::Success,
    is_grpc: false,
    hangs: false,
    panics: false,
};

/// Successful responses, which every layer must pass on.
pub(super) const SUCCESS_CASES: [Case; 6] = [
    Case {
        name: "an immediate response",
        reply: |_| Reply::ok().data("hello"),
        grpc_outcome: Some(Outcome::Failure),
        ..DEFAULT_CASE
    },
    Case {
        name: "a slow response in several frames",
        reply: |_| {
            let body = ScriptedBody::new().data("one").pending(1).data("two");
            Reply::ok().pending(2).body(body.end_after_extra_poll())
        },
        grpc_outcome: Some(Outcome::Failure),
        ..DEFAULT_CASE
    },
    Case {
        name: "a delayed response",
        reply: |_| {
            let body = ScriptedBody::from("one").after(REPLY_DELAY).data("two");
            Reply::ok().after(REPLY_DELAY).body(body)
        },
        grpc_outcome: Some(Outcome::Failure),
        ..DEFAULT_CASE
    },
    Case {
        name: "a response of unknown size",
        reply: |_| {
            Reply::ok().body(
                ScriptedBody::from("hello")
                    .without_size_hint()
                    .end_after_extra_poll(),
            )
        },
        grpc_outcome: Some(Outcome::Failure),
        ..DEFAULT_CASE
    },
    Case {
        name: "a response without a body",
        // Complete with its head, so no guard waits for a body.
        reply: |_| Reply::status(204),
        grpc_outcome: Some(Outcome::Failure),
        ..DEFAULT_CASE
    },
    Case {
        name: "a gRPC response with trailers",
        reply: |_| Reply::grpc(0).pending(1),
        is_grpc: true,
        ..DEFAULT_CASE
    },
];

/// Failures, panics and calls without an end.
pub(super) const FAILURE_CASES: [Case; 10] = [
    Case {
        name: "a 500",
        reply: |_| Reply::status(500).data("oh"),
        outcome: Outcome::Failure,
        ..DEFAULT_CASE
    },
    Case {
        name: "a gRPC response without a status",
        reply: |_| {
            Reply::ok()
                .header("content-type", "application/grpc")
                .data("cut")
        },
        outcome: Outcome::Failure,
        is_grpc: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "an error",
        reply: |_| Reply::error("scripted").pending(1),
        outcome: Outcome::Failure,
        any_protocol_outcome: Outcome::Failure,
        ..DEFAULT_CASE
    },
    Case {
        name: "an error in the body",
        reply: |_| Reply::ok().body(ScriptedBody::from("one").pending(1).error("scripted")),
        outcome: Outcome::Failure,
        ..DEFAULT_CASE
    },
    Case {
        name: "no response",
        reply: |_| Reply::hang(),
        outcome: Outcome::Cancelled,
        any_protocol_outcome: Outcome::Cancelled,
        hangs: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "a body without an end",
        reply: |_| Reply::ok().body(ScriptedBody::from("one").without_size_hint().hang()),
        outcome: Outcome::Cancelled,
        hangs: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "a panic in `call`",
        reply: |_| Reply::panic_in_call(SCRIPTED_PANIC),
        outcome: Outcome::Panicked,
        any_protocol_outcome: Outcome::Panicked,
        panics: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "a panic in `poll`",
        reply: |_| Reply::panic_in_poll(SCRIPTED_PANIC).pending(1),
        outcome: Outcome::Panicked,
        any_protocol_outcome: Outcome::Panicked,
        panics: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "a panic in the body",
        reply: |_| {
            Reply::ok().body(
                ScriptedBody::from("one")
                    .without_size_hint()
                    .panic(SCRIPTED_PANIC),
            )
        },
        outcome: Outcome::Panicked,
        panics: true,
        ..DEFAULT_CASE
    },
    Case {
        name: "a panic in the drop of the future",
        reply: |_| Reply::ok().pending(1).panic_in_drop(SCRIPTED_PANIC),
        outcome: Outcome::Panicked,
        any_protocol_outcome: Outcome::Panicked,
        panics: true,
        ..DEFAULT_CASE
    },
];
