use std::{error::Error, fmt};

use crate::{
    call::{Cause, End, Outcome, chain},
    errors::written,
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

/// An error with its sources, since each says its own level only; those that say their source's as well are believed.
fn whole(error: &(dyn Error + 'static)) -> Box<str> {
    let mut whole = String::new();
    for error in chain(error) {
        let said = text(error);
        if whole.is_empty() {
            whole = said.into_string();
        } else if !whole.ends_with(&*said) {
            whole = format!("{whole}: {said}");
        }
        if whole.len() > MOST {
            break;
        }
    }
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
