//! A depot for peers: the unary methods `kwaainet.vpk.*`, and KwaaiNet's storage protocol.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;

use super::depot::Depot;
use super::request::{Call, METHODS, Request};
use super::storage::{self, STORAGE_PROTOCOL, Storage};
use crate::clock::Clock;
use crate::identity::Did;
use crate::net::{Peers, UnaryHandler};
use crate::trust::Purpose;
use crate::{Error, Result};

/// Begins to keep vectors for peers.
pub(super) fn start(peers: &dyn Peers, depot: &Arc<Depot>, clock: &Arc<dyn Clock>) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let turns = Arc::new(Semaphore::new(cores));
    for (at, method) in METHODS.into_iter().enumerate() {
        let handler = Arc::new(Service { depot: depot.clone(), turns: turns.clone(), method });
        if let Err(error) = peers.serve_unary(method, Purpose::StoreVectors, handler) {
            METHODS[..at].iter().for_each(|method| peers.stop_serving(method));
            return Err(error);
        }
    }
    let storage = Arc::new(Storage::new(depot.clone(), clock.clone(), peers.local_peer()));
    let storage = Arc::new(storage::Service(storage));
    // KwaaiNet's nodes open a stream of this name, and ours call it like every other method.
    let served = peers.serve_unary(STORAGE_PROTOCOL, Purpose::StoreVectors, storage.clone()).and_then(|()| {
        let served = peers.serve_foreign(STORAGE_PROTOCOL, Purpose::StoreVectors, storage);
        served.inspect_err(|_| peers.stop_serving(STORAGE_PROTOCOL))
    });
    served.inspect_err(|_| METHODS.iter().for_each(|method| peers.stop_serving(method)))
}

/// Ends it.
pub(super) fn stop(peers: &dyn Peers) {
    METHODS.iter().for_each(|method| peers.stop_serving(method));
    peers.stop_serving(STORAGE_PROTOCOL);
}

/// The identity as which a peer owns what it keeps here.
pub(super) fn tenant(peer: &PeerId) -> Result<Did> {
    Did::from_peer_id(peer)
        .map_err(|error| Error::unsupported("a PeerId that carries no key cannot own a collection").with_source(error))
}

struct Service {
    depot: Arc<Depot>,
    /// As many questions are computed at the same time as there are cores; the others wait without a thread.
    turns: Arc<Semaphore>,
    method: &'static str,
}

#[async_trait]
impl UnaryHandler for Service {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let caller = tenant(&caller)?;
        let (depot, method) = (self.depot.clone(), self.method);
        let request = Request::read(method, &body)?;
        drop(body);
        let turn = match request.call {
            Call::Admit(_) | Call::Ask(_) | Call::PutSegment(_) => {
                let turn = self.turns.clone().acquire_owned().await;
                Some(turn.map_err(|_| Error::closed("the host was shut down"))?)
            }
            _ => None,
        };
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            depot.answer(caller, &request)
        });
        answer
            .await
            .map_err(|error| Error::internal("a host's answer did not finish").with_source(error))
            .flatten()
            .map(Bytes::from)
    }
}
