use super::*;
use crate::call::find;
use http::HeaderMap;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicU32, Ordering},
    task::{Wake, Waker},
};

/// A body of these frames, pending once before each.
struct ScriptedSource {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    was_pending: bool,
    /// Its size hint is its length; without this, it promises nothing.
    has_exact_size: bool,
}

impl Body for ScriptedSource {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.was_pending = !self.was_pending;
        if self.was_pending {
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.frames.iter().flatten().filter_map(Frame::data_ref);
        match self.has_exact_size {
            true => SizeHint::with_exact(data.map(|data| data.len() as u64).sum()),
            false => SizeHint::new(),
        }
    }
}

fn scripted_source(chunks: &[Vec<u8>], trailers: bool, has_exact_size: bool) -> ScriptedSource {
    let data = chunks.iter().map(|chunk| Frame::data(chunk.clone().into()));
    let mut map = HeaderMap::new();
    map.insert("x-sum", "7".parse().expect("a value"));
    let trailers = trailers.then(|| Frame::trailers(map));
    ScriptedSource {
        frames: data.chain(trailers).map(Ok).collect(),
        was_pending: false,
        has_exact_size,
    }
}

/// The data that a reader got, with or without trailers, and the end.
#[derive(Debug, Default, PartialEq)]
struct ReadResult {
    data: Vec<u8>,
    trailers: bool,
    ended: bool,
    failed: Option<String>,
}

/// Polls at most this many times.
fn poll_times<B>(body: &mut ReplayBody<B>, polls: usize) -> ReadResult
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (mut sent, mut cx) = (ReadResult::default(), Context::from_waker(Waker::noop()));
    for _ in 0..polls {
        let hint = body.size_hint();
        let ended = body.is_end_stream();
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(None) => {
                assert_eq!(hint.lower(), 0, "promised more");
                sent.ended = true;
                break;
            }
            Poll::Ready(Some(Err(error))) => {
                sent.failed = Some(error.to_string());
                break;
            }
            Poll::Ready(Some(Ok(frame))) => {
                assert!(!ended, "more after the end");
                sent.trailers |= frame.is_trailers();
                if let Ok(data) = frame.into_data() {
                    assert!(hint.upper().is_none_or(|upper| upper >= data.len() as u64));
                    sent.data.extend_from_slice(&data);
                }
            }
        }
    }
    sent
}

#[test]
fn earlier_reader_fails_once_superseded() {
    let mut first = ReplayBody::new(
        scripted_source(&[b"an".into(), b" order".into()], false, true),
        99,
    );
    assert_eq!(poll_times(&mut first, 2).data, b"an");
    let mut second = first.replay().expect("short enough");
    let error = poll_times(&mut first, 9).failed;
    assert_eq!(
        error.as_deref(),
        Some("request body superseded by a later attempt")
    );
    assert!(!first.is_end_stream(), "it is not complete");
    assert_eq!(poll_times(&mut second, 99).data, b"an order");
}

#[test]
fn failed_body_is_not_replayable() {
    let mut source = scripted_source(&[b"an".into()], false, false);
    source.frames.push_back(Err(io::Error::other("torn")));
    let mut first = ReplayBody::new(source, 99);
    assert_eq!(poll_times(&mut first, 99).failed.as_deref(), Some("torn"));
    assert!(first.replay().is_none());
    assert!(poll_times(&mut first, 1).ended);
}

#[test]
fn body_with_too_large_size_hint_is_not_buffered() {
    let body = || scripted_source(&[vec![0; 50], vec![1; 50]], false, true);
    for (max, replayable) in [(99, false), (100, true)] {
        let mut first = ReplayBody::new(body(), max);
        assert_eq!(poll_times(&mut first, 2).data.len(), 50);
        assert_eq!(first.replay().is_some(), replayable);
        assert_eq!(buffered_bytes(&first), if replayable { 50 } else { 0 });
    }
}

#[test]
fn unread_body_is_replayable_whatever_its_length() {
    let chunks = [vec![1; 60], vec![2; 60]];
    let mut first = ReplayBody::new(scripted_source(&chunks, true, true), 0);
    assert_eq!(
        poll_times(&mut first, 1),
        ReadResult::default(),
        "still pending"
    );
    let mut second = first.replay().expect("unread");
    let sent = poll_times(&mut second, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
    assert!(second.replay().is_none());
}

/// Empty frames took no space, and so were buffered without end.
#[test]
fn body_of_too_many_frames_is_not_buffered() {
    let mut first = ReplayBody::new(scripted_source(&vec![Vec::new(); 2_000], false, false), 100);
    poll_times(&mut first, 2_000);
    assert!(first.is_replayable(), "a thousand frames");
    poll_times(&mut first, 2);
    assert!(!first.is_replayable());
    assert!(poll_times(&mut first, 9_000).ended);
}

/// Streams that lived for hours kept their first 64 KiB buffered for as long.
#[test]
fn released_body_goes_on_without_buffering() {
    let chunks = [vec![1; 10], vec![2; 10], vec![3; 10]];
    let first = ReplayBody::new(scripted_source(&chunks, true, false), 99);
    let mut second = first.replay().expect("unread");
    assert_eq!(poll_times(&mut second, 2).data.len(), 10);
    assert_eq!(buffered_bytes(&second), 10);
    let mut third = first.replay().expect("short");
    first.release_buffer();
    assert_eq!(
        buffered_bytes(&third),
        10,
        "not read by the latest reader yet"
    );
    let sent = poll_times(&mut third, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
    assert_eq!(buffered_bytes(&third), 0);
    assert!(third.replay().is_none());
}

/// A stream that rested after its head kept what was read of it until its next frame, an hour later.
#[test]
fn release_drops_read_frames_at_once() {
    let mut source = scripted_source(&[vec![1; 10], vec![2; 10], vec![3; 10]], false, false);
    source.was_pending = true;
    let first = ReplayBody::new(source, 99);
    let mut second = first.replay().expect("unread");
    assert_eq!(poll_times(&mut second, 3).data.len(), 20);
    let mut third = first.replay().expect("short");
    assert_eq!(poll_times(&mut third, 1).data, [1; 10]);
    assert_eq!(buffered_bytes(&third), 20);
    first.release_buffer();
    assert_eq!(
        buffered_bytes(&third),
        10,
        "what the latest has still to read"
    );
    let rest = poll_times(&mut third, 99);
    assert_eq!(rest.data, [[2; 10], [3; 10]].concat());
    assert!(rest.ended && buffered_bytes(&third) == 0);

    let first = ReplayBody::new(scripted_source(&[vec![1; 10]], false, false), 99);
    let mut second = first.replay().expect("unread");
    poll_times(&mut second, 2);
    first.release_buffer();
    assert_eq!(buffered_bytes(&second), 0);
    assert!(poll_times(&mut second, 9).ended);
}

#[derive(Default)]
struct CountedWakes(AtomicU32);

impl Wake for CountedWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that was_pending for more of a superseded body was never woken, and stayed open for good.
#[test]
fn superseded_reader_is_woken() {
    let mut first = ReplayBody::new(scripted_source(&[b"an".into()], false, true), 99);
    let woken = Arc::new(CountedWakes::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut first).poll_frame(&mut cx).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    let second = first.replay().expect("short");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(Arc::strong_count(&woken), 2, "the waker is dropped");
    let error = poll_times(&mut first, 1).failed;
    assert_eq!(
        error.as_deref(),
        Some("request body superseded by a later attempt")
    );
    drop(second);
}

#[test]
fn empty_body_is_replayable_any_number_of_times() {
    let first = ReplayBody::new(http_body_util::Full::<Bytes>::default(), 0);
    let mut second = first.replay().expect("empty");
    assert!(first.is_replayable() && second.is_end_stream());
    assert!(poll_times(&mut second, 1).ended);
}

#[test]
fn body_sent_once_is_passed_on_unchanged() {
    let chunks = [vec![1; 60], vec![2; 60]];
    let mut once = ReplayBody::once(scripted_source(&chunks, true, true), None);
    assert!(once.replay().is_none() && !once.is_replayable());
    assert_eq!(once.size_hint().exact(), Some(120));
    let sent = poll_times(&mut once, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
}

#[test]
fn body_that_turns_out_too_long_is_sent_once() {
    let chunks = [vec![1; 60], vec![2; 60], vec![3; 60]];
    let mut first = ReplayBody::new(scripted_source(&chunks, true, false), 100);
    assert_eq!(poll_times(&mut first, 2).data.len(), 60);
    let mut second = first.replay().expect("still short");
    let sent = poll_times(&mut second, 99);
    assert_eq!(sent.data, chunks.concat());
    assert!(sent.trailers && sent.ended);
    assert!(second.replay().is_none());
    assert_eq!(buffered_bytes(&second), 0, "the buffer is dropped");
}

#[test]
fn superseded_error_can_be_found() {
    let first = ReplayBody::new(http_body_util::Full::<Bytes>::from("an"), 9);
    let _second = first.replay();
    let mut first = first;
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(&mut first).poll_frame(&mut cx) {
        Poll::Ready(Some(Err(error))) => assert!(find::<Superseded>(&*error).is_some()),
        other => panic!("{other:?}"),
    }
}

fn buffered_bytes<B>(body: &ReplayBody<B>) -> usize {
    match &body.0 {
        ReplayKind::Buffered { buffer, .. } => lock(buffer).buffered_bytes(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn replay_is_the_whole_body_however_far_earlier_readers_came(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..8),
        trailers: bool, has_exact_size: bool, stops in prop::collection::vec(0_usize..24, 0..5),
    ) {
        let whole = ReadResult { data: chunks.concat(), trailers, ended: true, failed: None };
        let mut body = ReplayBody::new(scripted_source(&chunks, trailers, has_exact_size), 100);
        for stop in stops {
            let sent = poll_times(&mut body, stop);
            prop_assert!(whole.data.starts_with(&sent.data));
            body = body.replay().unwrap();
            if has_exact_size {
                prop_assert_eq!(body.size_hint().exact(), Some(whole.data.len() as u64));
            }
        }
        prop_assert_eq!(poll_times(&mut body, 99), whole);
    }

    #[test]
    fn buffer_never_exceeds_max_bytes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12), cap in 0_usize..60,
    ) {
        let length = chunks.concat().len();
        let mut body = ReplayBody::new(scripted_source(&chunks, false, false), cap);
        for _ in 0..40 {
            poll_times(&mut body, 1);
            prop_assert!(buffered_bytes(&body) <= cap);
        }
        prop_assert_eq!(body.replay().is_some(), length <= cap);
    }
}

#[test]
fn body_is_unread_until_a_frame_was_read() {
    let mut cx = Context::from_waker(Waker::noop());
    for (cap, trailers) in [(10, false), (0, false), (10, true)] {
        let chunks = if trailers { vec![] } else { vec![vec![7; 3]] };
        let first = ReplayBody::new(scripted_source(&chunks, trailers, true), cap);
        let mut second = first.replay().expect("nothing was read");
        let mut polled = || Pin::new(&mut second).poll_frame(&mut cx);
        assert!(polled().is_pending() && first.is_unread());
        assert!(polled().is_ready() && !first.is_unread());
    }
    let empty = ReplayBody::new(http_body_util::Full::<Bytes>::default(), 0);
    assert!(empty.is_unread() && empty.is_empty());
    assert!(!ReplayBody::once(scripted_source(&[], false, true), None).is_unread());
}
