use http::{Extensions, HeaderMap, Response, StatusCode};

/// The head of a response, borrowed: responses are large, and splitting them would copy them.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

impl<'a, B> From<&'a Response<B>> for ResponseHead<'a> {
    #[inline]
    fn from(response: &'a Response<B>) -> Self {
        ResponseHead {
            status: response.status(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}
