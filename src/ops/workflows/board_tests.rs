use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BOUNDS: BoardLimits = BoardLimits {
    running: 8,
    finished: 6,
    bytes: 20_000,
};

#[derive(Clone, Debug)]
enum Act {
    Begin,
    /// Ends one of those that run, with a text of so many bytes as its attribute.
    End(usize, usize, usize),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Begin),
        (0..8_usize, 1..5_usize, 0..4_usize).prop_map(|(which, state, steps)| Act::End(
            which,
            state,
            steps * 30
        )),
    ]
}

fn ended(id: WorkflowId, state: RunState, steps: usize) -> Run {
    let mut run = Run::new(id, "job".into(), SystemTime::UNIX_EPOCH);
    for _ in 0..steps {
        run.begin_step("s".into(), None, Duration::ZERO, true);
    }
    run.end(state, Duration::from_millis(5), None);
    run
}

proptest! {
    /// Whatever begins and ends, the bounds hold, nothing is lost without a count, and each kind of end keeps its half.
    #[test]
    fn board_keeps_its_bounds(acts in proptest::collection::vec(any_act(), 0..120)) {
        let mut board = Board::new(BOUNDS);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let mut running: Vec<WorkflowId> = Vec::new();
        let (mut begun, mut evicted, mut ends) = (0, 0, Vec::new());
        for act in acts {
            match act {
                Act::Begin => {
                    begun += 1;
                    running.extend(board.begin(at, |id| id));
                }
                Act::End(which, state, steps) if which < running.len() => {
                    let id = running.remove(which);
                    ends.push(RunState::ALL[state]);
                    evicted += board.end(&ended(id, RunState::ALL[state], steps)).len();
                    prop_assert!(board.end(&ended(id, RunState::Done, 0)).is_empty(), "only once");
                }
                Act::End(..) => {}
            }
            prop_assert_eq!(board.running(), running.len());
            prop_assert!(running.len() <= BOUNDS.running);
            prop_assert_eq!(begun, board.missed() + (running.len() + ends.len()) as u64);
            prop_assert_eq!(board.finished() + evicted, ends.len());
            prop_assert!(board.finished() <= BOUNDS.finished && board.finished_bytes <= BOUNDS.bytes);
            let half = BOUNDS.finished / 2;
            let (done, others) = (board.done.len(), board.others.len());
            prop_assert!(done <= half || others <= half || evicted == 0);
            let ids: Vec<_> = board.running_after(None, 100).into_iter().map(|(id, _)| id).collect();
            prop_assert!(ids.is_sorted() && ids.iter().all(|id| board.find(*id) == Some(*id)));
        }
        let counted: u64 = RunState::ALL.map(|state| board.statistics().total(state)).iter().sum();
        prop_assert_eq!(counted, ends.len() as u64);
    }
}

/// Failures of last night were gone, since thousands went well afterwards.
#[test]
fn board_keeps_failures_while_others_go_well() {
    let mut board = Board::new(BOUNDS);
    let at = SystemTime::UNIX_EPOCH;
    let mut end = |state| {
        let id = board.begin(at, |id| id).expect("a place");
        board.end(&ended(id, state, 0)).len()
    };
    (0..3).for_each(|_| _ = end(RunState::Failed));
    assert_eq!((0..100).map(|_| end(RunState::Done)).sum::<usize>(), 97);
    assert_eq!((board.done.len(), board.others.len()), (3, 3));
}

#[test]
fn statistics_of_too_many_names_are_shared() {
    let mut statistics = Statistics::default();
    let id = WorkflowId::first_at(SystemTime::UNIX_EPOCH);
    for n in 0..250 {
        let mut run = Run::new(id, format!("job {n}").into(), SystemTime::UNIX_EPOCH);
        for step in 0..40 {
            let index = run.begin_step(
                format!("step {n} {step}").into(),
                None,
                Duration::ZERO,
                true,
            );
            run.end_step(
                index.expect("room"),
                RunState::Failed,
                Duration::from_millis(step),
                None,
                true,
            );
        }
        run.end(RunState::Failed, Duration::from_secs(1), None);
        statistics.count(&run);
    }
    assert_eq!(statistics.names().count(), 201);
    let (_, shared) = statistics
        .names()
        .find(|(name, _)| *name == "_OTHER")
        .expect("shared");
    assert_eq!((shared.failed, shared.seconds.count()), (50, 50));
    assert_eq!(shared.failing_steps.len(), 33, "32, and one for the others");
    assert_eq!(shared.failing_steps["_OTHER"], 18);
}
