/// Refuses at once while the guards refuse, whether the wrapped service is ready or not: the default.
///
/// A handle is ready at once then, and takes nothing from the wrapped service. While the guards let some calls pass,
/// such as the probes of a half-open circuit, those are admitted first and wait inside their futures. A handle that was
/// polled ready and is refused all the same gives back what it held. All that needs a service that is `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenFirst(());

/// Is not ready while the guards refuse, and wakes when they let calls pass again.
///
/// A handle that was polled before the guards began to refuse holds what it took from the wrapped service, or its place
/// in a queue there, until it is used again or dropped.
///
/// For a balancer, which then picks another endpoint, for callers that had better wait, and for services that are not
/// `Clone`. Guards that never refuse early just pass readiness on.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackPressure(());
