//! Checks when a response is complete, and what its length and its drop decide.

use super::*;

#[test]
fn body_that_is_not_as_long_as_it_said_is_a_failure() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, expected) in [
        ("hello", Classification::SUCCESS),
        ("hell", Classification::FAILURE),
        ("hello!", Classification::FAILURE),
    ] {
        let mut call = after_head(server(get()), &promised);
        call.on_data(data.as_bytes());
        call.on_body_end();
        assert_eq!(call.classification(), expected, "{data}");
    }
    // A bad head stays what it is.
    let mut lost = after_head(server(get()), &head(404, &[("content-length", "5")]));
    lost.on_body_end();
    assert_eq!(lost.classification(), CLIENT_ERROR);
    // Only what a header says is a promise.
    let mut call = server(get());
    call.on_head((&head(200, &[])).into(), Some(5), None);
    call.on_body_end();
    assert_eq!(call.classification(), Classification::SUCCESS);
}

#[test]
fn response_without_a_body_ends_at_its_head() {
    for (method, status, over) in [
        (Method::GET, 200, false),
        (Method::GET, 204, true),
        (Method::GET, 205, true),
        (Method::GET, 304, true),
        (Method::GET, 101, true),
        (Method::HEAD, 200, true),
        (Method::CONNECT, 200, true),
        (Method::CONNECT, 403, false),
    ] {
        let mut call = server(request(method.clone(), Version::HTTP_11, None));
        let step = call.on_head((&head(status, &[])).into(), None, None);
        assert_eq!(step == BodyExpected::No, over, "{method} {status}");
    }
    let mut call = server(grpc());
    let step = call.on_head(
        (&head(200, &[SPEAKS_GRPC, ("grpc-status", "0")])).into(),
        None,
        None,
    );
    assert!(step == BodyExpected::No);
}

/// Has a reader wait for more of the body.
fn awaited(mut call: HttpExchange) -> HttpExchange {
    call.set_reader_waiting(true);
    call
}

#[test]
fn dropped_call_is_classified_by_who_dropped_it() {
    assert_eq!(client(get()).classify_drop(None), Classification::CANCELLED);
    assert_eq!(
        awaited(server(get())).classify_drop(None),
        Classification::CANCELLED
    );
    let good = head(200, &[]);
    assert_eq!(
        after_head(client(get()), &good).classify_drop(None),
        Classification::SUCCESS
    );
    assert_eq!(
        awaited(after_head(client(get()), &good)).classify_drop(None),
        CANCELLED
    );
    assert_eq!(
        after_head(server(get()), &good).classify_drop(None),
        CANCELLED
    );
    assert_eq!(
        awaited(after_head(server(get()), &good)).classify_drop(None),
        CANCELLED
    );
    let bad = head(500, &[]);
    assert_eq!(
        awaited(after_head(client(get()), &bad)).classify_drop(None),
        Classification::FAILURE
    );
    assert_eq!(
        after_head(server(get()), &bad).classify_drop(None),
        Classification::FAILURE
    );
    // A watcher has what it wanted; a server's stream lacks its status.
    let flowing = head(200, &[SPEAKS_GRPC]);
    assert_eq!(
        after_head(client(grpc()), &flowing).classify_drop(None),
        Classification::SUCCESS
    );
    assert_eq!(
        after_head(server(grpc()), &flowing).classify_drop(None),
        CANCELLED
    );
}

#[test]
fn dropped_body_is_complete_when_every_promised_byte_was_taken() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, expected) in [
        ("hello", Classification::SUCCESS),
        ("hell", CANCELLED),
        ("hello!", Classification::FAILURE),
    ] {
        let mut call = after_head(server(get()), &promised);
        call.on_data(data.as_bytes());
        assert_eq!(awaited(call).classify_drop(None), expected, "{data}");
    }
    let mut exact = server(get());
    exact.on_head((&head(200, &[])).into(), Some(5), None);
    exact.on_data(b"hello");
    assert_eq!(awaited(exact).classify_drop(None), Classification::SUCCESS);
}
