//! Settings that a builder rejects.

use tower_keep::context::{Correlate, Propagate};

#[test]
fn invalid_context_settings_are_named() {
    let error = Correlate::builder()
        .request_id_headers(["x request id"])
        .build();
    let error = error.unwrap_err();
    assert_eq!(error.field(), "request_id_headers");
    assert!(
        error
            .to_string()
            .starts_with(r#"correlation: request_id_headers is "x request id", must be"#)
    );
    let none: [&str; 0] = [];
    let error = Correlate::builder()
        .correlation_id_headers(none)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "correlation: correlation_id_headers is 0 names, must be 1 to 8 header names"
    );
    for name in ["authorization", "cookie", "host", ""] {
        assert!(
            Correlate::builder()
                .request_id_headers([name])
                .build()
                .is_err()
        );
        assert!(
            Propagate::builder()
                .request_id_header(name)
                .build()
                .is_err()
        );
        assert!(
            Propagate::builder()
                .correlation_id_header(name)
                .build()
                .is_err()
        );
    }
}
