use std::marker::PhantomData;

use super::{
    super::{BreakerPermit, CircuitBreaker},
    handle::KeyedBreaker,
    pick::{ByAuthority, ByKey, ByRef, Pick},
};
use crate::{
    call::{End, Moment, Rejection},
    guard::{Admit, Guard, Head},
    protocol::upload::Upload,
};

/// The breakers of many keys as a guard; made by [`KeyedBreaker::by`] and its siblings.
///
/// A service that fails to become ready counts nowhere: there is no request yet, and so no key.
#[derive(Debug)]
pub struct KeyedGuard<K, P> {
    keyed: KeyedBreaker<K>,
    pick: P,
}

impl<K, P: Clone> Clone for KeyedGuard<K, P> {
    fn clone(&self) -> Self {
        KeyedGuard {
            keyed: self.keyed.clone(),
            pick: self.pick.clone(),
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
    /// [`by_ref`](Self::by_ref).
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer, breaker::KeyedBreaker};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(u32);
    ///
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::builder(CircuitBreaker::builder("tenants")).build()?;
    /// let layer = GuardLayer::client(tenants.by(|request: &http::Request<String>| {
    ///     request.extensions().get::<Tenant>().map(|tenant| tenant.0)
    /// }));
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::InvalidSetting>(())
    /// ```
    pub fn by<Req, F: Fn(&Req) -> Option<K>>(&self, key: F) -> KeyedGuard<K, ByKey<F>> {
        self.picking(ByKey(key))
    }

    /// As a guard, with the key that the closure finds in a request: it is copied only when it is new.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer, breaker::KeyedBreaker};
    ///
    /// let hosts: KeyedBreaker<String> = KeyedBreaker::builder(CircuitBreaker::builder("hosts")).build()?;
    /// let guard = hosts.by_ref(|request: &http::Request<String>| request.uri().host());
    /// let layer = GuardLayer::client(guard);
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::InvalidSetting>(())
    /// ```
    pub fn by_ref<Req, Q, F>(&self, key: F) -> KeyedGuard<K, ByRef<F, Q>>
    where
        Q: ?Sized,
        F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
    {
        self.picking(ByRef(key, PhantomData))
    }

    fn picking<P>(&self, pick: P) -> KeyedGuard<K, P> {
        KeyedGuard {
            keyed: self.clone(),
            pick,
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
    pub fn by_authority(&self) -> KeyedGuard<String, ByAuthority> {
        self.picking(ByAuthority(()))
    }
}

impl<K, P> Guard for KeyedGuard<K, P> {
    type Permit = KeyedPermit;

    fn head(&self, permit: &mut KeyedPermit, head: &mut Head<'_>) {
        if let Some((breaker, permit)) = &mut permit.0 {
            breaker.shared.head(permit, head);
        }
    }

    fn settle(&self, permit: KeyedPermit, end: &End<'_>) {
        if let Some((breaker, permit)) = permit.0 {
            breaker.shared.settle(permit, end);
        }
    }

    fn watch_upload(&self, permit: &mut KeyedPermit, upload: &Upload) {
        if let Some((breaker, permit)) = &permit.0 {
            breaker.shared.watch_upload(permit, upload);
        }
    }
}

impl<Req, K, P: Pick<Req, K>> Admit<Req> for KeyedGuard<K, P> {
    fn admit(&self, request: &mut Req, now: &Moment) -> Result<KeyedPermit, Rejection> {
        let Some(breaker) = self.pick.pick(&self.keyed, request) else {
            return Ok(KeyedPermit(None));
        };
        let permit = breaker.shared.admit(now)?;
        Ok(KeyedPermit(Some((breaker, permit))))
    }
}
