//! Operations as guards.

use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keep::GuardLayer;

use super::{DURATION, NoRow, tracked};
use crate::support::{guards::witness, meter::meter};

#[tokio::test]
async fn operation_guards_any_service() {
    let meter = meter();
    let (witness, mut ends) = witness();
    let (work, errors) = tracked("guarding");
    let service = ServiceBuilder::new()
        .layer(GuardLayer::any((witness, work.kind("tool"))))
        .service(service_fn(async |order: u32| match order {
            0 => Err(NoRow(order)),
            order => Ok(order),
        }));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 7);
    assert!(service.oneshot(0).await.unwrap_err().is::<NoRow>());
    let of = |outcome| {
        [
            ("operation", "guarding"),
            ("kind", "tool"),
            ("outcome", outcome),
        ]
    };
    assert_eq!(meter.count(DURATION, &of("success")), 1.0);
    assert_eq!(meter.count(DURATION, &of("failure")), 1.0);
    assert_eq!(errors.groups()[0].kind(), "NoRow");
    assert_eq!(ends.so_far().len(), 2);
}
