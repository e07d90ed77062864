/// The kind of a budget.
///
/// Kept in a word with a generation that grows when the kind changes: what was taken from an earlier one is recognized.
/// Bits, high to low: 30 generation, 2 kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub(crate) enum BudgetKind {
    #[default]
    Window,
    Throttle,
    Bucket,
}

impl BudgetKind {
    const BITS: u32 = 2;
    const MASK: u32 = (1 << Self::BITS) - 1;

    /// Returns the word of the first generation.
    pub(super) fn first_word(self) -> u32 {
        self as u32
    }

    /// Returns the word of the generation after that of a word.
    pub(super) fn word_after(self, word: u32) -> u32 {
        let generation = (word >> Self::BITS).wrapping_add(1);
        generation << Self::BITS | self as u32
    }

    #[inline]
    pub(super) fn of_word(word: u32) -> Self {
        // In the order of the enum.
        match word & Self::MASK {
            0 => BudgetKind::Window,
            1 => BudgetKind::Throttle,
            _ => BudgetKind::Bucket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BudgetKind::{Bucket, Throttle, Window};

    #[test]
    fn kind_has_another_word_in_each_generation() {
        for kind in [Window, Throttle, Bucket] {
            let first = kind.first_word();
            assert_eq!(BudgetKind::of_word(first), kind);
            for next in [Window, Throttle, Bucket] {
                let second = next.word_after(first);
                assert_eq!(BudgetKind::of_word(second), next);
                assert_ne!(second, next.first_word());
                assert_ne!(kind.word_after(second), first);
            }
        }
    }
}
