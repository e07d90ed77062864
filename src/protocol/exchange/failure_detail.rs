//! Finds the cause of a failure in a response.

use std::{error::Error, sync::Arc};

use http::{Extensions, HeaderMap};
use percent_encoding::percent_decode;

use crate::{
    call::{Cause, Classification, Elapsed, GRPC_MESSAGE, Rejection},
    protocol::CaughtPanic,
    util::headers::find_header,
};

/// The maximum length of a `grpc-message` that is kept, in bytes before decoding.
const MAX_GRPC_MESSAGE: usize = 1024;

/// The cause of a failure, kept until the call completes.
#[derive(Debug)]
pub(super) enum FailureDetail {
    Error(Arc<dyn Error + Send + Sync>),
    Rejection(Rejection),
    Panic(Arc<str>),
    GrpcMessage(String),
    MissingGrpcStatus,
    WrongLength {
        content_length: u64,
        bytes_sent: u64,
    },
}

impl FailureDetail {
    pub(super) fn cause(&self) -> Cause<'_> {
        match self {
            FailureDetail::Error(error) => Cause::from_error(&**error),
            FailureDetail::Rejection(rejection) => Cause::Rejection(rejection),
            FailureDetail::Panic(message) => Cause::Panic(message),
            FailureDetail::GrpcMessage(message) => Cause::GrpcMessage(message),
            FailureDetail::MissingGrpcStatus => Cause::MissingGrpcStatus,
            &FailureDetail::WrongLength {
                content_length: promised,
                bytes_sent: sent,
            } => Cause::WrongLength {
                content_length: promised,
                bytes_sent: sent,
            },
        }
    }
}

/// Returns the outcome that an inner guard has decided: a rejection, or a caught panic.
#[inline]
pub(super) fn inner_outcome(extensions: &Extensions) -> Option<(Classification, FailureDetail)> {
    if extensions.is_empty() {
        return None;
    }
    // Before the panic: a guard that rejects never lets the service run.
    if let Some(rejection) = extensions.get::<Rejection>() {
        return Some((
            Classification::REJECTED,
            FailureDetail::Rejection(rejection.clone()),
        ));
    }
    #[cfg(feature = "tonic")]
    if let Some(rejection) = extensions
        .get::<tonic::Status>()
        .and_then(|s| Rejection::find(s))
    {
        return Some((
            Classification::REJECTED,
            FailureDetail::Rejection(rejection.clone()),
        ));
    }
    let CaughtPanic(message) = extensions.get::<CaughtPanic>()?;
    Some((
        Classification::PANICKED,
        FailureDetail::Panic(message.clone()),
    ))
}

/// Returns the error that an inner timeout has left with its response.
pub(super) fn attached_elapsed(extensions: &Extensions) -> Option<&Elapsed> {
    let error: &Arc<dyn Error + Send + Sync> = extensions.get()?;
    (&**error as &(dyn Error + 'static)).downcast_ref()
}

/// Returns the error that the service left in the extensions: any `Arc<dyn Error>`, or tonic's status before it is flattened.
pub(super) fn attached_error(extensions: &Extensions) -> Option<FailureDetail> {
    if let Some(error) = extensions.get::<Arc<dyn Error + Send + Sync>>() {
        return Some(FailureDetail::Error(error.clone()));
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = extensions.get::<tonic::Status>() {
        return Some(FailureDetail::Error(Arc::new(status.clone())));
    }
    None
}

pub(super) fn grpc_message(headers: &HeaderMap) -> Option<FailureDetail> {
    let raw = find_header(headers, &GRPC_MESSAGE)?.as_bytes();
    (!raw.is_empty()).then(|| FailureDetail::GrpcMessage(decode_grpc_message(raw)))
}

/// Decodes a `grpc-message`, as far as it is kept.
pub(super) fn decode_grpc_message(raw: &[u8]) -> String {
    // Cut before it is decoded, so that a long message costs no more than a short one. That may split an escape or a character;
    // the lossy decoding takes both.
    let raw = &raw[..raw.len().min(MAX_GRPC_MESSAGE)];
    percent_decode(raw).decode_utf8_lossy().into_owned()
}
