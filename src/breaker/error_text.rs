use std::{error::Error, fmt};

use crate::{
    call::{CallEnd, Cause, Outcome},
    util::text::{display_bounded, write_error_chain},
};

/// The most that is kept of what a call said: an error's text may be endless.
const MAX_ERROR_TEXT: usize = 1_024;

pub(super) fn bounded_text(value: impl fmt::Display) -> Box<str> {
    display_bounded(value, MAX_ERROR_TEXT)
}

/// What a call said that failed: its error, or its status.
pub(super) fn end_error_text(end: &CallEnd<'_>) -> Option<Box<str>> {
    Some(match end.cause() {
        Some(Cause::Error(error)) => error_with_sources(*error),
        Some(Cause::Rejection(rejection)) => bounded_text(rejection),
        Some(Cause::Opaque { message, .. }) => return message.map(bounded_text),
        Some(Cause::Panic(message)) => bounded_text(format_args!("panic: {message}")),
        Some(Cause::GrpcMessage(message)) => bounded_text(message),
        Some(Cause::MissingGrpcStatus) => bounded_text("the response ended without a gRPC status"),
        Some(Cause::WrongLength {
            content_length: promised,
            bytes_sent: sent,
        }) => bounded_text(format_args!(
            "the body ended after {sent} bytes, its content-length is {promised}"
        )),
        None => return status_text(end),
    })
}

fn error_with_sources(error: &(dyn Error + 'static)) -> Box<str> {
    let mut whole = String::new();
    write_error_chain(&mut whole, MAX_ERROR_TEXT, error);
    bounded_text(whole)
}

fn status_text(end: &CallEnd<'_>) -> Option<Box<str>> {
    match (end.grpc_code(), end.status(), end.outcome()) {
        (Some(code), ..) => Some(bounded_text(format_args!("grpc {code}"))),
        (None, Some(status), _) => Some(bounded_text(status)),
        (None, None, Outcome::TimedOut) => Some(bounded_text("no time was left")),
        (None, None, Outcome::Cancelled) => Some(bounded_text("given up by its caller, too slow")),
        (None, None, _) => None,
    }
}
