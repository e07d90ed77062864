//! The bound that all bodies in flight have in common, and its account.

use std::{pin::Pin, task::Poll};

use http::{Request, Response};
use http_body::Body;
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::{collection::vec, prelude::*};
use tower::{Layer, Service};
use tower_keep::{
    BoxError,
    coalesce::{Coalesce, CoalesceLayer},
    registry::{self, Setting, Stat},
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use super::http_calls::{get, read};

fn coalesce(name: &'static str, max_bytes_in_flight: u32) -> Coalesce {
    let builder = Coalesce::builder(name).max_bytes_in_flight(max_bytes_in_flight);
    builder.build().expect("valid settings")
}

fn bytes(coalesce: &Coalesce) -> u64 {
    coalesce.stats().bytes_in_flight
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_fit_go_to_one_caller_and_others_call_for_themselves() {
    let by_length = || Reply::ok().pending(1).data("hello");
    let by_reading = || {
        let body = ScriptedBody::from("hel").pending(1).data("lo");
        let body = body.without_size_hint().trailers([("checksum", "7")]);
        Reply::ok().pending(1).body(body)
    };
    // Of a body that turns out too long, what was read is held until its caller reads it.
    for (reply, read_in_vain) in [(by_length as fn() -> Reply, 0), (by_reading, 3)] {
        for (max, calls) in [(4, 2), (5, 1)] {
            let (coalesce, script) = (coalesce("fits", max), Script::always(reply));
            let mut service = CoalesceLayer::client(coalesce.clone()).layer(script.clone());
            let results = (service.call(get("/")), service.call(get("/")));
            let (one, other) = tokio::join!(results.0, results.1);
            let (one, other) = (one.expect("a response"), other.expect("a response"));
            assert_eq!(bytes(&coalesce), if calls == 1 { 5 } else { read_in_vain });
            let one = read(one.into_body()).await;
            assert_eq!((&*one.0, one.2.clone()), ("hello", None));
            assert_eq!(one, read(other.into_body()).await);
            assert_eq!((script.calls(), bytes(&coalesce)), (calls, 0));
            assert_eq!(coalesce.stats().bytes_exceeded, calls as u64 - 1);
        }
    }
}

/// Nothing said why the calls of a handle were no longer shared.
#[tokio::test(start_paused = true)]
async fn response_without_room_is_counted_and_one_that_is_too_long_is_not() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let coalesce = Coalesce::builder("bytes.counted").max_bytes_in_flight(4);
    let coalesce = coalesce.max_body_bytes(5).build().expect("valid settings");
    let script: Script = Script::from_fn(|index| match index {
        0 => Reply::ok().data("a long body"),
        1 => Reply::ok().data("hello"),
        _ => Reply::ok().body(ScriptedBody::from("hel").data("lo").without_size_hint()),
    });
    let mut service = CoalesceLayer::client(coalesce.clone()).layer(script);
    let _local = metrics::set_default_local_recorder(&recorder);
    for exceeded in 0..3 {
        let response = service.call(get("/")).await.expect("a response");
        drop(response);
        assert_eq!(coalesce.stats().bytes_exceeded, exceeded);
    }
    let mut all = registry::snapshots().into_iter();
    let entry = all.find(|entry| entry.name() == "bytes.counted");
    let entry = entry.expect("an entry");
    assert!(matches!(entry.stat("bytes_exceeded"), Some(Stat::Count(2))));
    let lines = recorder.handle().render();
    let line = r#"{coalesce="bytes.counted",result="bytes_exceeded"} 2"#;
    assert!(lines.contains(line), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn bound_is_common_to_all_keys_and_can_be_changed() {
    let coalesce = coalesce("bytes.common", 8);
    let script: Script = Script::always(|| Reply::ok().data("hello"));
    let mut service = CoalesceLayer::client(coalesce.clone()).layer(script);
    let first = service.call(get("/a")).await.expect("a response");
    assert_eq!(bytes(&coalesce), 5);
    let mut all = registry::snapshots().into_iter();
    let entry = all.find(|entry| entry.name() == "bytes.common");
    let entry = entry.expect("an entry");
    assert!(matches!(
        entry.stat("bytes_in_flight"),
        Some(Stat::Count(5))
    ));
    let mut settings = entry.settings().iter();
    let setting = settings.find(|setting| setting.name() == "max_bytes_in_flight");
    assert_eq!(setting.and_then(Setting::value), Some(8.0));
    // No room for it beside the first one, so it is handed on unread.
    let second = service.call(get("/b")).await.expect("a response");
    assert_eq!(bytes(&coalesce), 5);
    assert_eq!(read(second.into_body()).await.0, "hello");
    let mut settings = coalesce.settings();
    settings.max_bytes_in_flight = 10;
    coalesce.apply(&settings).expect("valid settings");
    let third = service.call(get("/b")).await.expect("a response");
    assert_eq!(bytes(&coalesce), 10);
    drop(first);
    assert_eq!(bytes(&coalesce), 5);
    drop(third);
    assert_eq!(bytes(&coalesce), 0);
}

/// The ways in which a body goes on and ends; none of them leaves bytes in the account.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Whole,
    Unsized,
    TooLong,
    BreaksOff,
    Panics,
    Hangs,
}

fn reply(ending: Ending) -> Reply {
    let body = ScriptedBody::from("hello").pending(1);
    let body = match ending {
        Ending::Whole => body.data("!"),
        Ending::Unsized => body.data("!").without_size_hint(),
        Ending::TooLong => body
            .data("a longer body than all may be")
            .without_size_hint(),
        Ending::BreaksOff => body.without_size_hint().error("reset"),
        Ending::Panics => body.without_size_hint().panic("a bug"),
        Ending::Hangs => body.hang(),
    };
    Reply::ok().pending(1).body(body)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come(u8),
    Poll(usize),
    Go(usize),
}

fn endings() -> impl Strategy<Value = Vec<Ending>> {
    use Ending::*;
    let ending = prop_oneof![
        Just(Whole),
        Just(Unsized),
        Just(TooLong),
        Just(BreaksOff),
        Just(Panics),
        Just(Hangs)
    ];
    vec(ending, 20)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3_u8).prop_map(Step::Come),
        4 => (0..8_usize).prop_map(Step::Poll),
        1 => (0..8_usize).prop_map(Step::Go),
    ];
    vec(step, 1..80)
}

type Call<B> = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>>>>;

/// A caller, which waits for a response, or has one.
enum Caller<B> {
    Waits(Call<B>),
    Reads(Pin<Box<B>>),
}

impl<B: Body<Data = bytes::Bytes>> Caller<B> {
    /// Polls once. Returns `None` where nothing more comes.
    fn poll(self) -> Option<Self> {
        let waker = CountingWaker::new();
        match self {
            Caller::Waits(mut call) => {
                let poll = std::panic::AssertUnwindSafe(|| waker.poll(call.as_mut()));
                match std::panic::catch_unwind(poll).ok()? {
                    Poll::Pending => Some(Caller::Waits(call)),
                    Poll::Ready(response) => {
                        let body = response.ok()?.into_body();
                        Some(Caller::Reads(Box::pin(body)))
                    }
                }
            }
            Caller::Reads(mut body) => {
                let poll = std::panic::AssertUnwindSafe(|| waker.poll_frame(body.as_mut()));
                match std::panic::catch_unwind(poll).ok()? {
                    Poll::Ready(None) => None,
                    _ => Some(Caller::Reads(body)),
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_in_flight_stay_within_the_bound_and_return_to_zero(
        endings in endings(),
        steps in steps(),
    ) {
        let coalesce = coalesce("account", 14);
        let script: Script = Script::from_fn(move |index| reply(endings[index % endings.len()]));
        let layer = CoalesceLayer::client(coalesce.clone());
        let mut service = layer.keyed_by(|request: &Request<ScriptedBody>| {
            Some(request.uri().path().to_owned())
        }).layer(script);
        let mut callers = Vec::new();
        for step in steps {
            match step {
                Step::Come(key) => {
                    let call = service.call(get(&format!("/{key}")));
                    callers.push(Caller::Waits(Box::pin(call)));
                }
                Step::Poll(index) if index < callers.len() => {
                    let caller = callers.remove(index);
                    if let Some(caller) = caller.poll() {
                        callers.insert(index, caller);
                    }
                }
                Step::Go(index) if index < callers.len() => drop(callers.remove(index)),
                Step::Poll(_) | Step::Go(_) => {}
            }
            prop_assert!(bytes(&coalesce) <= 14);
        }
        drop(callers);
        prop_assert_eq!((bytes(&coalesce), coalesce.stats().in_flight), (0, 0));
    }
}
