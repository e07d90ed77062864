//! Compares the store with a plain list.

use std::time::SystemTime;

use proptest::prelude::*;

use super::{
    tests::{at, insert, store},
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Record {
        kind: usize,
        message: usize,
        second: u64,
    },
    SetStatus {
        group: usize,
        status: GroupStatus,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        GroupStatus::Open,
        GroupStatus::Resolved,
        GroupStatus::Ignored,
    ]);
    prop_oneof![
        4 => (0..3_usize, 0..7_usize, 0..50_u64)
            .prop_map(|(kind, message, second)| Step::Record { kind, message, second }),
        1 => (0..20_usize, status).prop_map(|(group, status)| Step::SetStatus { group, status }),
    ]
}

const KINDS: [&str; 3] = ["A", "B", "C"];
const MESSAGES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

#[derive(Clone, Debug, PartialEq)]
struct ModelGroup {
    kind: &'static str,
    message: &'static str,
    status: GroupStatus,
    count: u64,
    regressions: u64,
    first: (SystemTime, &'static str),
    latest: (SystemTime, &'static str),
}

/// A list of groups, the one with the latest record last.
struct Model {
    max_groups: usize,
    max_variants: usize,
    groups: Vec<ModelGroup>,
    total: u64,
    /// The kind and message of each evicted group.
    evicted: Vec<(&'static str, &'static str)>,
    /// The statuses of evicted groups.
    evicted_status: HashMap<(&'static str, &'static str), GroupStatus>,
}

impl Model {
    fn record(&mut self, kind: &'static str, text: &'static str, now: SystemTime) -> GroupChange {
        self.total += 1;
        let known = |groups: &[ModelGroup], message| {
            groups
                .iter()
                .position(|group| (group.kind, group.message) == (kind, message))
        };
        let of_kind = self
            .groups
            .iter()
            .filter(|group| group.kind == kind && group.message != "<other>")
            .count();
        let crowded = known(&self.groups, text).is_none() && of_kind >= self.max_variants;
        let message = if crowded { "<other>" } else { text };
        if let Some(index) = known(&self.groups, message) {
            let mut group = self.groups.remove(index);
            group.count += 1;
            if now < group.first.0 {
                group.first = (now, text);
            }
            if now >= group.latest.0 {
                group.latest = (now, text);
            }
            let change = match group.status {
                GroupStatus::Resolved => GroupChange::Regressed,
                GroupStatus::Ignored => GroupChange::Ignored,
                _ => GroupChange::Known,
            };
            if change == GroupChange::Regressed {
                group.status = GroupStatus::Open;
                group.regressions += 1;
            }
            self.groups.push(group);
            return change;
        }
        if self.groups.len() == self.max_groups {
            let of = |status| self.groups.iter().position(|group| group.status == status);
            let victim = of(GroupStatus::Resolved)
                .or(of(GroupStatus::Open))
                .or(of(GroupStatus::Ignored));
            let victim = self.groups.remove(victim.expect("the store is full"));
            self.evicted.push((victim.kind, victim.message));
            self.evicted_status
                .insert((victim.kind, victim.message), victim.status);
        }
        let mut last = self.evicted.iter().rev().take(8 * self.max_groups);
        let is_remembered = last.any(|gone| *gone == (kind, message));
        let before = self.evicted_status.remove(&(kind, message));
        let (sample, before) = ((now, text), before.filter(|_| is_remembered));
        let (change, status) = match before {
            None => (GroupChange::New, GroupStatus::Open),
            Some(GroupStatus::Resolved) => (GroupChange::Regressed, GroupStatus::Open),
            Some(GroupStatus::Ignored) => (GroupChange::Ignored, GroupStatus::Ignored),
            Some(_) => (GroupChange::Returned, GroupStatus::Open),
        };
        self.groups.push(ModelGroup {
            kind,
            message,
            status,
            count: 1,
            regressions: u64::from(change == GroupChange::Regressed),
            first: sample,
            latest: sample,
        });
        change
    }
}

fn text_of(message: &str) -> &'static str {
    MESSAGES
        .into_iter()
        .chain(["<other>"])
        .find(|text| *text == message)
        .expect("made by the test")
}

fn model_group(group: &ErrorGroup) -> ModelGroup {
    ModelGroup {
        kind: KINDS
            .into_iter()
            .find(|kind| *kind == group.kind())
            .expect("made by the test"),
        message: text_of(group.message()),
        status: group.status(),
        count: group.count(),
        regressions: group.regressions(),
        first: (
            group.first().timestamp(),
            text_of(group.first().record().message()),
        ),
        latest: (
            group.latest().timestamp(),
            text_of(group.latest().record().message()),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn store_matches_reference_model(
        max_groups in 1..8_usize,
        max_variants in 1..5_usize,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut store = store(max_groups, max_variants);
        let mut model = Model { max_groups, max_variants, groups: Vec::new(), total: 0, evicted: Vec::new(), evicted_status: HashMap::new() };
        for step in steps {
            match step {
                Step::Record { kind, message, second } => {
                    let (kind, text) = (KINDS[kind], MESSAGES[message]);
                    let (fingerprint, change) = insert(&mut store, ErrorRecord::new(kind, text), at(second));
                    prop_assert_eq!(change, model.record(kind, text, at(second)));
                    prop_assert!(store.group(fingerprint).is_some());
                }
                Step::SetStatus { group, status } => {
                    let Some(expected) = model.groups.get_mut(group) else { continue };
                    let name = ErrorRecord::new(expected.kind, expected.message).fingerprint();
                    let before = store.set_status(name, status);
                    prop_assert_eq!(before, Some(std::mem::replace(&mut expected.status, status)));
                }
            }
            let groups: Vec<ModelGroup> = store.groups().into_iter().rev().map(model_group).collect();
            prop_assert_eq!(&groups, &model.groups);
            prop_assert_eq!((store.total(), store.evicted()), (model.total, model.evicted.len() as u64));
        }
    }
}
