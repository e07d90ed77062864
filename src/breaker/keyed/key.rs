//! Where the key of a request comes from.

use std::{borrow::Borrow, fmt, hash::Hash, marker::PhantomData};

use http::Request;

use super::{super::CircuitBreaker, authority, keyed_breaker::KeyedBreaker};

/// How the breaker of a request is found. Made by [`KeyedBreaker::keyed_by`] and its siblings.
pub trait KeySource<Req, K> {
    #[doc(hidden)]
    fn breaker_for(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker>;
}

/// By a key that a closure makes; see [`KeyedBreaker::keyed_by`].
#[derive(Clone, Copy)]
pub struct KeyFn<F>(pub(super) F);

impl<Req, K, F> KeySource<Req, K> for KeyFn<F>
where
    K: Hash + Eq + fmt::Display,
    F: Fn(&Req) -> Option<K>,
{
    fn breaker_for(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker> {
        Some(keyed.get_owned((self.0)(request)?))
    }
}

/// By a key that a closure finds in the request; see [`KeyedBreaker::keyed_by_ref`].
pub struct KeyRefFn<F, Q: ?Sized>(pub(super) F, pub(super) PhantomData<fn(&Q)>);

impl<Req, K, Q, F> KeySource<Req, K> for KeyRefFn<F, Q>
where
    K: Hash + Eq + fmt::Display + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
{
    fn breaker_for(&self, keyed: &KeyedBreaker<K>, request: &Req) -> Option<CircuitBreaker> {
        Some(keyed.get((self.0)(request)?))
    }
}

impl<F: Clone, Q: ?Sized> Clone for KeyRefFn<F, Q> {
    fn clone(&self) -> Self {
        KeyRefFn(self.0.clone(), PhantomData)
    }
}

/// By host and port; see [`KeyedBreaker::keyed_by_authority`].
#[derive(Clone, Copy, Debug)]
pub struct AuthorityKey(pub(super) ());

impl<B> KeySource<Request<B>, String> for AuthorityKey {
    fn breaker_for(
        &self,
        keyed: &KeyedBreaker<String>,
        request: &Request<B>,
    ) -> Option<CircuitBreaker> {
        Some(keyed.get(&*authority::from_request(request)?))
    }
}

impl<F> fmt::Debug for KeyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByKey")
    }
}

impl<F, Q: ?Sized> fmt::Debug for KeyRefFn<F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByRef")
    }
}
