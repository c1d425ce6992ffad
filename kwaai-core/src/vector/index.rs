//! The index itself: what is stored, what is searched, when it is sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use redb::WriteTransaction;

use super::memory::{Memory, Staged};
use super::metric::{MAX_DIMENSION, Metric};
use super::segment::{Arena, Segment};
use super::table::{self, Layout, Row};
use crate::store::Store;
use crate::{Error, Result};

/// The most vectors that one search finds.
pub const MAX_HITS: usize = 10_000;

/// What an index compares by, and when it seals itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// How vectors are compared. A collection keeps the metric it was made with.
    pub metric: Metric,
    /// A graph is built over so many vectors, and again when as many have come, and half as many as it leads to. Never where
    /// inner products are compared, which graphs are bad at.
    ///
    /// A scan of codes of 100,000 vectors of 384 dimensions takes a millisecond, building a graph over them minutes, so
    /// smaller collections gain nothing from a graph.
    pub seal_at: usize,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions { metric: Metric::Cosine, seal_at: 1 << 20 }
    }
}

/// How sure a search is to find the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The same hits as comparing the query with every vector.
    Exact,
    /// Exact, but where there is a graph, what it leads to: nearly always the same.
    #[default]
    Best,
    /// What a quick look at every vector, or the graph, suggests: nearly always the same for vectors of texts and images, worse
    /// for noise.
    Fast,
}

/// What is searched for.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// How many vectors, 1 to [`MAX_HITS`].
    pub k: usize,
    /// How sure the answer is to be.
    pub precision: Precision,
    /// Only ids for which this is true are found.
    pub filter: Option<&'a (dyn Fn(u64) -> bool + Sync)>,
}

impl Search<'_> {
    /// For the best `k` of all.
    pub fn best(k: usize) -> Search<'static> {
        Search { k, precision: Precision::Best, filter: None }
    }
}

/// A vector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its id.
    pub id: u64,
    /// What the [`Metric`] says of it and the query; more is nearer.
    pub score: f32,
}

/// A collection of vectors of one dimension, each with an id.
///
/// Everything here blocks the calling thread. Equal content gives equal results: ties are ordered by id, the graph is
/// built from a fixed seed. Opening reads the codes of the vectors, and a search the vectors that it looks at.
pub struct VectorIndex {
    inner: Arc<Inner>,
    sealing: Arc<Sealing>,
}

/// What whoever builds a graph knows without holding the index.
#[derive(Default)]
struct Sealing {
    taken: AtomicBool,
    /// Held while the index is held, and true when it is not to be held any more.
    closed: Mutex<bool>,
}

impl Sealing {
    fn closed(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Inner {
    store: Store,
    layout: Layout,
    options: IndexOptions,
    file: Option<PathBuf>,
    memory: RwLock<Memory>,
}

impl VectorIndex {
    /// Opens a collection, which is made when it is missing.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above 65,536, or a name that is not letters, digits, `-` and `_`;
    /// `conflict` when the collection holds vectors of another dimension, or compares them in another way; `corrupt_data`
    /// when it is damaged.
    pub fn open(store: &Store, collection: &str, dimension: usize, options: IndexOptions) -> Result<VectorIndex> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if collection.is_empty() || collection.len() > 64 || !collection.chars().all(plain) {
            return Err(Error::invalid_argument("a collection's name is 1 to 64 letters, digits, - and _"));
        }
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(Error::invalid_argument(format!(
                "vectors have 1 to {MAX_DIMENSION} dimensions, not {dimension}"
            )));
        }
        let layout = Layout { name: collection.to_owned(), dimension, metric: options.metric };
        if !store.read(|transaction| layout.exists(transaction))? {
            store.write(|transaction| layout.create(transaction))?;
        }
        let mut memory = Memory::new(dimension);
        store.read(|transaction| memory.catch_up(&layout, transaction, None))?;
        let file = store.dir().map(|dir| dir.join(format!("vectors-{collection}.segment")));
        let (store, memory) = (store.clone(), RwLock::new(memory));
        Ok(VectorIndex { inner: Arc::new(Inner { store, layout, options, file, memory }), sealing: Arc::default() })
    }

    /// Takes a collection out of a database, if it is there. An index that is open on it finds nothing any more. The file of its graph
    /// stays.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn delete_collection(transaction: &WriteTransaction, collection: &str) -> Result<()> {
        table::delete(transaction, collection)
    }

    /// How long each vector is.
    pub fn dimension(&self) -> usize {
        self.inner.layout.dimension
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.inner.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the vectors are reached through the graph.
    pub fn sealed_len(&self) -> usize {
        self.inner.read().sealed_len()
    }

    /// Writes a change into a transaction: first the removals, then the additions, which replace vectors of the same
    /// id. It counts for searches from the commit on, after which it is to be [applied](VectorIndex::apply).
    ///
    /// # Errors
    /// `invalid_argument` for a vector of another length, with a value that is not finite, longer than 10¹⁸, or, for
    /// cosines, without a direction; nothing is written then.
    pub fn stage(&self, transaction: &WriteTransaction, remove: &[u64], add: Vec<(u64, Vec<f32>)>) -> Result<Staged> {
        let Layout { metric, dimension, .. } = self.inner.layout;
        let prepared = |(id, vector)| {
            metric.prepare(vector, dimension).map(|vector| (id, vector)).map_err(|error: Error| error.with("id", id))
        };
        let mut add: Vec<(u64, Vec<f32>)> = add.into_iter().map(prepared).collect::<Result<_>>()?;
        // Places are found one after the other in the database; of two of one id the later stays the later.
        add.sort_by_key(|(id, _)| *id);
        let touched = self.inner.layout.write(transaction, remove, &add)?;
        let removed = remove.iter().copied().chain(add.iter().map(|(id, _)| *id)).collect();
        Ok(Staged { touched, removed })
    }

    /// Takes a committed change over into memory. Without it the next search does so, more slowly: it reads all codes again.
    pub fn apply(&self, staged: Staged) {
        let inner = &self.inner;
        let mut memory = inner.write();
        let caught_up = inner.store.read(|transaction| memory.catch_up(&inner.layout, transaction, Some(&staged)));
        if let Err(error) = caught_up {
            // The next search reads it again, and says what is wrong.
            tracing::warn!(code = %error.code(), "a vector index could not follow its database");
            memory.forget();
        }
    }

    /// Adds or replaces vectors, in a transaction of their own; they are durable and searchable on return.
    ///
    /// # Errors
    /// Those of [`stage`](VectorIndex::stage), and those of the database.
    pub fn upsert(&self, vectors: Vec<(u64, Vec<f32>)>) -> Result<()> {
        let staged = self.inner.store.write(|transaction| self.stage(transaction, &[], vectors))?;
        self.apply(staged);
        Ok(())
    }

    /// Removes vectors, in a transaction of their own; unknown ids are passed over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete(&self, ids: &[u64]) -> Result<()> {
        let staged = self.inner.store.write(|transaction| self.stage(transaction, ids, Vec::new()))?;
        self.apply(staged);
        Ok(())
    }

    /// The best vectors, the best first, equal scores by id; fewer when there are fewer.
    ///
    /// # Errors
    /// `invalid_argument` for a query of another length, with a value that is not finite, longer than 10¹⁸ or, for cosines,
    /// without a direction, and for `k` 0 or above [`MAX_HITS`]; `corrupt_data` for a damaged database.
    pub fn search(&self, query: &[f32], search: &Search<'_>) -> Result<Vec<Neighbour>> {
        if search.k == 0 || search.k > MAX_HITS {
            return Err(Error::invalid_argument(format!("a search has 1 to {MAX_HITS} hits")).with("argument", "k"));
        }
        let inner = &self.inner;
        let query = inner.layout.metric.prepare(query.to_vec(), inner.layout.dimension)?;
        {
            let memory = inner.read();
            let found = inner.store.read(|transaction| memory.search(&inner.layout, transaction, &query, search))?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // A change was committed that is not applied yet: what there is now is searched, as one view of it.
        let mut memory = inner.write();
        let found = inner.store.read(|transaction| {
            memory.catch_up(&inner.layout, transaction, None)?;
            memory.search(&inner.layout, transaction, &query, search)
        })?;
        found.ok_or_else(|| inner.layout.damaged("vectors and codes are not of the same ids"))
    }

    /// The scores of the vectors of these ids, as [`search`](VectorIndex::search) gives them; ids without a vector are left out.
    ///
    /// # Errors
    /// `invalid_argument` for a query that [`search`](VectorIndex::search) refuses; `corrupt_data` for a damaged database.
    pub fn scores(&self, query: &[f32], ids: &[u64]) -> Result<Vec<(u64, f32)>> {
        let layout = &self.inner.layout;
        let query = layout.metric.prepare(query.to_vec(), layout.dimension)?;
        let (per, dimension) = (layout.rows_per_block(), layout.dimension);
        self.inner.store.read(|transaction| {
            // A block is read once, however many of the vectors lie in it.
            let mut blocks: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
            for id in ids {
                if let Some(place) = layout.place(transaction, *id)? {
                    blocks.entry(place / per).or_default().push((*id, place % per));
                }
            }
            let mut scores = Vec::with_capacity(ids.len());
            for (block, places) in blocks {
                let (rows, values) = layout.rows(transaction, block as u32)?;
                for (id, slot) in places {
                    if rows.get(slot).is_none_or(|row| row.id != id) {
                        return Err(layout.damaged("a vector is not at its place"));
                    }
                    scores.push((id, layout.metric.score(&query, &values[slot * dimension..(slot + 1) * dimension])));
                }
            }
            Ok(scores)
        })
    }

    /// How vectors are compared here.
    pub fn metric(&self) -> Metric {
        self.inner.layout.metric
    }

    /// The vector of an id, as it is compared.
    ///
    /// # Errors
    /// `corrupt_data` for a damaged database, and its other failures.
    pub fn get(&self, id: u64) -> Result<Option<Vec<f32>>> {
        let layout = &self.inner.layout;
        self.inner.store.read(|transaction| {
            let Some(place) = layout.place(transaction, id)? else { return Ok(None) };
            let (per, dimension) = (layout.rows_per_block(), layout.dimension);
            let (rows, values) = layout.rows(transaction, (place / per) as u32)?;
            let slot = place % per;
            if rows.get(slot).is_none_or(|row| row.id != id) {
                return Err(layout.damaged("a vector is not at its place"));
            }
            Ok(Some(values[slot * dimension..(slot + 1) * dimension].to_vec()))
        })
    }

    /// Has a graph when there should be one: the one in the file, or else one that is built, about 3 ms for each vector. Tells
    /// whether there is another graph now. Searches and changes go on meanwhile.
    ///
    /// # Errors
    /// `io` and its kin when the file cannot be written; the index goes on without it.
    pub fn seal_if_due(&self) -> Result<bool> {
        seal(&Arc::downgrade(&self.inner), &self.sealing)
    }

    /// The same on a thread of its own, which ends when the index is gone.
    pub fn seal_in_background(&self) {
        if !self.inner.is_due() {
            return;
        }
        let (inner, sealing) = (Arc::downgrade(&self.inner), self.sealing.clone());
        let work = move || match seal(&inner, &sealing) {
            Ok(_) => {}
            Err(error) => tracing::warn!(code = %error.code(), "a vector graph could not be built"),
        };
        if let Err(error) = std::thread::Builder::new().name("vector-graph".into()).spawn(work) {
            tracing::warn!(%error, "there is no thread to build a vector graph on");
        }
    }

    /// Builds no graph any more, and waits while whoever builds one holds the index: afterwards nothing but its handles keeps its
    /// database open.
    pub fn close(&self) {
        *self.sealing.closed() = true;
    }
}

/// Whoever is sealing; nobody else does until it is dropped.
struct Turn<'s>(&'s Sealing);

impl Turn<'_> {
    fn take(sealing: &Sealing) -> Option<Turn<'_>> {
        let free = sealing.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok();
        free.then(|| Turn(sealing))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Holds the index only while it reads from it and hands the graph over: building one must not keep a directory open.
fn seal(index: &Weak<Inner>, sealing: &Sealing) -> Result<bool> {
    let Some(_turn) = Turn::take(sealing) else { return Ok(false) };
    let mut changed = false;
    let (rows, arena) = {
        let closed = sealing.closed();
        let Some(inner) = index.upgrade().filter(|inner| !*closed && inner.is_due()) else { return Ok(false) };
        let (rows, arena) = inner.snapshot()?;
        if inner.read().sealed_len() == 0 {
            let vector = |row: Row| {
                let at = rows.binary_search_by_key(&row.id, |row| row.id).ok()?;
                (rows[at] == row).then(|| arena.get(at))
            };
            let (layout, file) = (&inner.layout, inner.file.as_ref());
            if let Some(segment) = file.and_then(|file| Segment::load(file, layout.dimension, layout.metric, vector)) {
                inner.write().attach(segment);
                changed = true;
            }
            if !inner.is_due() {
                return Ok(changed);
            }
        }
        (rows, arena)
    };
    let segment = Segment::build(rows, arena)?;
    let closed = sealing.closed();
    let Some(inner) = index.upgrade().filter(|_| !*closed) else { return Ok(changed) };
    let saved = inner.file.as_ref().map_or(Ok(()), |file| segment.save(file));
    inner.write().attach(segment);
    saved.map(|()| true)
}

impl Inner {
    fn is_due(&self) -> bool {
        self.layout.metric != Metric::Dot && self.read().is_due(self.options.seal_at)
    }

    /// Every vector, in the order of the ids.
    fn snapshot(&self) -> Result<(Vec<Row>, Arena)> {
        let layout = &self.layout;
        let Layout { dimension, metric, .. } = *layout;
        self.store.read(|transaction| {
            let blocks = layout.count(transaction)?.div_ceil(layout.rows_per_block());
            let (mut rows, mut arena) = (Vec::new(), Arena { dimension, metric, values: Vec::new() });
            for number in 0..blocks as u32 {
                let (some, values) = layout.rows(transaction, number)?;
                rows.extend(some);
                arena.values.extend(values);
            }
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_unstable_by_key(|place| rows[*place].id);
            let mut sorted = Arena { dimension, metric, values: Vec::with_capacity(arena.values.len()) };
            order.iter().for_each(|place| sorted.values.extend_from_slice(arena.get(*place)));
            Ok((order.iter().map(|place| rows[*place]).collect(), sorted))
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic while it was brought up to the database has left it as one of which nothing is known.
    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
