//! Changes of a collection that are charged to its owner.

use redb::{ReadableTable, WriteTransaction};

use super::DepotPolicy;
use super::tables::{
    AUTHORS, BYTES, CAPABILITIES, COLLECTIONS, Key, MANIFESTS, PAYLOADS, RETIRED, Record, SEGMENTS, STAMPS, TENANTS,
    TOPOLOGIES, TOTALS, entry, left, no_collection,
};
use crate::trust::statement::refused;
use crate::vpk::capability::{MAX_CAPABILITY_LIFETIME, Quotas};
use crate::vpk::kept::Room;
use crate::vpk::request::PayloadName;
use crate::vpk::segment::{NONCE, SegmentStamp};
use crate::vpk::topology::Header;
use crate::{Error, ErrorCode, Result};

/// A key, its lengths, and its share of the pages above it.
const ENTRY: usize = 192;
const PAGE: u64 = 4096;

/// Lines of capabilities that are remembered for one collection: so many that were revoked, and so many that have a quota.
const MAX_REMEMBERED: usize = 1024;

/// Owners who keep a record by one recovery key at one host: every machine that it was recovered on.
const MAX_SITES: usize = 16;

/// Segments of one collection.
const MAX_SEGMENTS: usize = 16_384;

/// What an entry of the database is charged with: its bytes; above a page, as many pages as the database allots, which is a
/// power of two.
pub(super) fn charge(length: usize) -> u64 {
    let bytes = (length + ENTRY) as u64;
    if bytes > PAGE { bytes.next_power_of_two() } else { bytes }
}

/// One collection in a transaction, with what its owner and all owners are charged.
pub(super) struct Account<'a> {
    tx: &'a WriteTransaction,
    key: &'a Key,
    policy: &'a DepotPolicy,
    record: Option<Record>,
    bytes: u64,
    collections: u32,
    total: u64,
    before: u64,
}

impl<'a> Account<'a> {
    pub(super) fn create(
        tx: &'a WriteTransaction,
        key: &'a Key,
        policy: &'a DepotPolicy,
        record: Record,
    ) -> Result<Account<'a>> {
        let mut account = Account::of(tx, key, policy)?;
        if account.record.is_some() {
            return Err(Error::already_exists("this host keeps the collection already"));
        }
        if account.collections >= policy.tenant_collections {
            return Err(Error::resource_exhausted("the owner has as many collections as this host keeps for one")
                .with("limit", policy.tenant_collections)
                .with("left", 0));
        }
        account.collections += 1;
        account.record = Some(record);
        account.add(entry());
        Ok(account)
    }

    pub(super) fn open(tx: &'a WriteTransaction, key: &'a Key, policy: &'a DepotPolicy) -> Result<Account<'a>> {
        let account = Account::of(tx, key, policy)?;
        if account.record.is_none() { Err(no_collection()) } else { Ok(account) }
    }

    fn of(tx: &'a WriteTransaction, key: &'a Key, policy: &'a DepotPolicy) -> Result<Account<'a>> {
        let record = tx.open_table(COLLECTIONS)?.get(&key.0)?.map(|row| row.value());
        let (bytes, collections) = tx.open_table(TENANTS)?.get(key.owner())?.map_or((0, 0), |row| row.value());
        let total = tx.open_table(TOTALS)?.get(BYTES)?.map_or(0, |bytes| bytes.value());
        let record = record.map(Record::read).transpose()?;
        Ok(Account { tx, key, policy, record, bytes, collections, total, before: bytes })
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.total += bytes;
        if let Some(record) = &mut self.record {
            record.bytes += bytes;
        }
    }

    fn take_away(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.total = self.total.saturating_sub(bytes);
        if let Some(record) = &mut self.record {
            record.bytes = record.bytes.saturating_sub(bytes);
        }
    }

    fn record(&mut self) -> Result<&mut Record> {
        self.record.as_mut().ok_or_else(no_collection)
    }

    pub(super) fn put_segment(&mut self, stamp: &SegmentStamp, bytes: &[u8]) -> Result<()> {
        let record = self.record()?;
        let (number, rows) = (record.next, record.rows + stamp.rows(record.mode) as u64);
        let most = record.most_rows();
        if rows > most {
            return Err(Error::resource_exhausted("a collection has no more rows than an answer has room for")
                .with("limit", most)
                .with("left", most.saturating_sub(record.rows)));
        }
        (record.next, record.rows) = (number + 1, rows);
        let mut stamps = self.tx.open_table(STAMPS)?;
        if stamps.get((&self.key.0, &stamp.nonce))?.is_some() {
            return Err(Error::already_exists("this host keeps the segment already"));
        }
        let all = (&self.key.0, &[0; NONCE])..=(&self.key.0, &[u8::MAX; NONCE]);
        if stamps.range(all)?.nth(MAX_SEGMENTS - 1).is_some() {
            return Err(Error::resource_exhausted("a collection has no more segments than this")
                .with("limit", MAX_SEGMENTS)
                .with("left", 0)
                .with_remedy("seal more vectors at once"));
        }
        stamps.insert((&self.key.0, &stamp.nonce), (number, stamp.vectors))?;
        self.tx.open_table(SEGMENTS)?.insert((&self.key.0, number), bytes)?;
        self.add(charge(bytes.len()) + entry());
        Ok(())
    }

    pub(super) fn remove_segment(&mut self, stamp: &SegmentStamp) -> Result<()> {
        let missing = || Error::not_found("this host keeps no such segment");
        let mut stamps = self.tx.open_table(STAMPS)?;
        let found = stamps.get((&self.key.0, &stamp.nonce))?.map(|found| found.value());
        let (number, _) = found.filter(|(_, vectors)| *vectors == stamp.vectors).ok_or_else(missing)?;
        stamps.remove((&self.key.0, &stamp.nonce))?;
        let mut segments = self.tx.open_table(SEGMENTS)?;
        let length = segments.remove((&self.key.0, number))?.map_or(0, |bytes| bytes.value().len());
        self.take_away(charge(length) + entry());
        let record = self.record()?;
        record.rows = record.rows.saturating_sub(stamp.rows(record.mode) as u64);
        Ok(())
    }

    pub(super) fn put_payload(&mut self, name: &PayloadName, bytes: &[u8], may_replace: bool) -> Result<()> {
        let before = self.tx.open_table(PAYLOADS)?.insert((&self.key.0, name), bytes)?.map(|old| old.value().len());
        if before.is_some() && !may_replace {
            return Err(Error::already_exists("this host keeps a payload of that name already"));
        }
        self.take_away(before.map_or(0, charge));
        self.add(charge(bytes.len()));
        Ok(())
    }

    pub(super) fn remove_payload(&mut self, name: &PayloadName) -> Result<()> {
        let removed = self.tx.open_table(PAYLOADS)?.remove((&self.key.0, name))?.map(|old| old.value().len());
        self.take_away(charge(removed.ok_or_else(|| Error::not_found("this host keeps no such payload"))?));
        Ok(())
    }

    pub(super) fn replace_manifest(&mut self, expected: u64, bytes: &[u8]) -> Result<()> {
        let mut table = self.tx.open_table(MANIFESTS)?;
        let kept = table.get(&self.key.0)?.map(|kept| (kept.value().0, kept.value().1.len()));
        let found = kept.map_or(0, |(number, _)| number);
        if found != expected {
            return Err(Error::conflict("the manifest was replaced by somebody else")
                .with("found", found)
                .with("expected", expected)
                .with_remedy("read it, and try again"));
        }
        table.insert(&self.key.0, (expected.saturating_add(1), bytes))?;
        self.take_away(kept.map_or(0, |(_, length)| charge(length)));
        self.add(charge(bytes.len()));
        Ok(())
    }

    /// Keeps a record of where the collection is, unless there is one that counts more. Those of others that count less are
    /// handed out no more, and nobody reads their sites by the recovery key.
    pub(super) fn put_topology(&mut self, header: &Header, record: &[u8]) -> Result<()> {
        let author = Key::of(header.author.public_key(), &header.collection.0);
        let mut others = Vec::new();
        for entry in self.tx.open_table(TOPOLOGIES)?.range((&author.0, &[0; 48])..=(&author.0, &[u8::MAX; 48]))? {
            let (at, kept) = entry?;
            let site = *at.value().1;
            if site != self.key.0 {
                others.push((site, kept.value().len()));
            }
            let Ok(kept) = Header::read(kept.value()) else { continue };
            // Its own may come again, after an answer that was lost.
            if kept.rank() > header.rank() || site != self.key.0 && kept.rank() == header.rank() {
                return Err(Error::conflict("the collection was recovered by another machine, which has it now")
                    .with("found", kept.sequence)
                    .with("expected", header.sequence)
                    .with_remedy("recover it here again, or destroy it here"));
            }
        }
        if others.len() >= MAX_SITES {
            return Err(Error::resource_exhausted("too many machines have recovered the collection at this host")
                .with("limit", MAX_SITES)
                .with("left", 0));
        }
        self.forget_topology()?;
        let mut table = self.tx.open_table(TOPOLOGIES)?;
        for (site, length) in others {
            // As long as before, for that is what its owner is charged with.
            table.insert((&author.0, &site), vec![RETIRED; length].as_slice())?;
        }
        table.insert((&author.0, &self.key.0), record)?;
        drop(table);
        self.tx.open_table(AUTHORS)?.insert(&self.key.0, &author.0)?;
        self.add(charge(record.len()) + entry());
        Ok(())
    }

    fn forget_topology(&mut self) -> Result<()> {
        let author = self.tx.open_table(AUTHORS)?.remove(&self.key.0)?.map(|author| *author.value());
        let Some(author) = author else { return Ok(()) };
        let length = self.tx.open_table(TOPOLOGIES)?.remove((&author, &self.key.0))?.map(|record| record.value().len());
        self.take_away(length.map_or(0, charge) + entry());
        Ok(())
    }

    pub(super) fn revoke(&mut self, id: &[u8; 16], until: i64, now: i64) -> Result<()> {
        // No capability ends later, so that it need not be remembered for longer.
        let latest = now.saturating_add(MAX_CAPABILITY_LIFETIME.as_secs() as i64);
        let used = self.remembered(id)?.1;
        self.remember(id, (true, used, until.min(latest)), now)?;
        // Whoever has filled the quota must not be safe from this.
        self.before = self.before.max(self.bytes);
        Ok(())
    }

    /// Counts what was added against the quotas of the capability that allowed it, and refuses one that was revoked meanwhile.
    pub(super) fn count_against(&mut self, quotas: &Quotas, now: i64) -> Result<()> {
        let added = self.bytes.saturating_sub(self.before);
        for (id, quota, expires) in quotas {
            let (revoked, used, _) = self.remembered(id)?;
            if revoked {
                return Err(refused(ErrorCode::PermissionDenied, "revoked", "the capability was revoked"));
            }
            let Some(quota) = quota else { continue };
            if used + added > *quota {
                return Err(Error::resource_exhausted("the capability allows to add no more than its quota")
                    .with("limit", quota)
                    .with("left", quota.saturating_sub(used)));
            }
            self.remember(id, (false, used + added, expires.as_second()), now)?;
        }
        Ok(())
    }

    fn remembered(&self, id: &[u8; 16]) -> Result<(bool, u64, i64)> {
        let kept = self.tx.open_table(CAPABILITIES)?.get((&self.key.0, id))?.map(|row| row.value());
        Ok(kept.unwrap_or_default())
    }

    fn remember(&mut self, id: &[u8; 16], row: (bool, u64, i64), now: i64) -> Result<()> {
        let mut table = self.tx.open_table(CAPABILITIES)?;
        if table.insert((&self.key.0, id), row)?.is_some() {
            return Ok(());
        }
        let all = (&self.key.0, &[0; 16])..=(&self.key.0, &[u8::MAX; 16]);
        let before = table.range(all.clone())?.count();
        table.retain_in(all.clone(), |_, (_, _, expires)| expires > now)?;
        let (mut after, mut alike) = (0, 0);
        for entry in table.range(all)? {
            after += 1;
            alike += usize::from(entry?.1.value().0 == row.0);
        }
        // Each kind for itself: holders cannot fill the room of what is revoked.
        if alike > MAX_REMEMBERED {
            return Err(Error::resource_exhausted("too many capabilities of this collection are remembered")
                .with("limit", MAX_REMEMBERED)
                .with("left", 0));
        }
        self.add(entry());
        self.take_away((before - after) as u64 * entry());
        Ok(())
    }

    pub(super) fn delete(&mut self) -> Result<()> {
        self.forget_topology()?;
        let record = *self.record()?;
        let key = &self.key.0;
        self.tx.open_table(SEGMENTS)?.retain_in((key, 0)..=(key, u64::MAX), |_, _| false)?;
        self.tx.open_table(STAMPS)?.retain_in((key, &[0; NONCE])..=(key, &[u8::MAX; NONCE]), |_, _| false)?;
        self.tx.open_table(PAYLOADS)?.retain_in((key, &[0; 16])..=(key, &[u8::MAX; 16]), |_, _| false)?;
        self.tx.open_table(CAPABILITIES)?.retain_in((key, &[0; 16])..=(key, &[u8::MAX; 16]), |_, _| false)?;
        self.tx.open_table(MANIFESTS)?.remove(key)?;
        self.take_away(record.bytes);
        self.record = None;
        self.collections = self.collections.saturating_sub(1);
        Ok(())
    }

    /// Writes the account down, and says how much room is left.
    pub(super) fn close(self) -> Result<Vec<u8>> {
        let over = self.bytes > self.policy.tenant_bytes || self.total > self.policy.capacity_bytes;
        if self.bytes > self.before && over {
            let used = self.total - (self.bytes - self.before);
            return Err(Error::resource_exhausted("the quota of bytes at this host is reached")
                .with("needed", self.bytes - self.before)
                .with("left", left(self.policy, self.before, used)));
        }
        let mut collections = self.tx.open_table(COLLECTIONS)?;
        match &self.record {
            Some(record) => drop(collections.insert(&self.key.0, record.row())?),
            None => drop(collections.remove(&self.key.0)?),
        }
        let mut tenants = self.tx.open_table(TENANTS)?;
        match self.collections {
            0 => drop(tenants.remove(self.key.owner())?),
            count => drop(tenants.insert(self.key.owner(), (self.bytes, count))?),
        }
        self.tx.open_table(TOTALS)?.insert(BYTES, self.total)?;
        let left = left(self.policy, self.bytes, self.total);
        Ok(Room { used: self.bytes, left, collections: self.collections }.write())
    }
}
