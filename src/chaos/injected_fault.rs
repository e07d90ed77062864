use std::{error::Error, fmt};

use super::FaultKind;
use crate::call::Label;

/// The error of a call that failed because of [`chaos`](super), and not because of the service.
///
/// It is classified as the fault that it stands for. Of a response in the service's place it is the cause, as logs and error
/// groups show it. [`call::find`](crate::call::find) finds it in other errors.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, call::find, chaos::{Chaos, ChaosLayer, FaultKind, InjectedFault}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let chaos = Chaos::builder("payments").error_rate(1.0).build()?;
/// chaos.enable();
/// let service = ServiceBuilder::new()
///     .layer(ChaosLayer::any(&chaos))
///     .service(service_fn(async |_: ()| Ok::<_, BoxError>(())));
/// let error = service.oneshot(()).await.unwrap_err();
/// assert_eq!(error.to_string(), r#"fault injected by chaos "payments": error"#);
/// assert_eq!(find::<InjectedFault>(&*error).map(InjectedFault::kind), Some(FaultKind::Error));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InjectedFault {
    chaos: Label,
    kind: FaultKind,
}

impl InjectedFault {
    pub(super) fn new(chaos: Label, kind: FaultKind) -> Self {
        InjectedFault { chaos, kind }
    }

    /// Returns the name of the chaos that injected it.
    pub fn chaos(&self) -> &str {
        self.chaos.as_str()
    }

    /// Returns the kind of fault.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }
}

impl fmt::Display for InjectedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InjectedFault { chaos, kind } = self;
        write!(f, "fault injected by chaos {:?}: {kind}", chaos.as_str())
    }
}

impl Error for InjectedFault {}
