/// The kind of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetKind {
    Window,
    Throttle,
    Bucket,
}

/// The kind of a budget, in one word with a generation that grows when it changes: what was taken from an earlier one is
/// recognized. Bits, high to low: 30 generation, 2 kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KindWord(u32);

impl KindWord {
    const KIND_BITS: u32 = 2;
    const KIND_MASK: u32 = (1 << Self::KIND_BITS) - 1;

    pub(super) fn first(kind: BudgetKind) -> Self {
        KindWord(kind as u32)
    }

    /// Returns the word of the next generation.
    pub(super) fn next(self, kind: BudgetKind) -> Self {
        let generation = (self.0 >> Self::KIND_BITS).wrapping_add(1);
        KindWord(generation << Self::KIND_BITS | kind as u32)
    }

    pub(super) fn pack(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) fn unpack(word: u32) -> Self {
        KindWord(word)
    }

    #[inline]
    pub(super) fn kind(self) -> BudgetKind {
        // In the order of the enum.
        match self.0 & Self::KIND_MASK {
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
            let first = KindWord::first(kind);
            assert_eq!(KindWord::unpack(first.pack()).kind(), kind);
            for next in [Window, Throttle, Bucket] {
                let second = first.next(next);
                assert_eq!(second.kind(), next);
                assert_ne!(second, KindWord::first(next));
                assert_ne!(second.next(kind), first);
            }
        }
    }
}
