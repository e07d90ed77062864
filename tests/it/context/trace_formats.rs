//! Traces that come and go in the formats of Zipkin and AWS, and AWS' header as the one of the request ID.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::{
        Correlate, CorrelateBuilder, Propagate, PropagateBuilder, TraceFormat, TracePolicy,
        Traceparent, Trust,
    },
};

use crate::support::meter::meter;

const TRACE: &str = "67891233abcdef012345678912345678";
const SPAN: &str = "53995c3f42cd8ad8";

type Lines<'a> = &'a [(&'static str, &'static str)];

const ALL: [TraceFormat; 4] = [
    TraceFormat::W3c,
    TraceFormat::B3,
    TraceFormat::B3Multi,
    TraceFormat::XRay,
];

/// The same sampled span in each format.
const SPANS: [(TraceFormat, Lines); 4] = [
    (
        TraceFormat::W3c,
        &[(
            "traceparent",
            "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01",
        )],
    ),
    (
        TraceFormat::B3,
        &[("b3", "67891233abcdef012345678912345678-53995c3f42cd8ad8-1")],
    ),
    (
        TraceFormat::B3Multi,
        &[
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", SPAN),
            ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
            ("x-b3-sampled", "1"),
        ],
    ),
    (
        TraceFormat::XRay,
        &[(
            "x-amzn-trace-id",
            "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1",
        )],
    ),
];

/// Sends a request through a proxy that hands all its headers on.
struct Proxied {
    call: Context,
    found: HeaderMap,
    sent: HeaderMap,
    answered: HeaderMap,
}

impl Proxied {
    fn sent(&self, name: &str) -> Option<&str> {
        text(&self.sent, name)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().expect("text"))
}

async fn proxied(
    correlate: CorrelateBuilder,
    propagate: PropagateBuilder,
    lines: Lines<'_>,
) -> Proxied {
    type Seen<T> = Arc<Mutex<Option<T>>>;
    let (call, found, sent) = (
        Seen::<Context>::default(),
        Seen::<HeaderMap>::default(),
        Seen::<HeaderMap>::default(),
    );
    let next = service_fn(|request: Request<Body>| {
        *sent.lock().unwrap() = Some(request.headers().clone());
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let client = GuardLayer::client(propagate.build().expect("settings")).layer(next);
    let proxy = service_fn(|request: Request<Body>| {
        *call.lock().unwrap() = Context::current();
        *found.lock().unwrap() = Some(request.headers().clone());
        client.clone().oneshot(request)
    });
    let server = GuardLayer::client(correlate.build().expect("settings")).layer(proxy);
    let mut request = Request::new(Body::empty());
    for (name, value) in lines {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(*name, value);
    }
    let response = server.oneshot(request).await.expect("an answer");
    fn taken<T>(seen: &Mutex<Option<T>>) -> T {
        seen.lock().unwrap().take().expect("a call")
    }
    Proxied {
        call: taken(&call),
        found: taken(&found),
        sent: taken(&sent),
        answered: response.headers().clone(),
    }
}

/// Reads these formats, and sends none on.
async fn read(formats: impl IntoIterator<Item = TraceFormat>, lines: Lines<'_>) -> Context {
    let correlate = Correlate::builder().trace_formats(formats);
    proxied(correlate, Propagate::builder(), lines).await.call
}

#[tokio::test]
async fn trace_formats_are_read_and_all_sent() {
    for (format, lines) in SPANS {
        let correlate = Correlate::builder().trace_formats([format]);
        let propagate = Propagate::builder().trace_formats(ALL);
        let proxied = proxied(correlate, propagate, lines).await;
        let call = &proxied.call;
        assert_eq!(call.trace_id().to_string(), TRACE, "{format:?}");
        assert_eq!(
            call.parent_id().map(|id| id.to_string()).as_deref(),
            Some(SPAN)
        );
        assert!(call.trace_flags().is_sampled());

        let traceparent = proxied.sent("traceparent").expect("sent");
        let own = Traceparent::parse(traceparent.as_bytes()).expect("well formed");
        assert_eq!(own.trace_id, call.trace_id());
        assert_ne!(own.parent_id, call.span_id(), "a span of its own");
        let own = own.parent_id;
        assert_eq!(proxied.sent("b3"), Some(&*format!("{TRACE}-{own}-1")));
        assert_eq!(proxied.sent("x-b3-traceid"), Some(TRACE));
        assert_eq!(proxied.sent("x-b3-spanid"), Some(&*own.to_string()));
        assert_eq!(proxied.sent("x-b3-sampled"), Some("1"));
        assert_eq!(proxied.sent("x-b3-parentspanid"), None);
        let amazon = format!("Root=1-67891233-abcdef012345678912345678;Parent={own};Sampled=1");
        assert_eq!(proxied.sent("x-amzn-trace-id"), Some(&*amazon));
    }
}

#[tokio::test]
async fn trace_formats_other_than_w3c_are_off_by_default() {
    for (format, lines) in &SPANS[1..] {
        let proxied = proxied(Correlate::builder(), Propagate::builder(), lines).await;
        assert_ne!(proxied.call.trace_id().to_string(), TRACE, "{format:?}");
        for (name, value) in *lines {
            assert_eq!(proxied.sent(name), Some(*value), "{format:?}");
        }
        let names = proxied
            .sent
            .keys()
            .filter(|name| name.as_str() != "traceparent");
        assert_eq!(names.count(), lines.len() + 1, "and the request ID");
    }
}

#[tokio::test]
async fn sampling_deferred_decision_is_made_here() {
    let b3 = |value: &'static str| ("b3", value);
    let deferred = "67891233abcdef012345678912345678-53995c3f42cd8ad8";
    let denied = "67891233abcdef012345678912345678-53995c3f42cd8ad8-0";
    let debug = "67891233abcdef012345678912345678-53995c3f42cd8ad8-d";
    let amazon = "Root=1-67891233-abcdef012345678912345678;Sampled=?";
    for (line, decided) in [
        (b3(deferred), None),
        (b3(denied), Some(false)),
        (b3(debug), Some(true)),
        (("x-amzn-trace-id", amazon), None),
    ] {
        for sample_new in [true, false] {
            let correlate = Correlate::builder()
                .trace_formats(ALL)
                .sample_new_traces(sample_new);
            let propagate = Propagate::builder().trace_formats(ALL);
            let proxied = proxied(correlate, propagate, &[line]).await;
            assert_eq!(proxied.call.trace_id().to_string(), TRACE);
            let sampled = proxied.call.trace_flags().is_sampled();
            assert_eq!(sampled, decided.unwrap_or(sample_new), "{line:?}");
            let state = match (line.1 == debug, sampled) {
                (true, _) => "d",
                (_, true) => "1",
                (_, false) => "0",
            };
            let sent = proxied.sent("b3").expect("sent");
            assert_eq!(sent.rsplit('-').next(), Some(state), "{line:?}");
            let flags = (line.1 == debug).then_some("1");
            assert_eq!(proxied.sent("x-b3-flags"), flags);
            assert_eq!(proxied.sent("x-b3-sampled").is_some(), flags.is_none());
        }
    }
}

#[tokio::test]
async fn sampling_decision_alone_begins_a_trace() {
    for (lines, sampled) in [
        (&[("b3", "0")], false),
        (&[("b3", "d")], true),
        (&[("x-b3-sampled", "0")], false),
        (&[("x-b3-flags", "1")], true),
    ] as [(Lines, bool); 4]
    {
        let correlate = Correlate::builder()
            .trace_formats([TraceFormat::B3])
            .sample_new_traces(!sampled);
        let propagate = Propagate::builder().trace_formats([TraceFormat::B3]);
        let proxied = proxied(correlate, propagate, lines).await;
        assert_eq!(proxied.call.trace_flags().is_sampled(), sampled);
        assert!(proxied.call.trace_flags().is_random());
        assert_eq!(proxied.call.parent_id(), None);
        let debug = lines.contains(&("b3", "d")) || lines.contains(&("x-b3-flags", "1"));
        let sent = proxied.sent("b3").expect("sent");
        assert_eq!(sent.ends_with("-d"), debug, "{sent}");
    }
}

#[tokio::test]
async fn trace_id_of_64_bits_is_left_padded() {
    let line = [("b3", "53995c3f42cd8ad8-53995c3f42cd8ad8-1")];
    let call = read([TraceFormat::B3], &line).await;
    assert_eq!(call.trace_id().to_string(), format!("{SPAN:0>32}"));
}

#[tokio::test]
async fn trust_and_edge_apply_to_trace_formats() {
    let debug = [("b3", "67891233abcdef012345678912345678-53995c3f42cd8ad8-d")];
    let b3 = || Correlate::builder().trace_formats([TraceFormat::B3]);
    let sent = async |correlate: CorrelateBuilder| {
        let propagate = Propagate::builder().trace_formats([TraceFormat::B3]);
        let proxied = proxied(correlate.sample_new_traces(false), propagate, &debug).await;
        let b3 = proxied.sent("b3").expect("sent").to_owned();
        let link = proxied.call.linked_trace().map(|link| link.to_string());
        (
            b3.starts_with(TRACE),
            b3.split('-').nth(2).map(str::to_owned),
            link,
        )
    };
    let accepted = "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01".to_owned();
    let state = |state: &str| Some(state.to_owned());
    assert_eq!(sent(b3()).await, (true, state("d"), None));
    let edge = b3().trace_policy(TracePolicy::Resample);
    assert_eq!(sent(edge).await, (true, state("0"), None));
    let edge = b3().trace_policy(TracePolicy::Restart);
    assert_eq!(
        sent(edge.clone()).await,
        (false, state("0"), Some(accepted))
    );
    let trusted = edge.trust(Trust::when(|_| true));
    assert_eq!(sent(trusted).await, (true, state("d"), None));
    let edge = b3().trace_policy(TracePolicy::Ignore);
    assert_eq!(sent(edge).await, (false, state("0"), None));

    // A load balancer has no span to link to.
    let balanced = [(
        "x-amzn-trace-id",
        "Root=1-67891233-abcdef012345678912345678",
    )];
    let edge = Correlate::builder()
        .trace_formats([TraceFormat::XRay])
        .trace_policy(TracePolicy::Restart);
    let proxied = proxied(edge, Propagate::builder(), &balanced).await;
    assert_eq!(proxied.call.linked_trace(), None);
    assert_ne!(proxied.call.trace_id().to_string(), TRACE);
}

#[tokio::test]
async fn x_ray_root_without_parent_continues() {
    let balanced = [(
        "x-amzn-trace-id",
        "Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678",
    )];
    let call = read([TraceFormat::XRay], &balanced).await;
    assert_eq!(call.trace_id().to_string(), TRACE);
    assert_eq!(call.parent_id(), None);
    assert!(
        !call.trace_flags().is_random(),
        "the first digits are a time"
    );
}

#[tokio::test]
async fn trace_formats_first_valid_wins() {
    let meter = meter();
    let other = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let state = ("tracestate", "vendor=1");
    let zipkin = SPANS[1].1[0];
    let both = [other, state, zipkin];
    let call = read([TraceFormat::W3c, TraceFormat::B3], &both).await;
    assert_eq!(call.trace_id().to_string(), &other.1[3..35]);
    assert!(call.tracestate().is_some());
    let call = read([TraceFormat::B3, TraceFormat::W3c], &both).await;
    assert_eq!(call.trace_id().to_string(), TRACE);
    assert!(call.tracestate().is_none(), "belongs to `traceparent`");

    let broken = [
        ("x-b3-traceid", TRACE),
        ("x-amzn-trace-id", "Root=?"),
        ("traceparent", "?"),
    ];
    let call = read(ALL, &broken).await;
    assert_eq!(call.parent_id(), None);
    let broken = [("b3", "?"), SPANS[3].1[0]];
    let call = read([TraceFormat::B3, TraceFormat::XRay], &broken).await;
    assert_eq!(call.trace_id().to_string(), TRACE);
    let malformed = "tower_keep_malformed_headers_total";
    for (header, count) in [
        ("traceparent", 1.0),
        // Looked at as B3, and once more as B3 in several headers.
        ("x-b3-spanid", 2.0),
        ("x-amzn-trace-id", 1.0),
        ("b3", 1.0),
    ] {
        assert_eq!(
            meter.sum(malformed, &[("header", header)]),
            Some(count),
            "{header}"
        );
    }
}

/// Two traces disagreed at the next hop.
#[tokio::test]
async fn trace_headers_copied_from_request_are_replaced() {
    let copied = [
        ("traceparent", SPANS[0].1[0].1),
        ("tracestate", "a=1"),
        SPANS[1].1[0],
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-parentspanid", SPAN),
        ("x-b3-sampled", "0"),
        ("x-b3-flags", "1"),
        SPANS[3].1[0],
    ];
    let several = ["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"];
    let all_several = [&["x-b3-flags", "x-b3-parentspanid"], &several[..]].concat();
    let amazon = ["x-amzn-trace-id"];
    let zipkin = [&["b3"], &all_several[..]].concat();
    let both = [&["b3"], &amazon[..], &all_several].concat();
    let table: [(&[TraceFormat], &[&str], &[&str]); 6] = [
        (&[TraceFormat::B3], &["b3"], &amazon),
        (&[TraceFormat::B3Multi], &several, &amazon),
        (
            &[TraceFormat::B3Multi, TraceFormat::B3],
            &[&["b3"], &several[..]].concat(),
            &amazon,
        ),
        (&[TraceFormat::XRay], &amazon, &zipkin),
        (&[TraceFormat::W3c], &["traceparent"], &both),
        (&[], &[], &both),
    ];
    for (formats, ours, theirs) in table {
        let correlate = Correlate::builder().trace_policy(TracePolicy::Ignore);
        let propagate = Propagate::builder().trace_formats(formats.iter().copied());
        let proxied = proxied(correlate, propagate, &copied).await;
        let mut names: Vec<_> = proxied.sent.keys().map(|name| name.as_str()).collect();
        names.retain(|name| *name != "x-request-id");
        names.sort_unstable();
        let (left, written): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| {
            let sent = proxied.sent(name);
            copied
                .iter()
                .any(|(copied, value)| copied == name && sent == Some(*value))
        });
        assert_eq!((&written[..], &left[..]), (ours, theirs), "{formats:?}");
    }
}

// ---- the header of AWS as the one of the request ID

/// The semicolon had it rejected.
#[tokio::test]
async fn request_id_from_x_ray_root() {
    let root = "Root=1-67891233-abcdef012345678912345678";
    let once = [("x-amzn-trace-id", root)];
    let twice = [(
        "x-amzn-trace-id",
        "Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678",
    )];
    for lines in [&once, &twice] {
        let correlate = Correlate::builder().request_id_headers(["x-amzn-trace-id"]);
        let propagate = Propagate::builder().request_id_header("x-amzn-trace-id");
        let proxied = proxied(correlate, propagate, lines).await;
        assert_eq!(proxied.call.request_id(), root);
        assert_eq!(text(&proxied.found, "x-amzn-trace-id"), Some(lines[0].1));
        assert_eq!(proxied.sent("x-amzn-trace-id"), Some(root));
        assert_eq!(text(&proxied.answered, "x-amzn-trace-id"), Some(root));
    }
    // In any other header a semicolon is not allowed.
    let other = [("x-request-id", twice[0].1)];
    let proxied = proxied(Correlate::builder(), Propagate::builder(), &other).await;
    assert_eq!(proxied.call.request_id().len(), 32);
}

#[tokio::test]
async fn request_id_and_trace_may_share_a_header() {
    let amazon = SPANS[3].1[0];
    let correlate = || {
        Correlate::builder()
            .trace_formats([TraceFormat::XRay])
            .request_id_headers(["x-request-id", "x-amzn-trace-id"])
    };
    let first = proxied(correlate(), Propagate::builder(), &[amazon]).await;
    assert_eq!(first.call.request_id(), &amazon.1[..40]);
    assert_eq!(first.call.trace_id().to_string(), TRACE);
    assert!(first.call.parent_id().is_some());
    assert_eq!(text(&first.found, "x-amzn-trace-id"), Some(amazon.1));
    // Another ID counts: the trace was read before the header said so.
    let lines = [("x-request-id", "bad ID"), amazon];
    let untrusted = correlate().trust(Trust::never());
    let second = proxied(untrusted, Propagate::builder(), &lines).await;
    assert_eq!(second.call.request_id().len(), 32);
    assert_eq!(
        text(&second.found, "x-amzn-trace-id"),
        Some(second.call.request_id())
    );
    assert_eq!(second.call.trace_id().to_string(), TRACE);
}

/// The ID was taken away as if it were a stale correlation ID.
#[tokio::test]
async fn request_and_correlation_id_may_share_a_header() {
    let correlate = Correlate::builder().correlation_id_headers(["x-request-id"]);
    let propagate = Propagate::builder().correlation_id_header("x-request-id");
    let proxied = proxied(correlate, propagate, &[("x-request-id", "mine")]).await;
    assert_eq!(proxied.sent("x-request-id"), Some("mine"));
    assert_eq!(text(&proxied.answered, "x-request-id"), Some("mine"));
}

#[test]
fn request_id_header_must_not_be_a_trace_header() {
    let error = Propagate::builder()
        .trace_formats([TraceFormat::XRay])
        .request_id_header("x-amzn-trace-id")
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "correlation: request_id_header is \"x-amzn-trace-id\", \
         must be a header that carries neither the trace nor `baggage`"
    );
    for name in ["traceparent", "tracestate", "baggage"] {
        let propagate = Propagate::builder().correlation_id_header(name);
        assert_eq!(
            propagate.build().unwrap_err().field(),
            "correlation_id_header"
        );
    }
    let other = Propagate::builder().request_id_header("b3").build();
    assert!(other.is_ok(), "nobody else writes it");
}
