//! The cost that the table adds to a call.

use std::{convert::Infallible, hint::black_box, sync::OnceLock};

use axum::{Router, body::Body, routing::get};
use http::Request;
use tower_keep::{observe, operation, track::CallTable};

use crate::{allocations::per_call, console::console, poll};

/// The allocations of a call and of a run before there is a table.
static WITHOUT: OnceLock<[f64; 2]> = OnceLock::new();

/// Measures what calls cost without the table, unless that was done. Before the first console of the process.
pub fn measure_without_table() {
    WITHOUT.get_or_init(measure);
}

fn measure() -> [f64; 2] {
    let app: Router = Router::new()
        .route("/orders/{id}", get(async || "an order"))
        .layer(observe("costs").server());
    let mut app = app.with_state(());
    let call = || {
        let request = Request::get("/orders/7").body(Body::empty());
        black_box(poll::exchange(&mut app, request.expect("a request")));
    };
    let run = || {
        let run = operation("costs").run(async { Ok::<_, Infallible>(7) });
        let _ = black_box(poll::finish(run));
    };
    [per_call(call).0, per_call(run).0]
}

#[tokio::test]
async fn call_in_the_table_allocates_no_more() {
    let _console = console();
    let with = measure();
    let without = WITHOUT.get().expect("measured by the console");
    for (with, without) in with.iter().zip(without) {
        // Other tests of the process may make a list longer that this thread then grows, once.
        assert!(
            (with - without).abs() < 0.01,
            "{with}, without the table {without}"
        );
    }
    assert_eq!(CallTable::global().missed(), 0);
}
