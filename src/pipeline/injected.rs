use std::{
    any::{Any, TypeId},
    fmt,
    future::Future,
    io,
    sync::Arc,
};

use crate::{
    call::BoxError,
    chaos::{Chaos, ChaosRunFuture, InjectedFault},
};

type MakeFn = dyn Fn(InjectedFault, &mut dyn Any) + Send + Sync;

/// The faults of a pipeline, and what makes errors of one type of them.
#[derive(Clone, Default)]
pub(super) struct PipelineFaults {
    pub(super) chaos: Option<Chaos>,
    custom: Option<(TypeId, Arc<MakeFn>)>,
}

impl PipelineFaults {
    /// Sets what makes the errors of work whose error is an `E`.
    pub(super) fn set_error<E: 'static>(
        &mut self,
        make: impl Fn(InjectedFault) -> E + Send + Sync + 'static,
    ) {
        let make = move |fault, slot: &mut dyn Any| {
            if let Some(slot) = slot.downcast_mut::<Option<E>>() {
                *slot = Some(make(fault));
            }
        };
        self.custom = Some((TypeId::of::<E>(), Arc::new(make)));
    }

    /// Runs the work, or injects a fault into it.
    #[inline]
    pub(super) fn run<F, T, E>(
        &self,
        work: F,
    ) -> ChaosRunFuture<F, impl FnOnce(InjectedFault) -> E + use<'_, F, T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: 'static,
    {
        let chaos = self.chaos.as_ref();
        let injection = chaos.and_then(|chaos| chaos.begin_work(|| self.can_make::<E>()));
        ChaosRunFuture::new(work, injection, |fault| self.make(fault))
    }

    /// Returns whether faults can be errors of this type.
    fn can_make<E: 'static>(&self) -> bool {
        let wanted = TypeId::of::<E>();
        let custom = self.custom.as_ref();
        custom.is_some_and(|(made, _)| *made == wanted) || is_known(wanted)
    }

    fn make<E: 'static>(&self, fault: InjectedFault) -> E {
        let mut slot: Option<E> = None;
        match &self.custom {
            Some((made, make)) if *made == TypeId::of::<E>() => make(fault, &mut slot),
            _ => fill_known(&mut slot, &fault),
        }
        slot.expect("faults that need an error are begun only where one can be made")
    }
}

impl fmt::Debug for PipelineFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipelineFaults").field(&self.chaos).finish()
    }
}

/// Returns whether faults become errors of this type by themselves.
fn is_known(wanted: TypeId) -> bool {
    #[cfg(feature = "tonic")]
    if wanted == TypeId::of::<tonic::Status>() {
        return true;
    }
    let known = [
        TypeId::of::<InjectedFault>(),
        TypeId::of::<BoxError>(),
        TypeId::of::<io::Error>(),
        TypeId::of::<String>(),
    ];
    known.contains(&wanted)
}

/// Fills the slot of a type that is known: `None` of an `Option<E>`.
fn fill_known(slot: &mut dyn Any, fault: &InjectedFault) {
    fn fill<E: 'static>(slot: &mut dyn Any, make: impl FnOnce() -> E) {
        if let Some(slot) = slot.downcast_mut::<Option<E>>() {
            *slot = Some(make());
        }
    }
    fill(slot, || fault.clone());
    fill::<BoxError>(slot, || fault.clone().into());
    fill(slot, || io::Error::other(fault.clone()));
    fill(slot, || fault.to_string());
    #[cfg(feature = "tonic")]
    fill(slot, || {
        let mut status = tonic::Status::unavailable("the connection was lost");
        status.set_source(Arc::new(fault.clone()));
        status
    });
}
