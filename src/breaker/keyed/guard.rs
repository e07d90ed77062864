use std::marker::PhantomData;

use super::{
    super::{BreakerPermit, CircuitBreaker},
    key::{AuthorityKey, KeyFn, KeyRefFn, KeySource},
    keyed_breaker::KeyedBreaker,
};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head},
    protocol::upload::Upload,
};

/// The breakers of many keys as a guard; made by [`KeyedBreaker::keyed_by`] and its siblings.
///
/// A service that fails to become ready counts nowhere: there is no request yet, and so no key.
#[derive(Debug)]
pub struct KeyedGuard<K, P> {
    keyed: KeyedBreaker<K>,
    key_source: P,
}

impl<K, P: Clone> Clone for KeyedGuard<K, P> {
    fn clone(&self) -> Self {
        KeyedGuard {
            keyed: self.keyed.clone(),
            key_source: self.key_source.clone(),
        }
    }
}

/// What a call holds that a keyed breaker let pass: the breaker too, so that it ends in the one that it began in.
#[derive(Debug)]
pub struct KeyedPermit(Option<(CircuitBreaker, BreakerPermit)>);

impl<K> KeyedBreaker<K> {
    /// As a guard, with the key that the closure makes from a request. A request that has none passes uncounted.
    ///
    /// For keys that cost nothing to make: numbers, `http::uri::Authority`, `Arc<str>`; else see
    /// [`keyed_by_ref`](Self::keyed_by_ref).
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer, breaker::KeyedBreaker};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(u32);
    ///
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::builder(CircuitBreaker::builder("tenants")).build()?;
    /// let layer = GuardLayer::client(tenants.keyed_by(|request: &http::Request<String>| {
    ///     request.extensions().get::<Tenant>().map(|tenant| tenant.0)
    /// }));
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn keyed_by<Req, F: Fn(&Req) -> Option<K>>(&self, key: F) -> KeyedGuard<K, KeyFn<F>> {
        self.with_key(KeyFn(key))
    }

    /// As a guard, with the key that the closure finds in a request: it is copied only when it is new.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer, breaker::KeyedBreaker};
    ///
    /// let hosts: KeyedBreaker<String> = KeyedBreaker::builder(CircuitBreaker::builder("hosts")).build()?;
    /// let guard = hosts.keyed_by_ref(|request: &http::Request<String>| request.uri().host());
    /// let layer = GuardLayer::client(guard);
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn keyed_by_ref<Req, Q, F>(&self, key: F) -> KeyedGuard<K, KeyRefFn<F, Q>>
    where
        Q: ?Sized,
        F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
    {
        self.with_key(KeyRefFn(key, PhantomData))
    }

    fn with_key<P>(&self, pick: P) -> KeyedGuard<K, P> {
        KeyedGuard {
            keyed: self.clone(),
            key_source: pick,
        }
    }
}

impl KeyedBreaker<String> {
    /// Returns a guard that uses the authority of a request as its key: `host:port` in its URI, else in its `Host`
    /// header.
    ///
    /// The host is in lower case, and the port left out if it is the default of the URI's scheme: 80 for `http`, 443
    /// for `https`. User info (`user:password@`) is never part of a key. Looking up an authority that is spelled like
    /// this allocates nothing.
    ///
    /// A request that names no authority passes uncounted. All authorities that are invalid - a host of more than 255
    /// bytes, or with characters that no host has - share the key `_OTHER`, so that such requests take one place and
    /// not each its own.
    pub fn keyed_by_authority(&self) -> KeyedGuard<String, AuthorityKey> {
        self.with_key(AuthorityKey(()))
    }
}

impl<K, P> Guard for KeyedGuard<K, P> {
    type Permit = KeyedPermit;

    fn on_head(&self, permit: &mut KeyedPermit, head: &mut Head<'_>) {
        if let Some((breaker, permit)) = &mut permit.0 {
            breaker.shared.on_head(permit, head);
        }
    }

    fn on_end(&self, permit: KeyedPermit, end: &CallEnd<'_>) {
        if let Some((breaker, permit)) = permit.0 {
            breaker.shared.complete(permit, end);
        }
    }

    fn on_upload(&self, permit: &mut KeyedPermit, upload: &Upload) {
        if let Some((breaker, permit)) = &permit.0 {
            breaker.shared.watch_upload(permit, upload);
        }
    }
}

impl<Req, K, P: KeySource<Req, K>> Admit<Req> for KeyedGuard<K, P> {
    fn admit(&self, request: &mut Req, now: &CallClock) -> Result<KeyedPermit, Rejection> {
        let Some(breaker) = self.key_source.breaker_for(&self.keyed, request) else {
            return Ok(KeyedPermit(None));
        };
        let permit = breaker.shared.admit(now)?;
        Ok(KeyedPermit(Some((breaker, permit))))
    }
}
