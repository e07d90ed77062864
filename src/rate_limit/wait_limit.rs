use std::time::Duration;

use tokio::time::Instant;

use super::{
    KeyedRateLimitGuard, RateLimit, Reservation,
    control::LimitControl,
    keyed::LimitKey,
    limit_metrics::{LimitEvent, LimitMetrics},
    target::{LimitTarget, Reserved},
};
use crate::call::Rejection;

/// A limit for which requests of this type can wait: a [`RateLimit`], or a [`KeyedRateLimitGuard`] that finds their key.
pub trait WaitLimit<Req> {
    /// Returns the bucket of the request; `None` if it is not limited.
    fn target(&self, request: &Req) -> Option<LimitTarget>;

    /// Returns whether responses to calls that are rejected or admitted have the fields of the limit.
    fn has_fields(&self, is_rejected: bool) -> bool;

    /// Takes a cell that is there now, or within the wait of the settings and before the deadline. Returns a reservation if
    /// there is something to wait for.
    fn reserve(
        &self,
        request: &Req,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Option<Reservation>, Rejection>;
}

impl<Req> WaitLimit<Req> for RateLimit {
    fn target(&self, _: &Req) -> Option<LimitTarget> {
        Some(LimitTarget::single(&self.shared))
    }

    #[inline]
    fn has_fields(&self, is_rejected: bool) -> bool {
        self.shared.control.fields.has(is_rejected)
    }

    #[inline]
    fn reserve(
        &self,
        request: &Req,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Option<Reservation>, Rejection> {
        let reserve = |max_wait| self.shared.reserve(now, 1, max_wait);
        let control = &self.shared.control;
        let waits = reserve_cell(control, now, deadline, reserve)?;
        Ok(waits.and_then(|reserved| reservation(self, request, reserved, 1, now)))
    }
}

impl<Req, S: LimitKey<Req>> WaitLimit<Req> for KeyedRateLimitGuard<S> {
    fn target(&self, request: &Req) -> Option<LimitTarget> {
        let hash = self.catch_hash(request)?;
        Some(LimitTarget::key(&self.shared, hash))
    }

    #[inline]
    fn has_fields(&self, is_rejected: bool) -> bool {
        self.shared.control.fields.has(is_rejected)
    }

    #[inline]
    fn reserve(
        &self,
        request: &Req,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<Option<Reservation>, Rejection> {
        let hash = self.catch_hash(request);
        let Some((hash, weight)) = hash.zip(self.catch_weight(request)) else {
            return Ok(None);
        };
        let reserve = |max_wait| self.shared.reserve(hash, now, weight, max_wait);
        let waits = reserve_cell(&self.shared.control, now, deadline, reserve)
            .map_err(|rejection| self.name_key(rejection, request))?;
        Ok(waits.and_then(|reserved| reservation(self, request, reserved, weight, now)))
    }
}

/// Reserves a cell in time, and returns it if there is something to wait for.
#[inline]
fn reserve_cell(
    control: &LimitControl,
    now: Instant,
    deadline: Option<Instant>,
    reserve: impl FnOnce(Duration) -> Result<Option<Reserved>, Rejection>,
) -> Result<Option<Reserved>, Rejection> {
    let reserved = reserve_in_time(now, control.max_wait(), deadline, reserve)?;
    Ok(reserved.filter(|reserved| must_wait(reserved, &control.metrics)))
}

/// Reserves, if the wait ends before the deadline as well.
#[inline]
pub(super) fn reserve_in_time(
    now: Instant,
    max_wait: Duration,
    deadline: Option<Instant>,
    reserve: impl FnOnce(Duration) -> Result<Option<Reserved>, Rejection>,
) -> Result<Option<Reserved>, Rejection> {
    let left = deadline.map(|at| at.saturating_duration_since(now));
    let in_time = left.map_or(max_wait, |left| left.min(max_wait));
    reserve(in_time).map_err(|rejection| {
        let is_short = rejection.retry_after().is_some_and(|wait| wait <= max_wait);
        match is_short {
            true => rejection.with_reason("the wait would end after the deadline"),
            false => rejection,
        }
    })
}

/// Returns whether the cells may be used later only, and counts that.
#[inline]
pub(super) fn must_wait(reserved: &Reserved, metrics: &LimitMetrics) -> bool {
    let waits = reserved.grant.wait > 0;
    if waits {
        metrics.count(LimitEvent::Waited);
    }
    waits
}

#[cold]
fn reservation<Req>(
    limit: &impl WaitLimit<Req>,
    request: &Req,
    reserved: Reserved,
    calls: u32,
    now: Instant,
) -> Option<Reservation> {
    let target = limit.target(request)?;
    Some(Reservation::new(target, Some(reserved), calls, now))
}
