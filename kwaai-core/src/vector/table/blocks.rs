//! Rows of one width in blocks, changed in memory and written once.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, Table};

use crate::{Error, Result};

/// Changed blocks beyond this are written before more are changed.
const HELD: usize = 128;

pub(super) struct Blocks<'t> {
    table: Table<'t, u32, &'static [u8]>,
    width: usize,
    per: usize,
    held: BTreeMap<u32, Vec<u8>>,
    /// The memory of a block that was written.
    spare: Vec<u8>,
    touched: BTreeSet<u32>,
}

impl<'t> Blocks<'t> {
    pub fn new(table: Table<'t, u32, &'static [u8]>, width: usize, per: usize) -> Blocks<'t> {
        Blocks { table, width, per, held: BTreeMap::new(), spare: Vec::new(), touched: BTreeSet::new() }
    }

    /// The row at a place.
    pub fn get(&mut self, place: usize) -> Result<Vec<u8>> {
        let (width, slot) = (self.width, place % self.per);
        let block = self.block(place)?;
        block.get(slot * width..(slot + 1) * width).map(<[u8]>::to_vec).ok_or_else(damaged)
    }

    /// Puts a row at a place, at most one behind the last.
    pub fn put(&mut self, place: usize, row: &[u8]) -> Result<()> {
        let (width, slot) = (self.width, place % self.per);
        let number = (place / self.per) as u32;
        self.touched.insert(number);
        let is_last = slot + 1 == self.per;
        let block = self.block(place)?;
        if block.len() != slot * width {
            block.get_mut(slot * width..(slot + 1) * width).ok_or_else(damaged)?.copy_from_slice(row);
            return Ok(());
        }
        block.extend_from_slice(row);
        // Nothing more is put behind it.
        if is_last && let Some(block) = self.held.remove(&number) {
            self.table.insert(number, block.as_slice())?;
            self.spare = block;
        }
        Ok(())
    }

    /// Leaves `count` rows of what were once `most`, writes everything, and tells which blocks are others now.
    pub fn finish(mut self, count: usize, most: usize) -> Result<BTreeSet<u32>> {
        for number in count.div_ceil(self.per) as u32..most.div_ceil(self.per) as u32 {
            self.held.remove(&number);
            self.table.remove(number)?;
            self.touched.remove(&number);
        }
        if count < most && !count.is_multiple_of(self.per) {
            let length = count % self.per * self.width;
            self.block(count)?.truncate(length);
            self.touched.insert((count / self.per) as u32);
        }
        self.write()?;
        Ok(self.touched)
    }

    fn block(&mut self, place: usize) -> Result<&mut Vec<u8>> {
        let number = (place / self.per) as u32;
        if self.held.len() >= HELD && !self.held.contains_key(&number) {
            self.write()?;
        }
        match self.held.entry(number) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let mut block = std::mem::take(&mut self.spare);
                block.clear();
                block.reserve_exact(self.per * self.width);
                if let Some(kept) = self.table.get(number)? {
                    block.extend_from_slice(kept.value());
                }
                Ok(entry.insert(block))
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        for (number, block) in std::mem::take(&mut self.held) {
            if self.touched.contains(&number) {
                self.table.insert(number, block.as_slice())?;
            }
        }
        Ok(())
    }
}

fn damaged() -> Error {
    Error::corrupt_data("a vector collection is damaged: a block is shorter than it should be")
}
