use std::{borrow::Borrow, fmt, marker::PhantomData};

use http::Request;

use super::{Http, HttpCall, Protocol, Read, Side, sealed};
use crate::call::{Classifier, Rejection};

/// HTTP and gRPC: see the [module](super). `K` says on which side, and how a call is answered for.
pub struct HttpProtocol<K> {
    classifier: Option<Classifier>,
    kind: PhantomData<fn() -> K>,
}

/// HTTP and gRPC servers: see the [module](super).
pub type Server = HttpProtocol<ServerKind>;
/// HTTP clients: see the [module](super).
pub type Client = HttpProtocol<ClientKind>;
/// gRPC clients: see the [module](super).
pub type GrpcClient = HttpProtocol<GrpcClientKind>;

/// In what HTTP protocols differ. Implemented by the three kinds of this module and by no other type.
pub trait Kind: sealed::Sealed {
    #[doc(hidden)]
    const SIDE: Side;
    #[doc(hidden)]
    const CATCHES_PANICS: bool;
    /// Whether an answer that is not gRPC is a failure.
    #[doc(hidden)]
    const ONLY_GRPC: bool;
    #[doc(hidden)]
    type Refusal: From<Rejection> + Borrow<Rejection>;
}

/// Makes an [`HttpProtocol`] a [`Server`].
#[derive(Clone, Copy, Debug)]
pub struct ServerKind(());
/// Makes an [`HttpProtocol`] a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct ClientKind(());
/// Makes an [`HttpProtocol`] a [`GrpcClient`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcClientKind(());

impl sealed::Sealed for ServerKind {}
impl Kind for ServerKind {
    const SIDE: Side = Side::Server;
    const CATCHES_PANICS: bool = true;
    const ONLY_GRPC: bool = false;
    type Refusal = Rejection;
}

impl sealed::Sealed for ClientKind {}
impl Kind for ClientKind {
    const SIDE: Side = Side::Client;
    const CATCHES_PANICS: bool = false;
    const ONLY_GRPC: bool = false;
    type Refusal = Box<Rejection>;
}

impl sealed::Sealed for GrpcClientKind {}
impl Kind for GrpcClientKind {
    const SIDE: Side = Side::Client;
    const CATCHES_PANICS: bool = false;
    const ONLY_GRPC: bool = true;
    type Refusal = Rejection;
}

impl<K> HttpProtocol<K> {
    pub(crate) const fn new() -> Self {
        HttpProtocol {
            classifier: None,
            kind: PhantomData,
        }
    }
}

impl<K> sealed::Sealed for HttpProtocol<K> {}

impl<K: Kind> Protocol for HttpProtocol<K> {
    type Call = HttpCall;
    type Refusal = K::Refusal;
    const CATCHES_PANICS: bool = K::CATCHES_PANICS;

    fn classified(self, classifier: Classifier) -> Self {
        HttpProtocol {
            classifier: Some(classifier),
            kind: PhantomData,
        }
    }
}

impl<B: 'static, K: Kind> Read<Request<B>> for HttpProtocol<K> {
    #[inline]
    fn read(&self, request: &mut Request<B>) -> HttpCall {
        HttpCall::of::<K, B>(request, self.classifier.as_ref())
    }
}

impl<K: Kind> Http for HttpProtocol<K> {
    const SIDE: Side = K::SIDE;

    #[inline]
    fn classify(&self) -> Option<&Classifier> {
        self.classifier.as_ref()
    }
}

impl<K> Clone for HttpProtocol<K> {
    fn clone(&self) -> Self {
        HttpProtocol {
            classifier: self.classifier.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> Default for HttpProtocol<K> {
    fn default() -> Self {
        HttpProtocol::new()
    }
}

impl<K> fmt::Debug for HttpProtocol<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProtocol")
            .field("classifier", &self.classifier)
            .finish_non_exhaustive()
    }
}
