use std::{error::Error, fmt};

use crate::{
    call::{Cause, End, Outcome},
    util::text::{write_error, written},
};

/// The most that is kept of what a call said: an error's text may be endless.
const MOST: usize = 1_024;

pub(super) fn text(value: impl fmt::Display) -> Box<str> {
    written(value, MOST)
}

/// What a call said that failed: its error, or its status.
pub(super) fn said(end: &End<'_>) -> Option<Box<str>> {
    Some(match end.cause() {
        Some(Cause::Error(error)) => whole(*error),
        Some(Cause::Rejection(rejection)) => text(rejection),
        Some(Cause::Opaque { message, .. }) => return message.map(text),
        Some(Cause::Panic(message)) => text(format_args!("panic: {message}")),
        Some(Cause::GrpcMessage(message)) => text(message),
        Some(Cause::MissingGrpcStatus) => text("the response ended without a gRPC status"),
        Some(Cause::WrongLength { promised, sent }) => text(format_args!(
            "the body ended after {sent} bytes, its content-length is {promised}"
        )),
        None => return status(end),
    })
}

fn whole(error: &(dyn Error + 'static)) -> Box<str> {
    let mut whole = String::new();
    write_error(&mut whole, MOST, error);
    text(whole)
}

fn status(end: &End<'_>) -> Option<Box<str>> {
    match (end.grpc_code(), end.status(), end.outcome()) {
        (Some(code), ..) => Some(text(format_args!("grpc {code}"))),
        (None, Some(status), _) => Some(text(status)),
        (None, None, Outcome::TimedOut) => Some(text("no time was left")),
        (None, None, Outcome::Cancelled) => Some(text("given up by its caller, too slow")),
        (None, None, _) => None,
    }
}
