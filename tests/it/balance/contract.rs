//! The contract that all layers keep, by a balancer of one endpoint and the guard of that.

use tower::layer::layer_fn;
use tower_keep::{
    Balance,
    testing::{ReadyChecked, Script, contract},
};

#[test]
fn contract_balancer() {
    contract::check_http(|| {
        layer_fn(|service: ReadyChecked<Script>| {
            let balancer = Balance::new("signed").client(move |_: &u32| service.clone());
            balancer.endpoints().set([0]);
            balancer
        })
    });
    contract::check_http(|| {
        layer_fn(|service: ReadyChecked<Script>| {
            let balancer = Balance::new("signed").grpc_client(move |_: &u32| service.clone());
            balancer.endpoints().set([0]);
            balancer
        })
    });
    contract::check_any(
        || {
            layer_fn(|service: ReadyChecked<Script>| {
                let balancer = Balance::new("signed").any(move |_: &u32| service.clone());
                balancer.endpoints().set([0]);
                balancer
            })
        },
        || "ask",
    );
}
