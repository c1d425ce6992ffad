//! The collections that were read from the disk to be searched, within a bound.
//!
//! When the bound is reached, the owner whose collections take most makes room, with the one that was used longest ago. So
//! nobody drives out others by having more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard, TryLockError};

use super::tables::Key;
use crate::vpk::{Host, seal};
use crate::{Error, Result};

/// A collection in memory.
pub(super) struct Loaded {
    pub(super) host: Box<dyn Host>,
    /// The bytes of its rows.
    pub(super) rows: u64,
    pub(super) sessions: usize,
}

impl Loaded {
    fn bytes(&self) -> u64 {
        self.rows + self.sessions as u64 * seal::SESSION_BYTES
    }
}

pub(super) type Slot = Arc<RwLock<Option<Loaded>>>;

struct Entry {
    slot: Slot,
    bytes: u64,
    used: u64,
}

pub(super) struct Memory {
    limit: u64,
    entries: Mutex<(BTreeMap<Key, Entry>, u64)>,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Memory {
        Memory { limit, entries: Mutex::default() }
    }

    /// The place of a collection, empty or not. Who changes the collection on the disk holds its lock, so that what is in
    /// memory is what is on the disk.
    pub(super) fn slot(&self, key: &Key) -> Slot {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, turn) = &mut *entries;
        *turn += 1;
        let entry = entries.entry(*key).or_insert_with(|| Entry { slot: Slot::default(), bytes: 0, used: 0 });
        entry.used = *turn;
        entry.slot.clone()
    }

    /// Makes room for a collection that is about to be read.
    ///
    /// # Errors
    /// `resource_exhausted` when it never fits.
    pub(super) fn make_room(&self, key: &Key, bytes: u64) -> Result<()> {
        if bytes > self.limit {
            return Err(Error::resource_exhausted(
                "the collection does not fit the memory that this host gives for searching",
            )
            .with("bytes", bytes)
            .with("limit", self.limit));
        }
        self.evict(key, self.limit - bytes);
        Ok(())
    }

    /// Counts what a collection takes now, and keeps within the bound: one that has outgrown it is in memory no more.
    pub(super) fn settle(&self, key: &Key) {
        let slot = self.slot(key);
        let bytes = match slot.try_read() {
            Ok(loaded) => loaded.as_ref().map_or(0, Loaded::bytes),
            // Somebody works with it, and settles afterwards.
            Err(_) => return,
        };
        drop(slot);
        {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.0.get_mut(key) {
                entry.bytes = bytes;
            }
            // What is empty and used by nobody needs no place.
            entries.0.retain(|_, entry| entry.bytes > 0 || Arc::strong_count(&entry.slot) > 1);
        }
        if bytes > self.limit {
            *locked(&self.slot(key)) = None;
        }
        self.evict(key, self.limit);
    }

    /// How many bytes are in memory.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.entries.lock().unwrap().0.values().map(|entry| entry.bytes).sum()
    }

    /// Forgets others than `key` until no more than `limit` bytes are left; those that are being used stay.
    fn evict(&self, key: &Key, limit: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut busy = Vec::new();
        while entries.0.values().map(|entry| entry.bytes).sum::<u64>() > limit {
            let mut owners: BTreeMap<&[u8; 32], u64> = BTreeMap::new();
            for (key, entry) in &entries.0 {
                *owners.entry(key.owner()).or_default() += entry.bytes;
            }
            let candidate = entries
                .0
                .iter()
                .filter(|(other, entry)| *other != key && entry.bytes > 0 && !busy.contains(*other))
                .max_by_key(|(other, entry)| (owners.get(other.owner()), std::cmp::Reverse(entry.used)));
            let Some((victim, entry)) = candidate else { return };
            let victim = *victim;
            let emptied = match entry.slot.try_write() {
                Ok(mut slot) => {
                    *slot = None;
                    true
                }
                Err(TryLockError::Poisoned(_)) | Err(TryLockError::WouldBlock) => false,
            };
            match entries.0.get_mut(&victim) {
                Some(entry) if emptied => entry.bytes = 0,
                _ => busy.push(victim),
            }
        }
    }
}

/// A slot to change. What a panic may have left half done is forgotten, and read from the disk again.
pub(super) fn locked(slot: &RwLock<Option<Loaded>>) -> RwLockWriteGuard<'_, Option<Loaded>> {
    slot.write().unwrap_or_else(|poisoned| {
        slot.clear_poison();
        let mut guard = poisoned.into_inner();
        *guard = None;
        guard
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpk::FieldHost;

    fn fill(memory: &Memory, owner: u8, collection: u8, bytes: u64) -> Key {
        let key = Key::of(&[owner; 32], &[collection; 16]);
        memory.make_room(&key, bytes).unwrap();
        let slot = memory.slot(&key);
        *locked(&slot) = Some(Loaded { host: Box::new(FieldHost::plain(1).unwrap()), rows: bytes, sessions: 0 });
        drop(slot);
        memory.settle(&key);
        key
    }

    fn holds(memory: &Memory, key: &Key) -> bool {
        memory.slot(key).read().unwrap().is_some()
    }

    #[test]
    fn who_holds_most_makes_room_with_what_was_used_longest_ago() {
        let memory = Memory::new(100);
        let small = fill(&memory, 1, 1, 20);
        let (first, second) = (fill(&memory, 2, 1, 30), fill(&memory, 2, 2, 30));
        drop(memory.slot(&first));
        let third = fill(&memory, 2, 3, 40);
        assert!(holds(&memory, &small) && holds(&memory, &first) && holds(&memory, &third));
        assert!(!holds(&memory, &second));
        assert_eq!(memory.bytes(), 90);
        assert_eq!(memory.make_room(&small, 101).unwrap_err().code(), crate::ErrorCode::ResourceExhausted);
    }

    #[test]
    fn what_is_in_use_stays_and_what_a_panic_left_is_forgotten() {
        let memory = Memory::new(50);
        let key = fill(&memory, 1, 1, 40);
        let slot = memory.slot(&key);
        let reading = slot.read().unwrap();
        let other = fill(&memory, 2, 1, 40);
        assert!(holds(&memory, &key) && holds(&memory, &other));
        drop(reading);
        let poisoned = slot.clone();
        std::thread::spawn(move || {
            let _guard = poisoned.write().unwrap();
            panic!("as a defect would");
        })
        .join()
        .unwrap_err();
        assert!(slot.is_poisoned());
        assert!(locked(&slot).is_none());
        assert!(!slot.is_poisoned());
    }
}
