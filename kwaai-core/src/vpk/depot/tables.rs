//! The tables of a host, and what is read from them.

use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::DepotPolicy;
use super::account::charge;
use crate::identity::Did;
use crate::store::existing;
use crate::vpk::kept::{Described, KeptManifest, Room};
use crate::vpk::request::{PayloadName, read_mode};
use crate::vpk::segment::{self, NONCE, SegmentStamp};
use crate::vpk::{CollectionId, Mode, plain, seal, split};
use crate::{Error, Result};

/// An owner's public key and the id of one of its collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) [u8; 48]);

impl Key {
    pub(super) fn of(owner: &[u8; 32], collection: &[u8; 16]) -> Key {
        let mut key = [0; 48];
        key[..32].copy_from_slice(owner);
        key[32..].copy_from_slice(collection);
        Key(key)
    }

    pub(super) fn owner(&self) -> &[u8; 32] {
        // An array of 48 begins with one of 32.
        self.0.first_chunk().unwrap_or(&[0; 32])
    }

    fn collection(&self) -> CollectionId {
        CollectionId(*self.0.last_chunk().unwrap_or(&[0; 16]))
    }
}

/// A collection and a name in it.
type Named<const N: usize> = (&'static [u8; 48], &'static [u8; N]);

/// Mode, dimension, charged bytes, rows, the number of the next segment.
type Row = (u8, u32, u64, u64, u64);

pub(super) const COLLECTIONS: TableDefinition<&[u8; 48], Row> = TableDefinition::new("vpk.host.collections");

/// In the order in which they came.
pub(super) const SEGMENTS: TableDefinition<(&[u8; 48], u64), &[u8]> = TableDefinition::new("vpk.host.segments");

/// Their numbers, and how many vectors they hold.
pub(super) const STAMPS: TableDefinition<Named<NONCE>, (u64, u32)> = TableDefinition::new("vpk.host.stamps");

pub(super) const PAYLOADS: TableDefinition<Named<16>, &[u8]> = TableDefinition::new("vpk.host.payloads");

pub(super) const MANIFESTS: TableDefinition<&[u8; 48], (u64, &[u8])> = TableDefinition::new("vpk.host.manifests");

/// Of lines of capabilities: whether they were revoked, the bytes that were added by them, and when they end.
pub(super) const CAPABILITIES: TableDefinition<Named<16>, (bool, u64, i64)> =
    TableDefinition::new("vpk.host.capabilities");

/// A recovery key and the collection that it is for, an owner and a site → the record.
pub(super) const TOPOLOGIES: TableDefinition<(&[u8; 48], &[u8; 48]), &[u8]> =
    TableDefinition::new("vpk.host.topologies");

/// What a record is overwritten with that counts no more.
pub(super) const RETIRED: u8 = 0;

/// An owner and a site → the recovery key and the collection of its record.
pub(super) const AUTHORS: TableDefinition<&[u8; 48], &[u8; 48]> = TableDefinition::new("vpk.host.authors");

/// Charged bytes and collections of each owner.
pub(super) const TENANTS: TableDefinition<&[u8; 32], (u64, u32)> = TableDefinition::new("vpk.host.tenants");

pub(super) const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("vpk.host.totals");
pub(super) const BYTES: &str = "bytes";

/// What belongs to a collection beside its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) mode: Mode,
    pub(super) dimension: u32,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) next: u64,
}

/// How much is kept for one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// Who it is.
    pub owner: Did,
    /// The bytes that it is charged with.
    pub bytes: u64,
    /// How many collections it has.
    pub collections: u32,
}

impl Record {
    pub(super) fn new(mode: Mode, dimension: u32) -> Record {
        Record { mode, dimension, bytes: 0, rows: 0, next: 0 }
    }

    pub(super) fn row(&self) -> Row {
        (self.mode as u8, self.dimension, self.bytes, self.rows, self.next)
    }

    pub(super) fn read(row: Row) -> Result<Record> {
        let (mode, dimension, bytes, rows, next) = row;
        Ok(Record { mode: read_mode(mode)?, dimension, bytes, rows, next })
    }

    /// The bytes in memory of all its rows, and of what there is without any.
    pub(super) fn memory(&self) -> u64 {
        let dimension = u64::from(self.dimension);
        let prepared = if self.mode == Mode::Seal { seal::prepared_bytes(self.rows, dimension) } else { 0 };
        4096 + self.rows * dimension * 4 + prepared
    }

    /// How many rows an answer has room for: 36,864 bytes for each 4,096 rows under `Seal`, 4 bytes for each row otherwise.
    pub(super) fn most_rows(&self) -> u64 {
        if self.mode == Mode::Seal { 113 * 4096 } else { (1 << 20) - 16 }
    }
}

/// Reads a segment for a collection, and says which it is.
pub(super) fn check_segment(record: &Record, bytes: &[u8]) -> Result<SegmentStamp> {
    let (width, prime) = match record.mode {
        Mode::Seal => (seal::WIDTH, seal::PRIME),
        Mode::Split => (split::WIDTH, split::PRIME),
        Mode::Plain => (plain::WIDTH, plain::PRIME),
    };
    segment::read(record.mode, bytes, record.dimension as usize, width, prime).map(|(stamp, _)| stamp)
}

pub(super) fn record(tx: &ReadTransaction, key: &Key) -> Result<Record> {
    let Some(table) = existing(tx.open_table(COLLECTIONS))? else { return Err(no_collection()) };
    let row = table.get(&key.0)?.map(|row| row.value());
    Record::read(row.ok_or_else(no_collection)?)
}

pub(super) fn no_collection() -> Error {
    Error::not_found("this host keeps no such collection")
}

pub(super) fn segment(tx: &ReadTransaction, key: &Key, stamp: &SegmentStamp) -> Result<Vec<u8>> {
    record(tx, key)?;
    let missing = || Error::not_found("this host keeps no such segment");
    let Some(stamps) = existing(tx.open_table(STAMPS))? else { return Err(missing()) };
    let found = stamps.get((&key.0, &stamp.nonce))?.map(|found| found.value());
    let (number, _) = found.filter(|(_, vectors)| *vectors == stamp.vectors).ok_or_else(missing)?;
    let bytes = tx.open_table(SEGMENTS)?.get((&key.0, number))?.map(|bytes| bytes.value().to_vec());
    bytes.ok_or_else(|| Error::corrupt_data("a segment is missing in this host's database"))
}

pub(super) fn for_each_segment(
    tx: &ReadTransaction,
    key: &Key,
    mut work: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let Some(table) = existing(tx.open_table(SEGMENTS))? else { return Ok(()) };
    for entry in table.range((&key.0, 0)..=(&key.0, u64::MAX))? {
        work(entry?.1.value())?;
    }
    Ok(())
}

pub(super) fn payload(tx: &ReadTransaction, key: &Key, name: &PayloadName) -> Result<Vec<u8>> {
    record(tx, key)?;
    let kept = match existing(tx.open_table(PAYLOADS))? {
        Some(table) => table.get((&key.0, name))?.map(|bytes| bytes.value().to_vec()),
        None => None,
    };
    kept.ok_or_else(|| Error::not_found("this host keeps no such payload"))
}

pub(super) fn manifest(tx: &ReadTransaction, key: &Key) -> Result<KeptManifest> {
    record(tx, key)?;
    let none = KeptManifest { number: 0, bytes: Vec::new() };
    let Some(table) = existing(tx.open_table(MANIFESTS))? else { return Ok(none) };
    Ok(table.get(&key.0)?.map_or(none, |kept| {
        let (number, bytes) = kept.value();
        KeptManifest { number, bytes: bytes.to_vec() }
    }))
}

/// A collection with its segments in their order.
pub(super) fn describe(tx: &ReadTransaction, key: &Key) -> Result<Described> {
    let record = record(tx, key)?;
    let mut segments = Vec::new();
    if let Some(table) = existing(tx.open_table(STAMPS))? {
        for entry in table.range((&key.0, &[0; NONCE])..=(&key.0, &[u8::MAX; NONCE]))? {
            let (at, found) = entry?;
            let (number, vectors) = found.value();
            segments.push((number, SegmentStamp { nonce: *at.value().1, vectors }));
        }
    }
    segments.sort_unstable_by_key(|(number, _)| *number);
    let segments = segments.into_iter().map(|(_, stamp)| stamp).collect();
    Ok(described(key, &record, segments))
}

fn described(key: &Key, record: &Record, segments: Vec<SegmentStamp>) -> Described {
    let (mode, dimension, bytes) = (record.mode, record.dimension, record.bytes);
    Described { collection: key.collection(), mode, dimension, bytes, segments }
}

/// An owner's collections, without their segments.
pub(super) fn collections(tx: &ReadTransaction, owner: &Did) -> Result<Vec<Described>> {
    let Some(table) = existing(tx.open_table(COLLECTIONS))? else { return Ok(Vec::new()) };
    let (first, last) = (Key::of(owner.public_key(), &[0; 16]), Key::of(owner.public_key(), &[u8::MAX; 16]));
    let mut all = Vec::new();
    for entry in table.range::<&[u8; 48]>(&first.0..=&last.0)? {
        let (key, row) = entry?;
        all.push(described(&Key(*key.value()), &Record::read(row.value())?, Vec::new()));
    }
    Ok(all)
}

/// The records that a recovery key made of its collection, and whose site each is about.
pub(super) fn topologies(tx: &ReadTransaction, author: &Key) -> Result<Vec<(Key, Vec<u8>)>> {
    let Some(table) = existing(tx.open_table(TOPOLOGIES))? else { return Ok(Vec::new()) };
    let all = table.range((&author.0, &[0; 48])..=(&author.0, &[u8::MAX; 48]))?;
    all.map(|entry| {
        let (at, record) = entry?;
        Ok((Key(*at.value().1), record.value().to_vec()))
    })
    .collect()
}

/// For whose site a recovery key stands in.
pub(super) fn stands_in(tx: &ReadTransaction, author: &Did, site: &CollectionId) -> Result<Option<Did>> {
    let Some(table) = existing(tx.open_table(TOPOLOGIES))? else { return Ok(None) };
    let (first, last) = (Key::of(author.public_key(), &[0; 16]), Key::of(author.public_key(), &[u8::MAX; 16]));
    for entry in table.range((&first.0, &[0; 48])..=(&last.0, &[u8::MAX; 48]))? {
        let (at, record) = entry?;
        let key = Key(*at.value().1);
        if key.collection() == *site && record.value().first() != Some(&RETIRED) {
            return Did::from_public_key(*key.owner()).map(Some);
        }
    }
    Ok(None)
}

/// The collections of which there are records.
pub(super) fn recorded(tx: &ReadTransaction) -> Result<Vec<CollectionId>> {
    let Some(table) = existing(tx.open_table(AUTHORS))? else { return Ok(Vec::new()) };
    let mut all = table.iter()?.map(|entry| Ok(Key(*entry?.1.value()).collection())).collect::<Result<Vec<_>>>()?;
    all.sort();
    all.dedup();
    Ok(all)
}

pub(super) fn tenants(tx: &ReadTransaction) -> Result<Vec<Tenant>> {
    let Some(table) = existing(tx.open_table(TENANTS))? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (owner, row) = entry?;
        let (bytes, collections) = row.value();
        all.push(Tenant { owner: Did::from_public_key(*owner.value())?, bytes, collections });
    }
    Ok(all)
}

pub(super) fn room(tx: &ReadTransaction, owner: &Did, policy: &DepotPolicy) -> Result<Room> {
    let tenant = match existing(tx.open_table(TENANTS))? {
        Some(table) => table.get(owner.public_key())?.map(|row| row.value()),
        None => None,
    };
    let total = match existing(tx.open_table(TOTALS))? {
        Some(table) => table.get(BYTES)?.map_or(0, |bytes| bytes.value()),
        None => 0,
    };
    let (used, collections) = tenant.unwrap_or_default();
    Ok(Room { used, left: left(policy, used, total), collections })
}

/// How much more one owner may put, with what it and all have put.
pub(super) fn left(policy: &DepotPolicy, used: u64, total: u64) -> u64 {
    policy.tenant_bytes.saturating_sub(used).min(policy.capacity_bytes.saturating_sub(total))
}

pub(super) fn revoked<'a>(tx: &ReadTransaction, key: &Key, ids: impl Iterator<Item = &'a [u8; 16]>) -> Result<bool> {
    let Some(table) = existing(tx.open_table(CAPABILITIES))? else { return Ok(false) };
    for id in ids {
        if table.get((&key.0, id))?.is_some_and(|row| row.value().0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an entry of a table without bytes of its own is charged with.
pub(super) fn entry() -> u64 {
    charge(0)
}
