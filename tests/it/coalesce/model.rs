//! Callers that come, are polled when they are woken, and go, in any order: none is stuck.

use std::task::Poll;

use proptest::{collection::vec, prelude::*};
use tower_keep::{coalesce::Coalesce, testing::CountingWaker};

use super::{Peer, Work, run};

#[derive(Clone, Debug)]
enum Step {
    Come(u32),
    /// Polls a caller for the first time, or again without a reason.
    Poll(usize),
    Go(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..2_u32).prop_map(Step::Come),
        (0..12_usize).prop_map(Step::Poll),
        (0..12_usize).prop_map(Step::Go),
    ];
    vec(step, 1..60)
}

struct Caller {
    work: Work<usize>,
    waker: CountingWaker,
    /// The wakes that it has followed; none before its first poll.
    followed: Option<usize>,
    is_done: bool,
}

impl Caller {
    fn poll(&mut self) {
        self.followed = Some(self.waker.count());
        if !self.is_done {
            let polled = self.waker.poll(self.work.as_mut());
            self.is_done = matches!(polled, Poll::Ready(Ok(_)));
        }
    }

    fn is_woken(&self) -> bool {
        !self.is_done && self.followed != Some(self.waker.count())
    }
}

fn follow_wakes(callers: &mut [Caller]) {
    let mut polls = 0;
    while let Some(caller) = callers.iter_mut().find(|caller| caller.is_woken()) {
        caller.poll();
        polls += 1;
        assert!(polls < 1_000, "callers wake each other");
    }
}

proptest! {
    #[test]
    fn callers_get_a_result_if_they_are_polled_when_woken(steps in steps()) {
        let (coalesce, peer) = (Coalesce::new("model"), Peer::new());
        let mut callers: Vec<Caller> = Vec::new();
        for step in steps {
            match step {
                Step::Come(key) => callers.push(Caller {
                    work: run(&coalesce, key, &peer),
                    waker: CountingWaker::new(),
                    followed: None,
                    is_done: false,
                }),
                Step::Poll(index) => {
                    if let Some(caller) = callers.get_mut(index) {
                        caller.poll();
                    }
                }
                Step::Go(index) => {
                    if index < callers.len() {
                        callers.remove(index);
                    }
                }
            }
            prop_assert!(coalesce.stats().in_flight <= 2);
        }
        // At most one call for each of the two keys, however often it was handed over.
        prop_assert!(peer.in_flight() <= 2);
        follow_wakes(&mut callers);
        peer.open();
        follow_wakes(&mut callers);
        prop_assert!(callers.iter().all(|caller| caller.is_done));
        prop_assert_eq!((coalesce.stats().in_flight, peer.in_flight()), (0, 0));
    }
}
