use super::{
    normalize_message,
    normalizer::{MAX_NORMALIZED, MAX_READ},
};
use crate::util::text::ELLIPSIS;
use proptest::prelude::*;

fn assert_each_normalizes(table: &[(&str, &str)]) {
    for (message, expected) in table {
        assert_eq!(normalize_message(message), *expected, "of {message:?}");
        assert_eq!(
            normalize_message(expected),
            *expected,
            "again, of {message:?}"
        );
    }
}

#[test]
fn normalize_replaces_numbers_and_keeps_units() {
    assert_each_normalizes(&[
        ("order 4711 not found", "order <num> not found"),
        ("5% of 3.2GiB", "<num>% of <num>GiB"),
        (
            "x = -5, y = +7.25e-3, z = 1e10",
            "x = <num>, y = <num>, z = <num>",
        ),
        ("3-4 of user_17", "<num>-<num> of user_<num>"),
        ("1,234,567.89 rows", "<num> rows"),
        ("needs 1.2.3, has 1.12.", "needs <num>, has <num>."),
        ("1.2.3.4.5", "<num>"),
        ("1e5, 1e-5, 1E+5", "<num>, <num>, <num>"),
        ("src/main.rs:12:5", "src/main.rs:<num>:<num>"),
        ("worker-3: [1, 2]", "worker-<num>: [<num>, <num>]"),
        ("用户123不存在", "用户<num>不存在"),
    ]);
}

#[test]
fn normalize_replaces_durations_with_any_unit() {
    assert_each_normalizes(&[
        ("took 30ms, limit 1.5s", "took <duration>, limit <duration>"),
        ("after 1h30m", "after <duration>"),
        ("after 1m 30s.", "after <duration>."),
        (
            "-5s, +12µs, 3\u{3bc}s",
            "<duration>, <duration>, <duration>",
        ),
        ("5s 10 rows", "<duration> <num> rows"),
        ("1h30x, 5sunny", "1h30x, 5sunny"),
        ("1,5s", "<duration>"),
        ("30 s", "<num> s"),
    ]);
}

#[test]
fn normalize_replaces_paths_but_not_routes_and_source_files() {
    assert_each_normalizes(&[
        ("open /var/lib/a-1.json: no", "open <path>: no"),
        ("open /etc/app.conf.", "open <path>."),
        (
            "at '/a/b'x, [/a/b], =/a/b",
            "at '<path>'x, [<path>], =<path>",
        ),
        ("GET /orders/7 and /orders", "GET <path> and /orders"),
        ("/orders/{id} /orders/{id}/x", "/orders/{id} /orders/{id}/x"),
        ("/orders/:id, /a//b, //a/b", "/orders/:id, /a//b, //a/b"),
        ("and/or, TCP/IP, a/b/c", "and/or, TCP/IP, a/b/c"),
        ("text/html; application/json", "text/html; application/json"),
        ("key=uploads/2024/joe-s.pdf.", "key=<path>."),
        ("my-data/x.json, a/b.toolong", "<path>, a/b.toolong"),
        ("a/b.1, a/b.c1, a/.c", "a/b.<num>, <path>, <path>"),
        ("src/main.rs:12:5", "src/main.rs:<num>:<num>"),
        ("db.local/dump.sql", "db.local/dump.sql"),
        ("open /home/jörg/a=1", "open <path>"),
        ("C:\\data\\joe.txt: no", "<path>: no"),
        ("at D:\\x, not CD:\\x", "at <path>, not CD:\\x"),
    ]);
}

#[test]
fn normalize_keeps_names_and_codes_that_identify_the_fault() {
    assert_each_normalizes(&[
        (
            "constraint \"users_pkey\", column 'a_b'",
            "constraint \"users_pkey\", column \"a_b\"",
        ),
        ("missing field `name`", "missing field \"name\""),
        ("5\" column `a`", "<num>\" column <str>"),
        ("unknown field `name`", "unknown field <str>"),
        ("column \"a b\", column \"\"", "column <str>, column <str>"),
        (
            "mycolumn \"a\", column: \"a\"",
            "mycolumn <str>, column: <str>",
        ),
        (
            "code: 'Internal error', message: \"x y\"",
            "code: \"Internal error\", message: <str>",
        ),
        (
            "code: 'E1', message: 'a', access code: \"open sesame\"",
            "code: <str>, message: <str>, access code: <str>",
        ),
        // Text that may be data is replaced.
        (
            "table \"tenant_4711\", table 'a.b'",
            "table <str>, table <str>",
        ),
        (
            "column 'sk_live_51H8', column '_'",
            "column <str>, column <str>",
        ),
        (
            "column 'deadbeef', table 'x-y'",
            "column <str>, table <str>",
        ),
        ("status 404, status: 503", "status 404, status: 503"),
        ("HTTP 500, Status=500", "HTTP 500, Status=500"),
        (
            "status code 404 (status 404)",
            "status code 404 (status 404)",
        ),
        (
            "status 604, status 40, status 4040",
            "status <num>, status <num>, status <num>",
        ),
        ("status 404.5, mystatus 404", "status <num>, mystatus <num>"),
        ("status 404\"x\"", "status 404<str>"),
        ("status 404…", "status <num>…"),
        ("404 status, status404", "<num> status, status404"),
        ("row 404", "row <num>"),
    ]);
    let long = format!("column '{}'", "x".repeat(65));
    assert_eq!(normalize_message(&long), "column <str>");
}

#[test]
fn normalize_replaces_names_of_single_objects() {
    assert_each_normalizes(&[
        ("mac 00:1b:44:11:3a:b7 off", "mac <mac> off"),
        ("00-1B-44-11-3A-B7.", "<mac>."),
        ("00:1b:44:11:3a:b7: no", "<mac>: no"),
        ("0a:1b:4c:ad:3a:b7:66", "0a:<num>b:4c:ad:3a:b7:<num>"),
        ("redis-7d9f8b6c5-x2x4z:6379", "redis-<id>:<num>"),
        (
            "redis-7d9f8b6c5-x2x4, a7d9f8b6c5-x2x4z",
            "redis-<hex>-x2x4, <hex>-x2x4z",
        ),
        (
            "order-payments-queue, job-12345678-abcde",
            "order-payments-queue, job-<num>-abcde",
        ),
        (
            "order #A-1043-X, #12, #tag, c#7a",
            "order #<id>, #<num>, #tag, c#7a",
        ),
        ("eyJhbGciOiJIUzI1NiJ9.eyJz.a-B_1 is old", "<id> is old"),
        ("eyJ is short", "eyJ is short"),
        ("deadbeef, abcdefab, facade", "<hex>, <hex>, facade"),
    ]);
}

#[test]
fn normalize_keeps_words_that_contain_digits() {
    assert_each_normalizes(&[
        (
            "invalid utf8 in h2 frame, E0308, 4xx",
            "invalid utf8 in h2 frame, E0308, 4xx",
        ),
        ("1e+ and 2e-x, 0x and 0xyz", "1e+ and 2e-x, 0x and 0xyz"),
        ("1ex-5, 1e 5", "1ex-<num>, 1e <num>"),
        ("Sha256DigestMismatchError", "Sha256DigestMismatchError"),
        ("in std::fmt and abc::def", "in std::fmt and abc::def"),
        ("", ""),
    ]);
}

#[test]
fn normalize_replaces_generated_ids() {
    assert_each_normalizes(&[
        (
            "job 550e8400-e29b-41d4-a716-446655440000 lost",
            "job <uuid> lost",
        ),
        ("{550E8400-E29B-41D4-A716-446655440000}", "{<uuid>}"),
        ("at 0x7fFf12 in 0123abcd", "at <hex> in <hex>"),
        ("i-0abc123def456", "i-<hex>"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "<id>"),
        ("7abcdefghijklmnopqr8st", "<id>"),
        ("a7bcdefghijklmnopqr8st", "<id>"),
        ("charge ch_3MtwBwLkdIwHu7ix0snN0B8x", "charge ch_<id>"),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "<num>-<hex>-<hex>-<num>",
        ),
    ]);
}

#[test]
fn normalize_replaces_quoted_text_but_keeps_apostrophes() {
    assert_each_normalizes(&[
        (r#"no field "na\"me" here"#, "no field <str> here"),
        (
            "unknown variant `foo`, expected `bar`",
            "unknown variant <str>, expected <str>",
        ),
        ("can't open 'a file.txt'", "can't open <str>"),
        ("the users' data isn't there", "the users' data isn't there"),
        ("'can't' is a word", "<str> is a word"),
        ("5 ' and 6' are lengths", "<num> ' and <num>' are lengths"),
        ("lifetime 'static", "lifetime 'static"),
        ("an inch: 5\"", "an inch: <num>\""),
        ("name=\"\" id='7'", "name=<str> id=<str>"),
        (
            "“joe” «joe» „joe“ ‘joe’ don’t",
            "<str> <str> <str> <str> don’t",
        ),
        (
            "Foo { id: 5, name: \"x\" }",
            "Foo { id: <num>, name: <str> }",
        ),
    ]);
}

#[test]
fn normalize_replaces_addresses() {
    assert_each_normalizes(&[
        ("connect to 10.0.0.1:8080 failed", "connect to <ip> failed"),
        ("peer 192.168.1.254.", "peer <ip>."),
        ("10.0.0.1: no", "<ip>: no"),
        ("10.0.0.1:65535, 10.0.0.1:100000", "<ip>, <ip>:<num>"),
        ("net 10.0.0.0/8, no 0010.0.0.1", "net <ip>/<num>, no <num>"),
        ("300.1.2.3", "<num>"),
        ("[2001:db8::1]:443 and ::1", "[<ip>]:<num> and <ip>"),
        ("fe80::1: unreachable", "<ip>: unreachable"),
        ("xyz::1, <T>::1, :::1", "xyz::<num>, <T>::<num>, :::<num>"),
        ("a@b.co, s@b.co, k@b.co", "<email>, <email>, <email>"),
        (
            "mail to Joe.Doe+x@example.co.uk, please",
            "mail to <email>, please",
        ),
        (
            "crate serde@1.0.2 and root@localhost",
            "crate serde@<num> and root@localhost",
        ),
        ("a@b.c, a@.co, a@b.22", "a@b.c, a@.co, a@b.<num>"),
    ]);
}

/// The longest was taken for one that is too long if a sentence went on behind it.
#[test]
fn normalize_replaces_longest_ipv6_whatever_follows() {
    let longest = "0000:0000:0000:0000:0000:ffff:255.255.255.255";
    for rest in ["", ".", ": refused", "]:80"] {
        let expected = format!("<ip>{}", rest.replace("80", "<num>"));
        assert_eq!(normalize_message(&format!("{longest}{rest}")), expected);
    }
    assert!(!normalize_message(&format!("{longest}0")).contains("<ip>"));
}

#[test]
fn normalize_replaces_dates() {
    assert_each_normalizes(&[
        ("at 2026-01-02T03:04:05.678Z", "at <date>"),
        ("2026-01-02 03:04:05,678 +0200 x", "<date> <num> x"),
        ("2026-01-02T03:04+02:00.", "<date>."),
        ("until 2026-01-02.", "until <date>."),
        ("03:04:05.", "<date>."),
        ("20260102T030405Z", "<date>"),
        ("2026-13-02", "<num>-<num>-<num>"),
    ]);
}

#[test]
fn normalize_keeps_only_scheme_and_host_of_urls() {
    assert_each_normalizes(&[
        ("url (http://stock/items/7?k=v)", "url (http://stock<path>)"),
        (
            "https://api.example.com/a/b: refused",
            "https://api.example.com<path>: refused",
        ),
        (
            "postgres://joe:s3cret@db.local:5432/app",
            "postgres://db.local:<num><path>",
        ),
        (
            "http://10.0.0.3:8080/x, http://[::1]:80/",
            "http://<ip><path>, http://[<ip>]:<num><path>",
        ),
        ("http://node-17.eu", "http://node-<num>.eu"),
        (
            "http://stock:80/a/b.json, c/d.json",
            "http://stock:<num><path>, <path>",
        ),
        ("http://h?", "http://h?"),
    ]);
}

#[test]
fn normalize_replaces_whitespace_and_control_characters_by_one_space() {
    assert_each_normalizes(&[("  a\r\n\tb \u{1b}[31mc\u{0} ", "a b [31mc")]);
}

/// A status and a code are what they are because of what stands behind them, and were read otherwise once that was cut off.
#[test]
fn normalize_reads_the_same_where_what_follows_was_cut_off() {
    for rest in ["status 404“ab", "code: 'not there', message: 'x'"] {
        for length in 0..60 {
            let before = "ab ".repeat(150) + &"x".repeat(length);
            let once = normalize_message(&format!("{before} {rest}"));
            assert_eq!(normalize_message(&once), once);
        }
    }
    let once = normalize_message("code: 'not there', message: ");
    assert_eq!(normalize_message(&once), once);
}

#[test]
fn normalize_truncates_at_same_place_whatever_the_numbers() {
    let message = |n: u64| format!("row {n}: {}", "no such thing ".repeat(100));
    let short = normalize_message(&message(1));
    assert_eq!(short, normalize_message(&message(u64::MAX)));
    assert!(short.ends_with('…') && short.len() <= MAX_NORMALIZED);
}

#[test]
fn normalize_keeps_as_much_as_fits() {
    let words = "ab ".repeat(MAX_NORMALIZED);
    let room = MAX_NORMALIZED - ELLIPSIS.len_utf8();
    assert_eq!(normalize_message(&words), format!("{}…", &words[..room]));
    // Not one letter of a word for which there is none.
    let words = "abc ".repeat(MAX_NORMALIZED);
    assert_eq!(
        normalize_message(&words),
        format!("{}…", &words[..room - 2])
    );
}

#[test]
fn normalize_replaces_words_longer_than_64() {
    let word = "x".repeat(64);
    assert_eq!(normalize_message(&word), word);
    for more in ["x", "xx"] {
        assert_eq!(normalize_message(&format!("{word}{more}")), "<id>");
    }
}

#[test]
fn normalize_replaces_quoted_text_that_closes_after_truncation() {
    let message = |body: &str| format!("bad body \"{} and more", body.repeat(MAX_READ));
    assert_eq!(normalize_message(&message("a ")), "bad body <str>…");
    assert_eq!(normalize_message(&message("ü")), "bad body <str>…");
}

/// Pieces that are hard to tell apart, to be put together at random.
fn near_valid() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "1",
        "12",
        "2024",
        "-",
        "01",
        "02",
        "T",
        ":",
        "03",
        "::",
        ".",
        ",",
        "@",
        "a",
        "b",
        "co",
        "e",
        "e2",
        "ms",
        "s",
        "d",
        "h",
        "0x",
        "ff",
        "deadbee1",
        "x",
        "/",
        "//",
        "://",
        "http",
        "?",
        "#",
        "'",
        "\"",
        "`",
        "\\",
        " ",
        "\n",
        "<",
        ">",
        "<num>",
        "<str>",
        "<path>",
        "(",
        ")",
        "[",
        "]",
        "{",
        "=",
        "+",
        "_",
        "%",
        "…",
        "µ",
        "ü",
        "数",
        "fe80",
        "10.0.0.1",
        "'a'",
        "“",
        "”",
        "‘",
        "’",
        "„",
        "column ",
        "code: ",
        "status ",
        "404",
        "/a/b",
        "a/b.txt",
        "C:\\",
        "-7d9f8b6c5-x2x4z",
        "00:1b:44:11:3a:b7",
        "eyJhbGciOiJIUzI1NiJ9",
        "#A-1",
        "b.co",
        "u:p@h",
        "2024-01-02",
        "10:11:12",
        "Z",
        "550e8400-e29b-41d4-a716-446655440000",
        "abc",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn long_near_valid() -> impl Strategy<Value = String> {
    (near_valid(), near_valid(), 1..60_usize)
        .prop_map(|(head, part, times)| head + &part.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn normalize_is_idempotent(text in prop_oneof![near_valid(), long_near_valid(), any::<String>()]) {
        let once = normalize_message(&text);
        prop_assert_eq!(normalize_message(&once), once);
    }

    #[test]
    fn normalize_result_is_bounded_and_has_no_control_characters(text in prop_oneof![long_near_valid(), any::<String>()]) {
        let result = normalize_message(&text);
        prop_assert!(result.len() <= MAX_NORMALIZED);
        prop_assert!(!result.contains(char::is_control));
    }

    #[test]
    fn normalize_maps_messages_with_different_data_to_same_result(a in variable_part(), b in variable_part()) {
        prop_assert_eq!(normalize_message(&a), normalize_message(&b));
    }
}

/// One message with different data in it.
fn variable_part() -> impl Strategy<Value = String> {
    let numbers = (any::<u64>(), any::<i32>(), 0.0..1e9_f64);
    let rest = (
        any::<u128>(),
        any::<[u8; 4]>(),
        "[a-z ']{0,40}",
        "[a-z0-9/._-]{0,40}[a-z]",
    );
    (numbers, rest).prop_map(|((row, delta, took), (id, [a, b, c, d], name, path))| {
        let hex = format!("{id:032x}");
        let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        format!(
            "row {row} ({delta}) of \"{name}\": GET http://stock/{path}?id={uuid} from {a}.{b}.{c}.{d}:80 took {took}ms, job {uuid}"
        )
    })
}
