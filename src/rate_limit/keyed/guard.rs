use std::{fmt, sync::Arc};

use super::{
    KeyedRateLimit,
    limit_key::{KeyHasher, LimitKey, WeightedKey},
    shared::KeyedShared,
};
use crate::{
    call::{CallClock, CallEnd, Label, Rejection, catch_hook, catch_nested_hook},
    guard::{Admit, Guard, GuardLayerBuilder, Head},
    rate_limit::{
        RateLimitPermit,
        guard::permit,
        too_many::{pause_of_end, pause_of_head},
    },
};

/// A rate limit for each key as a guard; made by [`KeyedRateLimit::keyed_by`] and its siblings.
///
/// A service is ready whatever the limit of a key says: which key a call has is known only when it is made.
pub struct KeyedRateLimitGuard<S> {
    pub(in crate::rate_limit) shared: Arc<KeyedShared>,
    source: Arc<S>,
}

impl<S> KeyedRateLimitGuard<S> {
    pub(super) fn new(limit: &KeyedRateLimit, source: S) -> Self {
        KeyedRateLimitGuard {
            shared: limit.shared.clone(),
            source: Arc::new(source),
        }
    }

    /// Returns the guard with a weight for each request: as how many calls of its key it counts. Default: 1.
    ///
    /// A request of weight 0 takes nothing: it is held up only by those that wait before it, and by a pause of the peer. One that
    /// weighs more than the
    /// [burst](crate::rate_limit::RateLimitBuilder::burst) is never admitted, and rejected without a retry-after, so bound what a
    /// caller may choose. A closure that panics limits nothing. Where all requests share one limit, give them one key:
    /// `keyed_by_ref(|_| Some("all"))`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::{RateLimit, rate_limit::KeyedRateLimit};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// struct Batch { tenant: u32, rows: Vec<u64> }
    ///
    /// let template = RateLimit::builder("rows").rate(1_000, Duration::from_secs(1));
    /// let rows = KeyedRateLimit::builder(template).build()?;
    /// let guard = rows
    ///     .keyed_by(|batch: &Batch| Some(batch.tenant))
    ///     .weighted_by(|batch: &Batch| batch.rows.len().min(1_000) as u32);
    /// let insert = guard.layer().any().layer(service_fn(async |_: Batch| Ok::<_, std::io::Error>(())));
    /// insert.oneshot(Batch { tenant: 7, rows: vec![0; 900] }).await?;
    /// assert_eq!((rows.available(&7), rows.available(&8)), (100, 1_000));
    /// # Ok(()) }
    /// ```
    pub fn weighted_by<Req, F>(&self, weight: F) -> KeyedRateLimitGuard<WeightedKey<S, F>>
    where
        F: Fn(&Req) -> u32,
    {
        KeyedRateLimitGuard {
            shared: self.shared.clone(),
            source: Arc::new(WeightedKey {
                source: self.source.clone(),
                weight,
            }),
        }
    }

    /// Returns the limit as a layer that rejects at once, for the protocol that is named next.
    ///
    /// ```
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// let shards = KeyedRateLimit::new("shards");
    /// let layer = shards.keyed_by(|row: &u32| Some(row % 16)).layer().any();
    /// # let _ = layer;
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<KeyedRateLimitGuard<S>> {
        GuardLayerBuilder(self.clone())
    }

    /// Returns the hash of the request's key; `None` if the request is not limited.
    #[inline]
    fn hash<Req>(&self, request: &Req) -> Option<u64>
    where
        S: LimitKey<Req>,
    {
        let hash = self.source.hash(request, KeyHasher(&self.shared));
        self.shared.hash_or_shared(hash)
    }

    /// Returns the same where no panic is caught further out: then one of the closure limits nothing.
    pub(in crate::rate_limit) fn catch_hash<Req>(&self, request: &Req) -> Option<u64>
    where
        S: LimitKey<Req>,
    {
        catch_hook(|| self.hash(request)).flatten()
    }

    /// Returns as how many calls the request counts; `None` if the closure panics.
    pub(in crate::rate_limit) fn catch_weight<Req>(&self, request: &Req) -> Option<u32>
    where
        S: LimitKey<Req>,
    {
        catch_hook(|| self.source.weight(request))
    }

    /// Adds the key of the request to its rejection, which stays one if the text of the key panics.
    #[cold]
    pub(in crate::rate_limit) fn name_key<Req>(
        &self,
        rejection: Rejection,
        request: &Req,
    ) -> Rejection
    where
        S: LimitKey<Req>,
    {
        match catch_hook(|| self.source.text(request)).flatten() {
            Some(key) => rejection.with_key(Label::from(String::from(key))),
            None => rejection,
        }
    }

    #[inline]
    fn take<Req>(&self, request: &Req, clock: &CallClock) -> (Option<u64>, Result<(), Rejection>)
    where
        S: LimitKey<Req>,
    {
        let hash = self.hash(request);
        let result = match hash {
            Some(hash) => self
                .shared
                .admit(hash, clock.now(), self.source.weight(request)),
            None => Ok(()),
        };
        (
            hash,
            result.map_err(|rejection| self.name_key(rejection, request)),
        )
    }
}

/// The permit of a call that a keyed rate limit has admitted or rejected.
#[derive(Clone, Copy, Debug)]
pub struct KeyedRateLimitPermit {
    permit: RateLimitPermit,
    /// `None` for a call that is not limited.
    hash: Option<u64>,
}

impl<S> Guard for KeyedRateLimitGuard<S> {
    type Permit = KeyedRateLimitPermit;

    #[inline]
    fn on_head(&self, permit: &mut KeyedRateLimitPermit, head: &mut Head<'_>) {
        let Some(hash) = permit.hash else {
            return;
        };
        let permit = &mut permit.permit;
        if permit.is_server {
            let fields = &self.shared.control.fields;
            if fields.has(permit.is_rejected) && !head.wire.is_grpc() {
                let (state, quota, now) = self.shared.read(hash, head.clock.now());
                fields.append(head.headers, quota, state, now);
            }
        } else if let Some(pause) = pause_of_head(head) {
            permit.has_emptied = true;
            self.shared.empty_for_peer(hash, head.clock.now(), pause);
        }
    }

    #[inline]
    fn on_end(&self, permit: KeyedRateLimitPermit, end: &CallEnd<'_>) {
        if let Some(hash) = permit.hash
            && !permit.permit.is_server
            && !permit.permit.has_emptied
            && let Some(pause) = pause_of_end(end)
        {
            self.shared.empty_for_peer(hash, end.now(), pause);
        }
    }
}

impl<Req, S: LimitKey<Req>> Admit<Req> for KeyedRateLimitGuard<S> {
    fn admit(
        &self,
        request: &mut Req,
        clock: &CallClock,
    ) -> Result<KeyedRateLimitPermit, Rejection> {
        let (hash, result) = self.take(request, clock);
        result.map(|()| KeyedRateLimitPermit {
            permit: permit(clock, false),
            hash,
        })
    }

    /// Grants a permit in either case: the limit sees the head of its own rejection.
    #[inline]
    fn try_admit(
        &self,
        request: &mut Req,
        clock: &CallClock,
        granted: &mut Option<KeyedRateLimitPermit>,
    ) -> Option<Rejection> {
        // Fails open, as all guards do: the closure that finds the key may panic.
        let taken = catch_nested_hook(|| self.take(request, clock));
        let (hash, result) = taken.unwrap_or((None, Ok(())));
        let rejection = result.err();
        *granted = Some(KeyedRateLimitPermit {
            permit: permit(clock, rejection.is_some()),
            hash,
        });
        rejection
    }
}

impl<S> Clone for KeyedRateLimitGuard<S> {
    fn clone(&self) -> Self {
        KeyedRateLimitGuard {
            shared: self.shared.clone(),
            source: self.source.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for KeyedRateLimitGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimitGuard")
            .field("name", self.shared.name())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
