//! The laws of everything that is read from the wire, for made-up input and for the seeds of the fuzzer.

mod laws;

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn laws_hold_for_any_bytes(bytes: Vec<u8>) {
        hold(&bytes);
    }

    #[test]
    fn laws_hold_for_almost_valid_input(input in wild()) {
        hold(&input);
    }
}

/// Seeds are what each parser was made for, and what once broke it.
#[test]
fn laws_hold_for_fuzz_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/parsers/seeds");
    for (name, law) in laws::LAWS {
        let files: Vec<_> = fs::read_dir(seeds.join(name)).unwrap().collect();
        assert!(files.len() >= 3, "{name}");
        for file in files {
            law(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}

fn hold(bytes: &[u8]) {
    for (_, law) in laws::LAWS {
        law(bytes);
    }
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
        "0x1f",
    ];
    let piece = prop_oneof![
        6 => (select(PIECES), 1..4_usize).prop_map(|(piece, times)| piece.repeat(times).into_bytes()),
        1 => (select(PIECES), 1..120_usize).prop_map(|(piece, times)| piece.repeat(times).into_bytes()),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
