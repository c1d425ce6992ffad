//! The owner's side of a collection: vectors with ids and payloads, at hosts that cannot read them.
//!
//! What is put in is durable and found at once: it is in the owner's database, among the vectors that were not sealed yet.
//! When there are enough for a segment, they are sealed and brought to the hosts; only when enough hosts have them does
//! the owner forget the numbers. What a host could not be told waits in the database, in its order.
//!
//! Payloads stay with the owner, and sealed copies go to the hosts for a day on which the owner has lost its disk. A search
//! never asks for them: that would tell what was found.

mod delivery;
mod item;
mod pages;
mod rotate;
mod search;
mod shape;
mod state;
mod tables;
mod verify;
mod write;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::keeper::{HostName, Keeper};
use super::request::{Call, Request};
use super::{CollectionId, CollectionKey, Leakage, Owner};
use crate::store::Store;
use crate::{Error, ErrorCode, Result};
use shape::Record;
use state::State;
use tables::Change;

pub use item::{Hit, Item};
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
    config: CollectionConfig,
    store: Store,
    hosts: Vec<HostSide>,
    /// The key, and the owner's side under it; both are replaced by a rotation.
    owner: RwLock<(CollectionKey, Arc<dyn Owner>)>,
    state: RwLock<State>,
    /// One change at a time.
    writing: tokio::sync::Mutex<Record>,
    /// The hosts have another manifest than the owner's state.
    dirty: AtomicBool,
    /// It was destroyed.
    gone: AtomicBool,
    liars: Arc<Mutex<BTreeSet<usize>>>,
}

struct HostSide {
    keeper: Arc<dyn Keeper>,
    /// Requests wait for it, so that it has other segments than the owner knows.
    behind: AtomicBool,
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
    /// Makes a collection, under a new key, at these hosts.
    pub(super) async fn create(
        store: Store,
        name: &str,
        config: CollectionConfig,
        keepers: Vec<Arc<dyn Keeper>>,
    ) -> Result<Collection> {
        config.check()?;
        let key = CollectionKey::generate()?;
        let owner = config.owner(&key)?;
        if config.segment() == 0 {
            return Err(Error::invalid_argument("a segment of such vectors does not fit one call"));
        }
        let call = Call::Create { mode: config.mode, dimension: config.dimension as u32 };
        let request = Request { collection: key.collection(), capability: None, call };
        let record = Record::new(&config, &key);
        {
            let (name, key, record, hosts) = (name.to_owned(), key.clone(), record.clone(), keepers.len());
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
        let collection = Collection::with(store, name, record, (key, owner), State::default(), keepers, true)?;
        let made = collection.inner.deliver_all(false).await;
        if let Err(error) = made {
            // Nobody has anything yet, so that nothing is lost by taking it back.
            collection.inner.abandon().await?;
            return Err(error);
        }
        Ok(collection)
    }

    /// Opens a collection that was made before.
    pub(super) async fn open(
        store: Store,
        name: &str,
        keepers: impl FnOnce(&CollectionConfig) -> Result<Vec<Arc<dyn Keeper>>>,
    ) -> Result<Collection> {
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
        let keepers = keepers(&config)?;
        Collection::with(store, name, record, (key, owner), state, keepers, false)
    }

    fn with(
        store: Store,
        name: &str,
        record: Record,
        owner: (CollectionKey, Arc<dyn Owner>),
        state: State,
        keepers: Vec<Arc<dyn Keeper>>,
        behind: bool,
    ) -> Result<Collection> {
        let (id, config) = (record.id()?, record.config()?);
        let mut hosts = Vec::with_capacity(keepers.len());
        for (number, keeper) in keepers.into_iter().enumerate() {
            let waits = behind || store.read(|tx| tables::first_waiting(tx, id, number as u32))?.is_some();
            hosts.push(HostSide { keeper, behind: AtomicBool::new(waits) });
        }
        Ok(Collection {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                id,
                config,
                store,
                hosts,
                owner: RwLock::new(owner),
                state: RwLock::new(state),
                writing: tokio::sync::Mutex::new(record),
                dirty: AtomicBool::new(true),
                gone: AtomicBool::new(false),
                liars: Arc::default(),
            }),
        })
    }

    /// The name under which this node has it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The id by which hosts know it.
    pub fn id(&self) -> CollectionId {
        self.inner.id
    }

    /// What it is.
    pub fn config(&self) -> &CollectionConfig {
        &self.inner.config
    }

    /// What its hosts learn.
    pub fn leakage(&self) -> &'static Leakage {
        self.inner.config.mode.leakage()
    }

    /// How it stands.
    pub fn stats(&self) -> CollectionStats {
        let state = self.inner.state();
        let places: usize = state.segments.values().map(|segment| segment.live.len()).sum();
        let named = |host: &HostSide| host.keeper.name();
        let behind = self.inner.hosts.iter().filter(|host| host.behind.load(Ordering::Acquire)).map(named).collect();
        let liars = self.inner.liars().iter().filter_map(|host| self.inner.hosts.get(*host)).map(named).collect();
        CollectionStats {
            vectors: state.known.len(),
            buffered: state.tail.len(),
            segments: state.segments.len(),
            deleted: places + state.tail.len() - state.known.len(),
            epoch: self.inner.owner().0.epoch(),
            behind,
            liars,
        }
    }

    /// Its key, as text that opens with a passphrase; see [`CollectionKey::export`].
    ///
    /// # Errors
    /// Those of [`CollectionKey::export`].
    pub async fn export_key(&self, passphrase: &str) -> Result<String> {
        let (key, passphrase) = (self.inner.owner().0, zeroize::Zeroizing::new(passphrase.to_owned()));
        blocking(move || key.export(&passphrase)).await
    }

    /// Forgets the collection, here and at its hosts. Whoever of them keeps a copy of its bytes can do nothing with it: the
    /// key is gone. Every verb but the names is `closed` from then on, for every clone.
    ///
    /// # Errors
    /// What a host answers that cannot be reached or does not do it. It stays a collection then, and can be destroyed again.
    pub async fn destroy(&self) -> Result<()> {
        self.change(|inner| async move {
            let _record = inner.lock().await?;
            for host in 0..inner.hosts.len() {
                match inner.call(host, Call::Delete).await {
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
    /// The vectors as they are now.
    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_state<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        work(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn owner(&self) -> (CollectionKey, Arc<dyn Owner>) {
        self.owner.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn liars(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.liars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_behind(&self, host: usize) -> bool {
        self.hosts[host].behind.load(Ordering::Acquire)
    }

    /// Waits for its turn to change something.
    async fn lock(&self) -> Result<tokio::sync::MutexGuard<'_, Record>> {
        let record = self.writing.lock().await;
        self.check_there()?;
        Ok(record)
    }

    fn check_there(&self) -> Result<()> {
        if self.gone.load(Ordering::Acquire) {
            return Err(Error::closed("this collection was destroyed"));
        }
        Ok(())
    }

    async fn call(&self, host: usize, call: Call) -> Result<Vec<u8>> {
        let keeper = &self.hosts[host].keeper;
        let request = Request { collection: self.id, capability: None, call };
        keeper.call(request).await.map_err(|error| error.with("host", keeper.name()))
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
