//! Finds what went wrong in a call where a response says so.

use std::{error::Error, sync::Arc};

use http::{Extensions, HeaderMap};
use percent_encoding::percent_decode;

use crate::{
    call::{Cause, Elapsed, Judged, Rejection},
    protocol::CaughtPanic,
};

/// Longest part of a `grpc-message` that is kept, in bytes before decoding.
const MAX_GRPC_MESSAGE: usize = 1024;

/// The cause of a failure, kept until the call settles.
#[derive(Debug)]
pub(super) enum Fault {
    Error(Arc<dyn Error + Send + Sync>),
    Rejection(Rejection),
    Panic(Arc<str>),
    GrpcMessage(String),
    MissingGrpcStatus,
    WrongLength { promised: u64, sent: u64 },
}

impl Fault {
    pub(super) fn cause(&self) -> Cause<'_> {
        match self {
            Fault::Error(error) => Cause::of(&**error),
            Fault::Rejection(rejection) => Cause::Rejection(rejection),
            Fault::Panic(message) => Cause::Panic(message),
            Fault::GrpcMessage(message) => Cause::GrpcMessage(message),
            Fault::MissingGrpcStatus => Cause::MissingGrpcStatus,
            &Fault::WrongLength { promised, sent } => Cause::WrongLength { promised, sent },
        }
    }
}

/// Returns what a guard further in has already decided.
#[inline]
pub(super) fn settled_inside(extensions: &Extensions) -> Option<(Judged, Fault)> {
    if extensions.is_empty() {
        return None;
    }
    if let Some(rejection) = extensions.get::<Rejection>() {
        return Some((Judged::REJECTED, Fault::Rejection(rejection.clone())));
    }
    #[cfg(feature = "tonic")]
    if let Some(rejection) = extensions
        .get::<tonic::Status>()
        .and_then(|s| Rejection::find(s))
    {
        return Some((Judged::REJECTED, Fault::Rejection(rejection.clone())));
    }
    let CaughtPanic(message) = extensions.get::<CaughtPanic>()?;
    Some((Judged::PANICKED, Fault::Panic(message.clone())))
}

/// Returns what a time limit further in has left with its answer.
pub(super) fn elapsed_in(extensions: &Extensions) -> Option<&Elapsed> {
    let error: &Arc<dyn Error + Send + Sync> = extensions.get()?;
    (&**error as &(dyn Error + 'static)).downcast_ref()
}

/// The error that a service left for us: any `Arc<dyn Error>`, or tonic's status before it is flattened.
pub(super) fn fault_in(extensions: &Extensions) -> Option<Fault> {
    if let Some(error) = extensions.get::<Arc<dyn Error + Send + Sync>>() {
        return Some(Fault::Error(error.clone()));
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = extensions.get::<tonic::Status>() {
        return Some(Fault::Error(Arc::new(status.clone())));
    }
    None
}

pub(super) fn message_of(headers: &HeaderMap) -> Option<Fault> {
    let raw = headers.get("grpc-message")?.as_bytes();
    (!raw.is_empty()).then(|| Fault::GrpcMessage(decoded(raw)))
}

/// A `grpc-message` as text, as far as it is kept.
pub(super) fn decoded(raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(MAX_GRPC_MESSAGE)];
    percent_decode(raw).decode_utf8_lossy().into_owned()
}
