//! A node of hivemind's DHT.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::identity::Keypair;
use tokio::sync::{Semaphore, mpsc};

use super::announce::Announcements;
use super::id::DhtId;
use super::silence::Silence;
use super::storage::Storage;
use super::table::{BUCKET, Table};
use crate::clock::{Clock, SystemClock};
use crate::net::dispatch::Dispatch;
use crate::net::driver::Command;
use crate::net::limits::Quota;

/// How often what has expired is forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// After so many sweeps this node asks who is near it.
const REFRESH: u32 = 5;
/// Calls of one peer that are answered at the same time, and of all; hivemind sends as many at once as it has.
const CALLS_OF_A_PEER: usize = 256;
const CALLS: usize = 1024;

/// What requests of others and the answers to them may occupy at the same time, or a thousand askers at once would take
/// gigabytes.
const UNDER_WAY_KIB: usize = 64 * 1024;

/// How a node takes part in hivemind's DHT.
#[derive(Clone)]
pub struct Settings {
    /// Tells what has expired.
    pub clock: Arc<dyn Clock>,
    /// The most keys that are kept for others.
    pub max_records: usize,
    /// The most bytes that are kept for others.
    pub max_bytes: usize,
}

impl Default for Settings {
    /// The system's clock, 262,144 keys, 128 MiB.
    fn default() -> Settings {
        Settings { clock: Arc::new(SystemClock), max_records: 262_144, max_bytes: 128 * 1024 * 1024 }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { max_records, max_bytes, .. } = self;
        f.debug_struct("Settings")
            .field("max_records", max_records)
            .field("max_bytes", max_bytes)
            .finish_non_exhaustive()
    }
}

/// What this node knows and keeps, and the way to others.
pub(crate) struct Dht {
    pub(super) id: DhtId,
    pub(super) local: PeerId,
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) calls: Arc<Quota>,
    /// One at a time: work that would keep everybody else waiting.
    pub(super) heavy: Arc<Semaphore>,
    /// KiB that requests and answers under way may occupy.
    pub(super) memory: Semaphore,
    pub(super) announcements: Announcements,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    table: Mutex<Table>,
    silence: Mutex<Silence>,
}

/// The two storages of a node: what it is asked to keep, and copies that may go early.
pub(super) struct Kept {
    pub records: Storage,
    pub copies: Storage,
}

impl Kept {
    /// The most bytes that an answer with what is kept under a key can need.
    pub fn size_of(&self, key: &DhtId) -> usize {
        self.records.size_of(key).max(self.copies.size_of(key))
    }

    pub fn storage(&mut self, in_cache: bool) -> &mut Storage {
        if in_cache { &mut self.copies } else { &mut self.records }
    }
}

impl Dht {
    pub(crate) fn new(
        settings: Settings,
        pair: Keypair,
        dispatch: Arc<Dispatch>,
        commands: mpsc::Sender<Command>,
    ) -> Arc<Dht> {
        let local = dispatch.shared.local;
        let id = DhtId::of_peer(&local);
        let Settings { clock, max_records, max_bytes } = settings;
        Arc::new(Dht {
            id,
            local,
            dispatch,
            commands,
            calls: Quota::new(CALLS_OF_A_PEER, CALLS),
            heavy: Arc::new(Semaphore::new(1)),
            memory: Semaphore::new(UNDER_WAY_KIB),
            announcements: Announcements::new(pair),
            clock,
            kept: Mutex::new(Kept {
                records: Storage::new(max_records, max_bytes),
                copies: Storage::new(max_records / 8, max_bytes / 8),
            }),
            table: Mutex::new(Table::new(id)),
            silence: Mutex::default(),
        })
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs under this lock or the next two.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> f64 {
        self.clock.now().as_microsecond() as f64 / 1e6
    }

    /// Runs work until the network ends.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.dispatch.spawn(work);
    }

    /// Notes that a node is there; whoever must make room for it is asked whether it still is.
    pub(super) fn saw(self: &Arc<Dht>, id: &[u8], peer: PeerId) {
        let Some(id) = DhtId::from_slice(id).filter(|_| peer != self.local) else { return };
        let (new, doubtful) = {
            let mut table = self.table();
            let known = table.id_of(&peer).is_some();
            let doubtful = table.saw(id, peer);
            (!known && table.id_of(&peer).is_some(), doubtful)
        };
        if new && !self.kept().records.is_empty() {
            let this = self.clone();
            self.spawn(async move { this.hand_over(id, peer).await });
        }
        if let Some(doubtful) = doubtful {
            let this = self.clone();
            // A call that fails takes the node out of the table.
            self.spawn(async move { drop(this.ping(doubtful, false).await) });
        }
    }

    /// A connected peer says that it speaks hivemind's protocols.
    pub(crate) fn met(self: &Arc<Dht>, peer: PeerId) {
        if self.table().id_of(&peer).is_some() {
            return;
        }
        let this = self.clone();
        self.spawn(async move {
            let first = this.table().is_empty();
            if this.ping(peer, false).await.is_ok() && first {
                this.nearest(this.id, BUCKET).await;
            }
        });
    }

    /// Keeps storage and table fresh until the network ends.
    pub(crate) fn maintain(self: &Arc<Dht>) {
        let this = self.clone();
        self.spawn(async move { this.renew().await });
        let this = self.clone();
        self.spawn(async move {
            for round in (0..REFRESH).cycle().skip(1) {
                tokio::time::sleep(SWEEP).await;
                this.sweep();
                if round == 0 {
                    this.nearest(this.id, BUCKET).await;
                }
            }
        });
    }

    fn sweep(&self) {
        let now = self.now();
        let mut kept = self.kept();
        kept.records.sweep(now);
        kept.copies.sweep(now);
    }
}
