/// Refuses at once while the guards refuse, whether the wrapped service is ready or not: the default.
///
/// A handle is ready at once then, and takes nothing from the wrapped service. While the guards let some calls pass,
/// such as the probes of a half-open circuit, those are admitted first and wait inside their futures. A handle that was
/// polled ready and is refused all the same gives back what it held. All that needs a service that is `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailFast(());

/// Is not ready while the guards refuse, and wakes when they let calls pass again.
///
/// A handle that is polled while they refuse, or whose call they refuse, gives back what it held of the wrapped service,
/// its place in a queue included. That needs a service that is `Clone`.
///
/// For a balancer, which then picks another endpoint, and for callers that had better wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackPressure(());

/// Passes on the readiness of the wrapped service as it is.
///
/// For guards that never refuse, such as those that observe, and for services that are not `Clone`. A guard that refuses
/// does so when the call is made, after the wrapped service was ready for it: what that holds for the call is held until
/// the handle is used again or dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassThrough(());
