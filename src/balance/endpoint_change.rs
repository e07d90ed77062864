/// A change of the endpoints of a balancer, for [`Endpoints::follow`](super::Endpoints::follow).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointChange<K> {
    /// A new endpoint. One that is known already stays as it is.
    Insert(K),
    /// An endpoint that is gone. An unknown one is no error.
    Remove(K),
}
