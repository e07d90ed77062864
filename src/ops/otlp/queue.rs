use std::collections::VecDeque;

/// A bounded queue of items with their sizes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    max_items: usize,
    max_bytes: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        Queue {
            items: VecDeque::new(),
            bytes: 0,
            max_items,
            max_bytes,
        }
    }

    /// Adds an item. Returns it if there is no room.
    pub(super) fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        let has_room =
            self.items.len() < self.max_items && self.bytes.saturating_add(bytes) <= self.max_bytes;
        if !has_room {
            return Err(item);
        }
        self.items.push_back((item, bytes));
        self.bytes += bytes;
        Ok(())
    }

    /// Takes the oldest items: at most so many, of at most so many bytes, but at least one.
    pub(super) fn take(&mut self, max_items: usize, max_bytes: usize) -> Vec<T> {
        let mut taken = Vec::with_capacity(max_items.min(self.items.len()));
        let mut taken_bytes = 0usize;
        while taken.len() < max_items {
            let Some((item, bytes)) = self.items.pop_front() else {
                break;
            };
            if !taken.is_empty() && taken_bytes.saturating_add(bytes) > max_bytes {
                self.items.push_front((item, bytes));
                break;
            }
            taken_bytes += bytes;
            self.bytes -= bytes;
            taken.push(item);
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn queue_rejects_what_has_no_room() {
        let mut queue = Queue::new(2, 10);
        assert_eq!(queue.push("a", 4), Ok(()));
        assert_eq!(queue.push("b", 7), Err("b"), "too many bytes");
        assert_eq!(queue.push("c", 6), Ok(()));
        assert_eq!(queue.push("d", 0), Err("d"), "too many items");
        assert_eq!(queue.take(9, 99), ["a", "c"]);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn batch_of_an_item_that_is_too_large_is_that_item() {
        let mut queue = Queue::new(9, 99);
        assert_eq!(queue.push("large", 50), Ok(()));
        assert_eq!(queue.push("small", 1), Ok(()));
        assert_eq!(queue.take(9, 10), ["large"]);
        assert_eq!(queue.take(9, 10), ["small"]);
        assert!(queue.take(9, 10).is_empty());
    }

    proptest! {
        #[test]
        fn queue_is_bounded_and_keeps_the_order(
            sizes in vec(0..20usize, 0..50),
            batches in vec((1..5usize, 1..40usize), 0..50),
        ) {
            let mut queue = Queue::new(8, 60);
            let (mut expected, mut taken) = (Vec::new(), Vec::new());
            let mut batches = batches.into_iter();
            for (number, bytes) in sizes.into_iter().enumerate() {
                if queue.push(number, bytes).is_ok() {
                    expected.push(number);
                } else if let Some((items, bytes)) = batches.next() {
                    taken.extend(queue.take(items, bytes));
                }
                prop_assert!(queue.len() <= 8 && queue.bytes <= 60);
            }
            while queue.len() > 0 {
                taken.extend(queue.take(3, 30));
            }
            prop_assert_eq!(taken, expected);
            prop_assert_eq!(queue.bytes, 0);
        }
    }
}
