//! Outcomes by gRPC status, wherever it is, and of calls that lack one.

use http::{Method, Request, Version};
use tower_keep::{
    Outcome::*,
    call::{Evidence::*, GrpcCode},
    testing::{Reply, ScriptedBody},
};

use crate::guard::{driver::*, requests::*};

#[test]
fn outcome_of_grpc_status_in_headers_or_trailers() {
    table(&[
        row("0 in trailers", grpc, || Reply::grpc(0), Success),
        row("14 in trailers", grpc, || Reply::grpc(14), Failure),
        row("8 in trailers", grpc, || Reply::grpc(8), Overload),
        row("4 in trailers", grpc, || Reply::grpc(4), TimedOut),
        row("1 in trailers", grpc, || Reply::grpc(1), Cancelled),
        row("5 in trailers", grpc, || Reply::grpc(5), ClientError),
        row("12 in trailers", grpc, || Reply::grpc(12), ClientError),
        row("0 in headers", grpc, || in_headers("0"), Success),
        row("14 in headers", grpc, || in_headers("14"), Failure),
        row("8 in headers", grpc, || in_headers("8"), Overload),
        row("unreadable", grpc, || in_headers("fine"), Failure),
        row("a proxy's 503", grpc, || Reply::status(503), Overload),
        row("a proxy's 404", grpc, || Reply::status(404), ClientError),
    ]);
}

#[test]
fn outcome_of_missing_grpc_status_is_failure() {
    let cause = "missing grpc-status";
    table(&[
        row("no body", grpc, ok_grpc, Failure).with_cause(cause),
        row("no trailers", grpc, || ok_grpc().data("cut"), Failure).with_cause(cause),
        row("204", grpc, || status_grpc(204), Failure).with_cause(cause),
        row("302", grpc, || status_grpc(302).data("moved"), Failure).with_cause(cause),
        row(
            "a late end",
            grpc,
            || ok_grpc().body(no_size("cut").end_after_extra_poll()),
            Failure,
        )
        .with_cause(cause),
        row(
            "other trailers",
            grpc,
            || ok_grpc().trailers([("a", "b")]),
            Failure,
        )
        .with_cause(cause),
    ]);
}

#[test]
fn cause_is_grpc_message() {
    let seen = on(Side::Client, &call(grpc, || Reply::grpc(14), Until::End));
    assert_eq!(seen.settled().grpc_code, Some(GrpcCode::UNAVAILABLE));
    assert_eq!(seen.settled().cause, None);
    let trailers = || ok_grpc().trailers([("grpc-status", "13"), ("grpc-message", "no%20disk")]);
    table(&[
        row("in trailers", grpc, trailers, Failure).with_cause("grpc-message: no disk"),
        row(
            "in headers",
            grpc,
            || in_headers("13").header("grpc-message", "no%20disk"),
            Failure,
        )
        .with_cause("grpc-message: no disk"),
    ]);
}

/// Its trailers are the last message of its body.
#[test]
fn outcome_of_grpc_web_by_headers_or_last_message() {
    let cause = "missing grpc-status";
    table(&[
        row("0 at the end", grpc_web, || web(0), Success),
        row("5 at the end", grpc_web, || web(5), ClientError),
        row("14 at the end", grpc_web, || web(14), Failure),
        row(
            "cut",
            grpc_web,
            || ok_grpc_web().data("\0\0\0\0\x02h"),
            Failure,
        )
        .with_cause(cause),
        row(
            "no status",
            grpc_web,
            || ok_grpc_web().data("\0\0\0\0\0"),
            Failure,
        )
        .with_cause(cause),
        row("a page", grpc_web, || Reply::ok().data("page"), Success).on_grpc_clients(Failure),
        row("0 in headers", grpc_web, || in_headers("0"), Success),
        row("14 in headers", grpc_web, || in_headers("14"), Failure),
        row("503", grpc_web, || Reply::status(503), Overload),
    ]);
}

/// Anybody can say gRPC to a peer that does not speak it; only gRPC clients insist.
#[test]
fn outcome_of_non_grpc_answer_is_by_http_status() {
    let cause = "missing grpc-status";
    let html = || {
        Reply::ok()
            .header("content-type", "text/html")
            .data("hello")
    };
    table(&[
        row("200", grpc, html, Success).on_grpc_clients(Failure),
        row("no type", grpc, || Reply::ok().data("hello"), Success).on_grpc_clients(Failure),
        row("404", grpc, || Reply::status(404).data("lost"), ClientError),
        row("500", grpc, || Reply::status(500).data("oh"), Failure),
        row("501", grpc, || Reply::status(501).data("what"), ClientError),
    ]);
    let seen = on(Side::GrpcClient, &call(grpc, html, Until::End));
    assert_eq!(seen.settled().cause.as_deref(), Some(cause));
    for side in [Side::Server, Side::Client] {
        let seen = on(side, &call(grpc, || Reply::ok().data("hello"), Until::End));
        assert_eq!(
            (seen.settled().grpc_code, &seen.settled().cause),
            (None, &None)
        );
    }
}

/// An explicit gRPC client makes gRPC calls only, whatever a request says of itself.
#[test]
fn outcome_on_grpc_client_needs_grpc_status() {
    for reply in [Reply::ok, || Reply::ok().data("hello")] {
        let seen = on(Side::GrpcClient, &call(get, reply, Until::End));
        assert_eq!(seen.settled().outcome, Failure);
        assert_eq!(seen.settled().evidence, Unhealthy);
    }
}

#[test]
fn outcome_of_impossible_grpc_request_is_by_http() {
    fn with(method: Method, version: Version, kind: &'static str) -> Request<ScriptedBody> {
        let mut request = of_type(kind);
        (*request.method_mut(), *request.version_mut()) = (method, version);
        request
    }
    const GRPC: &str = "application/grpc";
    const WEB: &str = "application/grpc-web+proto";
    type Ask = fn() -> Request<ScriptedBody>;
    let asks: [(&str, Ask); 4] = [
        ("a GET", || with(Method::GET, Version::HTTP_2, GRPC)),
        ("HTTP/1.0", || with(Method::POST, Version::HTTP_10, GRPC)),
        ("gRPC-Web over HTTP/1.0", || {
            with(Method::POST, Version::HTTP_10, WEB)
        }),
        ("a GET over HTTP/1.1", || {
            with(Method::GET, Version::HTTP_11, WEB)
        }),
    ];
    for (name, request) in asks {
        table(&[
            // A peer that answers in gRPC all the same is as good as its HTTP status.
            row(name, request, || ok_grpc().data("hello"), Success),
            row(name, request, || Reply::status(404), ClientError),
            row(name, request, || in_headers("14"), Success),
        ]);
    }
    // A server knows the version of its connection; a client's request does not say it.
    let http1: Ask = || with(Method::POST, Version::HTTP_11, GRPC);
    let seen = on(Side::Server, &call(http1, || in_headers("14"), Until::End));
    assert_eq!(
        (seen.settled().outcome, seen.settled().grpc_code),
        (Success, None)
    );
    let seen = on(Side::Client, &call(http1, || in_headers("14"), Until::End));
    assert_eq!(seen.settled().grpc_code, Some(GrpcCode::UNAVAILABLE));
}

fn status_grpc(status: u16) -> Reply {
    Reply::status(status).header("content-type", "application/grpc")
}
