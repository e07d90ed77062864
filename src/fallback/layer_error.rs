use std::convert::Infallible;

/// Converts the error of an alternative into that of the layered service.
pub trait IntoLayerError<E> {
    fn into_layer_error(self) -> E;
}

impl<E> IntoLayerError<E> for Infallible {
    fn into_layer_error(self) -> E {
        match self {}
    }
}

/// The error of a fallback service.
#[derive(Debug)]
pub struct ServiceError<E>(pub(super) E);

impl<E: Into<T>, T> IntoLayerError<T> for ServiceError<E> {
    fn into_layer_error(self) -> T {
        self.0.into()
    }
}
