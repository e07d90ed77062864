use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::rotation::{
    EndpointId, Rotation,
    RotationChange::{self, Ejected, Readmitted, Recovered},
};

fn rotation(max_ejected: f64, endpoints: usize) -> Rotation {
    let mut rotation = Rotation::new(max_ejected);
    for _ in 0..endpoints {
        assert_eq!(rotation.insert(), []);
    }
    rotation
}

#[test]
fn share_is_rounded_down_with_one_at_least_and_never_all() {
    for (share, endpoints, allowed) in [
        (0.1, 0, 0),
        (0.1, 1, 0),
        (0.1, 2, 1),
        (0.1, 3, 1),
        (0.1, 19, 1),
        (0.1, 20, 2),
        (0.29, 100, 29),
        (1.0, 1, 0),
        (1.0, 3, 2),
        (0.0, 100, 0),
    ] {
        let rotation = rotation(share, endpoints);
        assert_eq!(rotation.allowed(), allowed, "{share} of {endpoints}");
    }
}

#[test]
fn endpoint_whose_circuit_opens_is_ejected_until_it_closes() {
    let mut rotation = rotation(0.1, 3);
    assert_eq!(rotation.open(0), (vec![Ejected(0)], false));
    assert_eq!(
        rotation.open(0),
        (vec![], false),
        "open again after a probe"
    );
    assert_eq!(rotation.close(0), [Recovered(0)]);
    assert_eq!(rotation.close(0), []);
}

#[test]
fn endpoint_beyond_the_share_waits_for_the_place_of_another() {
    let mut rotation = rotation(0.1, 3);
    rotation.open(0);
    assert_eq!(rotation.open(1), (vec![], true));
    assert_eq!(rotation.open(2), (vec![], true));
    assert_eq!(rotation.close(0), [Recovered(0), Ejected(1)]);
    assert_eq!(rotation.close(2), [], "it was never ejected");
    assert_eq!(rotation.remove(1), []);
}

#[test]
fn latest_that_was_ejected_returns_when_fewer_may_be() {
    let mut rotation = rotation(1.0, 3);
    rotation.open(0);
    rotation.open(1);
    assert_eq!(rotation.remove(2), [Readmitted(1)]);
    assert_eq!(rotation.insert(), [Ejected(1)], "its circuit is open still");
    assert_eq!(
        rotation.set_max_ejected(0.0),
        [Readmitted(1), Readmitted(0)]
    );
    assert_eq!(rotation.set_max_ejected(0.1), [Ejected(0)]);
}

/// A slow and obvious model: which endpoints there are, and which of them are ejected, as the changes say.
#[derive(Default)]
struct Model {
    endpoints: BTreeSet<EndpointId>,
    open: BTreeSet<EndpointId>,
    ejected: BTreeSet<EndpointId>,
}

impl Model {
    fn apply(&mut self, changes: &[RotationChange]) {
        for change in changes {
            match *change {
                Ejected(id) => assert!(self.ejected.insert(id), "ejected twice: {id}"),
                Recovered(id) | Readmitted(id) => {
                    assert!(self.ejected.remove(&id), "was not ejected: {id}")
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn last_endpoint_is_never_ejected_and_never_more_than_the_share(
        steps in vec((0..5_u8, 0..24_u64, 0.0..=1.0f64), 1..300),
        share in 0.0..=1.0f64,
    ) {
        let (mut rotation, mut model) = (Rotation::new(share), Model::default());
        for (step, id, share) in steps {
            let is_there = model.endpoints.contains(&id);
            let changes = match step {
                0 if !is_there => {
                    model.endpoints.insert(id);
                    rotation.insert()
                }
                1 if is_there => {
                    model.endpoints.remove(&id);
                    model.open.remove(&id);
                    model.ejected.remove(&id);
                    rotation.remove(id)
                }
                2 if is_there => {
                    model.open.insert(id);
                    rotation.open(id).0
                }
                3 if is_there => {
                    model.open.remove(&id);
                    rotation.close(id)
                }
                4 => rotation.set_max_ejected(share),
                _ => continue,
            };
            model.apply(&changes);
            let (ejected, all) = (model.ejected.len(), model.endpoints.len());
            prop_assert_eq!((rotation.ejected(), rotation.endpoints()), (ejected, all));
            prop_assert!(all == 0 || ejected < all, "the last one is ejected");
            prop_assert!(ejected <= rotation.allowed());
            prop_assert!(model.ejected.is_subset(&model.open), "healthy ones stay");
            // As many as there can be.
            prop_assert_eq!(ejected, model.open.len().min(rotation.allowed()));
        }
    }
}
