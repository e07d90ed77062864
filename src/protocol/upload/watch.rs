use std::{
    any::{Any, TypeId},
    convert::Infallible,
    io, mem,
};

use bytes::Bytes;
use http::{Extensions, Request};
use http_body::Body;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};

use super::{Upload, WatchedBody};
use crate::{call::BoxError, protocol::grpc_framing::FrameScanner};

// A macro, since each type is another one, and some exist with a feature only.
macro_rules! try_each {
    ($request:ident, $frames:ident; $($(#[$cfg:meta])* $type:ty: $wrap:expr;)*) => {
        let any: &mut dyn Any = $request;
        $(
            $(#[$cfg])*
            // Known at compile time: bodies of other types cost nothing.
            if TypeId::of::<B>() == TypeId::of::<$type>()
                && let Some(request) = any.downcast_mut::<Request<$type>>()
            {
                return watch_in_place(request, $frames, $wrap);
            }
        )*
    };
}

/// Watches the body of a request in place, unless an outer layer does: then its findings count here, too. `frames` scans the
/// gRPC messages.
///
/// Returns `None` if there is nothing to watch, or if the type of the body cannot be changed in place.
pub(crate) fn watch_request<B: 'static>(
    request: &mut Request<B>,
    frames: Option<FrameScanner>,
) -> Option<Upload> {
    try_each!(request, frames;
        // Unwrapped, since it will be wrapped again: errors would lie under two of these.
        #[cfg(feature = "axum")]
        axum_core::body::Body: |watched| {
            let watched = http_body_util::BodyExt::map_err(watched, axum_core::Error::into_inner);
            axum_core::body::Body::new(watched)
        };
        #[cfg(feature = "tonic")]
        tonic::body::Body: tonic::body::Body::new;
        UnsyncBoxBody<Bytes, BoxError>: UnsyncBoxBody::new;
        UnsyncBoxBody<Bytes, Infallible>: UnsyncBoxBody::new;
        UnsyncBoxBody<Bytes, io::Error>: UnsyncBoxBody::new;
        BoxBody<Bytes, BoxError>: BoxBody::new;
        BoxBody<Bytes, Infallible>: BoxBody::new;
        BoxBody<Bytes, io::Error>: BoxBody::new;
        #[cfg(feature = "hyper")]
        UnsyncBoxBody<Bytes, hyper::Error>: UnsyncBoxBody::new;
        #[cfg(feature = "hyper")]
        BoxBody<Bytes, hyper::Error>: BoxBody::new;
        #[cfg(feature = "axum")]
        UnsyncBoxBody<Bytes, axum_core::Error>: UnsyncBoxBody::new;
        #[cfg(feature = "axum")]
        BoxBody<Bytes, axum_core::Error>: BoxBody::new;
        #[cfg(feature = "tonic")]
        UnsyncBoxBody<Bytes, tonic::Status>: UnsyncBoxBody::new;
        #[cfg(feature = "tonic")]
        BoxBody<Bytes, tonic::Status>: BoxBody::new;
    );
    watch_by_extension(request)
}

/// Watches a body whose type cannot be changed here: the inner layer that wraps it reports on it.
fn watch_by_extension<B: 'static>(request: &mut Request<B>) -> Option<Upload> {
    outer_upload(request.extensions()).or_else(|| {
        let upload = is_unread(request.body()).then(Upload::default)?;
        request.extensions_mut().insert(upload.clone());
        Some(upload)
    })
}

/// Returns the upload that an outer layer watches. One that has ended or failed belongs to another request, whose extensions
/// were reused.
fn outer_upload(extensions: &Extensions) -> Option<Upload> {
    extensions.get().and_then(Upload::for_new_call)
}

/// Returns whether the body cannot be changed in place, and more of it is to come.
#[cfg(feature = "hyper")]
fn is_unread(body: &dyn Any) -> bool {
    let incoming = body.downcast_ref::<hyper::body::Incoming>();
    incoming.is_some_and(|incoming| !incoming.is_end_stream())
}
#[cfg(not(feature = "hyper"))]
fn is_unread(_: &dyn Any) -> bool {
    false
}

/// Replaces the body by a watched one. The defaults of these types are empty bodies, which are not allocated.
fn watch_in_place<T: Body + Default>(
    request: &mut Request<T>,
    frames: Option<FrameScanner>,
    wrap: impl FnOnce(WatchedBody<T>) -> T,
) -> Option<Upload> {
    // A body of which nothing is to come cannot fail.
    if request.body().is_end_stream() {
        return None;
    }
    // Asked before anything changes: a body that panics leaves its request as it was.
    let hint = request.body().size_hint();
    if hint.exact() == Some(0) {
        return None;
    }
    // Wrapped already: a second reporter would count each wait twice.
    if let Some(upload) = outer_upload(request.extensions()) {
        return Some(upload);
    }
    let upload = Upload::default();
    // Always the first one, since the upload is new.
    if let Some(reporter) = upload.reporter(&hint, frames) {
        let body = request.body_mut();
        *body = wrap(WatchedBody::new(mem::take(body), reporter));
    }
    request.extensions_mut().insert(upload.clone());
    Some(upload)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
