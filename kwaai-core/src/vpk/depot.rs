//! A host's disk: the collections of many tenants in the database of its data directory.
//!
//! A collection belongs to the identity whose connection made it, and ids of different owners never meet: who asks for
//! another's collection without a [`Capability`] asks for one of its own that does not exist. Everything is checked before it
//! is kept, each change is one transaction, and nothing is read at the start: what is wrong with one collection is told to
//! who asks for it, and to nobody else.

mod account;
mod memory;
mod policy;
mod tables;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use super::capability::{Capability, Quotas, Right};
use super::kept::{Described, KeptManifest};
use super::request::{Call, PayloadName, Request};
use super::segment::SegmentStamp;
use super::topology::Header;
use super::{CollectionId, FieldHost, Host, Mode, seal};
use crate::clock::Clock;
use crate::identity::Did;
use crate::store::Store;
use crate::trust::statement::refused;
use crate::{Error, ErrorCode, Result};
use account::Account;
use memory::{Loaded, Memory};
use tables::{Key, Record};

pub use policy::DepotPolicy;
pub use tables::Tenant;

/// Every right; what an owner has, whatever it asks.
const OWNER_ONLY: Option<Right> = None;

/// The collections that a machine keeps for others. Every call blocks the thread; see [`Depot::answer`].
pub struct Depot {
    store: Store,
    host: Did,
    clock: Arc<dyn Clock>,
    policy: DepotPolicy,
    memory: Memory,
    recorded: Arc<Notify>,
}

impl Depot {
    /// Opens the collections in a data directory for `host`, the identity that capabilities name.
    ///
    /// # Errors
    /// `invalid_argument` for a policy that allows nothing.
    pub fn open(store: Store, host: Did, clock: Arc<dyn Clock>, policy: DepotPolicy) -> Result<Depot> {
        policy.check()?;
        let memory = Memory::new(policy.memory_bytes);
        Ok(Depot { store, host, clock, policy, memory, recorded: Arc::default() })
    }

    /// What it may take.
    pub fn policy(&self) -> &DepotPolicy {
        &self.policy
    }

    /// The owners of the collections, and how much is kept for each.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn tenants(&self) -> Result<Vec<Tenant>> {
        self.store.read(tables::tenants)
    }

    /// Forgets everything that is kept for one owner.
    ///
    /// # Errors
    /// `not_found` when nothing is; failures of the disk.
    pub fn evict(&self, owner: Did) -> Result<()> {
        let all = self.store.read(|tx| tables::collections(tx, &owner))?;
        if all.is_empty() {
            return Err(Error::not_found("nothing is kept for this owner").with("owner", owner));
        }
        all.into_iter().try_for_each(|one| self.delete(&Key::new(&owner, one.collection)).map(drop))
    }

    /// Does what `caller`, whom the connection authenticated, asks for, and returns the answer's bytes.
    ///
    /// # Errors
    /// `permission_denied` with the broken `rule` for a capability that does not hold; `not_found`, `already_exists` and
    /// `conflict` as the request says; `invalid_argument` and `corrupt_data` for bytes that are not what they should be;
    /// `resource_exhausted` with `left` when a quota is reached; failures of the disk. Nothing is changed in these cases.
    pub fn answer(&self, caller: Did, request: &Request) -> Result<Vec<u8>> {
        let (owner, quotas) = self.admit(caller, request)?;
        let key = Key::new(&owner, request.collection);
        match &request.call {
            Call::Create { mode, dimension } => self.create(&key, *mode, *dimension),
            Call::PutSegment(bytes) => self.put_segment(&key, bytes, &quotas),
            Call::PutPayload(name, bytes) => self.put_payload(&key, name, bytes, &quotas),
            Call::RemoveSegment(stamp) => self.remove_segment(&key, stamp),
            Call::RemovePayload(name) => self.change(&key, &Quotas::new(), |account| account.remove_payload(name)),
            Call::FetchSegment(stamp) => self.store.read(|tx| tables::segment(tx, &key, stamp)),
            Call::FetchPayload(name) => self.store.read(|tx| tables::payload(tx, &key, name)),
            Call::Admit(session) => self.admit_session(&key, session),
            Call::Ask(question) => self.loaded(&key, |loaded| loaded.host.answer(question)),
            Call::ReadManifest => self.read_manifest(&key),
            Call::ReplaceManifest(number, bytes) => {
                self.change(&key, &Quotas::new(), |account| account.replace_manifest(*number, bytes))
            }
            Call::Delete => self.delete(&key),
            Call::List => self.store.read(|tx| Ok(Described::write(&tables::collections(tx, &owner)?))),
            Call::Describe => self.store.read(|tx| Ok(Described::write(&[tables::describe(tx, &key)?]))),
            Call::Health => self.store.read(|tx| Ok(tables::room(tx, &owner, &self.policy)?.write())),
            Call::Revoke(id, until) => self.revoke(&key, id, *until),
            Call::PutTopology(record) => self.put_topology(&key, record),
            Call::Resolve(author) => self.resolve(request.collection, author),
        }
    }

    /// Whose collection the request is about, once it is clear that the caller may ask it.
    fn admit(&self, caller: Did, request: &Request) -> Result<(Did, Quotas)> {
        let needed = match &request.call {
            Call::PutSegment(_) | Call::PutPayload(..) => Some(Right::Append),
            Call::FetchSegment(_) | Call::FetchPayload(_) | Call::ReadManifest => Some(Right::Read),
            Call::Admit(_) | Call::Ask(_) => Some(Right::Search),
            // Whatever it is for, its holder has to know the segments.
            Call::Describe => Some(Right::Search),
            _ => OWNER_ONLY,
        };
        let Some(text) = &request.capability else { return Ok((caller, Quotas::new())) };
        let capability = Capability::read(text).map_err(|error| match error.code() {
            ErrorCode::Unsupported => error,
            _ => refused(ErrorCode::PermissionDenied, "capability", "the capability does not hold").with_source(error),
        })?;
        let Some(right) = needed else {
            return Err(refused(ErrorCode::PermissionDenied, "rights", "only its owner may do this to a collection"));
        };
        let held: BTreeSet<Right> = capability.grant().rights.clone();
        let right = match &request.call {
            Call::Describe => held.into_iter().next().unwrap_or(right),
            _ => right,
        };
        capability.check(caller, self.host, request.collection, right, self.clock.now())?;
        let (issuer, quotas) = (capability.owner(), capability.quotas());
        // A recovery key that the owner has made known here reads in its place.
        let reads = matches!(right, Right::Read | Right::Search);
        let owner = match self.store.read(|tx| tables::stands_in(tx, &issuer, &request.collection))? {
            Some(owner) if reads => owner,
            _ => issuer,
        };
        let key = Key::new(&owner, request.collection);
        if self.store.read(|tx| tables::revoked(tx, &key, quotas.iter().map(|(id, ..)| id)))? {
            return Err(refused(ErrorCode::PermissionDenied, "revoked", "the capability was revoked"));
        }
        Ok((owner, quotas))
    }

    fn create(&self, key: &Key, mode: Mode, dimension: u32) -> Result<Vec<u8>> {
        let record = Record::new(mode, dimension);
        self.store.write(|tx| Account::create(tx, key, &self.policy, record)?.close())
    }

    fn put_segment(&self, key: &Key, bytes: &[u8], quotas: &Quotas) -> Result<Vec<u8>> {
        let record = self.store.read(|tx| tables::record(tx, key))?;
        // Parsed where nothing waits for it.
        let stamp = tables::check_segment(&record, bytes)?;
        self.with_slot(key, |slot| {
            let room = self.change(key, quotas, |account| account.put_segment(&stamp, bytes))?;
            self.follow(key, slot, |host| host.store(bytes));
            Ok(room)
        })
    }

    fn put_payload(&self, key: &Key, name: &PayloadName, bytes: &[u8], quotas: &Quotas) -> Result<Vec<u8>> {
        let may_replace = quotas.is_empty();
        self.change(key, quotas, |account| account.put_payload(name, bytes, may_replace))
    }

    fn remove_segment(&self, key: &Key, stamp: &SegmentStamp) -> Result<Vec<u8>> {
        self.with_slot(key, |slot| {
            let removed = self.change(key, &Quotas::new(), |account| account.remove_segment(stamp));
            match (&removed, slot.as_mut()) {
                (Ok(_), _) => self.follow(key, slot, |host| host.remove(stamp)),
                // A full disk keeps it, and the owner's questions are about the others: it would find nothing until there is
                // room. What is read from the disk again is removed again by who asks.
                (Err(error), Some(loaded)) if error.code() == ErrorCode::ResourceExhausted => {
                    loaded.host.remove(stamp).inspect_err(|error| {
                        tracing::debug!(code = %error.code(), "a segment is neither on the disk nor in memory");
                    })?;
                }
                _ => {}
            }
            removed
        })
    }

    /// Changes what is in memory as the disk was changed.
    fn follow(&self, key: &Key, slot: &mut Option<Loaded>, work: impl FnOnce(&mut dyn Host) -> Result<()>) {
        let Some(loaded) = slot.as_mut() else { return };
        match work(&mut *loaded.host).and_then(|()| self.store.read(|tx| tables::record(tx, key))) {
            Ok(record) => loaded.rows = record.memory(),
            Err(error) => {
                // It is on the disk, and read from there by who asks next.
                tracing::debug!(code = %error.code(), "a collection in memory could not follow the disk");
                *slot = None;
            }
        }
    }

    fn put_topology(&self, key: &Key, record: &[u8]) -> Result<Vec<u8>> {
        // Checked where nothing waits for it.
        let header = Header::read(record)?;
        if Key::new(&header.owner, header.site) != *key {
            // A host of the collection could bring a copy to another one, and take the owner's place there.
            return Err(Error::permission_denied("the record is about another collection than its sender's"));
        }
        let room = self.change(key, &Quotas::new(), |account| account.put_topology(&header, record))?;
        self.recorded.notify_one();
        Ok(room)
    }

    fn resolve(&self, collection: CollectionId, author: &[u8; 32]) -> Result<Vec<u8>> {
        let all = self.store.read(|tx| tables::topologies(tx, &Key::of(author, &collection.0)))?;
        let ranked = all.into_iter().filter_map(|(_, record)| Some((Header::read(&record).ok()?.rank(), record)));
        let highest = ranked.max_by_key(|(rank, _)| *rank);
        highest
            .map(|(_, record)| record)
            .ok_or_else(|| Error::not_found("this host has no record of such a collection"))
    }

    /// The collections of which it has records.
    pub(super) fn recorded(&self) -> Result<Vec<CollectionId>> {
        self.store.read(tables::recorded)
    }

    /// Notified when there is another record.
    pub(super) fn another_record(&self) -> Arc<Notify> {
        self.recorded.clone()
    }

    fn read_manifest(&self, key: &Key) -> Result<Vec<u8>> {
        let kept: KeptManifest = self.store.read(|tx| tables::manifest(tx, key))?;
        Ok(kept.write())
    }

    fn delete(&self, key: &Key) -> Result<Vec<u8>> {
        self.with_slot(key, |slot| {
            let room = self.change(key, &Quotas::new(), |account| account.delete())?;
            *slot = None;
            Ok(room)
        })
    }

    fn revoke(&self, key: &Key, id: &[u8; 16], until: i64) -> Result<Vec<u8>> {
        let now = self.clock.now().as_second();
        self.change(key, &Quotas::new(), |account| account.revoke(id, until, now))
    }

    /// Does `work` in a transaction that keeps within the quotas, and says how much room is left.
    fn change(&self, key: &Key, quotas: &Quotas, work: impl FnOnce(&mut Account) -> Result<()>) -> Result<Vec<u8>> {
        let now = self.clock.now().as_second();
        self.store.write(|tx| {
            let mut account = Account::open(tx, key, &self.policy)?;
            work(&mut account)?;
            account.count_against(quotas, now)?;
            account.close()
        })
    }

    fn admit_session(&self, key: &Key, session: &[u8]) -> Result<Vec<u8>> {
        self.loaded(key, |_| Ok(()))?;
        self.with_slot(key, |slot| {
            let loaded = slot.as_mut().ok_or_else(|| Error::busy("the host is short of memory"))?;
            loaded.host.admit(session)?;
            loaded.sessions = (loaded.sessions + 1).min(seal::MAX_SESSIONS);
            Ok(())
        })?;
        self.memory.settle(key);
        Ok(Vec::new())
    }

    /// Works with a collection in memory, where it is read to when it is not there.
    fn loaded<T>(&self, key: &Key, work: impl FnOnce(&Loaded) -> Result<T>) -> Result<T> {
        let slot = self.memory.slot(key);
        if slot.read().is_ok_and(|slot| slot.is_none()) || slot.is_poisoned() {
            self.load(key, &slot)?;
        }
        let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
        let loaded = slot.as_ref().ok_or_else(|| Error::busy("the host is short of memory"))?;
        work(loaded)
    }

    fn load(&self, key: &Key, slot: &RwLock<Option<Loaded>>) -> Result<()> {
        self.memory.make_room(key, self.store.read(|tx| tables::record(tx, key))?.memory())?;
        let mut slot = memory::locked(slot);
        if slot.is_none() {
            *slot = Some(self.store.read(|tx| read_all(tx, key))?);
        }
        drop(slot);
        self.memory.settle(key);
        Ok(())
    }

    /// Works while nobody else reads or changes the collection.
    fn with_slot<T>(&self, key: &Key, work: impl FnOnce(&mut Option<Loaded>) -> Result<T>) -> Result<T> {
        let slot = self.memory.slot(key);
        let done = work(&mut memory::locked(&slot));
        drop(slot);
        self.memory.settle(key);
        done
    }
}

fn read_all(tx: &redb::ReadTransaction, key: &Key) -> Result<Loaded> {
    let record = tables::record(tx, key)?;
    let dimension = record.dimension as usize;
    let mut host: Box<dyn Host> = match record.mode {
        Mode::Seal => Box::new(seal::SealHost::new(dimension)?),
        Mode::Split => Box::new(FieldHost::split(dimension)?),
        Mode::Plain => Box::new(FieldHost::plain(dimension)?),
    };
    tables::for_each_segment(tx, key, |bytes| host.store(bytes))?;
    Ok(Loaded { host, rows: record.memory(), sessions: 0 })
}

impl Key {
    fn new(owner: &Did, collection: CollectionId) -> Key {
        Key::of(owner.public_key(), &collection.0)
    }
}
