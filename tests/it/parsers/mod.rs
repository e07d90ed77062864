//! The invariants of everything that is read from the wire, for made-up input and for the seeds of the fuzzer.

mod breaker_key;
mod exchange;
mod forwarded;
mod invariants;
mod requested_faults;
mod trace_formats;

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn invariants_hold_for_any_bytes(bytes: Vec<u8>) {
        hold(&bytes);
    }

    #[test]
    fn invariants_hold_for_almost_valid_input(input in wild()) {
        hold(&input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn exchange_has_one_outcome_however_strange(input in any_exchange()) {
        exchange::exchange(&input);
    }
}

/// Seeds are what each parser was made for, and what once broke it.
#[test]
fn invariants_hold_for_fuzz_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/parsers/seeds");
    for (name, check) in invariants() {
        let files: Vec<_> = fs::read_dir(seeds.join(name)).unwrap().collect();
        assert!(files.len() >= 3, "{name}");
        for file in files {
            check(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}

fn hold(bytes: &[u8]) {
    for (_, check) in invariants() {
        check(bytes);
    }
}

fn invariants() -> impl Iterator<Item = (&'static str, invariants::Invariant)> {
    let others: [(_, invariants::Invariant); 3] = [
        ("exchange", exchange::exchange),
        ("breaker_key", breaker_key::breaker_key),
        ("requested_faults", requested_faults::requested_faults),
    ];
    invariants::INVARIANTS.into_iter().chain(others)
}

/// Pieces of the real formats, repeated and cut, with any byte strewn in.
fn wild() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "00-12345678901234567890123456789012-1234567890123456-01",
        "00-",
        "-1234567890123456",
        "12345678901234567890123456789012-1234567890123456",
        "1234567890123456",
        "-d",
        "Root=1-12345678-901234567890123456789012",
        "Parent=1234567890123456",
        "Sampled=1",
        "Sun, 06 Nov 1994 08:49:07 GMT",
        "Sunday, 06-Nov-94 08:49:07 GMT",
        "Sun Nov  6 08:49:07 1994",
        "v2-2855ceea486fcd28",
        "10S",
        "latency=250ms",
        "status=503",
        "slow=1000",
        "9999999",
        "H",
        "+",
        "-1",
        "k=v",
        "a=1;b=2;c",
        "=",
        ",",
        ";",
        "%c3",
        "é",
        " ",
        "\t",
        "\n",
        "http://u:p@h:80/p?q",
        "'quoted'",
        "user@example.org",
        "::1",
        "for=10.1.2.3",
        "For=\"[fd00::1]:80\"",
        "10.0.0.3, ",
        "[::1]:1",
        "\"",
        "0x1f",
        "2\nPOST 2 application/grpc\n",
        "1\nGET 1 text/plain\n",
        "200 application/grpc\n",
        "503 text/plain\n\n",
        "grpc-status: 0\n",
        "trailer grpc-status: 13\n",
        "data hello\n",
    ];
    let piece = prop_oneof![
        6 => (select(PIECES), 1..4_usize).prop_map(|(piece, times)| piece.repeat(times).into_bytes()),
        1 => (select(PIECES), 1..120_usize).prop_map(|(piece, times)| piece.repeat(times).into_bytes()),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Heads, frames and trailers of gRPC, gRPC-Web and plain HTTP, in any order.
fn any_exchange() -> impl Strategy<Value = Vec<u8>> {
    const METHODS: &[&str] = &["GET", "POST", "POST", "HEAD", "CONNECT"];
    const TYPES: &[&str] = &[
        "text/plain",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web+proto",
        "application/grpc-web-text",
    ];
    const STATUSES: &[&str] = &[
        "200", "200", "200", "101", "204", "304", "404", "408", "429", "500", "501", "503", "504",
        "!",
    ];
    const HEADERS: &[&str] = &[
        "grpc-status: 0",
        "grpc-status: 14",
        "grpc-status: x",
        "grpc-message: gone",
        "content-length: 5",
        "content-length: 0",
        "retry-after: 1",
    ];
    const FRAMES: &[&str] = &[
        "data hello",
        "data ",
        "pending",
        "error",
        "trailer grpc-status: 0",
        "trailer grpc-status: 13",
        "trailer x: y",
        "\u{0}\u{0}\u{0}\u{0}\u{2}hi",
        "gAAAAA9ncnBjLXN0YXR1czogMA0K",
    ];
    let request = (0..16_u8, select(METHODS), 0..4_u8, select(TYPES));
    let response = (
        select(STATUSES),
        select(TYPES),
        vec(select(HEADERS), 0..3),
        vec(select(FRAMES), 0..6),
    );
    (request, response).prop_map(|(request, (status, answered, headers, frames))| {
        let (flags, method, version, asked) = request;
        // The low bits of a letter are the flags, too.
        let flags = char::from(b'@' + flags);
        let lines = [
            flags.to_string(),
            format!("{method} {version} {asked}"),
            format!("{status} {answered}"),
            headers.join("\n"),
            String::new(),
            frames.join("\n"),
        ];
        lines.join("\n").into_bytes()
    })
}
