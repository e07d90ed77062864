//! Checks what is seen of a body, and who is late.

use super::*;

#[test]
fn body_is_broken_once_it_fails_or_ends_too_early() {
    let six = Some(6);
    let says = |exact, frames| UnsyncBoxBody::new(Says::new(exact, false, frames));
    for (what, body, broken) in [
        ("whole", pieces(vec![data(b"few"), data(b"more")]), false),
        ("empty", pieces(vec![]), false),
        ("reset", pieces(vec![data(b"few"), reset()]), true),
        ("reset at once", pieces(vec![reset()]), true),
        (
            "as long as promised",
            says(six, vec![data(b"few"), data(b"few")]),
            false,
        ),
        ("short", says(six, vec![data(b"few")]), true),
        (
            "short, with trailers",
            says(
                six,
                vec![data(b"few"), Ok(Frame::trailers(HeaderMap::new()))],
            ),
            true,
        ),
    ] {
        assert_eq!(upload_of(body, None).is_broken(), broken, "{what}");
    }
}

#[test]
fn body_ends_with_its_trailers_or_at_end_of_stream() {
    for (what, knows_its_end, frame) in [
        ("trailers", false, Ok(Frame::trailers(HeaderMap::new()))),
        ("its word", true, data(b"\0\0\0\0\0")),
    ] {
        let says = Says::new(None, knows_its_end, vec![frame]);
        let mut body: Boxed = UnsyncBoxBody::new(says);
        let upload = watch(&mut body, Some(FrameScanner::new())).expect("watched");
        assert!(body.frame().now_or_never().expect("ready").is_some());
        // Known before anybody asks for more, or the body is dropped.
        let flaw = (!knows_its_end).then_some(FramingError::NoMessage);
        assert_eq!(
            (upload.is_broken(), upload.framing_error()),
            (false, flaw),
            "{what}"
        );
    }
}

#[test]
fn flaws_of_grpc_messages_are_reported() {
    let whole = || data(b"\0\0\0\0\x01x");
    for (what, frames, flaw) in [
        ("whole", vec![whole(), whole()], None),
        (
            "cut anywhere",
            vec![data(b"\0\0\0\0"), data(b"\x01x")],
            None,
        ),
        ("nothing", vec![], Some(FramingError::NoMessage)),
        (
            "cut short",
            vec![whole(), data(b"\0\0\0\0\x02x")],
            Some(FramingError::Truncated),
        ),
        (
            "JSON",
            vec![data(b"{\"order\": 7}")],
            Some(FramingError::Invalid),
        ),
    ] {
        let upload = upload_of(pieces(frames), Some(FrameScanner::new()));
        assert_eq!(upload.framing_error(), flaw, "{what}");
        assert_eq!(upload.is_malformed(), flaw.is_some(), "{what}");
        assert!(!upload.is_broken(), "{what}");
    }
}

#[test]
fn framing_that_cannot_be_right_is_reported_at_once() {
    let (sender, mut body) = channel();
    let upload = watch(&mut body, Some(FrameScanner::new())).expect("a stream");
    sender.send(data(b"\x07")).expect("a reader");
    assert!(body.frame().now_or_never().is_some());
    assert_eq!(upload.framing_error(), Some(FramingError::Invalid));
}

#[test]
fn body_that_is_dropped_reports_nothing_about_the_rest() {
    let mut body = pieces(vec![data(b"\0\0\0\0\x02x"), reset()]);
    let upload = watch(&mut body, Some(FrameScanner::new())).expect("a stream");
    assert!(body.frame().now_or_never().is_some());
    drop(body);
    assert!(!upload.is_broken() && !upload.is_malformed());
}

#[test]
fn body_that_panics_leaves_what_was_known() {
    let panics = stream::poll_fn(|_| -> Poll<Option<Piece>> { panic!("the ink ran out") });
    let mut body: Boxed = UnsyncBoxBody::new(StreamBody::new(panics));
    let upload = watch(&mut body, Some(FrameScanner::new())).expect("a stream");
    let polled = catch_unwind(AssertUnwindSafe(|| body.frame().now_or_never().is_none()));
    assert!(polled.is_err());
    drop(body);
    assert!(!upload.is_broken() && !upload.is_malformed());
    let now = Instant::now();
    assert!(!upload.blames_caller_for_timeout(now, now + Duration::from_secs(1)));
}

// ---- who is late

#[tokio::test(start_paused = true)]
async fn time_that_runs_out_is_the_callers_only_while_more_of_the_body_is_awaited() {
    let (sender, mut body, upload) = channel_watched();
    let began = Instant::now();
    let blames = || upload.blames_caller_for_timeout(began, Instant::now());
    sender.send(data(b"few")).expect("a reader");
    assert!(body.frame().await.is_some());
    advance(Duration::from_secs(9)).await;
    assert!(!blames(), "the peer has not asked for more");
    assert!(body.frame().now_or_never().is_none());
    advance(Duration::from_secs(1)).await;
    assert!(blames(), "the peer waits");
    drop(sender);
    assert!(body.frame().await.is_none());
    assert!(!blames(), "the peer has all of it");
}

#[tokio::test(start_paused = true)]
async fn time_limit_that_elapses_may_drop_the_body_before_it_is_classified() {
    let (_sender, mut body, upload) = channel_watched();
    let began = Instant::now();
    advance(Duration::from_secs(9)).await;
    assert!(body.frame().now_or_never().is_none());
    advance(Duration::from_secs(1)).await;
    drop(body);
    assert!(upload.blames_caller_for_timeout(began, Instant::now()));
    // Whoever does something else then has only itself to blame.
    advance(Duration::from_secs(2)).await;
    assert!(!upload.blames_caller_for_timeout(began, Instant::now()));
}
