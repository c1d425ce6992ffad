//! Peers that this node reached, kept in its database, so that a restart needs no bootstrap.
//!
//! Only who was dialled here and said what it speaks gets in: an address that was merely told may be a lie. One range of
//! addresses cannot fill the cache, and at a start the dials are spread over the ranges, so that whoever has many addresses
//! side by side does not become all that a node knows.

mod row;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use redb::{ReadableTable, TableDefinition};
use tokio::task::JoinHandle;

use super::address::without_peer;
use super::driver::Driver;
use super::range::Range;
use crate::clock::Clock;
use crate::store::{Store, existing};
use crate::{Error, Result};
use row::Row;

/// PeerId → [`Row`].
const PEERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("net.peers");

/// The most peers that are remembered.
const MAX_PEERS: usize = 512;
/// The most of them in one near and in one wide range of addresses.
const MAX_IN_RANGE: (usize, usize) = (16, 64);
/// A start goes on dialling until so many peers are connected or tried at the same time.
const WANTED: usize = 8;
/// A success is noted anew only after so many seconds.
const FRESH: i64 = 600;
/// For how many seconds it counts that the owner named a peer, from when it was reached last.
const NAMED_FOR: i64 = 30 * 24 * 3600;
/// How often what is new is written.
pub(super) const WRITE_INTERVAL: Duration = Duration::from_secs(15);

/// Where a node keeps the peers that it reached.
#[derive(Clone)]
pub struct PeerCache {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl PeerCache {
    /// A cache in a node's database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> PeerCache {
        PeerCache { store, clock }
    }
}

impl fmt::Debug for PeerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCache").finish_non_exhaustive()
    }
}

/// What is in the cache, and the dials that it leads to.
pub(crate) struct Remembered {
    cache: PeerCache,
    rows: BTreeMap<PeerId, Row>,
    /// What is not written yet; `None` removes a row.
    changed: BTreeMap<Vec<u8>, Option<Row>>,
    writing: Option<JoinHandle<()>>,
    /// Who is still to be dialled after the start.
    waiting: VecDeque<(PeerId, Multiaddr)>,
    dials: HashSet<ConnectionId>,
}

impl Remembered {
    /// Reads the cache. A row that makes no sense is dropped, and removed with the next change.
    pub(crate) async fn load(cache: PeerCache) -> Result<Remembered> {
        let found: Vec<(Vec<u8>, Vec<u8>)> = cache
            .store
            .read_async(|transaction| {
                let Some(table) = existing(transaction.open_table(PEERS))? else { return Ok(Vec::new()) };
                let rows = table.iter()?.map(|entry| {
                    let (peer, row) = entry?;
                    Ok::<_, Error>((peer.value().to_vec(), row.value().to_vec()))
                });
                rows.collect()
            })
            .await?;
        let now = cache.clock.now().as_second();
        let (mut rows, mut changed) = (BTreeMap::new(), BTreeMap::new());
        for (key, row) in found {
            match (PeerId::from_bytes(&key), Row::decode(&row)) {
                // A time ahead of the clock would stay ahead of every other.
                (Ok(peer), Some(row)) => {
                    // Whom the owner does not name any more is one of many again.
                    let named = row.named && now - row.last < NAMED_FOR;
                    rows.insert(peer, Row { last: row.last.min(now), named, ..row });
                }
                _ => drop(changed.insert(key, None)),
            }
        }
        let (writing, waiting, dials) = (None, VecDeque::new(), HashSet::new());
        let mut remembered = Remembered { cache, rows, changed, writing, waiting, dials };
        remembered.make_room();
        remembered.waiting = remembered.in_turn();
        Ok(remembered)
    }

    /// Whether nobody is dialled, and nobody waits to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.dials.is_empty()
    }

    /// A dial ended. Whether it came from here.
    pub(crate) fn dialled(&mut self, id: ConnectionId) -> bool {
        self.dials.remove(&id)
    }

    fn note(&mut self, peer: PeerId, address: &Multiaddr, named: bool) {
        let now = self.cache.clock.now().as_second();
        let address = without_peer(address);
        let row = match self.rows.get(&peer) {
            Some(row) if row.address == address && row.named == named && now - row.last < FRESH => return,
            Some(row) => {
                let (last, days) = row.again(now);
                Row { address, last, days, named }
            }
            None => Row { address, last: now, days: 1, named },
        };
        // What could not be read again is not worth a place.
        if Row::decode(&row.encode()).is_none() {
            return;
        }
        self.changed.insert(peer.to_bytes(), Some(row.clone()));
        self.rows.insert(peer, row);
        self.make_room();
    }

    /// Forgets the least likely to answer of every range with too many, and of all.
    fn make_room(&mut self) {
        let mut best: Vec<_> = self.rows.iter().map(|(peer, row)| (row.rank(), *peer, &row.address)).collect();
        best.sort_by_key(|(rank, peer, _)| (Reverse(*rank), *peer));
        let (mut near, mut wide): (HashMap<Range, usize>, HashMap<Range, usize>) = Default::default();
        let (mut kept, mut gone) = (0, Vec::new());
        for (_, peer, address) in best {
            let crowded = Range::of_address(address).is_some_and(|(closer, wider)| {
                let (near, wide) = (near.entry(closer).or_default(), wide.entry(wider).or_default());
                let crowded = *near >= MAX_IN_RANGE.0 || *wide >= MAX_IN_RANGE.1;
                (*near, *wide) = (*near + 1, *wide + 1);
                crowded
            });
            match crowded || kept == MAX_PEERS {
                true => gone.push(peer),
                false => kept += 1,
            }
        }
        for peer in gone {
            self.rows.remove(&peer);
            self.changed.insert(peer.to_bytes(), None);
        }
    }

    /// Whom to dial first: those that the owner named, then the best of each range, then the second of each.
    fn in_turn(&self) -> VecDeque<(PeerId, Multiaddr)> {
        let mut best: Vec<_> = self.rows.iter().collect();
        best.sort_by_key(|(peer, row)| (Reverse(row.rank()), **peer));
        let mut taken: HashMap<Range, usize> = HashMap::new();
        let mut turns: Vec<_> = best
            .into_iter()
            .map(|(peer, row)| {
                let turn = match Range::of_address(&row.address) {
                    Some((near, _)) => {
                        let taken = taken.entry(near).or_default();
                        *taken += 1;
                        *taken
                    }
                    None => 1,
                };
                ((!row.named, turn), (*peer, row.address.clone()))
            })
            .collect();
        turns.sort_by_key(|(turn, _)| *turn);
        turns.into_iter().map(|(_, who)| who).collect()
    }

    /// Begins to write what is new, unless the last batch is still being written.
    fn write(&mut self) {
        if self.changed.is_empty() || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let (store, changed) = (self.cache.store.clone(), std::mem::take(&mut self.changed));
        self.writing = Some(tokio::spawn(async move {
            if let Err(error) = store.write_async(move |transaction| store_rows(transaction, &changed)).await {
                tracing::warn!(%error, "the peers that were reached could not be written");
            }
        }));
    }

    /// Writes all that is new, and waits for it.
    pub(crate) async fn flush(&mut self) {
        self.written().await;
        self.write();
        self.written().await;
    }

    async fn written(&mut self) {
        if let Some(writing) = self.writing.take() {
            // It has reported its own failure.
            let _ = writing.await;
        }
    }
}

fn store_rows(transaction: &redb::WriteTransaction, changed: &BTreeMap<Vec<u8>, Option<Row>>) -> Result<()> {
    let mut table = transaction.open_table(PEERS)?;
    for (peer, row) in changed {
        match row {
            Some(row) => drop(table.insert(peer.as_slice(), row.encode().as_slice()).map_err(Error::from)?),
            None => drop(table.remove(peer.as_slice()).map_err(Error::from)?),
        }
    }
    Ok(())
}

impl Driver {
    /// Notes who was reached, and writes it.
    pub(crate) fn keep_reached(&mut self) {
        let Some(remembered) = &mut self.peer_cache else { return };
        for (peer, known) in &self.shared.directory().peers {
            if let Some(address) = &known.reached {
                remembered.note(*peer, address, known.bootstrap || known.trusted_relay);
            }
        }
        remembered.write();
    }

    /// Dials peers that were reached before the start, until enough answer.
    pub(crate) fn recall(&mut self) {
        loop {
            let connected = self.shared.directory().peers.len();
            let Some(remembered) = &mut self.peer_cache else { return };
            if connected >= WANTED {
                remembered.waiting.clear();
            }
            if connected + remembered.dials.len() >= WANTED {
                return;
            }
            let Some((peer, address)) = remembered.waiting.pop_front() else { return };
            let condition = PeerCondition::DisconnectedAndNotDialing;
            let opts = DialOpts::peer_id(peer).condition(condition).addresses(vec![address]).build();
            let id = opts.connection_id();
            // Refused are those that are connected or dialled already, and this node itself.
            if self.swarm.dial(opts).is_ok() {
                remembered.dials.insert(id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
