//! Checks which failures are the caller's fault.

use super::*;

#[test]
fn undecodable_request_is_the_callers_on_a_server_only() {
    let answer = || {
        head(
            200,
            &[
                SPEAKS_GRPC,
                ("grpc-status", "13"),
                ("grpc-message", "Missing%20request%20message."),
            ],
        )
    };
    assert_eq!(
        after_head(server(grpc()), &answer()).classification(),
        Classification::CALLER_FAULT
    );
    assert_eq!(
        after_head(client(grpc()), &answer()).classification(),
        Classification::FAILURE
    );
    let other = head(
        200,
        &[
            SPEAKS_GRPC,
            ("grpc-status", "13"),
            ("grpc-message", "no disk"),
        ],
    );
    assert_eq!(
        after_head(server(grpc()), &other).classification(),
        Classification::FAILURE
    );
}

#[test]
fn call_that_is_dropped_while_its_upload_is_awaited_broke_off() {
    for broken in [false, true] {
        for call in [server(get()), client(get())] {
            let call = uploading(call, broken);
            assert_eq!(call.classify_drop(None), Classification::CALLER_FAULT);
            assert_eq!(call.classify_drop(Some(LATE)), Classification::CALLER_FAULT);
        }
    }
    let good = after_head(uploading(client(get()), false), &head(200, &[]));
    assert_eq!(good.classify_drop(None), Classification::SUCCESS);
}

/// Those further out once blamed the service for what the guard around it did not.
#[test]
fn panic_that_a_broken_upload_led_to_is_the_callers_at_every_depth() {
    let mut panicked = head(500, &[]);
    let caught = crate::protocol::CaughtPanic("a whole body".into());
    panicked.extensions_mut().insert(caught);
    let excused = Classification::new(Outcome::Panicked, Evidence::Inconclusive);
    let seen = |broken| after_head(uploading(server(get()), broken), &panicked).classification();
    assert_eq!(
        (seen(true), seen(false)),
        (excused, Classification::PANICKED)
    );
}

#[test]
fn error_of_an_unknown_type_is_the_callers_once_its_upload_broke() {
    struct Opaque;
    for (broken, expected) in [
        (true, Classification::CALLER_FAULT),
        (false, Classification::FAILURE),
    ] {
        let mut call = uploading(server(get()), broken);
        assert!(call.on_any_error(&Opaque, None).is_none());
        assert_eq!(call.classification(), expected);
    }
}
