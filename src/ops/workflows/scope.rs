//! The workflow that this thread works on, and the step of it.

use std::cell::Cell;

use super::Flow;

thread_local! {
    static CURRENT: Cell<Option<Position>> = const { Cell::new(None) };
}

/// A place in a workflow.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) flow: Flow,
    /// The index of the step, unless it is only counted.
    pub(super) step: Option<u32>,
}

/// A guard that sets the position of this thread until it is dropped.
pub(super) struct Scope<'a> {
    own: &'a mut Option<Position>,
}

impl<'a> Scope<'a> {
    pub(super) fn enter(own: &'a mut Option<Position>) -> Self {
        swap(own);
        Scope { own }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        swap(self.own);
    }
}

fn swap(own: &mut Option<Position>) {
    // Moved rather than cloned: a poll counts no references. Fails while the thread ends.
    let _ = CURRENT.try_with(|current| *own = current.replace(own.take()));
}

/// Returns the position of this thread.
pub(super) fn current() -> Option<Position> {
    let current = CURRENT.try_with(|current| {
        let position = current.take();
        current.set(position.clone());
        position
    });
    current.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u32) -> Option<Position> {
        let flow = Flow::new("test".into(), None);
        Some(Position {
            flow,
            step: Some(step),
        })
    }

    #[test]
    fn scopes_nest_and_give_back_what_was_before() {
        let step = || current().and_then(|position| position.step);
        let (mut outer, mut inner) = (at(1), at(2));
        {
            let _outer = Scope::enter(&mut outer);
            assert_eq!(step(), Some(1));
            {
                let _inner = Scope::enter(&mut inner);
                assert_eq!(step(), Some(2));
            }
            assert_eq!(step(), Some(1));
        }
        assert_eq!(step(), None);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _outer = Scope::enter(&mut outer);
            panic!("a bug");
        }));
        assert!(caught.is_err() && current().is_none() && outer.is_some());
    }
}
