//! Who reads from the database, and since when.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reads that are under way.
#[derive(Default)]
pub(super) struct Readers(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// A read that is under way until this is dropped.
pub(super) struct Reading<'r> {
    readers: &'r Readers,
    number: u64,
}

impl Readers {
    /// Counts a read in, before it begins.
    pub(super) fn begin(&self) -> Reading<'_> {
        let mut numbers = self.numbers();
        let number = numbers.next;
        numbers.next += 1;
        numbers.under_way.insert(number);
        Reading { readers: self, number }
    }

    /// A moment: reads that begin later have higher numbers.
    pub(super) fn now(&self) -> u64 {
        self.numbers().next
    }

    /// Whether somebody reads still who began before a moment.
    pub(super) fn any_before(&self, moment: u64) -> bool {
        self.numbers().under_way.first().is_some_and(|first| *first < moment)
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.readers.numbers().under_way.remove(&self.number);
    }
}
