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

/// Gives these frames, after being pending once before each.
struct ScriptedSource {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    was_pending: bool,
    /// Whether it tells its length.
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

fn scripted_source(chunks: &[Vec<u8>], trailers: bool, tells: bool) -> ScriptedSource {
    let data = chunks.iter().map(|chunk| Frame::data(chunk.clone().into()));
    let mut map = HeaderMap::new();
    map.insert("x-sum", "7".parse().expect("a value"));
    let trailers = trailers.then(|| Frame::trailers(map));
    ScriptedSource {
        frames: data.chain(trailers).map(Ok).collect(),
        was_pending: false,
        has_exact_size: tells,
    }
}

/// What one sending gave: its bytes, whether trailers came, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct ReadResult {
    data: Vec<u8>,
    trailers: bool,
    ended: bool,
    failed: Option<String>,
}

/// Polls at most so many times.
fn read_polls<B>(body: &mut ReplayBody<B>, polls: usize) -> ReadResult
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
fn an_earlier_sending_fails_once_there_is_a_later_one() {
    let mut first = ReplayBody::new(
        scripted_source(&[b"an".into(), b" order".into()], false, true),
        99,
    );
    assert_eq!(read_polls(&mut first, 2).data, b"an");
    let mut second = first.replay().expect("short enough");
    let error = read_polls(&mut first, 9).failed;
    assert_eq!(error.as_deref(), Some("the body is being sent again"));
    assert!(!first.is_end_stream(), "it is not complete");
    assert_eq!(read_polls(&mut second, 99).data, b"an order");
}

#[test]
fn a_body_that_failed_is_not_sent_again() {
    let mut source = scripted_source(&[b"an".into()], false, false);
    source.frames.push_back(Err(io::Error::other("torn")));
    let mut first = ReplayBody::new(source, 99);
    assert_eq!(read_polls(&mut first, 99).failed.as_deref(), Some("torn"));
    assert!(first.replay().is_none());
    assert!(read_polls(&mut first, 1).ended);
}

#[test]
fn one_that_says_that_it_is_too_long_is_not_kept_at_all() {
    let body = || scripted_source(&[vec![0; 50], vec![1; 50]], false, true);
    for (cap, again) in [(99, false), (100, true)] {
        let mut first = ReplayBody::new(body(), cap);
        assert_eq!(read_polls(&mut first, 2).data.len(), 50);
        assert_eq!(first.replay().is_some(), again);
        assert_eq!(buffered_bytes(&first), if again { 50 } else { 0 });
    }
}

#[test]
fn one_that_nothing_was_read_of_can_be_sent_again_whatever_its_length() {
    let chunks = [vec![1; 60], vec![2; 60]];
    let mut first = ReplayBody::new(scripted_source(&chunks, true, true), 0);
    assert_eq!(
        read_polls(&mut first, 1),
        ReadResult::default(),
        "still pending"
    );
    let mut second = first.replay().expect("untouched");
    let sent = read_polls(&mut second, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
    assert!(second.replay().is_none());
}

/// Pieces without bytes took no room, and so were kept without end.
#[test]
fn one_in_very_many_pieces_is_not_kept() {
    let mut first = ReplayBody::new(scripted_source(&vec![Vec::new(); 2_000], false, false), 100);
    read_polls(&mut first, 2_000);
    assert!(first.is_replayable(), "a thousand pieces");
    read_polls(&mut first, 2);
    assert!(!first.is_replayable());
    assert!(read_polls(&mut first, 9_000).ended);
}

/// Streams that live for hours kept their first 64 KiB for as long.
#[test]
fn one_that_is_released_goes_on_and_keeps_nothing() {
    let chunks = [vec![1; 10], vec![2; 10], vec![3; 10]];
    let first = ReplayBody::new(scripted_source(&chunks, true, false), 99);
    let mut second = first.replay().expect("untouched");
    assert_eq!(read_polls(&mut second, 2).data.len(), 10);
    assert_eq!(buffered_bytes(&second), 10);
    let mut third = first.replay().expect("short");
    first.release_buffer();
    assert_eq!(buffered_bytes(&third), 10, "not read by the latest yet");
    let sent = read_polls(&mut third, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
    assert_eq!(buffered_bytes(&third), 0);
    assert!(third.replay().is_none());
}

/// A stream that rested after its head kept what was read of it until its next frame, an hour later.
#[test]
fn release_lets_go_of_what_was_read_at_once() {
    let mut source = scripted_source(&[vec![1; 10], vec![2; 10], vec![3; 10]], false, false);
    source.was_pending = true;
    let first = ReplayBody::new(source, 99);
    let mut second = first.replay().expect("untouched");
    assert_eq!(read_polls(&mut second, 3).data.len(), 20);
    let mut third = first.replay().expect("short");
    assert_eq!(read_polls(&mut third, 1).data, [1; 10]);
    assert_eq!(buffered_bytes(&third), 20);
    first.release_buffer();
    assert_eq!(
        buffered_bytes(&third),
        10,
        "what the latest has still to read"
    );
    let rest = read_polls(&mut third, 99);
    assert_eq!(rest.data, [[2; 10], [3; 10]].concat());
    assert!(rest.ended && buffered_bytes(&third) == 0);

    let first = ReplayBody::new(scripted_source(&[vec![1; 10]], false, false), 99);
    let mut second = first.replay().expect("untouched");
    read_polls(&mut second, 2);
    first.release_buffer();
    assert_eq!(buffered_bytes(&second), 0);
    assert!(read_polls(&mut second, 9).ended);
}

#[derive(Default)]
struct CountedWakes(AtomicU32);

impl Wake for CountedWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that waited for more of a superseded body was never woken, and stayed open for good.
#[test]
fn reader_that_waits_is_woken_when_it_is_superseded() {
    let mut first = ReplayBody::new(scripted_source(&[b"an".into()], false, true), 99);
    let woken = Arc::new(CountedWakes::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut first).poll_frame(&mut cx).is_pending());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    let second = first.replay().expect("short");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(Arc::strong_count(&woken), 2, "the waker is not kept");
    let error = read_polls(&mut first, 1).failed;
    assert_eq!(error.as_deref(), Some("the body is being sent again"));
    drop(second);
}

#[test]
fn an_empty_one_is_sent_again_as_often_as_anybody_likes() {
    let first = ReplayBody::new(http_body_util::Full::<Bytes>::default(), 0);
    let mut second = first.replay().expect("empty");
    assert!(first.is_replayable() && second.is_end_stream());
    assert!(read_polls(&mut second, 1).ended);
}

#[test]
fn one_that_is_sent_once_is_passed_on_as_it_is() {
    let chunks = [vec![1; 60], vec![2; 60]];
    let mut once = ReplayBody::once(scripted_source(&chunks, true, true), None);
    assert!(once.replay().is_none() && !once.is_replayable());
    assert_eq!(once.size_hint().exact(), Some(120));
    let sent = read_polls(&mut once, 99);
    assert_eq!((sent.data, sent.trailers), (chunks.concat(), true));
}

#[test]
fn one_that_turns_out_too_long_is_sent_to_its_end_once() {
    let chunks = [vec![1; 60], vec![2; 60], vec![3; 60]];
    let mut first = ReplayBody::new(scripted_source(&chunks, true, false), 100);
    assert_eq!(read_polls(&mut first, 2).data.len(), 60);
    let mut second = first.replay().expect("still short");
    let sent = read_polls(&mut second, 99);
    assert_eq!(sent.data, chunks.concat());
    assert!(sent.trailers && sent.ended);
    assert!(second.replay().is_none());
    assert_eq!(buffered_bytes(&second), 0, "what was kept is let go of");
}

#[test]
fn the_error_says_what_it_is() {
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
        ReplayKind::Buffered(reader) => reader.lock().buffered_bytes(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn every_sending_is_the_whole_body_however_far_the_ones_before_came(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..8),
        trailers: bool, tells: bool, stops in prop::collection::vec(0_usize..24, 0..5),
    ) {
        let whole = ReadResult { data: chunks.concat(), trailers, ended: true, failed: None };
        let mut body = ReplayBody::new(scripted_source(&chunks, trailers, tells), 100);
        for stop in stops {
            let sent = read_polls(&mut body, stop);
            prop_assert!(whole.data.starts_with(&sent.data));
            body = body.replay().unwrap();
            if tells {
                prop_assert_eq!(body.size_hint().exact(), Some(whole.data.len() as u64));
            }
        }
        prop_assert_eq!(read_polls(&mut body, 99), whole);
    }

    #[test]
    fn no_more_than_the_cap_is_kept(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12), cap in 0_usize..60,
    ) {
        let length = chunks.concat().len();
        let mut body = ReplayBody::new(scripted_source(&chunks, false, false), cap);
        for _ in 0..40 {
            read_polls(&mut body, 1);
            prop_assert!(buffered_bytes(&body) <= cap);
        }
        prop_assert_eq!(body.replay().is_some(), length <= cap);
    }
}

#[test]
fn body_is_untouched_until_something_of_it_was_read() {
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
