/// The policy for the request ID of an outgoing request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestIdPolicy {
    /// Sends the ID of the call that the request is made for. The default, as Envoy, Istio and nginx do it.
    #[default]
    Reuse,
    /// Generates an ID for each attempt, where each hop has an ID of its own. The correlation ID then ties the request
    /// chain together.
    Generate,
}
