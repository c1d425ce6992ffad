//! How an index lies in the database.
//!
//! Every vector has a place, and the places have no gaps: the last one moves to where one was taken out. The vectors lie in
//! blocks of about 64 KiB, so that few large values are read and written instead of many small ones; so do their codes, which
//! are all that is read when an index is opened. A third table has the place of each id. What is removed is no longer in any
//! of them.

mod blocks;

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use blocks::Blocks;

use super::codes::{Facts, encode};
use super::metric::Metric;
use crate::store::existing;
use crate::{Error, Result};

/// Name → dimension, metric, revision.
const INDEXES: TableDefinition<&str, (u32, u8, u64)> = TableDefinition::new("vector.indexes");

/// A little less than 64 KiB, what the database allots to a value above half of it.
const BLOCK: usize = 65_000;
const ID: usize = 16;
const FACTS: usize = 16;

/// The first revision. One of 0 stands for knowing nothing.
const FIRST: u64 = 1;

struct Names {
    places: String,
    rows: String,
    codes: String,
}

impl Names {
    fn of(collection: &str) -> Names {
        let name = |what| format!("vector.{collection}.{what}");
        Names { places: name("places"), rows: name("rows"), codes: name("codes") }
    }
}

/// Which write of which id a vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub id: u64,
    pub revision: u64,
}

impl Row {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.revision.to_le_bytes());
    }

    fn read(bytes: &[u8; ID]) -> Row {
        let (id, revision) = bytes.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        Row { id: number(id), revision: number(revision) }
    }
}

/// One collection in the database.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub name: String,
    pub dimension: usize,
    pub metric: Metric,
}

/// What a change has touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub revision: u64,
    pub rows: BTreeSet<u32>,
    pub codes: BTreeSet<u32>,
}

/// Deletes a collection.
pub(super) fn delete(transaction: &WriteTransaction, collection: &str) -> Result<()> {
    transaction.open_table(INDEXES)?.remove(collection)?;
    let names = Names::of(collection);
    transaction.delete_table(TableDefinition::<u64, u32>::new(&names.places))?;
    for name in [&names.rows, &names.codes] {
        transaction.delete_table(TableDefinition::<u32, &'static [u8]>::new(name))?;
    }
    Ok(())
}

/// A code as it is read.
pub(super) type Coded<'a> = (Row, Facts, &'a [u8]);

impl Layout {
    /// Whether the collection is there, as this says.
    pub fn exists(&self, transaction: &ReadTransaction) -> Result<bool> {
        let Some(indexes) = existing(transaction.open_table(INDEXES))? else { return Ok(false) };
        self.check(indexes.get(self.name.as_str())?.map(|value| value.value()))
    }

    /// Makes the collection when it is missing.
    pub fn create(&self, transaction: &WriteTransaction) -> Result<()> {
        let mut indexes = transaction.open_table(INDEXES)?;
        let found = indexes.get(self.name.as_str())?.map(|value| value.value());
        if !self.check(found)? {
            indexes.insert(self.name.as_str(), (self.dimension as u32, self.metric.code(), FIRST))?;
        }
        Ok(())
    }

    fn check(&self, found: Option<(u32, u8, u64)>) -> Result<bool> {
        match found {
            Some((dimension, ..)) if dimension as usize != self.dimension => Err(Error::conflict(format!(
                "the collection {} holds vectors of {dimension} dimensions, not {}",
                self.name, self.dimension
            ))
            .with_remedy("use the embedder it was made with, or embed everything again in a new collection")),
            Some((_, metric, _)) if Metric::read(metric)? != self.metric => {
                Err(Error::conflict(format!("the collection {} compares its vectors in another way", self.name))
                    .with_remedy("open it with the metric it was made with, or make a new collection"))
            }
            found => Ok(found.is_some()),
        }
    }

    pub fn revision(&self, transaction: &ReadTransaction) -> Result<u64> {
        let found = transaction.open_table(INDEXES)?.get(self.name.as_str())?.map(|value| value.value().2);
        found.ok_or_else(|| self.damaged("its entry is missing"))
    }

    /// How many vectors one block holds.
    pub fn rows_per_block(&self) -> usize {
        (BLOCK / self.row_width()).max(1)
    }

    pub fn codes_per_block(&self) -> usize {
        (BLOCK / self.code_width()).max(1)
    }

    fn row_width(&self) -> usize {
        ID + 4 * self.dimension
    }

    fn code_width(&self) -> usize {
        ID + FACTS + self.dimension
    }

    /// Writes a change: first the removals, then the additions, of vectors that were prepared.
    pub fn write(&self, transaction: &WriteTransaction, remove: &[u64], add: &[(u64, Vec<f32>)]) -> Result<Touched> {
        let revision = {
            let mut indexes = transaction.open_table(INDEXES)?;
            let row = indexes.get(self.name.as_str())?.map(|value| value.value());
            let (dimension, metric, revision) = row.ok_or_else(|| self.damaged("its entry is missing"))?;
            indexes.insert(self.name.as_str(), (dimension, metric, revision + 1))?;
            revision + 1
        };
        let names = self.names();
        let mut places = transaction.open_table(TableDefinition::<u64, u32>::new(&names.places))?;
        let rows = transaction.open_table(self.blocks(&names.rows))?;
        let mut rows = Blocks::new(rows, self.row_width(), self.rows_per_block());
        let codes = transaction.open_table(self.blocks(&names.codes))?;
        let mut codes = Blocks::new(codes, self.code_width(), self.codes_per_block());
        let mut count = places.len()? as usize;
        let mut most = count;
        for id in remove {
            let Some(place) = places.remove(id)?.map(|place| place.value()) else { continue };
            count -= 1;
            if (place as usize) < count {
                let (row, code) = (rows.get(count)?, codes.get(count)?);
                let moved = row.first_chunk().map(Row::read).ok_or_else(|| self.damaged("a vector is missing"))?;
                rows.put(place as usize, &row)?;
                codes.put(place as usize, &code)?;
                places.insert(moved.id, place)?;
            }
        }
        let (mut row, mut code, mut coded) = (Vec::new(), Vec::new(), Vec::new());
        for (id, vector) in add {
            let kept = places.get(id)?.map(|place| place.value());
            let place = match kept {
                Some(place) => place,
                None => {
                    let place = u32::try_from(count).ok().filter(|place| *place < u32::MAX);
                    let place =
                        place.ok_or_else(|| Error::resource_exhausted("an index holds at most 2^32 - 2 vectors"))?;
                    places.insert(id, place)?;
                    count += 1;
                    place
                }
            };
            row.clear();
            code.clear();
            coded.clear();
            let at = Row { id: *id, revision };
            at.write(&mut row);
            row.resize(self.row_width(), 0);
            let (numbers, _) = row[ID..].as_chunks_mut::<4>();
            numbers.iter_mut().zip(vector).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
            let facts = encode(vector, &mut coded);
            at.write(&mut code);
            for value in [facts.scale, facts.error, facts.norm, facts.sign] {
                code.extend_from_slice(&value.to_le_bytes());
            }
            code.extend_from_slice(&coded);
            rows.put(place as usize, &row)?;
            codes.put(place as usize, &code)?;
            most = most.max(count);
        }
        Ok(Touched { revision, rows: rows.finish(count, most)?, codes: codes.finish(count, most)? })
    }

    /// How many vectors there are.
    pub fn count(&self, transaction: &ReadTransaction) -> Result<usize> {
        let names = self.names();
        let places = existing(transaction.open_table(TableDefinition::<u64, u32>::new(&names.places)))?;
        Ok(places.map(|places| places.len()).transpose()?.unwrap_or(0) as usize)
    }

    /// Hands out the codes in these blocks, or in all, each with its place.
    pub fn codes(
        &self,
        transaction: &ReadTransaction,
        blocks: Option<&BTreeSet<u32>>,
        mut work: impl FnMut(usize, Coded<'_>),
    ) -> Result<()> {
        let count = self.count(transaction)?;
        let (per, width) = (self.codes_per_block(), self.code_width());
        let all = 0..count.div_ceil(per) as u32;
        let names = self.names();
        let table = existing(transaction.open_table(self.blocks(&names.codes)))?;
        let mut read = |number: u32| {
            let bytes = table.as_ref().map(|table| table.get(number)).transpose()?.flatten();
            let bytes = bytes.ok_or_else(|| self.damaged("a block of codes is missing"))?;
            let first = number as usize * per;
            if bytes.value().len() != (count - first).min(per) * width {
                return Err(self.damaged("a block of codes has another length"));
            }
            for (at, code) in bytes.value().chunks_exact(width).enumerate() {
                work(first + at, self.read_code(code)?);
            }
            Ok(())
        };
        match blocks {
            Some(blocks) => blocks.range(all).try_for_each(|number| read(*number)),
            None => all.into_iter().try_for_each(read),
        }
    }

    fn read_code<'a>(&self, code: &'a [u8]) -> Result<Coded<'a>> {
        let damaged = || self.damaged("a code is not one");
        let (id, rest) = code.split_first_chunk().ok_or_else(damaged)?;
        let (facts, bytes) = rest.split_first_chunk::<FACTS>().ok_or_else(damaged)?;
        let [scale, error, norm, sign] = std::array::from_fn(|at| {
            f32::from_le_bytes([facts[4 * at], facts[4 * at + 1], facts[4 * at + 2], facts[4 * at + 3]])
        });
        let facts = Facts { scale, error, norm, sign };
        // No coordinate is coded as 0: products of such would not fit.
        if !facts.are_sound() || bytes.contains(&0) {
            return Err(damaged());
        }
        Ok((Row::read(id), facts, bytes))
    }

    /// The vectors of a block: which they are, and their numbers behind each other.
    pub fn rows(&self, transaction: &ReadTransaction, number: u32) -> Result<(Vec<Row>, Vec<f32>)> {
        let names = self.names();
        let table = existing(transaction.open_table(self.blocks(&names.rows)))?;
        let bytes = table.map(|table| table.get(number)).transpose()?.flatten();
        let bytes = bytes.ok_or_else(|| self.damaged("a block of vectors is missing"))?;
        let width = self.row_width();
        if !bytes.value().len().is_multiple_of(width) || bytes.value().len() > self.rows_per_block() * width {
            return Err(self.damaged("a block of vectors has another length"));
        }
        let count = bytes.value().len() / width;
        let (mut rows, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count * self.dimension));
        for row in bytes.value().chunks_exact(width) {
            let (id, numbers) = row.split_first_chunk().ok_or_else(|| self.damaged("a vector is missing"))?;
            rows.push(Row::read(id));
            values.extend(numbers.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.damaged("a vector has a value that is not a number"));
        }
        Ok((rows, values))
    }

    /// The place of an id.
    pub fn place(&self, transaction: &ReadTransaction, id: u64) -> Result<Option<usize>> {
        let names = self.names();
        let places = existing(transaction.open_table(TableDefinition::<u64, u32>::new(&names.places)))?;
        let place = places.map(|places| places.get(id)).transpose()?.flatten();
        Ok(place.map(|place| place.value() as usize))
    }

    fn blocks<'a>(&self, name: &'a str) -> TableDefinition<'a, u32, &'static [u8]> {
        TableDefinition::new(name)
    }

    fn names(&self) -> Names {
        Names::of(&self.name)
    }

    pub fn damaged(&self, what: &str) -> Error {
        Error::corrupt_data(format!("the vector collection {} is damaged: {what}", self.name))
    }
}
