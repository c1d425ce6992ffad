//! What a node keeps for the DHT, by hivemind's rules of freshness and within bounds of its own.
//!
//! A value is taken only if it expires later than what it replaces; a dictionary decides so for each sub-key. A refused
//! store changes nothing. When there is no room, what expires first goes, and nothing goes for what expires earlier still.
//! Beyond hivemind's rules, a record that its writer signed gives way to nothing that is not signed.

use super::dictionary::{Dictionary, Entry};
use super::expiring::{Bounds, Expiring, Item, Standing};
use super::frame::{MAX_MESSAGE, OVERHEAD};
use super::id::DhtId;

/// What a key or sub-key is taken to occupy besides its bytes.
const BOOKKEEPING: usize = 160;
/// The longest sub-key, in bytes; an owner's key of 8192 bits fits.
const MAX_SUBKEY: usize = 2048;
/// The most bytes under one key, so that an answer with 20 neighbours besides stays below hivemind's limit.
pub(super) const MAX_VALUE: usize = MAX_MESSAGE - 8 * 1024 - OVERHEAD;
/// What one key may hold.
const OF_A_KEY: Bounds = Bounds { items: 4096, bytes: MAX_VALUE };

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// A plain value.
    Plain(Vec<u8>),
    /// Values by sub-key.
    Dictionary(Dictionary),
}

enum Content {
    Plain(Vec<u8>),
    Dictionary(Expiring<Vec<u8>, Vec<u8>>),
}

/// Records by key. The expiration of a dictionary is the latest that any of its entries had.
pub struct Storage {
    records: Expiring<DhtId, Content>,
    bounds: Bounds,
}

impl Storage {
    /// An empty storage of at most so many keys and bytes.
    pub fn new(max_records: usize, max_bytes: usize) -> Storage {
        Storage { records: Expiring::new(), bounds: Bounds { items: max_records, bytes: max_bytes } }
    }

    /// How many keys are kept, those included that expired since the last sweep.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are taken to be occupied.
    pub fn bytes(&self) -> usize {
        self.records.bytes()
    }

    /// Keeps a plain value. `false` when it has expired, is too long, or may not replace what is kept.
    pub fn store(&mut self, key: DhtId, value: Vec<u8>, expiration: f64, now: f64) -> bool {
        let standing = Standing { expiration, bytes: value.len() + BOOKKEEPING, signed: false };
        let fresh = self.records.get(&key).is_none_or(|kept| standing.replaces(&kept.standing_at(now)));
        if !fresh || !is_due(expiration, now) || value.len() > MAX_VALUE {
            return false;
        }
        let Some(leaving) = self.records.leaving(&key, standing, self.bounds) else { return false };
        leaving.keys.iter().for_each(|other| drop(self.records.remove(other)));
        self.records.put(key, Item { value: Content::Plain(value), standing });
        true
    }

    /// Keeps a value under a sub-key. `false` when it has expired, is too long, or may not replace what is
    /// kept. `signed` says that the value carries a signature of the peer in its sub-key, and that it was checked.
    pub fn store_subkey(&mut self, key: DhtId, entry: Entry, signed: bool, now: f64) -> bool {
        let Entry { subkey, value, expiration } = entry;
        let standing = Standing { expiration, bytes: subkey.len() + value.len() + BOOKKEEPING, signed };
        if !is_due(expiration, now) || subkey.len() > MAX_SUBKEY {
            return false;
        }
        let room = Bounds { bytes: OF_A_KEY.bytes - BOOKKEEPING, ..OF_A_KEY };
        let mut whole = standing;
        let mut leaving = None;
        match self.records.get(&key) {
            Some(Item { value: Content::Plain(_), standing: kept }) if !standing.replaces(kept) => return false,
            Some(Item { value: Content::Dictionary(entries), standing: kept }) => {
                let before = entries.get(&subkey).map(|entry| entry.standing);
                let live = before.filter(|before| before.expiration > now);
                if live.is_some_and(|live| !standing.replaces(&live)) {
                    return false;
                }
                let Some(found) = entries.leaving(&subkey, standing, room) else { return false };
                whole.expiration = kept.expiration.max(expiration);
                whole.signed |= kept.signed;
                whole.bytes += entries.bytes() - before.map_or(0, |before| before.bytes) - found.bytes;
                leaving = Some(found.keys);
            }
            _ if standing.bytes > room.bytes => return false,
            _ => {}
        }
        whole.bytes += BOOKKEEPING;
        let Some(others) = self.records.leaving(&key, whole, self.bounds) else { return false };
        others.keys.iter().for_each(|other| drop(self.records.remove(other)));
        let mut entries = match self.records.remove(&key).map(|record| record.value) {
            Some(Content::Dictionary(entries)) => entries,
            _ => Expiring::new(),
        };
        leaving.iter().flatten().for_each(|other| drop(entries.remove(other)));
        entries.put(subkey, Item { value, standing });
        self.records.put(key, Item { value: Content::Dictionary(entries), standing: whole });
        true
    }

    /// What is kept under a key and has not expired, and when it expires.
    pub fn get(&self, key: &DhtId, now: f64) -> Option<(Kept, f64)> {
        let record = self.records.get(key).filter(|record| record.standing.expiration > now)?;
        let kept = match &record.value {
            Content::Plain(value) => Kept::Plain(value.clone()),
            Content::Dictionary(entries) => {
                let live = entries.iter().filter(|(_, entry)| entry.standing.expiration > now);
                let entry = |(subkey, item): (&Vec<u8>, &Item<Vec<u8>>)| Entry {
                    subkey: subkey.clone(),
                    value: item.value.clone(),
                    expiration: item.standing.expiration,
                };
                let entries = live.map(entry).collect();
                Kept::Dictionary(Dictionary { max_size: None, latest_expiration: record.standing.expiration, entries })
            }
        };
        Some((kept, record.standing.expiration))
    }

    /// What a key is taken to occupy, which is more than its value has in an answer; 0 when nothing is kept.
    pub fn size_of(&self, key: &DhtId) -> usize {
        self.records.get(key).map_or(0, |record| record.standing.bytes)
    }

    /// Every key that is kept and has not expired, in order.
    pub fn keys(&self, now: f64) -> impl Iterator<Item = DhtId> {
        self.records.iter().filter(move |(_, record)| record.standing.expiration > now).map(|(key, _)| *key)
    }

    /// Forgets what has expired.
    pub fn sweep(&mut self, now: f64) {
        self.records.sweep(now);
    }
}

impl Item<Content> {
    /// Its standing once nothing of it counts that has expired.
    fn standing_at(&self, now: f64) -> Standing {
        let signed = |entries: &Expiring<Vec<u8>, Vec<u8>>| {
            entries.iter().any(|(_, entry)| entry.standing.signed && entry.standing.expiration > now)
        };
        let signed = match &self.value {
            Content::Dictionary(entries) if self.standing.signed => signed(entries),
            _ => false,
        };
        Standing { signed, ..self.standing }
    }
}

fn is_due(expiration: f64, now: f64) -> bool {
    expiration.is_finite() && expiration > now
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: f64 = 1000.0;

    fn key(n: u32) -> DhtId {
        DhtId::of_bytes(&n.to_be_bytes())
    }

    fn roomy() -> Storage {
        Storage::new(1000, 1 << 24)
    }

    fn plain(storage: &Storage, n: u32) -> Option<(Vec<u8>, f64)> {
        match storage.get(&key(n), NOW)? {
            (Kept::Plain(value), expiration) => Some((value, expiration)),
            (Kept::Dictionary(_), _) => None,
        }
    }

    fn entry(subkey: &[u8], value: &[u8], ttl: f64) -> Entry {
        Entry { subkey: subkey.to_vec(), value: value.to_vec(), expiration: NOW + ttl }
    }

    fn keep(storage: &mut Storage, n: u32, subkey: &[u8], value: &[u8], ttl: f64) -> bool {
        storage.store_subkey(key(n), entry(subkey, value, ttl), false, NOW)
    }

    fn entries(storage: &Storage, n: u32) -> Vec<(Vec<u8>, Vec<u8>, f64)> {
        let Some((Kept::Dictionary(dictionary), _)) = storage.get(&key(n), NOW) else { return vec![] };
        dictionary.entries.into_iter().map(|entry| (entry.subkey, entry.value, entry.expiration)).collect()
    }

    #[test]
    fn only_what_expires_later_replaces_a_value() {
        let mut storage = roomy();
        assert!(!storage.store(key(1), b"late".to_vec(), NOW, NOW));
        assert!(!storage.store(key(1), b"never".to_vec(), f64::NAN, NOW));
        assert!(!storage.store(key(1), b"never".to_vec(), f64::INFINITY, NOW));
        assert!(storage.store(key(1), b"a".to_vec(), NOW + 10.0, NOW));
        assert!(!storage.store(key(1), b"b".to_vec(), NOW + 10.0, NOW));
        assert!(!storage.store(key(1), b"c".to_vec(), NOW + 9.0, NOW));
        assert_eq!(plain(&storage, 1), Some((b"a".to_vec(), NOW + 10.0)));
        assert!(storage.store(key(1), b"d".to_vec(), NOW + 11.0, NOW));
        assert_eq!(plain(&storage, 1), Some((b"d".to_vec(), NOW + 11.0)));
    }

    #[test]
    fn each_sub_key_is_as_fresh_as_its_own_expiration() {
        let mut storage = roomy();
        assert!(keep(&mut storage, 1, b"a", b"1", 10.0));
        assert!(keep(&mut storage, 1, b"b", b"2", 5.0));
        assert!(!keep(&mut storage, 1, b"a", b"3", 10.0));
        let both = [(b"a".to_vec(), b"1".to_vec(), NOW + 10.0), (b"b".to_vec(), b"2".to_vec(), NOW + 5.0)];
        assert_eq!(entries(&storage, 1), both);
        let Some((Kept::Dictionary(later), expiration)) = storage.get(&key(1), NOW + 7.0) else { panic!() };
        assert_eq!((later.entries.len(), later.latest_expiration, expiration), (1, NOW + 10.0, NOW + 10.0));
        assert!(storage.get(&key(1), NOW + 10.0).is_none());
    }

    #[test]
    fn a_plain_value_and_a_dictionary_replace_each_other_only_when_later() {
        let mut storage = roomy();
        assert!(storage.store(key(1), b"v".to_vec(), NOW + 10.0, NOW));
        assert!(!keep(&mut storage, 1, b"a", b"1", 10.0));
        assert!(keep(&mut storage, 1, b"a", b"1", 11.0));
        assert!(!storage.store(key(1), b"w".to_vec(), NOW + 11.0, NOW));
        assert_eq!(entries(&storage, 1).len(), 1);
        assert!(storage.store(key(1), b"w".to_vec(), NOW + 12.0, NOW));
        assert_eq!(plain(&storage, 1).unwrap().0, b"w");
    }

    #[test]
    fn a_full_storage_gives_up_what_expires_first_and_nothing_for_what_expires_earlier_still() {
        let mut storage = Storage::new(2, 1 << 20);
        assert!(storage.store(key(1), b"1".to_vec(), NOW + 10.0, NOW));
        assert!(storage.store(key(2), b"2".to_vec(), NOW + 20.0, NOW));
        assert!(!storage.store(key(3), b"3".to_vec(), NOW + 5.0, NOW));
        assert!(plain(&storage, 1).is_some() && plain(&storage, 2).is_some());
        assert!(!storage.store(key(2), b"x".to_vec(), NOW + 15.0, NOW));
        assert!(plain(&storage, 1).is_some());
        assert!(storage.store(key(3), b"3".to_vec(), NOW + 15.0, NOW));
        assert!(plain(&storage, 1).is_none());
        assert_eq!(storage.len(), 2);
        storage.sweep(NOW + 16.0);
        assert_eq!(storage.len(), 1);
    }

    #[test]
    fn a_dictionary_stays_below_what_one_answer_can_carry() {
        let mut storage = Storage::new(10, 1 << 26);
        for i in 0..6000u32 {
            let subkey = i.to_be_bytes().to_vec();
            assert!(keep(&mut storage, 1, &subkey, &[0; 2000], f64::from(i) + 1.0));
        }
        let Some((Kept::Dictionary(kept), _)) = storage.get(&key(1), NOW) else { panic!() };
        assert!(kept.encode().len() <= MAX_VALUE);
        assert!(kept.entries.len() > 1000);
        assert_eq!(kept.entries.last().unwrap().subkey, 5999u32.to_be_bytes());
        assert!(!keep(&mut storage, 1, b"old", &[0; 2000], 1.0));
    }

    #[test]
    fn what_is_signed_gives_way_to_nothing_that_is_not() {
        let mut storage = Storage::new(2, 1 << 20);
        let forged = (b"peer", b"forged", 1e6);
        assert!(keep(&mut storage, 1, forged.0, forged.1, forged.2));
        let signed = |ttl| entry(b"peer", b"signed", ttl);
        assert!(storage.store_subkey(key(1), signed(300.0), true, NOW), "though it expires earlier");
        assert!(!storage.store_subkey(key(1), signed(300.0), true, NOW));
        assert!(!keep(&mut storage, 1, forged.0, forged.1, forged.2));
        assert!(!storage.store(key(1), b"plain".to_vec(), NOW + 1e6, NOW));
        // Neither a full dictionary nor a full storage gives it up for more of the others.
        for i in 0..5000u32 {
            keep(&mut storage, 1, &i.to_be_bytes(), b"junk", 1e6);
        }
        assert!(storage.store(key(2), b"2".to_vec(), NOW + 1e6, NOW));
        assert!(storage.store(key(3), b"3".to_vec(), NOW + 1e6 + 1.0, NOW));
        assert!(entries(&storage, 1).contains(&(b"peer".to_vec(), b"signed".to_vec(), NOW + 300.0)));
        // Once it has expired it protects nothing any more.
        assert!(storage.store(key(1), b"plain".to_vec(), NOW + 1e6 + 2.0, NOW + 301.0));
    }

    #[test]
    fn of_a_hundred_thousand_stores_a_full_storage_has_those_that_expire_last() {
        let mut storage = Storage::new(1000, 1 << 24);
        for i in 0..100_000u32 {
            assert!(storage.store(key(i), vec![1], NOW + f64::from(i) + 1.0, NOW));
        }
        assert_eq!(storage.len(), 1000);
        assert!((99_000..100_000).all(|i| plain(&storage, i).is_some()));
    }

    proptest! {
        #[test]
        fn the_accounts_balance_whatever_is_stored(
            stores in prop::collection::vec((0u32..6, 0u8..4, 0usize..300, 0.0f64..50.0, any::<bool>()), 0..80),
        ) {
            let mut storage = Storage::new(4, 3000);
            for (n, subkey, length, ttl, plain) in stores {
                let before = storage.get(&key(n), NOW);
                let value = vec![subkey; length];
                let kept = match plain {
                    true => storage.store(key(n), value, NOW + ttl, NOW),
                    false => keep(&mut storage, n, &[subkey], &value, ttl),
                };
                if !kept {
                    prop_assert_eq!(storage.get(&key(n), NOW), before);
                }
                prop_assert!(storage.len() <= 4 && storage.bytes() <= 3000);
                let of_records = storage.records.iter().map(|(_, record)| match &record.value {
                    Content::Plain(value) => value.len() + BOOKKEEPING,
                    Content::Dictionary(entries) => entries.bytes() + BOOKKEEPING,
                });
                prop_assert_eq!(of_records.sum::<usize>(), storage.bytes());
            }
            storage.sweep(NOW + 100.0);
            prop_assert_eq!((storage.len(), storage.bytes()), (0, 0));
        }
    }
}
