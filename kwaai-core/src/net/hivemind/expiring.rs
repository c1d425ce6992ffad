//! A map whose entries expire, ordered by when they do, so that the first to go is found without a search. What its writer
//! signed outlasts everything that is not signed.

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

/// A value and what decides whether it stays.
pub(super) struct Item<V> {
    pub value: V,
    pub standing: Standing,
}

/// What decides whether a value stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    pub expiration: f64,
    /// What it is taken to occupy.
    pub bytes: usize,
    /// Whether a signature that was checked says who wrote it.
    pub signed: bool,
}

impl Standing {
    /// Whether something with this standing may take the place of another with that.
    pub(super) fn replaces(&self, other: &Standing) -> bool {
        match (self.signed, other.signed) {
            (true, false) => true,
            (false, true) => false,
            _ => self.expiration > other.expiration,
        }
    }
}

/// Items by key and by expiration.
pub(super) struct Expiring<K, V> {
    items: BTreeMap<K, Item<V>>,
    /// Apart: what is not signed, and what is.
    order: [BTreeSet<(Time, K)>; 2],
    bytes: usize,
}

impl<K: Clone + Ord, V> Expiring<K, V> {
    pub(super) fn new() -> Expiring<K, V> {
        Expiring { items: BTreeMap::new(), order: Default::default(), bytes: 0 }
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
        self.bytes += item.standing.bytes;
        self.order[usize::from(item.standing.signed)].insert((Time(item.standing.expiration), key.clone()));
        self.items.insert(key, item);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<Item<V>> {
        let (key, item) = self.items.remove_entry(key)?;
        self.bytes -= item.standing.bytes;
        self.order[usize::from(item.standing.signed)].remove(&(Time(item.standing.expiration), key));
        Some(item)
    }

    /// Whose turn it is to go so that an item fits. `None` when it cannot fit, or one of them would outlive it.
    pub(super) fn leaving(&self, key: &K, wanted: Standing, bounds: Bounds) -> Option<Leaving<K>> {
        let own = self.items.get(key);
        let mut count = self.items.len() + usize::from(own.is_none());
        let mut total = self.bytes - own.map_or(0, |item| item.standing.bytes) + wanted.bytes;
        let mut leaving = Leaving { keys: Vec::new(), bytes: 0 };
        let [unsigned, signed] = &self.order;
        let may_go = |due: Time| due.0 <= wanted.expiration;
        let first = unsigned.iter().take_while(|(due, _)| wanted.signed || may_go(*due));
        let then = signed.iter().take_while(|(due, _)| wanted.signed && may_go(*due));
        let mut candidates = first.chain(then).filter(|(_, other)| other != key);
        while count > bounds.items || total > bounds.bytes {
            let (_, other) = candidates.next()?;
            let freed = self.items.get(other).map_or(0, |item| item.standing.bytes);
            count -= 1;
            total -= freed;
            leaving.bytes += freed;
            leaving.keys.push(other.clone());
        }
        Some(leaving)
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, now: f64) {
        for signed in [0, 1] {
            while let Some((_, key)) = self.order[signed].first().filter(|(Time(expiration), _)| *expiration <= now) {
                let key = key.clone();
                self.remove(&key);
            }
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
