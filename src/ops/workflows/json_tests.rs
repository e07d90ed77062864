use proptest::prelude::*;

use super::*;
use crate::{errors::ErrorRecord, ops::workflows::WorkflowId};

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,20}"
}

fn any_error() -> impl Strategy<Value = Option<Box<RunError>>> {
    let error = (any_text(), any_text()).prop_map(|(message, cause)| {
        let record = ErrorRecord::new("Kind", message).with_cause(cause);
        let mut text = RunError::new(&record);
        text.fingerprint = Some(record.fingerprint());
        Box::new(text)
    });
    proptest::option::of(error)
}

fn any_state() -> impl Strategy<Value = RunState> {
    proptest::sample::select(&RunState::ALL[..])
}

prop_compose! {
    fn any_step()(
        name in any_text(), state in any_state(), error in any_error(), started in 0..10_000_000_u64, took in 0..10_000_000_u64,
        progress in 0..3_usize, parent in proptest::option::of(0..5_u32), text in proptest::option::of(any_text()),
    ) -> StepRun {
        let started = Duration::from_micros(started);
        let is_running = state == RunState::Running;
        StepRun {
            name: name.into(),
            parent,
            child: parent.map(|_| WorkflowId::first_at(SystemTime::UNIX_EPOCH + started)),
            state,
            started,
            ended: (!is_running).then_some(started + Duration::from_micros(took)),
            progress: [None, Some(RunProgress::Fraction(0.25)), Some(RunProgress::Count { done: 3, total: 7 })][progress],
            text: text.map(Into::into),
            error,
        }
    }
}

prop_compose! {
    fn any_run()(
        name in any_text(), state in any_state(), error in any_error(), millis in 0..2_000_000_000_000_u64, took in 0..9_000_000_000_u64,
        steps in proptest::collection::vec(any_step(), 0..5), value in any_text(), has_ids in any::<bool>(),
    ) -> Run {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let mut run = Run::new(WorkflowId::first_at(at), name.into(), at);
        run.set_attribute("order", &value);
        if has_ids {
            run.set_ids("c-1", "0af7651916cd43dd8448eb211c80319c");
            run.parent = Some(RunParent { id: run.id, step: Some("s".into()) });
        }
        run.expected_steps = has_ids.then_some(4);
        (run.state, run.error, run.steps) = (state, error, steps);
        run.took = (state != RunState::Running).then_some(Duration::from_micros(took));
        run.dropped = took;
        run.measure();
        run
    }
}

proptest! {
    #[test]
    fn run_is_read_as_it_was_written(run in any_run()) {
        let text = detail(&run).to_string();
        let read = parse(&text).expect("its own text");
        prop_assert_eq!(&read, &run);
        prop_assert_eq!(read.bytes(), run.bytes());
    }

    #[test]
    fn parse_takes_any_text(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }
}

#[test]
fn text_of_another_version_is_read_as_far_as_it_is_known() {
    let text = r#"{"id":"00000000001e8480","name":"a","state":"done","started_at":1.5,"new":[1],"steps":[]}"#;
    let run = parse(text).expect("enough");
    assert_eq!((run.name.as_str(), run.state), ("a", RunState::Done));
    for text in [
        r#"{"id":"x","name":"a","state":"done","started_at":1.5}"#,
        r#"{"id":"1","name":"a","state":"ended","started_at":1.5}"#,
        r#"{"id":"1","name":"a","state":"done","started_at":-1}"#,
        r#"{"id":"1","name":"a","state":"done","started_at":1e300}"#,
        r#"{"id":"1","name":"a","state":"done","started_at":1,"steps":[{}]}"#,
        "[]",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}
