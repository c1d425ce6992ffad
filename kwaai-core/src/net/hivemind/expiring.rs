//! A map whose entries expire, ordered by when they do, so that the first to go is found without a search.

use std::collections::{BTreeMap, BTreeSet};

/// A finite number of seconds since 1970, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Time) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Time) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A value with its expiration and the bytes that it is taken to occupy.
pub(super) struct Item<V> {
    pub value: V,
    pub expiration: f64,
    pub bytes: usize,
}

/// Items by key and by expiration.
pub(super) struct Expiring<K, V> {
    items: BTreeMap<K, Item<V>>,
    order: BTreeSet<(Time, K)>,
    bytes: usize,
}

impl<K: Clone + Ord, V> Expiring<K, V> {
    pub(super) fn new() -> Expiring<K, V> {
        Expiring { items: BTreeMap::new(), order: BTreeSet::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many bytes all items occupy.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: &K) -> Option<&Item<V>> {
        self.items.get(key)
    }

    /// The items in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Item<V>)> {
        self.items.iter()
    }

    pub(super) fn put(&mut self, key: K, item: Item<V>) {
        self.remove(&key);
        self.bytes += item.bytes;
        self.order.insert((Time(item.expiration), key.clone()));
        self.items.insert(key, item);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<Item<V>> {
        let (key, item) = self.items.remove_entry(key)?;
        self.bytes -= item.bytes;
        self.order.remove(&(Time(item.expiration), key));
        Some(item)
    }

    /// Whose turn it is to go so that an item fits. `None` when it cannot fit, or one of them would outlive it.
    pub(super) fn leaving(&self, key: &K, bytes: usize, expiration: f64, bounds: Bounds) -> Option<Leaving<K>> {
        let own = self.items.get(key);
        let mut count = self.items.len() + usize::from(own.is_none());
        let mut total = self.bytes - own.map_or(0, |item| item.bytes) + bytes;
        let mut leaving = Leaving { keys: Vec::new(), bytes: 0 };
        let mut first = self.order.iter().filter(|(_, other)| other != key);
        while count > bounds.items || total > bounds.bytes {
            let (due, other) = first.next()?;
            if due.0 > expiration {
                return None;
            }
            let freed = self.items.get(other).map_or(0, |item| item.bytes);
            count -= 1;
            total -= freed;
            leaving.bytes += freed;
            leaving.keys.push(other.clone());
        }
        Some(leaving)
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, now: f64) {
        while let Some((Time(expiration), key)) = self.order.first() {
            if *expiration > now {
                return;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }
}

/// How much a map may hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub items: usize,
    pub bytes: usize,
}

/// Keys that must go, and the bytes that this frees.
pub(super) struct Leaving<K> {
    pub keys: Vec<K>,
    pub bytes: usize,
}
