//! Pairs of messages of databases, parsers, clients and programs: the same fault, or not?

use super::normalize_message;

/// Two messages, and whether they belong to the same group.
const MESSAGE_PAIRS: &[(&str, &str, bool)] = &[
    // sqlx / postgres
    (
        r#"error returned from database: duplicate key value violates unique constraint "users_email_key""#,
        r#"error returned from database: duplicate key value violates unique constraint "orders_pkey""#,
        false,
    ),
    (
        r#"error returned from database: relation "users" does not exist"#,
        r#"error returned from database: relation "orders" does not exist"#,
        false,
    ),
    (
        r#"error returned from database: column "total" does not exist"#,
        r#"error returned from database: column "name" does not exist"#,
        false,
    ),
    (
        r#"error returned from database: password authentication failed for user "app""#,
        r#"error returned from database: password authentication failed for user "report""#,
        true,
    ),
    (
        "pool timed out while waiting for an open connection",
        "pool timed out while waiting for an open connection",
        true,
    ),
    (
        "no rows returned by a query that expected to return at least one row",
        "attempted to communicate with a crashed background worker",
        false,
    ),
    (
        "error occurred while decoding column 0: unexpected null; try decoding as an `Option`",
        "error occurred while decoding column 3: unexpected null; try decoding as an `Option`",
        true,
    ),
    (
        r#"error occurred while decoding column "name": mismatched types"#,
        r#"error occurred while decoding column "total": mismatched types"#,
        false,
    ),
    (
        "error returned from database: deadlock detected\nDETAIL: Process 4711 waits for ShareLock on transaction 99; blocked by process 12",
        "error returned from database: deadlock detected\nDETAIL: Process 1 waits for ShareLock on transaction 5; blocked by process 7",
        true,
    ),
    (
        "error returned from database: 1062 (23000): Duplicate entry 'joe@x.de' for key 'users.email'",
        "error returned from database: 1062 (23000): Duplicate entry 'sue@x.de' for key 'users.email'",
        true,
    ),
    (
        "error returned from database: 1062 (23000): Duplicate entry 'a' for key 'users.email'",
        "error returned from database: 1213 (40001): Deadlock found when trying to get lock; try restarting transaction",
        false,
    ),
    (
        "error returned from database: (code: 5) database is locked",
        "error returned from database: (code: 2067) UNIQUE constraint failed: users.email",
        false,
    ),
    // serde_json
    (
        "missing field `name` at line 1 column 17",
        "missing field `name` at line 3 column 1",
        true,
    ),
    (
        "missing field `name` at line 1 column 17",
        "missing field `price` at line 1 column 17",
        false,
    ),
    (
        r#"invalid type: string "abc", expected u32 at line 1 column 9"#,
        r#"invalid type: string "x y", expected u32 at line 1 column 12"#,
        true,
    ),
    (
        "invalid type: null, expected u32 at line 1 column 9",
        "invalid type: map, expected a string at line 1 column 1",
        false,
    ),
    (
        "unknown variant `foo`, expected one of `a`, `b`",
        "unknown variant `bar`, expected one of `a`, `b`",
        true,
    ),
    (
        "EOF while parsing a value at line 1 column 0",
        "EOF while parsing an object at line 1 column 99",
        false,
    ),
    // reqwest / hyper
    (
        "error sending request for url (http://stock:8080/items/7?token=abc)",
        "error sending request for url (http://stock:8080/items/9)",
        true,
    ),
    (
        "HTTP status client error (404 Not Found) for url (http://stock/items/7)",
        "HTTP status server error (503 Service Unavailable) for url (http://stock/items/7)",
        false,
    ),
    (
        "HTTP status server error (500 Internal Server Error) for url (http://stock/items/7)",
        "HTTP status server error (503 Service Unavailable) for url (http://stock/items/7)",
        false,
    ),
    (
        "error trying to connect: tcp connect error: Connection refused (os error 111)",
        "error trying to connect: dns error: failed to lookup address information: Name or service not known",
        false,
    ),
    (
        "error decoding response body: expected value at line 1 column 1",
        "error decoding response body: expected value at line 2 column 7",
        true,
    ),
    (
        "builder error for url (http://[::1)",
        "builder error: relative URL without a base",
        false,
    ),
    // io
    (
        "No such file or directory (os error 2)",
        "Permission denied (os error 13)",
        false,
    ),
    (
        "failed to open /var/lib/app/orders/4711.json: No such file or directory (os error 2)",
        "failed to open /var/lib/app/orders/4712.json: No such file or directory (os error 2)",
        true,
    ),
    (
        "failed to open /home/joe/a.txt: Permission denied (os error 13)",
        "failed to open /home/sue/b.txt: Permission denied (os error 13)",
        true,
    ),
    (
        "failed to open C:\\data\\joe.txt: The system cannot find the file specified. (os error 2)",
        "failed to open C:\\data\\sue.txt: The system cannot find the file specified. (os error 2)",
        true,
    ),
    // tonic
    (
        r#"code: 'Internal error', message: "db down""#,
        r#"code: 'The service is currently unavailable', message: "stock refused""#,
        false,
    ),
    (
        r#"status: Unavailable, message: "error trying to connect: tcp connect error", details: [], metadata: MetadataMap { headers: {} }"#,
        r#"status: Internal, message: "h2 protocol error", details: [], metadata: MetadataMap { headers: {} }"#,
        false,
    ),
    // redis
    (
        r#"An error was signalled by the server - ResponseError: WRONGTYPE Operation against a key holding the wrong kind of value"#,
        r#"An error was signalled by the server - ResponseError: OOM command not allowed when used memory > 'maxmemory'."#,
        false,
    ),
    (
        "Response was of incompatible type - TypeError: \"Response type not string compatible.\" (response was nil)",
        "Response was of incompatible type - TypeError: \"Response type not vector compatible.\" (response was int(3))",
        false,
    ),
    (
        "Moved: 3999 127.0.0.1:6381",
        "Moved: 12 10.0.0.3:6381",
        true,
    ),
    (
        "ECONNREFUSED connecting to redis-7d9f8b6c5-x2x4z:6379",
        "ECONNREFUSED connecting to redis-7d9f8b6c5-q9k1m:6379",
        true,
    ),
    // kafka, s3, k8s, misc
    (
        "Message production error: MessageTimedOut (Local: Message timed out) topic orders-3",
        "Message production error: QueueFull (Local: Queue full) topic orders-3",
        false,
    ),
    (
        "service error: NoSuchKey: The specified key does not exist. key=uploads/2024/joe-smith.pdf",
        "service error: NoSuchKey: The specified key does not exist. key=uploads/2025/sue-m.pdf",
        true,
    ),
    (
        "request 3f2a9c1b failed: upstream returned 503",
        "request 9bb01a77 failed: upstream returned 503",
        true,
    ),
    ("request abcdefab failed", "request 9bb01a77 failed", true),
    ("user joe_smith not found", "user sue_m not found", true),
    (
        "tenant acme-gmbh: quota exceeded",
        "tenant globex: quota exceeded",
        true,
    ),
    (
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 missing",
        "trace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa missing",
        true,
    ),
    (
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2UifQ.abc-DEF_123 expired",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzdWUifQ.zzz-yyy_xxx expired",
        true,
    ),
    (
        "could not parse date 2024-01-02T03:04:05Z",
        "could not parse date 2025-11-12T13:14:15.123456+02:00",
        true,
    ),
    ("deadline has elapsed", "operation timed out", false),
    (
        "called `Option::unwrap()` on a `None` value",
        "called `Result::unwrap()` on an `Err` value: Custom { kind: Other, error: \"x\" }",
        false,
    ),
    (
        "invalid peer certificate: Expired",
        "invalid peer certificate: UnknownIssuer",
        false,
    ),
    (
        "index out of bounds: the len is 3 but the index is 7",
        "index out of bounds: the len is 1 but the index is 1",
        true,
    ),
    (
        "attempt to subtract with overflow",
        "attempt to add with overflow",
        false,
    ),
    ("price 12,50 € too low", "price 3,99 € too low", true),
    ("order #A-1043-X rejected", "order #B-99-Y rejected", true),
    ("unexpected status 404", "unexpected status 500", false),
    (
        "Bestellung 'Müller' nicht gefunden",
        "Bestellung 'Meier' nicht gefunden",
        true,
    ),
    ("user “joe” unknown", "user “sue” unknown", true),
    (
        "mac 00:1b:44:11:3a:b7 offline",
        "mac 00:1b:44:11:3a:c9 offline",
        true,
    ),
    (
        "job 01HV5Z8Q6M0000000000000000 lost",
        "job 01HV5ZAAAM3QJ6X9T2W8R4N5P7 lost",
        true,
    ),
    (
        "bucket my-bucket.s3.eu-central-1.amazonaws.com timed out after 1.5s",
        "bucket my-bucket.s3.eu-central-1.amazonaws.com timed out after 30.0s",
        true,
    ),
    ("timed out after 1.5s", "timed out after 900ms", true),
    ("timed out after 1m 30s", "timed out after 30s", true),
    ("took 12.5µs", "took 3ms", true),
];

/// Names without quotes, which no pattern can distinguish from the words of the message.
const EXCEPTIONS: &[&str] = &[
    "user joe_smith not found",
    "tenant acme-gmbh: quota exceeded",
];

#[test]
fn normalize_groups_pairs_of_real_messages() {
    let mut wrong = Vec::new();
    for (one, other, same) in MESSAGE_PAIRS {
        let (one_text, other_text) = (normalize_message(one), normalize_message(other));
        if (one_text == other_text) != *same && !EXCEPTIONS.contains(one) {
            wrong.push(format!("{same}:\n  {one_text}\n  {other_text}"));
        }
        for text in [one_text, other_text] {
            assert_eq!(normalize_message(&text), text, "read again");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        EXCEPTIONS
            .iter()
            .all(|exception| MESSAGE_PAIRS.iter().any(|(one, ..)| one == exception))
    );
}
