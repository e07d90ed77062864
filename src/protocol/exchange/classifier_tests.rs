//! Checks how a classifier travels with the request and the response.

use super::*;

/// Judges 404 as a failure.
fn strict() -> Classifier {
    Classifier::new(|end| match end.status() {
        Some(StatusCode::NOT_FOUND) => ClassifyOutput::from(Outcome::Failure),
        _ => end.outcome().into(),
    })
}

#[test]
fn classifier_travels_to_layers_further_in_on_its_own_side() {
    let lost = head(404, &[]);
    for (outer, inner, shared) in [
        (Side::Server, Side::Server, true),
        (Side::Client, Side::Client, true),
        (Side::Server, Side::Client, false),
    ] {
        let mut request = get();
        of(outer, &mut request, Some(&strict()));
        let call = after_head(of(inner, &mut request, None), &lost);
        let failed = call.classification() == Classification::FAILURE;
        assert_eq!(failed, shared, "{outer:?} {inner:?}");
    }
}

#[test]
fn classifier_travels_to_layers_further_out_with_the_response() {
    let mut lost = head(404, &[]);
    let inner = after_head(of(Side::Client, &mut get(), Some(&strict())), &lost);
    assert_eq!(inner.classification(), Classification::FAILURE);
    inner.share_classification(lost.extensions_mut());
    let outer = after_head(client(get()), &lost);
    assert_eq!(outer.classification(), Classification::FAILURE);
    // Nothing is left by those who go by the protocol alone.
    let mut plain = head(404, &[]);
    after_head(client(get()), &plain).share_classification(plain.extensions_mut());
    assert!(plain.extensions().is_empty());
}

#[test]
fn classifier_of_an_inner_layer_classifies_errors_for_all_layers() {
    let harmless = Classifier::new(|_| Outcome::ClientError);
    let mut inner = of(Side::Client, &mut get(), Some(&harmless));
    let error: BoxError = "reset".into();
    inner.on_error(&*error, None);
    assert_eq!(inner.classification(), Classification::CALLER_FAULT);
    let error = inner.wrap_error(error);
    assert_eq!(error.to_string(), "reset");
    let mut outer = client(get());
    outer.on_error(&*error, None);
    assert_eq!(outer.classification(), Classification::CALLER_FAULT);
    let untouched: BoxError = "reset".into();
    let untouched = client(get()).wrap_error(untouched);
    assert!(ClassifiedError::find(&*untouched).is_none());
}
