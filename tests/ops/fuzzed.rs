//! The invariant of the fuzz target, for made-up input and for its seeds.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

use super::query::ops_query;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn console_answers_any_bytes(bytes: Vec<u8>) {
        ops_query(&bytes);
    }

    #[test]
    fn console_answers_almost_valid_queries(resource: u8, pieces in vec(select(PIECES), 0..12)) {
        let mut bytes = vec![resource];
        bytes.extend(pieces.concat().bytes());
        ops_query(&bytes);
    }
}

const PIECES: &[&str] = &[
    "range=",
    "1h",
    "24h",
    "limit=",
    "offset=",
    "18446744073709551616",
    "-1",
    "&",
    "=",
    "?",
    "/",
    "%",
    "%ff",
    "%00",
    "..",
    "name=",
    "by=",
    "*",
    ",",
    "agg=",
    "p95",
    "quantile(",
    "filter=",
    "a!=b",
    "a=b|c",
    "\\",
    "step=0",
    "after=",
    "kind=guard",
    "q=",
    "level=warn",
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
    "before=",
    "since=",
    "%22",
    "channels=logs",
    "channels=metrics",
    "every=60",
    "{\"action\":",
    "\"reset\"",
    "\"reason\":\"x\"",
    "}",
    "[",
    "null",
    "1e999",
    "circuit_breaker",
];

#[test]
fn console_answers_the_seeds_of_the_fuzzer() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/parsers/seeds/ops_query");
    let mut answered = 0;
    for file in fs::read_dir(seeds).expect("a folder") {
        ops_query(&fs::read(file.expect("a file").path()).expect("bytes"));
        answered += 1;
    }
    assert!(answered >= 3);
}
