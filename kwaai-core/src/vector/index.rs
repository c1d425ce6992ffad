//! The index itself: what is stored, what is searched, when it is sealed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::store::{Store, existing};
use crate::vector::dot;
use crate::vector::segment::{Arena, BREADTH, Row, Segment};
use crate::{Error, Result};

const COLLECTIONS: TableDefinition<&str, (u32, u64)> = TableDefinition::new("vector.collections");
const MAX_DIMENSION: usize = 65_536;
/// Vectors whose length is this near to 1 are kept bit for bit, others are scaled.
const UNIT_TOLERANCE: f64 = 1e-4;

/// When an index seals itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexOptions {
    /// The mutable part is sealed when it holds this many vectors, and as many as half the sealed ones.
    ///
    /// An exact scan of 16,384 vectors of 384 dimensions takes a few milliseconds, building a graph over them most of
    /// a minute, so smaller collections gain nothing from a graph.
    pub seal_at: usize,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions { seal_at: 16_384 }
    }
}

/// A vector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its id.
    pub id: u64,
    /// The cosine of its angle to the query, -1 to 1.
    pub score: f32,
}

/// A change that is written in a transaction and becomes visible to searches by [`VectorIndex::apply`].
#[must_use = "a committed change becomes visible when it is applied"]
pub struct Staged {
    removed: Vec<u64>,
    added: Vec<(Row, Vec<f32>)>,
}

struct Sealed {
    segment: Segment,
    /// The row of each live id.
    live: HashMap<u64, usize>,
}

impl Sealed {
    fn new(segment: Segment) -> Sealed {
        let rows = segment.rows.iter().enumerate();
        let live = rows.filter(|(row, _)| !segment.is_dead(*row)).map(|(row, at)| (at.id, row)).collect();
        Sealed { segment, live }
    }

    fn dead(&self) -> usize {
        self.segment.rows.len() - self.live.len()
    }

    /// Too many dead nodes make a graph hard to walk.
    fn is_worn(&self) -> bool {
        self.dead() * 5 > self.segment.rows.len()
    }
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    arena: Arena,
    places: HashMap<u64, usize>,
    sealed: Option<Sealed>,
}

impl State {
    fn push(&mut self, row: Row, vector: &[f32]) {
        self.places.insert(row.id, self.rows.len());
        self.rows.push(row);
        self.arena.values.extend_from_slice(vector);
    }

    fn remove(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            let dimension = self.arena.dimension;
            let last = self.rows.len() - 1;
            self.rows.swap_remove(place);
            if place != last {
                self.arena.values.copy_within(last * dimension.., place * dimension);
                self.places.insert(self.rows[place].id, place);
            }
            self.arena.values.truncate(last * dimension);
        }
        if let Some(sealed) = &mut self.sealed
            && let Some(row) = sealed.live.remove(&id)
        {
            sealed.segment.kill(row);
        }
    }

    fn len(&self) -> usize {
        self.rows.len() + self.sealed.as_ref().map_or(0, |sealed| sealed.live.len())
    }

    fn is_due(&self, options: IndexOptions) -> bool {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.segment.rows.len());
        let worn = self.sealed.as_ref().is_some_and(Sealed::is_worn);
        (self.rows.len() >= options.seal_at.max(1) && self.rows.len() >= sealed / 2)
            || (worn && self.len() >= options.seal_at)
    }

    /// Every live vector, in the order of the ids.
    fn snapshot(&self) -> (Vec<Row>, Arena) {
        let mut all: Vec<(Row, &[f32])> =
            self.rows.iter().enumerate().map(|(place, row)| (*row, self.arena.get(place))).collect();
        if let Some(sealed) = &self.sealed {
            let segment = &sealed.segment;
            all.extend(sealed.live.values().map(|row| (segment.rows[*row], segment.arena.get(*row))));
        }
        all.sort_unstable_by_key(|(row, _)| row.id);
        let mut arena = Arena { dimension: self.arena.dimension, values: Vec::new() };
        arena.values.reserve_exact(all.len() * arena.dimension);
        all.iter().for_each(|(_, vector)| arena.values.extend_from_slice(vector));
        (all.iter().map(|(row, _)| *row).collect(), arena)
    }
}

/// A collection of vectors of one dimension, each with an id, searched by cosine.
///
/// Everything here blocks the calling thread. Equal content gives equal results: ties are ordered by id, the graph is
/// built from a fixed seed. Vectors are kept in the database's tables `vector.<collection>` and `vector.collections`.
pub struct VectorIndex {
    collection: String,
    dimension: usize,
    options: IndexOptions,
    file: Option<PathBuf>,
    state: RwLock<State>,
    sealing: Mutex<()>,
}

impl VectorIndex {
    /// Opens a collection, which is made when it is missing, and rebuilds its graph when it should have one but its
    /// file is missing, stale or damaged.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above 65,536, or a name that is not letters, digits, `-` and `_`;
    /// `conflict` when the collection holds vectors of another dimension; `corrupt_data` for a damaged row.
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
        store.write(|transaction| {
            let mut collections = transaction.open_table(COLLECTIONS)?;
            let found = collections.get(collection)?.map(|value| value.value());
            match found {
                Some((found, _)) if found as usize != dimension => Err(Error::conflict(format!(
                    "the collection {collection} holds vectors of {found} dimensions, not {dimension}"
                ))
                .with_remedy("use the embedder it was made with, or embed everything again in a new collection")),
                Some(_) => Ok(()),
                None => Ok(collections.insert(collection, (dimension as u32, 0)).map(|_| ())?),
            }
        })?;
        let file = store.dir().map(|dir| dir.join(format!("vectors-{collection}.segment")));
        let index = VectorIndex {
            collection: collection.to_owned(),
            dimension,
            options,
            file,
            state: RwLock::new(State { arena: Arena { dimension, values: Vec::new() }, ..State::default() }),
            sealing: Mutex::new(()),
        };
        index.load(store)?;
        index.seal_if_due()?;
        Ok(index)
    }

    /// How long each vector is.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the vectors are reached through the graph.
    pub fn sealed_len(&self) -> usize {
        self.read().sealed.as_ref().map_or(0, |sealed| sealed.live.len())
    }

    /// Writes a change into a transaction: first the removals, then the additions, which replace vectors of the same
    /// id. Nothing is visible to searches before the change is [applied](VectorIndex::apply), which is to happen after
    /// the commit.
    ///
    /// # Errors
    /// `invalid_argument` for a vector of another length, with a value that is not finite, or without a direction;
    /// nothing is written then.
    pub fn stage(&self, transaction: &WriteTransaction, remove: &[u64], add: Vec<(u64, Vec<f32>)>) -> Result<Staged> {
        let mut units = Vec::with_capacity(add.len());
        for (id, vector) in add {
            units.push((id, self.unit(vector)?));
        }
        let revision = {
            let mut collections = transaction.open_table(COLLECTIONS)?;
            let (dimension, revision) = collections
                .get(self.collection.as_str())?
                .map(|value| value.value())
                .ok_or_else(|| Error::corrupt_data("a vector collection is missing from its database"))?;
            let next = revision + 1;
            collections.insert(self.collection.as_str(), (dimension, next))?;
            next
        };
        let name = self.table();
        let mut table = transaction.open_table(TableDefinition::<u64, &[u8]>::new(&name))?;
        for id in remove {
            table.remove(id)?;
        }
        let mut bytes = Vec::with_capacity(8 + 4 * self.dimension);
        for (id, vector) in &units {
            bytes.clear();
            bytes.extend_from_slice(&revision.to_le_bytes());
            vector.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            table.insert(id, bytes.as_slice())?;
        }
        let added = units.into_iter().map(|(id, vector)| (Row { id, revision }, vector)).collect();
        Ok(Staged { removed: remove.to_vec(), added })
    }

    /// Makes a committed change visible to searches.
    pub fn apply(&self, staged: Staged) {
        let mut state = self.write();
        for id in staged.removed {
            state.remove(id);
        }
        for (row, vector) in staged.added {
            state.remove(row.id);
            state.push(row, &vector);
        }
    }

    /// Adds or replaces vectors, in a transaction of their own; they are durable and searchable on return.
    ///
    /// # Errors
    /// Those of [`stage`](VectorIndex::stage), and those of the database.
    pub fn upsert(&self, store: &Store, vectors: Vec<(u64, Vec<f32>)>) -> Result<()> {
        let staged = store.write(|transaction| self.stage(transaction, &[], vectors))?;
        self.apply(staged);
        Ok(())
    }

    /// Removes vectors, in a transaction of their own; unknown ids are passed over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete(&self, store: &Store, ids: &[u64]) -> Result<()> {
        let staged = store.write(|transaction| self.stage(transaction, ids, Vec::new()))?;
        self.apply(staged);
        Ok(())
    }

    /// The `k` nearest vectors, nearest first, equal scores by id; fewer when there are fewer, none for `k` 0.
    ///
    /// # Errors
    /// `invalid_argument` for a query of another length, with a value that is not finite, or without a direction.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<Neighbour>> {
        let query = self.unit(query.to_vec())?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let state = self.read();
        let mut found: Vec<Neighbour> = state
            .rows
            .iter()
            .enumerate()
            .map(|(place, row)| Neighbour { id: row.id, score: dot(&query, state.arena.get(place)) })
            .collect();
        if let Some(sealed) = &state.sealed {
            let score = |row: usize| Neighbour {
                id: sealed.segment.rows[row].id,
                score: dot(&query, sealed.segment.arena.get(row)),
            };
            let near = if k > BREADTH / 2 || sealed.is_worn() { Vec::new() } else { sealed.segment.search(&query) };
            if near.len() >= k {
                found.extend(near.into_iter().map(score));
            } else {
                found.extend(sealed.live.values().map(|row| score(*row)));
            }
        }
        let order = |a: &Neighbour, b: &Neighbour| match b.score.total_cmp(&a.score) {
            Ordering::Equal => a.id.cmp(&b.id),
            unequal => unequal,
        };
        if found.len() > k {
            found.select_nth_unstable_by(k - 1, order);
            found.truncate(k);
        }
        found.sort_unstable_by(order);
        Ok(found)
    }

    /// The vector of an id.
    pub fn get(&self, id: u64) -> Option<Vec<f32>> {
        let state = self.read();
        if let Some(place) = state.places.get(&id) {
            return Some(state.arena.get(*place).to_vec());
        }
        let sealed = state.sealed.as_ref()?;
        Some(sealed.segment.arena.get(*sealed.live.get(&id)?).to_vec())
    }

    /// Builds a graph over everything when enough has been added or deleted since the last; tells whether it did.
    ///
    /// Takes about 3 ms per vector; searches and changes go on meanwhile.
    ///
    /// # Errors
    /// `io` and its kin when the file cannot be written; the index goes on without it.
    pub fn seal_if_due(&self) -> Result<bool> {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, arena) = {
            let state = self.read();
            if !state.is_due(self.options) {
                return Ok(false);
            }
            state.snapshot()
        };
        let segment = Segment::build(rows, arena)?;
        let saved = self.file.as_ref().map_or(Ok(()), |file| segment.save(file));
        let mut state = self.write();
        let old = state.sealed.take();
        let mut current: HashMap<u64, u64> = state.rows.iter().map(|row| (row.id, row.revision)).collect();
        if let Some(old) = &old {
            current.extend(old.live.values().map(|row| (old.segment.rows[*row].id, old.segment.rows[*row].revision)));
        }
        for (row, at) in segment.rows.iter().enumerate() {
            if current.get(&at.id) == Some(&at.revision) {
                state.remove(at.id);
            } else {
                segment.kill(row);
            }
        }
        state.sealed = Some(Sealed::new(segment));
        saved.map(|()| true)
    }

    fn load(&self, store: &Store) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        let mut arena = Arena { dimension: self.dimension, values: Vec::new() };
        store.read(|transaction| {
            let name = self.table();
            let table = existing(transaction.open_table(TableDefinition::<u64, &[u8]>::new(&name)))?;
            let Some(table) = table else { return Ok(()) };
            for entry in table.iter()? {
                let (id, bytes) = entry?;
                let damaged =
                    || Error::corrupt_data(format!("a vector of the collection {} is damaged", self.collection));
                let (revision, values) = bytes.value().split_first_chunk::<8>().ok_or_else(damaged)?;
                let (values, rest) = values.as_chunks::<4>();
                if values.len() != self.dimension || !rest.is_empty() {
                    return Err(damaged());
                }
                arena.values.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
                rows.push(Row { id: id.value(), revision: u64::from_le_bytes(*revision) });
            }
            Ok(())
        })?;
        if arena.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::corrupt_data(format!("a vector of the collection {} is damaged", self.collection)));
        }
        let find = |row: Row| {
            let place = rows.binary_search_by_key(&row.id, |row| row.id).ok()?;
            (rows[place] == row).then(|| arena.get(place))
        };
        let sealed = self.file.as_ref().and_then(|file| Segment::load(file, self.dimension, find)).map(Sealed::new);
        let mut state = self.write();
        for (place, row) in rows.iter().enumerate() {
            if !sealed.as_ref().is_some_and(|sealed| sealed.live.contains_key(&row.id)) {
                state.push(*row, arena.get(place));
            }
        }
        state.sealed = sealed;
        Ok(())
    }

    fn unit(&self, mut vector: Vec<f32>) -> Result<Vec<f32>> {
        if vector.len() != self.dimension {
            return Err(Error::invalid_argument(format!(
                "a vector has {} dimensions, this index {}",
                vector.len(),
                self.dimension
            )));
        }
        if vector.iter().any(|value| !value.is_finite()) {
            return Err(Error::invalid_argument("a vector has a value that is not a finite number"));
        }
        let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if norm < f64::from(f32::MIN_POSITIVE) {
            return Err(Error::invalid_argument("a vector of zeros has no direction to compare"));
        }
        if (norm - 1.0).abs() > UNIT_TOLERANCE {
            vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
        Ok(vector)
    }

    fn table(&self) -> String {
        format!("vector.{}", self.collection)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
