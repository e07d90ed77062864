//! Where the key of a request comes from.

use std::{borrow::Borrow, fmt, hash::Hash, marker::PhantomData};

use http::Request;

use super::{super::CircuitBreaker, authority, handle::KeyedBreaker};

/// How the breaker of a request is found. Made by [`KeyedBreaker::by`] and its siblings.
pub trait Pick<Req, K> {
    #[doc(hidden)]
    fn pick(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker>;
}

/// By a key that a closure makes; see [`KeyedBreaker::by`].
#[derive(Clone, Copy)]
pub struct ByKey<F>(pub(super) F);

impl<Req, K, F> Pick<Req, K> for ByKey<F>
where
    K: Hash + Eq + fmt::Display,
    F: Fn(&Req) -> Option<K>,
{
    fn pick(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker> {
        Some(keyed.get_owned((self.0)(request)?))
    }
}

/// By a key that a closure finds in the request; see [`KeyedBreaker::by_ref`].
pub struct ByRef<F, Q: ?Sized>(pub(super) F, pub(super) PhantomData<fn(&Q)>);

impl<Req, K, Q, F> Pick<Req, K> for ByRef<F, Q>
where
    K: Hash + Eq + fmt::Display + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
{
    fn pick(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker> {
        Some(keyed.get((self.0)(request)?))
    }
}

impl<F: Clone, Q: ?Sized> Clone for ByRef<F, Q> {
    fn clone(&self) -> Self {
        ByRef(self.0.clone(), PhantomData)
    }
}

/// By host and port; see [`KeyedBreaker::by_authority`].
#[derive(Clone, Copy, Debug)]
pub struct ByAuthority(pub(super) ());

impl<B> Pick<Request<B>, String> for ByAuthority {
    fn pick(&self, keyed: &KeyedBreaker<String>, request: &Request<B>) -> Option<CircuitBreaker> {
        Some(keyed.get(&*authority::of_request(request)?))
    }
}

impl<F> fmt::Debug for ByKey<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByKey")
    }
}

impl<F, Q: ?Sized> fmt::Debug for ByRef<F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByRef")
    }
}
