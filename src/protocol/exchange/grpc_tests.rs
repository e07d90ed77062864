//! Checks what a gRPC status decides, wherever it is, and what its lack does.

use super::*;

#[test]
fn call_is_plain_again_if_the_peer_does_not_answer_in_grpc() {
    let html = head(200, &[("content-type", "text/html")]);
    for call in [server(grpc()), client(grpc())] {
        assert_eq!(call.wire(), WireFormat::Grpc);
        let mut call = after_head(call, &html);
        assert_eq!(
            (call.wire(), call.classification()),
            (WireFormat::Plain, Classification::SUCCESS)
        );
        call.on_body_end();
        assert_eq!(call.classification(), Classification::SUCCESS);
    }
    let mut insists = GrpcClient::new().read(&mut grpc());
    insists.on_head((&html).into(), None, None);
    insists.on_body_end();
    assert_eq!(
        (insists.wire(), insists.classification()),
        (WireFormat::Grpc, Classification::FAILURE)
    );
    let rejected = after_head(client(grpc()), &head(503, &[]));
    assert_eq!(rejected.wire(), WireFormat::Plain);
}

#[test]
fn grpc_status_counts_wherever_it_is() {
    let in_head = after_head(
        server(grpc()),
        &head(200, &[SPEAKS_GRPC, ("grpc-status", "14")]),
    );
    assert_eq!(in_head.classification(), Classification::FAILURE);
    assert_eq!(in_head.grpc_code, Some(GrpcCode::UNAVAILABLE));
    let mut in_trailers = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    assert_eq!(in_trailers.classification(), Classification::SUCCESS);
    in_trailers.on_trailers(&trailers("5"), None);
    assert_eq!(in_trailers.classification(), CLIENT_ERROR);
    let mut missing = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    missing.on_trailers(&HeaderMap::new(), None);
    assert_eq!(missing.classification(), Classification::FAILURE);
}

/// A 204 or a redirect without `grpc-status` was a success here, and `UNKNOWN` to the caller of tonic.
#[test]
fn missing_grpc_status_is_a_failure_whatever_method_and_http_status_are() {
    let methods = [Method::POST, Method::HEAD, Method::CONNECT];
    for (method, status) in methods.into_iter().flat_map(|method| {
        [200, 201, 204, 205, 302, 304, 399].map(move |status| (method.clone(), status))
    }) {
        let call = || {
            let mut request = request(method.clone(), Version::HTTP_2, None);
            let mut call = GrpcClient::new().read(&mut request);
            let step = call.on_head((&head(status, &[])).into(), None, None);
            assert_eq!(step, BodyExpected::Yes, "{method} {status}");
            assert_eq!(call.classification(), Classification::SUCCESS);
            call
        };
        let mut missing = call();
        missing.on_body_end();
        assert_eq!(
            (missing.classification(), missing.grpc_code),
            (Classification::FAILURE, None),
            "{method} {status}"
        );
        let mut empty = call();
        empty.on_trailers(&HeaderMap::new(), None);
        assert_eq!(empty.classification(), Classification::FAILURE);
        let mut there = call();
        there.on_trailers(&trailers("0"), None);
        assert_eq!(there.classification(), Classification::SUCCESS);
    }
    // Other clients and servers go by the content type.
    for (headers, expected) in [
        (&[SPEAKS_GRPC][..], Classification::FAILURE),
        (&[], Classification::SUCCESS),
    ] {
        for call in [server(grpc()), client(grpc())] {
            let mut call = after_head(call, &head(204, headers));
            call.on_body_end();
            assert_eq!(call.classification(), expected, "{headers:?}");
        }
    }
}

#[test]
fn http_status_of_a_failure_is_classified_by_itself_if_grpc_status_is_missing() {
    for (status, expected) in [
        (400, CLIENT_ERROR),
        (404, CLIENT_ERROR),
        (500, Classification::FAILURE),
        (503, Outcome::Overload.into()),
        (504, LATE),
    ] {
        let call = GrpcClient::new().read(&mut grpc());
        let mut call = after_head(call, &head(status, &[]));
        assert_eq!(call.classification(), expected, "{status}");
        call.on_body_end();
        assert_eq!(call.classification(), expected, "{status}");
    }
}

#[test]
fn grpc_web_status_is_read_from_the_body() {
    let web = || {
        request(
            Method::POST,
            Version::HTTP_11,
            Some("application/grpc-web+proto"),
        )
    };
    let answer = head(200, &[("content-type", "application/grpc-web+proto")]);
    let frame = b"\x80\x00\x00\x00\x11grpc-status: 13\r\n";
    let mut failed = after_head(client(web()), &answer);
    failed.on_data(b"\x00\x00\x00\x00\x02hi");
    for byte in frame {
        failed.on_data(&[*byte]);
    }
    failed.on_body_end();
    assert_eq!(failed.classification(), Classification::FAILURE);
    assert_eq!(failed.grpc_code, Some(GrpcCode::parse(b"13")));
    let mut missing = after_head(client(web()), &answer);
    missing.on_data(b"\x00\x00\x00\x00\x02hi");
    missing.on_body_end();
    assert_eq!(missing.classification(), Classification::FAILURE);
    assert_eq!(missing.grpc_code, None);
}

/// A reader that left with its trailers made a success of every failure.
#[test]
fn grpc_web_call_is_over_with_its_trailers_whether_the_stream_ends_or_not() {
    let asked = request(Method::POST, Version::HTTP_11, Some("application/grpc-web"));
    let mut call = after_head(
        client(asked),
        &head(200, &[("content-type", "application/grpc-web")]),
    );
    let mut feed = |piece: &'static [u8]| {
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece)));
        call.on_frame(Some(&frame), false, None)
    };
    assert!(!feed(b"\x00\x00\x00\x00\x02hi"));
    assert!(!feed(b"\x80\x00\x00\x00\x11grpc-status: 1"));
    assert!(feed(b"4\r\n"));
    assert_eq!(call.classification(), Classification::FAILURE);
    assert_eq!(call.classify_drop(None), Classification::FAILURE);
}

#[test]
fn attempt_after_one_over_grpc_web_is_classified_by_its_own_protocol() {
    let web = head(503, &[("content-type", "application/grpc-web")]);
    let mut call = after_head(client(get()), &web);
    call.reset();
    let mut call = after_head(call, &head(200, &[("content-type", "text/html")]));
    call.on_body_end();
    assert_eq!(call.classification(), Classification::SUCCESS);
}

#[test]
fn messages_of_a_request_are_read_of_grpc_on_a_server_only() {
    let reads = |call: HttpExchange| request_frames(call.side, call.wire).is_some();
    assert!(reads(server(grpc())));
    assert!(!reads(client(grpc())));
    assert!(!reads(server(get())));
    assert!(!reads(server(web("application/grpc-web"))));
}

#[test]
fn answer_of_our_own_has_the_content_type_that_was_asked_for() {
    for (request, content_type) in [
        (grpc(), "application/grpc"),
        (web("application/grpc-web+proto"), "application/grpc-web"),
        (
            web("application/grpc-web-text+proto"),
            "application/grpc-web-text",
        ),
    ] {
        assert_eq!(server(request).grpc_content_type(), content_type);
    }
}

#[test]
fn grpc_web_status_is_read_from_base64_where_the_answer_is_text() {
    let text = "application/grpc-web-text";
    let mut failed = after_head(client(web(text)), &head(200, &[("content-type", text)]));
    // A trailer of 15 bytes: `grpc-status: 5` and a line feed.
    failed.on_data(b"gAAAAA9ncnBjLXN0YXR1czogNQo=");
    failed.on_body_end();
    assert_eq!(failed.classification(), CLIENT_ERROR);
    assert_eq!(failed.grpc_code, Some(GrpcCode::parse(b"5")));
}
