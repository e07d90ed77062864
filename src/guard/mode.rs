/// The mode that rejects at once while the guards reject, whether the wrapped service is ready or not: the default.
///
/// The handle is ready at once then, and takes nothing from the wrapped service. While the guards admit some calls, such as
/// the probes of a half-open circuit, those are admitted first and wait inside their futures. A handle that was polled ready
/// and is rejected all the same gives back what it held. That needs a service that is `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailFast(());

/// The mode that is not ready while the guards reject, and wakes when they admit calls again.
///
/// A handle that is polled while they reject, or whose call they reject, gives back what it held of the wrapped service, its
/// place in a queue included. That needs a service that is `Clone`.
///
/// For a balancer, which then picks another endpoint, and for callers that should wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackPressure(());

/// The mode that passes on the readiness of the wrapped service as it is.
///
/// For guards that never reject, such as those that observe, and for services that are not `Clone`. A guard that rejects does
/// so when the call is made, after the wrapped service was ready for it: what that service holds for the call is held until
/// the handle is used again or dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassThrough(());
