//! The deadline and the priority of a wait: before the caller stops waiting, and before a time limit around the call elapses.

use tokio::time::Instant;

use crate::{
    context::{CallPriority, Context, current_quantile, deadline, min_some},
    protocol::{CallState, ReadRequest},
};

/// Returns the deadline of work: the earliest of that of its caller and of the time limits around it.
pub(super) fn work_deadline() -> Option<Instant> {
    deadline()
}

/// Returns the deadline of the call of a request, which may bring one of its own.
pub(super) fn request_deadline<P, Req>(protocol: &P, request: &mut Req) -> Option<Instant>
where
    P: ReadRequest<Req>,
{
    let around = work_deadline();
    let Some(extensions) = P::extensions(request) else {
        return around;
    };
    let context = extensions.get::<Context>().and_then(Context::deadline);
    let requested = protocol.read(request).time_limit();
    let requested = requested.and_then(|time| Instant::now().checked_add(time));
    min_some(around, min_some(context, requested))
}

/// Returns where the priority of the call of a request stands: by the prioritizer around it, or, in a task of another call, by the
/// context that the request carries.
pub(super) fn request_quantile<P, Req>(request: &mut Req) -> Option<f32>
where
    P: ReadRequest<Req>,
{
    current_quantile().or_else(|| {
        let priority = P::extensions(request)?.get::<Context>()?.priority()?;
        Some(CallPriority::uncompared(priority).quantile)
    })
}
