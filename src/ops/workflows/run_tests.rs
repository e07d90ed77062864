use proptest::prelude::*;

use super::*;
use crate::errors::ErrorRecord;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn run() -> Run {
    let id = WorkflowId::first_at(SystemTime::UNIX_EPOCH + ms(1));
    Run::new(id, "checkout".into(), SystemTime::UNIX_EPOCH)
}

fn error(text: &str) -> Option<RunError> {
    Some(RunError::new(&ErrorRecord::new("Error", text)))
}

fn begin(run: &mut Run, name: &'static str, at: u64) -> u32 {
    let begun = run.begin_step(name.into(), None, ms(at), true);
    begun.expect("it runs and has room")
}

#[test]
fn run_that_has_ended_changes_no_more() {
    let mut run = run();
    let step = begin(&mut run, "pay", 1);
    assert!(run.end(RunState::Failed, ms(5), error("no luck")));
    let ended = run.clone();
    assert!(!run.end(RunState::Done, ms(9), None));
    assert_eq!(run.begin_step("late".into(), None, ms(9), true), None);
    run.end_step(step, RunState::Done, ms(9), None, true);
    run.set_progress(step, RunProgress::Fraction(1.0));
    run.set_text(step, "late", true);
    run.set_attribute("late", "yes");
    run.set_child(step, WorkflowId::first_at(SystemTime::UNIX_EPOCH));
    assert_eq!(run, ended);
}

#[test]
fn steps_end_with_their_run() {
    for (state, expected) in [
        (RunState::Done, RunState::Cancelled),
        (RunState::Failed, RunState::Cancelled),
        (RunState::Cancelled, RunState::Cancelled),
        (RunState::Lost, RunState::Lost),
    ] {
        let mut run = run();
        let first = begin(&mut run, "first", 0);
        begin(&mut run, "second", 2);
        run.end_step(first, RunState::Done, ms(1), None, true);
        run.end(state, ms(3), None);
        let states = run.steps.iter().map(|step| (step.state, step.ended));
        let states: Vec<_> = states.collect();
        let expected = [(RunState::Done, Some(ms(1))), (expected, Some(ms(3)))];
        assert_eq!(states, expected);
    }
}

/// A workflow tried a step again, and failed in another one at the same time.
#[test]
fn failed_step_is_the_one_that_failed_last() {
    let mut run = run();
    let first = begin(&mut run, "pay", 0);
    let second = begin(&mut run, "ship", 1);
    run.end_step(second, RunState::Failed, ms(2), error("no van"), true);
    run.end_step(first, RunState::Failed, ms(3), error("no money"), true);
    assert_eq!(run.failed_step(), None, "it may handle the errors");
    run.end(RunState::Failed, ms(4), error("no money"));
    assert_eq!(
        run.failed_step().map(|step| step.name.as_str()),
        Some("pay")
    );
}

#[test]
fn current_step_is_the_latest_that_runs() {
    let mut run = run();
    assert_eq!(run.current_step(), None);
    let [first, second] = [0, 1].map(|at| begin(&mut run, "pay", at));
    run.set_text(second, "second", true);
    let text = |run: &Run| run.current_step().and_then(|step| step.text.clone());
    assert_eq!(text(&run).as_deref(), Some("second"));
    run.end_step(second, RunState::Done, ms(2), None, true);
    run.set_text(first, "first", true);
    assert_eq!(text(&run).as_deref(), Some("first"));
    run.end(RunState::Lost, ms(3), None);
    assert_eq!(text(&run).as_deref(), Some("first"));
}

#[test]
fn fraction_counts_what_running_steps_have_done() {
    let mut run = run();
    assert_eq!(run.fraction(), None);
    run.expected_steps = Some(4);
    let steps = [0, 1, 2].map(|at| begin(&mut run, "s", at));
    run.begin_step("inner".into(), Some(0), ms(3), true);
    run.end_step(steps[0], RunState::Done, ms(3), None, true);
    run.set_progress(steps[1], RunProgress::Count { done: 1, total: 2 });
    run.set_progress(steps[2], RunProgress::Count { done: 7, total: 0 });
    assert_eq!(run.fraction(), Some(0.375));
    run.expected_steps = Some(1);
    assert_eq!(run.fraction(), Some(1.0), "more than expected");
}

#[derive(Clone, Debug)]
enum Act {
    Begin(usize, Option<u32>, bool),
    End(u32, usize, bool, bool),
    Progress(u32, f64),
    Text(u32, usize, bool),
    Attribute(usize, usize),
    Finish(usize),
}

fn any_act() -> impl Strategy<Value = Act> {
    let index = 0..12_u32;
    prop_oneof![
        6 => (0..300_usize, proptest::option::of(index.clone()), any::<bool>()).prop_map(|(len, parent, room)| Act::Begin(len, parent, room)),
        4 => (index.clone(), 1..5_usize, any::<bool>(), any::<bool>()).prop_map(|(index, state, error, room)| Act::End(index, state, error, room)),
        2 => (index.clone(), 0.0..1.0).prop_map(|(index, fraction)| Act::Progress(index, fraction)),
        2 => (index, 0..600_usize, any::<bool>()).prop_map(|(index, len, room)| Act::Text(index, len, room)),
        2 => (0..20_usize, 0..600_usize).prop_map(|(name, len)| Act::Attribute(name, len)),
        1 => (1..5_usize).prop_map(Act::Finish),
    ]
}

fn apply(run: &mut Run, act: Act, now: Duration) {
    let text = |len: usize| "é".repeat(len);
    match act {
        Act::Begin(len, parent, room) => {
            run.begin_step(text(len).into(), parent, now, room);
        }
        Act::End(index, state, has_error, room) => {
            let error = error("no luck").filter(|_| has_error);
            run.end_step(index, RunState::ALL[state], now, error, room);
        }
        Act::Progress(index, fraction) => run.set_progress(index, RunProgress::Fraction(fraction)),
        Act::Text(index, len, room) => run.set_text(index, &text(len), room),
        Act::Attribute(name, len) => run.set_attribute(&format!("a{name}"), &text(len)),
        Act::Finish(state) => {
            run.end(RunState::ALL[state], now, error("no luck"));
        }
    }
}

proptest! {
    /// Whatever happens in whatever order, it is bounded, its memory is known, and nothing runs on after the end.
    #[test]
    fn run_keeps_its_bounds(acts in proptest::collection::vec(any_act(), 0..80)) {
        let mut run = run();
        for (at, act) in acts.into_iter().enumerate() {
            apply(&mut run, act, ms(at as u64));
            let bytes = run.bytes();
            let mut measured = run.clone();
            measured.measure();
            prop_assert_eq!(bytes, measured.bytes());
            prop_assert!(run.attributes.len() <= MAX_ATTRIBUTES);
            prop_assert!(run.attributes.iter().all(|(_, value)| value.len() <= MAX_ATTRIBUTE));
            for step in &run.steps {
                prop_assert!(step.name.as_str().len() <= MAX_NAME);
                prop_assert!(step.text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT));
                prop_assert_eq!(step.ended.is_none(), step.state == RunState::Running);
                prop_assert!(step.ended.is_none_or(|ended| ended >= step.started));
            }
            let ends = run.state != RunState::Running;
            prop_assert_eq!(run.took.is_some(), ends);
            prop_assert!(!ends || run.count(RunState::Running) == 0);
        }
    }
}
