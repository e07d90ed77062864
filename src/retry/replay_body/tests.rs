use super::*;
use crate::call::find;
use http::HeaderMap;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
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
fn replay_with_trailers_says_its_length_only_if_the_source_did() {
    for has_exact_size in [false, true] {
        let source = scripted_source(&[b"an order".into()], true, has_exact_size);
        let mut first = ReplayBody::new(source, 99);
        assert!(poll_times(&mut first, 99).trailers);
        let hint = first.replay().expect("short enough").size_hint();
        assert_eq!(
            (hint.lower(), hint.exact()),
            (8, has_exact_size.then_some(8))
        );
    }
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

/// A source that is ready at once.
fn ready_source(
    chunks: &[Vec<u8>],
    trailers: bool,
) -> impl Body<Data = Bytes, Error = io::Error> + Unpin {
    use http_body_util::StreamBody;
    let source = scripted_source(chunks, trailers, false);
    StreamBody::new(futures_util::stream::iter(source.frames))
}

#[test]
fn copy_of_a_body_is_read_beside_it() {
    let chunks = [b"an".to_vec(), b" order".to_vec()];
    let whole = |sent: ReadResult| (sent.data, sent.trailers, sent.ended);
    let expected = (chunks.concat(), true, true);
    // However much of it was read.
    for polls in 0..4 {
        let mut first = ReplayBody::new(ready_source(&chunks, true), 99);
        let head = poll_times(&mut first, polls);
        let mut copy = first.copy_if_complete().expect("all of it is ready");
        // Trailers follow.
        let hint = copy.size_hint();
        assert_eq!((hint.lower(), hint.exact()), (8, None));
        assert_eq!(whole(poll_times(&mut copy, 99)), expected);
        let rest = poll_times(&mut first, 99);
        let all = [head.data, rest.data].concat();
        assert_eq!(all, chunks.concat(), "{polls}");
        assert!(rest.ended && (head.trailers || rest.trailers), "{polls}");
        let mut again = first.replay().expect("short enough");
        assert_eq!(whole(poll_times(&mut again, 99)), expected);
    }
}

#[test]
fn copy_waits_for_the_end_of_a_body() {
    let mut first = ReplayBody::new(scripted_source(&[b"an".into()], false, false), 99);
    // Pending once before each frame.
    assert!(first.copy_if_complete().is_none() && first.is_replayable());
    assert!(first.copy_if_complete().is_none());
    let copy = first.copy_if_complete();
    assert_eq!(poll_times(&mut copy.expect("complete"), 9).data, b"an");
    assert_eq!(poll_times(&mut first, 9).data, b"an");
}

#[test]
fn reader_is_woken_if_a_copy_has_polled_the_source() {
    let mut first = ReplayBody::new(scripted_source(&[b"an".into()], false, false), 99);
    let woken = Arc::new(CountedWakes::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut first).poll_frame(&mut cx).is_pending());
    assert!(first.copy_if_complete().is_none());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(first.copy_if_complete().is_some());
    assert_eq!(
        woken.0.load(Ordering::Relaxed),
        1,
        "it has not waited since"
    );
}

#[test]
fn body_that_is_too_long_has_no_copy_and_loses_nothing() {
    let chunks = [vec![1; 60], vec![2; 60], vec![3; 60]];
    let mut first = ReplayBody::new(ready_source(&chunks, true), 100);
    assert!(first.copy_if_complete().is_none() && !first.is_replayable());
    assert!(first.copy_if_complete().is_none());
    let sent = poll_times(&mut first, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
    assert!(sent.ended && buffered_bytes(&first) == 0);
    let once = ReplayBody::once(ready_source(&chunks, true), None);
    assert!(once.copy_if_complete().is_none());
    let empty = ReplayBody::new(http_body_util::Full::<Bytes>::default(), 0);
    assert!(empty.copy_if_complete().is_some_and(|copy| copy.is_empty()));
}

#[test]
fn error_that_a_copy_meets_is_that_of_the_reader() {
    let mut source = scripted_source(&[b"an".into()], false, false);
    source.frames.push_back(Err(io::Error::other("torn")));
    let stream = futures_util::stream::iter(source.frames);
    let mut first = ReplayBody::new(http_body_util::StreamBody::new(stream), 99);
    assert!(first.copy_if_complete().is_none());
    assert!(!first.is_replayable() && !first.is_end_stream());
    // No length of which the request would be complete without its rest.
    assert_eq!(
        (first.size_hint().lower(), first.size_hint().upper()),
        (2, None)
    );
    let sent = poll_times(&mut first, 99);
    assert_eq!(
        (sent.data, sent.failed.as_deref()),
        (b"an".to_vec(), Some("torn"))
    );
}

#[test]
fn body_that_panics_while_a_copy_looks_at_it_does_not_end_for_its_reader() {
    let frames = [Some(Bytes::from_static(b"an")), None];
    let frames = frames.into_iter().map(|data| {
        let data = data.expect("of the source");
        Ok::<_, io::Error>(Frame::data(data))
    });
    let stream = futures_util::stream::iter(frames);
    let mut first = ReplayBody::new(http_body_util::StreamBody::new(stream), 99);
    let copied = catch_unwind(AssertUnwindSafe(|| first.copy_if_complete()));
    assert!(copied.is_err() && !first.is_end_stream());
    let sent = poll_times(&mut first, 99);
    assert_eq!(
        (sent.data, sent.failed.as_deref()),
        (b"an".to_vec(), Some("the body panicked"))
    );
}
