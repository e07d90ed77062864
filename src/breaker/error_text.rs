use std::{error::Error, fmt};

use crate::{
    call::{CallEnd, Cause, Outcome},
    util::text::{display_bounded, write_error_chain},
};

/// The maximum length of an error text, in bytes: `Display` may write without end.
const MAX_ERROR_TEXT: usize = 1_024;

pub(super) fn bounded_text(value: impl fmt::Display) -> Box<str> {
    display_bounded(value, MAX_ERROR_TEXT)
}

/// Returns the text of the error of a call, or else of its status.
pub(super) fn end_error_text(end: &CallEnd<'_>) -> Option<Box<str>> {
    Some(match end.cause() {
        Some(Cause::Error(error)) => error_with_sources(*error),
        Some(Cause::Rejection(rejection)) => bounded_text(rejection),
        Some(Cause::Opaque { message, .. }) => return message.map(bounded_text),
        Some(Cause::Panic(message)) => bounded_text(format_args!("panic: {message}")),
        Some(Cause::GrpcMessage(message)) => bounded_text(message),
        Some(Cause::MissingGrpcStatus) => bounded_text("the response ended without a gRPC status"),
        Some(Cause::WrongLength {
            content_length,
            bytes_sent,
        }) => bounded_text(format_args!(
            "the body ended after {bytes_sent} bytes, its content-length is {content_length}"
        )),
        None => return status_text(end),
    })
}

fn error_with_sources(error: &(dyn Error + 'static)) -> Box<str> {
    let mut text = String::new();
    write_error_chain(&mut text, MAX_ERROR_TEXT, error);
    bounded_text(text)
}

fn status_text(end: &CallEnd<'_>) -> Option<Box<str>> {
    match (end.grpc_code(), end.status(), end.outcome()) {
        (Some(code), ..) => Some(bounded_text(format_args!("grpc {code}"))),
        (None, Some(status), _) => Some(bounded_text(status)),
        (None, None, Outcome::TimedOut) => Some(bounded_text("no time was left")),
        (None, None, Outcome::Cancelled) => {
            Some(bounded_text("dropped by its caller after the slow limit"))
        }
        (None, None, _) => None,
    }
}
