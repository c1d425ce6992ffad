//! What the owner of a collection keeps on its own disk.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::shape::{Record, damaged};
use super::state::{Place, State};
use crate::store::existing;
use crate::vpk::recovery::RecoveryKey;
use crate::vpk::request::{METHODS, Request};
use crate::vpk::segment::NONCE;
use crate::vpk::{CollectionId, CollectionKey, HostName, PayloadPlace, SegmentStamp};
use crate::{Error, Result};

/// A collection and a number in it.
type Numbered = (&'static [u8; 16], u64);

/// Name → record in JSON.
const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("vpk.own.collections");
/// The roots of the keys. As secret as the identity, and kept in the same directory.
const KEYS: TableDefinition<(&[u8; 16], u32), &[u8; 32]> = TableDefinition::new("vpk.own.keys");
const SEGMENTS: TableDefinition<Numbered, (&[u8; NONCE], u32)> = TableDefinition::new("vpk.own.segments");
/// Id → segment, position, the bits of the length, version of the payload.
const ENTRIES: TableDefinition<Numbered, (u64, u32, u32, u32)> = TableDefinition::new("vpk.own.entries");
/// Vectors that were not sealed yet, as whole numbers.
const TAIL: TableDefinition<Numbered, &[u8]> = TableDefinition::new("vpk.own.tail");
const PAYLOADS: TableDefinition<Numbered, &[u8]> = TableDefinition::new("vpk.own.payloads");
/// Requests that a host has not answered yet, in their order.
const OUTBOX: TableDefinition<(&[u8; 16], u32, u64), &[u8]> = TableDefinition::new("vpk.own.outbox");
/// Payloads that a host has not got yet, or has still: id and version, and whether it is to keep it.
const PARCELS: TableDefinition<(&[u8; 16], u32, u64, u32), bool> = TableDefinition::new("vpk.own.parcels");
/// The number and the digest of the manifest that counts.
const ANCHORS: TableDefinition<&[u8; 16], (u64, &[u8; 32])> = TableDefinition::new("vpk.own.anchors");

/// The key that recovers a collection elsewhere. As secret as those of the epochs.
const RECOVERY: TableDefinition<&[u8; 16], &[u8; 32]> = TableDefinition::new("vpk.own.recovery");

/// A site that does not count → the hosts that may keep something of it, as texts in JSON.
const LEFTOVERS: TableDefinition<(&[u8; 16], &[u8; 16]), &str> = TableDefinition::new("vpk.own.leftovers");

/// The order of a segment that stands for none: the vector is in the tail.
const IN_TAIL: u64 = u64::MAX;

pub(in crate::vpk) fn names(tx: &ReadTransaction) -> Result<Vec<String>> {
    let Some(table) = existing(tx.open_table(RECORDS))? else { return Ok(Vec::new()) };
    table.iter()?.map(|entry| Ok(entry?.0.value().to_owned())).collect()
}

pub(super) fn record(tx: &ReadTransaction, name: &str) -> Result<Option<Record>> {
    let Some(table) = existing(tx.open_table(RECORDS))? else { return Ok(None) };
    table.get(name)?.map(|text| Record::read(text.value())).transpose()
}

pub(super) fn key(tx: &ReadTransaction, id: CollectionId, epoch: u32) -> Result<CollectionKey> {
    let root = tx.open_table(KEYS)?.get((&id.0, epoch))?.map(|root| *root.value());
    Ok(CollectionKey::from_root(id, epoch, &root.ok_or_else(damaged)?))
}

/// All that is known of the vectors.
pub(super) fn state(tx: &ReadTransaction, id: CollectionId, dimension: usize) -> Result<State> {
    let mut state = State::default();
    if let Some(table) = existing(tx.open_table(SEGMENTS))? {
        for entry in table.range((&id.0, 0)..=(&id.0, u64::MAX))? {
            let (at, stamp) = entry?;
            let (nonce, vectors) = stamp.value();
            state.add_segment(at.value().1, SegmentStamp { nonce: *nonce, vectors });
        }
    }
    let tail = existing(tx.open_table(TAIL))?;
    if let Some(table) = existing(tx.open_table(ENTRIES))? {
        for entry in table.range((&id.0, 0)..=(&id.0, u64::MAX))? {
            let (at, row) = entry?;
            let (vector, (order, position, length, payload)) = (at.value().1, row.value());
            let place = (order != IN_TAIL).then_some(Place { order, position });
            let values = match (place, &tail) {
                (None, Some(tail)) => tail.get((&id.0, vector))?.map(|bytes| numbers(bytes.value())),
                _ => None,
            };
            if place.is_none() && values.as_ref().is_none_or(|values| values.len() != dimension) {
                return Err(damaged());
            }
            state.set(vector, place, f32::from_bits(length), payload, values)?;
        }
    }
    Ok(state)
}

pub(super) fn payload(tx: &ReadTransaction, id: CollectionId, vector: u64) -> Result<Option<Vec<u8>>> {
    let Some(table) = existing(tx.open_table(PAYLOADS))? else { return Ok(None) };
    Ok(table.get((&id.0, vector))?.map(|bytes| bytes.value().to_vec()))
}

/// The first request that a host has not answered, and how many there are.
pub(super) fn first_waiting(tx: &ReadTransaction, id: CollectionId, host: u32) -> Result<Option<(u64, Request)>> {
    let Some(table) = existing(tx.open_table(OUTBOX))? else { return Ok(None) };
    let Some(entry) = table.range((&id.0, host, 0)..=(&id.0, host, u64::MAX))?.next() else { return Ok(None) };
    let (at, bytes) = entry?;
    let (method, body) = bytes.value().split_first().ok_or_else(damaged)?;
    let method = METHODS.get(usize::from(*method)).ok_or_else(damaged)?;
    Ok(Some((at.value().2, Request::read(method, body)?)))
}

/// Payloads that a host is to get or to lose, `most` of them.
pub(super) fn parcels(
    tx: &ReadTransaction,
    id: CollectionId,
    host: u32,
    most: usize,
) -> Result<Vec<(PayloadPlace, bool)>> {
    let Some(table) = existing(tx.open_table(PARCELS))? else { return Ok(Vec::new()) };
    let all = table.range((&id.0, host, 0, 0)..=(&id.0, host, u64::MAX, u32::MAX))?;
    all.take(most)
        .map(|entry| {
            let (at, keep) = entry?;
            let (_, _, id, version) = at.value();
            Ok((PayloadPlace { id, version }, keep.value()))
        })
        .collect()
}

pub(super) fn anchor(tx: &ReadTransaction, id: CollectionId) -> Result<Option<(u64, [u8; 32])>> {
    let Some(table) = existing(tx.open_table(ANCHORS))? else { return Ok(None) };
    Ok(table.get(&id.0)?.map(|row| (row.value().0, *row.value().1)))
}

/// The key that recovers a collection; none where it was made by a version without such keys.
pub(super) fn recovery(tx: &ReadTransaction, id: CollectionId) -> Result<Option<RecoveryKey>> {
    let Some(table) = existing(tx.open_table(RECOVERY))? else { return Ok(None) };
    Ok(table.get(&id.0)?.map(|secret| RecoveryKey::from_secret(id, secret.value())))
}

/// Whether anything is known of a collection of this id.
pub(super) fn knows(tx: &ReadTransaction, id: CollectionId) -> Result<bool> {
    let Some(table) = existing(tx.open_table(KEYS))? else { return Ok(false) };
    Ok(table.range((&id.0, 0)..=(&id.0, u32::MAX))?.next().is_some())
}

/// What hosts may keep that does not count.
pub(super) fn leftovers(tx: &ReadTransaction, id: CollectionId) -> Result<Vec<(CollectionId, Vec<HostName>)>> {
    let Some(table) = existing(tx.open_table(LEFTOVERS))? else { return Ok(Vec::new()) };
    table
        .range((&id.0, &[0; 16])..=(&id.0, &[u8::MAX; 16]))?
        .map(|entry| {
            let (at, hosts) = entry?;
            Ok((CollectionId(*at.value().1), read_hosts(hosts.value())?))
        })
        .collect()
}

fn read_hosts(text: &str) -> Result<Vec<HostName>> {
    let texts: Vec<String> = serde_json::from_str(text).map_err(|error| damaged().with_source(error))?;
    texts.iter().map(|host| host.parse()).collect()
}

/// A change of what the owner keeps of one collection.
pub(super) struct Change<'a> {
    pub(super) tx: &'a WriteTransaction,
    pub(super) id: CollectionId,
}

impl Change<'_> {
    pub(super) fn record(&self, name: &str, record: &Record) -> Result<()> {
        self.tx.open_table(RECORDS)?.insert(name, record.write()?.as_str())?;
        Ok(())
    }

    pub(super) fn is_new(&self, name: &str) -> Result<bool> {
        Ok(self.tx.open_table(RECORDS)?.get(name)?.is_none())
    }

    pub(super) fn key(&self, key: &CollectionKey) -> Result<()> {
        self.tx.open_table(KEYS)?.insert((&self.id.0, key.epoch()), key.root())?;
        Ok(())
    }

    /// Keeps a key, and those of earlier epochs no more.
    pub(super) fn replace_key(&self, key: &CollectionKey) -> Result<()> {
        let id = &self.id.0;
        self.tx.open_table(KEYS)?.retain_in((id, 0)..(id, key.epoch()), |_, _| false)?;
        self.key(key)
    }

    pub(super) fn segment(&self, order: u64, stamp: &SegmentStamp) -> Result<()> {
        self.tx.open_table(SEGMENTS)?.insert((&self.id.0, order), (&stamp.nonce, stamp.vectors))?;
        Ok(())
    }

    pub(super) fn remove_segment(&self, order: u64) -> Result<()> {
        self.tx.open_table(SEGMENTS)?.remove((&self.id.0, order))?;
        Ok(())
    }

    pub(super) fn entry(&self, vector: u64, place: Option<Place>, length: f32, payload: u32) -> Result<()> {
        let (order, position) = place.map_or((IN_TAIL, 0), |place| (place.order, place.position));
        self.tx.open_table(ENTRIES)?.insert((&self.id.0, vector), (order, position, length.to_bits(), payload))?;
        Ok(())
    }

    pub(super) fn remove_entry(&self, vector: u64) -> Result<()> {
        self.tx.open_table(ENTRIES)?.remove((&self.id.0, vector))?;
        self.tail(vector, None)
    }

    pub(super) fn tail(&self, vector: u64, values: Option<&[i32]>) -> Result<()> {
        let mut table = self.tx.open_table(TAIL)?;
        match values {
            Some(values) => {
                // A coordinate is at most 4,096 in size.
                let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as i16).to_le_bytes()).collect();
                table.insert((&self.id.0, vector), bytes.as_slice())?;
            }
            None => drop(table.remove((&self.id.0, vector))?),
        }
        Ok(())
    }

    pub(super) fn payload(&self, vector: u64, bytes: Option<&[u8]>) -> Result<()> {
        let mut table = self.tx.open_table(PAYLOADS)?;
        match bytes {
            Some(bytes) => drop(table.insert((&self.id.0, vector), bytes)?),
            None => drop(table.remove((&self.id.0, vector))?),
        }
        Ok(())
    }

    /// Has a request delivered to a host after all that wait already.
    pub(super) fn send(&self, host: u32, request: &Request) -> Result<()> {
        let method = METHODS.iter().position(|method| *method == request.method()).unwrap_or_default();
        let mut table = self.tx.open_table(OUTBOX)?;
        let last = table.range((&self.id.0, host, 0)..=(&self.id.0, host, u64::MAX))?.next_back().transpose()?;
        let next = last.map_or(0, |(at, _)| at.value().2 + 1);
        let bytes = [&[method as u8], request.to_bytes()?.as_slice()].concat();
        table.insert((&self.id.0, host, next), bytes.as_slice())?;
        Ok(())
    }

    pub(super) fn sent(&self, host: u32, number: u64) -> Result<()> {
        self.tx.open_table(OUTBOX)?.remove((&self.id.0, host, number))?;
        Ok(())
    }

    /// Has a payload brought to all hosts, or taken from them.
    pub(super) fn parcel(&self, hosts: usize, place: PayloadPlace, keep: bool) -> Result<()> {
        let mut table = self.tx.open_table(PARCELS)?;
        for host in 0..hosts as u32 {
            table.insert((&self.id.0, host, place.id, place.version), keep)?;
        }
        Ok(())
    }

    pub(super) fn delivered(&self, host: u32, place: PayloadPlace) -> Result<()> {
        self.tx.open_table(PARCELS)?.remove((&self.id.0, host, place.id, place.version))?;
        Ok(())
    }

    pub(super) fn anchor(&self, sequence: u64, digest: &[u8; 32]) -> Result<()> {
        self.tx.open_table(ANCHORS)?.insert(&self.id.0, (sequence, digest))?;
        Ok(())
    }

    pub(super) fn recovery(&self, key: &RecoveryKey) -> Result<()> {
        self.tx.open_table(RECOVERY)?.insert(&self.id.0, key.secret())?;
        Ok(())
    }

    /// Forgets what a recovery that did not end has fetched.
    pub(super) fn unprepare(&self) -> Result<()> {
        let id = &self.id.0;
        self.tx.open_table(PAYLOADS)?.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        self.tx.open_table(ANCHORS)?.remove(id)?;
        self.tx.open_table(RECOVERY)?.remove(id)?;
        Ok(())
    }

    /// Notes who may keep something of a site that does not count; nobody, where it counts.
    pub(super) fn leave(&self, site: CollectionId, hosts: &[HostName]) -> Result<()> {
        let mut table = self.tx.open_table(LEFTOVERS)?;
        let at = (&self.id.0, &site.0);
        if hosts.is_empty() {
            table.remove(at)?;
            return Ok(());
        }
        let texts: Vec<String> = hosts.iter().map(HostName::to_string).collect();
        let text = serde_json::to_string(&texts)
            .map_err(|error| Error::internal("a list of hosts cannot be written").with_source(error))?;
        table.insert(at, text.as_str())?;
        Ok(())
    }

    /// Notes that these hosts keep nothing of a site any more.
    pub(super) fn swept(&self, site: CollectionId, hosts: &[HostName]) -> Result<()> {
        let text = self.tx.open_table(LEFTOVERS)?.get((&self.id.0, &site.0))?.map(|text| text.value().to_owned());
        let Some(text) = text else { return Ok(()) };
        let mut left = read_hosts(&text)?;
        left.retain(|host| !hosts.contains(host));
        self.leave(site, &left)
    }

    /// Forgets the segments, and all that waits for the hosts of a site.
    pub(super) fn clear_site(&self) -> Result<()> {
        let id = &self.id.0;
        self.tx.open_table(SEGMENTS)?.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        self.tx.open_table(OUTBOX)?.retain_in((id, 0, 0)..=(id, u32::MAX, u64::MAX), |_, _| false)?;
        self.tx.open_table(PARCELS)?.retain_in((id, 0, 0, 0)..=(id, u32::MAX, u64::MAX, u32::MAX), |_, _| false)?;
        Ok(())
    }

    /// Forgets the collection and its keys.
    pub(super) fn forget(&self, name: &str) -> Result<()> {
        let id = &self.id.0;
        self.tx.open_table(RECORDS)?.remove(name)?;
        self.tx.open_table(KEYS)?.retain_in((id, 0)..=(id, u32::MAX), |_, _| false)?;
        self.clear_site()?;
        self.tx.open_table(ENTRIES)?.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        self.tx.open_table(TAIL)?.retain_in((id, 0)..=(id, u64::MAX), |_, _| false)?;
        self.unprepare()?;
        self.tx.open_table(LEFTOVERS)?.retain_in((id, &[0; 16])..=(id, &[u8::MAX; 16]), |_, _| false)?;
        Ok(())
    }
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks::<2>().0.iter().map(|word| i32::from(i16::from_le_bytes(*word))).collect()
}

pub(super) fn missing(name: &str) -> Error {
    Error::not_found(format!("there is no collection {name:.60?}"))
}
