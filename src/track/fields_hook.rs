use std::{fmt, sync::Arc};

use http::Request;

use crate::{
    call::catch_hook,
    context::{CallFields, RequestHead},
};

type Hook = dyn Fn(&RequestHead<'_>, &mut CallFields) + Send + Sync;

/// A hook that adds fields to the access-log line of a call.
#[derive(Clone)]
pub(super) struct FieldsHook(Arc<Hook>);

impl FieldsHook {
    pub(super) fn new(
        hook: impl Fn(&RequestHead<'_>, &mut CallFields) + Send + Sync + 'static,
    ) -> Self {
        FieldsHook(Arc::new(hook))
    }

    /// Returns the fields of a request. Those that were added before a panic are kept.
    pub(super) fn fields<B>(&self, request: &Request<B>) -> CallFields {
        let mut fields = CallFields::default();
        catch_hook(|| (self.0)(&RequestHead::from_request(request), &mut fields));
        fields
    }
}

impl fmt::Debug for FieldsHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldsHook")
    }
}
