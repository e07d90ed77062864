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
use crate::{call::BoxError, protocol::grpc_frames::Frames};

/// Watches the body of a request where it is, unless a layer further out does: then that one's findings count here
/// too. `frames` looks at its gRPC messages.
///
/// `None` if there is nothing to watch, or if the body's type is none of those that can be changed in place.
pub(crate) fn watch_request<B: 'static>(
    request: &mut Request<B>,
    frames: Option<Frames>,
) -> Option<Upload> {
    // Out of the request for a moment: its body and its extensions cannot be borrowed mutably together.
    let mut extensions = mem::take(request.extensions_mut());
    let upload = watch_once(request.body_mut(), &mut extensions, frames);
    *request.extensions_mut() = extensions;
    upload
}

fn watch_once<B: 'static>(
    body: &mut B,
    extensions: &mut Extensions,
    frames: Option<Frames>,
) -> Option<Upload> {
    let known = || extensions.get().map(Upload::for_new_call);
    match swap_any(body, known, frames) {
        Found::Over => None,
        Found::Known(upload) => Some(upload),
        Found::Other => known().or_else(|| {
            // Whoever wraps it further in reports on it.
            let upload = is_unread(body).then(Upload::default)?;
            extensions.insert(upload.clone());
            Some(upload)
        }),
        Found::Watched(upload) => {
            extensions.insert(upload.clone());
            Some(upload)
        }
    }
}

/// Returns whether it is a body that cannot be changed in place, of which more is to come.
#[cfg(feature = "hyper")]
fn is_unread(body: &dyn Any) -> bool {
    let incoming = body.downcast_ref::<hyper::body::Incoming>();
    incoming.is_some_and(|incoming| !incoming.is_end_stream())
}
#[cfg(not(feature = "hyper"))]
fn is_unread(_: &dyn Any) -> bool {
    false
}

enum Found {
    /// Nothing will come of it: nothing can go wrong either.
    Over,
    /// Somebody watches it.
    Known(Upload),
    Watched(Upload),
    /// A type that cannot be changed in place.
    Other,
}

macro_rules! try_each {
    ($body:ident, $known:ident, $frames:ident; $($(#[$cfg:meta])* $type:ty: $wrap:expr;)*) => {
        let any: &mut dyn Any = $body;
        $(
            $(#[$cfg])*
            // Known when this is compiled: bodies of other types cost nothing.
            if TypeId::of::<B>() == TypeId::of::<$type>()
                && let Some(body) = any.downcast_mut::<$type>()
            {
                return swap(body, $known, $frames, $wrap);
            }
        )*
    };
}

fn swap_any<B: 'static>(
    body: &mut B,
    known: impl FnOnce() -> Option<Upload>,
    frames: Option<Frames>,
) -> Found {
    try_each!(body, known, frames;
        // Unwrapped, since it will be wrapped again: nobody looks for errors under two of these.
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
    Found::Other
}

/// The defaults of these types are empty bodies, which are not allocated.
fn swap<T: Body + Default>(
    body: &mut T,
    known: impl FnOnce() -> Option<Upload>,
    frames: Option<Frames>,
    wrap: impl FnOnce(WatchedBody<T>) -> T,
) -> Found {
    let hint = body.size_hint();
    if body.is_end_stream() || hint.exact() == Some(0) {
        return Found::Over;
    }
    // More comes of this body: one that has ended was another, and its request's extensions were used again.
    if let Some(upload) = known().filter(|upload| !upload.is_whole()) {
        return Found::Known(upload);
    }
    let upload = Upload::default();
    if let Some(reporter) = upload.reporter(&hint, frames) {
        *body = wrap(WatchedBody::new(mem::take(body), reporter));
    }
    Found::Watched(upload)
}

#[cfg(test)]
mod tests;
