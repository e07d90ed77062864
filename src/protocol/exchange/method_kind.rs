use http::{Method, StatusCode};

/// The method of a request, as far as its response depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MethodKind {
    Head,
    Connect,
    Other,
}

impl MethodKind {
    #[inline]
    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => MethodKind::Head,
            Method::CONNECT => MethodKind::Connect,
            _ => MethodKind::Other,
        }
    }

    /// Returns whether HTTP allows no body in the response. The tunnel of a `CONNECT` is none.
    #[inline]
    pub(super) fn forbids_body(self, status: StatusCode) -> bool {
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::RESET_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let tunnel = self == MethodKind::Connect && status.is_success();
        bodiless || tunnel || self == MethodKind::Head
    }
}
