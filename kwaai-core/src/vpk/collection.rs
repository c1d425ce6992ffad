//! The owner's side of a collection: vectors with ids and payloads, at hosts that cannot read them.
//!
//! What is put in is durable and found at once: it is in the owner's database, among the vectors that were not sealed yet.
//! When there are enough for a segment, they are sealed and brought to the hosts; only when enough hosts have them does
//! the owner forget the numbers. What a host could not be told waits in the database, in its order.
//!
//! Payloads stay with the owner, and sealed copies go to the hosts for a day on which the owner has lost its disk. A search
//! never asks for them: that would tell what was found.

mod ask;
mod claim;
mod delivery;
mod evidence;
mod item;
mod leftovers;
mod move_on;
mod pages;
mod recover;
mod repair;
mod rotate;
mod search;
mod shape;
mod site;
mod state;
mod tables;
mod topology;
mod verify;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::hosts::Hosts;
use super::keeper::HostName;
use super::request::Call;
use super::{CollectionId, CollectionKey, Leakage, Owner};
use crate::store::Store;
use crate::{Error, ErrorCode, Result};
use shape::Record;
use site::Site;
use state::State;
use tables::Change;

pub use item::{Hit, Item};
pub(super) use recover::Lost;
pub use recover::RecoverConfig;
pub use repair::Repair;
pub use search::{Found, MAX_HITS};
pub use shape::CollectionConfig;
pub(super) use tables::names;
pub use verify::{HostReport, PartState};

/// A collection of this node at its hosts. Cheap to clone; every clone is the same collection.
#[derive(Clone)]
pub struct Collection {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    id: CollectionId,
    store: Store,
    hosts: Arc<Hosts>,
    current: RwLock<Current>,
    /// One change at a time.
    writing: tokio::sync::Mutex<Record>,
    /// The hosts have another manifest than the owner's state.
    dirty: AtomicBool,
    /// It was destroyed.
    gone: AtomicBool,
    /// Another machine has recovered it, and its record counts more than this one's.
    superseded: AtomicBool,
}

/// What there is, where, and under which key. They change together.
#[derive(Clone)]
struct Current {
    state: State,
    key: CollectionKey,
    owner: Arc<dyn Owner>,
    site: Arc<Site>,
}

/// How a collection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionStats {
    /// How many vectors there are.
    pub vectors: usize,
    /// How many of them are with the owner alone, not sealed yet.
    pub buffered: usize,
    /// In how many segments the others are.
    pub segments: usize,
    /// How many places in them hold nothing any more.
    pub deleted: usize,
    /// The number of the key.
    pub epoch: u32,
    /// The hosts for which something waits.
    pub behind: Vec<HostName>,
    /// The hosts that answered wrongly since the collection was opened.
    pub liars: Vec<HostName>,
}

impl Collection {
    /// Makes a collection, under a new key, at the hosts that its configuration names.
    pub(super) async fn create(
        store: Store,
        name: &str,
        config: CollectionConfig,
        hosts: Arc<Hosts>,
    ) -> Result<Collection> {
        config.check()?;
        let key = CollectionKey::generate()?;
        let owner = config.owner(&key)?;
        if config.segment() == 0 {
            return Err(Error::invalid_argument("a segment of such vectors does not fit one call"));
        }
        let site = Site::new(key.collection(), config, &hosts, |_| Ok(true))?;
        let request = site.request(site.config.creation());
        let record = Record::new(&site.config, &key);
        {
            let (name, key, record, hosts) = (name.to_owned(), key.clone(), record.clone(), site.hosts.len());
            let work = store.write_async(move |tx| {
                let change = Change { tx, id: key.collection() };
                if !change.is_new(&name)? {
                    return Err(Error::already_exists(format!("there is a collection {name:.60?} already")));
                }
                change.key(&key)?;
                (0..hosts).try_for_each(|host| change.send(host as u32, &request))?;
                change.record(&name, &record)
            });
            work.await?;
        }
        let current = Current { state: State::default(), key, owner, site: Arc::new(site) };
        let collection = Collection::with(store, name, hosts, record, current)?;
        let made = collection.inner.deliver_all(false).await;
        if let Err(error) = made {
            // Nobody has anything yet, so that nothing is lost by taking it back.
            collection.inner.abandon().await?;
            return Err(error);
        }
        Ok(collection)
    }

    /// Opens a collection that was made before.
    pub(super) async fn open(store: Store, name: &str, hosts: Arc<Hosts>) -> Result<Collection> {
        let wanted = name.to_owned();
        let (record, key, state) = store
            .read_async(move |tx| {
                let record = tables::record(tx, &wanted)?.ok_or_else(|| tables::missing(&wanted))?;
                let id = record.id()?;
                let key = tables::key(tx, id, record.epoch)?;
                let state = tables::state(tx, id, record.config()?.dimension)?;
                Ok((record, key, state))
            })
            .await?;
        let config = record.config()?;
        config.check()?;
        let owner = config.owner(&key)?;
        let site = Site::known(record.id()?, record.site()?, config, &hosts, &store)?;
        let current = Current { state, key, owner, site: Arc::new(site) };
        let collection = Collection::with(store, name, hosts, record, current)?;
        collection.inner.sweep_in_background().await?;
        Ok(collection)
    }

    fn with(store: Store, name: &str, hosts: Arc<Hosts>, record: Record, current: Current) -> Result<Collection> {
        Ok(Collection {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                id: record.id()?,
                store,
                hosts,
                current: RwLock::new(current),
                writing: tokio::sync::Mutex::new(record),
                dirty: AtomicBool::new(true),
                gone: AtomicBool::new(false),
                superseded: AtomicBool::new(false),
            }),
        })
    }

    /// The name under which this node has it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its id, which never changes.
    pub fn id(&self) -> CollectionId {
        self.inner.id
    }

    /// The id by which its hosts know it: its own, until a rotation or a repair brings everything to another.
    pub fn site(&self) -> CollectionId {
        self.inner.site().id
    }

    /// What it is, and who its hosts are now.
    pub fn config(&self) -> CollectionConfig {
        self.inner.site().config.clone()
    }

    /// What its hosts learn.
    pub fn leakage(&self) -> &'static Leakage {
        self.inner.site().config.mode.leakage()
    }

    /// The bytes of the last question to a host, and of the last reply of one; 0 before the first.
    pub(super) fn sizes(&self) -> (usize, usize) {
        self.inner.site().sizes()
    }

    /// How it stands.
    pub fn stats(&self) -> CollectionStats {
        let Current { state, key, site, .. } = self.inner.current();
        let places: usize = state.segments.values().map(|segment| segment.live.len()).sum();
        let behind = (0..site.hosts.len()).filter(|host| site.is_behind(*host)).map(|host| site.name(host)).collect();
        let liars = site.liars().iter().map(|host| site.name(*host)).collect();
        CollectionStats {
            vectors: state.known.len(),
            buffered: state.tail.len(),
            segments: state.segments.len(),
            deleted: places + state.tail.len() - state.known.len(),
            epoch: key.epoch(),
            behind,
            liars,
        }
    }

    /// Forgets the collection, here and at its hosts. Whoever of them keeps a copy of its bytes can do nothing with it: the
    /// key is gone. Every verb but the names is `closed` from then on, for every clone.
    ///
    /// # Errors
    /// What a host answers that cannot be reached or does not do it. It stays a collection then, and can be destroyed again.
    pub async fn destroy(&self) -> Result<()> {
        self.change(|inner| async move {
            let _record = inner.writing.lock().await;
            inner.check_there()?;
            inner.sweep().await?;
            let site = inner.site();
            for host in 0..site.hosts.len() {
                match site.call(host, Call::Delete).await {
                    Err(error) if error.code() != ErrorCode::NotFound => return Err(error),
                    _ => {}
                }
            }
            inner.abandon().await
        })
        .await
    }

    /// Whether it was destroyed.
    pub(super) fn is_gone(&self) -> bool {
        self.inner.gone.load(Ordering::Acquire)
    }

    /// Changes something to its end, also when the caller gives up.
    async fn change<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F + Send) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let done = tokio::spawn(work(self.inner.clone())).await;
        done.unwrap_or_else(|error| Err(Error::internal("a change did not finish").with_source(error)))
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("name", &self.inner.name).field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Inner {
    /// How everything is now.
    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> State {
        self.current().state
    }

    fn site(&self) -> Arc<Site> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).site.clone()
    }

    fn change_current<T>(&self, work: impl FnOnce(&mut Current) -> T) -> T {
        work(&mut self.current.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_state<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.change_current(|current| work(&mut current.state))
    }

    /// Waits for its turn to change something.
    async fn lock(&self) -> Result<tokio::sync::MutexGuard<'_, Record>> {
        let record = self.writing.lock().await;
        self.check_there()?;
        if self.superseded.load(Ordering::Acquire) {
            return Err(topology::superseded());
        }
        Ok(record)
    }

    fn check_there(&self) -> Result<()> {
        if self.gone.load(Ordering::Acquire) {
            return Err(Error::closed("this collection was destroyed"));
        }
        Ok(())
    }

    /// Writes to the owner's database.
    async fn write(&self, work: impl FnOnce(Change<'_>) -> Result<()> + Send + 'static) -> Result<()> {
        let id = self.id;
        self.store.write_async(move |tx| work(Change { tx, id })).await
    }

    async fn abandon(&self) -> Result<()> {
        let name = self.name.clone();
        self.write(move |change| change.forget(&name)).await?;
        self.gone.store(true, Ordering::Release);
        self.change_state(|state| {
            *state = State::default();
            Ok(())
        })
    }
}

/// Computes off the async workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal("a computation did not finish").with_source(error)))
}
