//! Finding peers and providers through our own Kademlia network.
//!
//! Only *who provides what* is kept there. Values are stored for nobody, and a provider record is accepted only from
//! the provider itself. libp2p has no message that takes a record back, so withdrawing asks the nodes closest to the
//! key by a unary call, `kwaainet.withdraw`, with the key's 34 bytes as its body; each forgets the caller's own record.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, GetProvidersOk, QueryResult, RecordKey};
use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::UnaryHandler;
use super::address::with_peer;
use super::driver::{Answer, Command, Driver};
use super::swarm::PROVIDER_TTL;
use crate::{Error, Result};

/// The unary method that takes back a provider record.
pub(crate) const WITHDRAW: &str = "kwaainet.withdraw";

/// The prefix of a sha2-256 multihash: its code and its length.
const SHA2_256: [u8; 2] = [0x12, 0x20];

/// The longest key, in bytes.
const MAX_KEY: usize = 1024;

/// The most addresses that a provider record may carry.
const MAX_ADDRESSES: usize = 16;

/// The most keys that one peer may be remembered as a provider of, so that nobody fills the store alone.
const MAX_KEYS_OF_A_PEER: usize = 256;

/// With so many providers remembered, those are looked for whose records have expired.
const MAX_PROVIDERS: usize = 4096;

/// A query under way.
pub(crate) enum Query {
    /// Somebody waits for a connection to this peer.
    Reach {
        peer: PeerId,
    },
    Announce {
        done: Answer<()>,
    },
    Withdraw {
        done: Answer<Vec<PeerId>>,
    },
    Providers {
        found: BTreeSet<PeerId>,
        done: Answer<Vec<PeerId>>,
    },
}

/// The place of a key in the DHT: the sha2-256 multihash of its text.
pub(crate) fn place(key: &str) -> Result<Vec<u8>> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Error::invalid_argument(format!("a key has 1 to {MAX_KEY} bytes, and this one has {}", key.len())));
    }
    Ok([&SHA2_256[..], &Sha256::digest(key.as_bytes())[..]].concat())
}

/// Whether bytes have the form of a place.
fn is_place(bytes: &[u8]) -> bool {
    bytes.len() == 34 && bytes.starts_with(&SHA2_256)
}

impl Driver {
    /// Says where a peer is. That it answers there is the proof, so it is dialled; a lookup ends as soon as it was met.
    pub(crate) fn find_peer(&mut self, peer: PeerId, done: Answer<Vec<Multiaddr>>) {
        match self.whereabouts(peer) {
            Some(addresses) => drop(done.send(addresses)),
            None if self.swarm.is_connected(&peer) => self.asking.entry(peer).or_default().push(done),
            None => {
                self.reach_for(peer).asking.push(done);
                self.begin_to_reach(peer);
            }
        }
    }

    /// Where a connected peer can be dialled; `None` before it said who it is.
    fn whereabouts(&self, peer: PeerId) -> Option<Result<Vec<Multiaddr>>> {
        let directory = self.shared.directory();
        let known = directory.peers.get(&peer).filter(|known| known.described)?;
        // Where a peer that called was seen is the end of its connection, and nobody can dial it there.
        let addresses = match known.listens.is_empty() {
            true => known.dialled().collect(),
            false => known.listens.clone(),
        };
        Some(if addresses.is_empty() { Err(nowhere(peer)) } else { Ok(complete(peer, addresses)) })
    }

    /// Answers those who asked where a peer is that has just said it, or will not say it.
    pub(crate) fn tell_whereabouts(&mut self, peer: PeerId) {
        for done in self.asking.remove(&peer).unwrap_or_default() {
            let _ = done.send(self.whereabouts(peer).unwrap_or_else(|| Err(nowhere(peer))));
        }
    }

    /// Ends the lookups for a peer that was met.
    pub(crate) fn stop_looking_for(&mut self, peer: PeerId) {
        let looked_for = |query: &mut Query| matches!(query, Query::Reach { peer: other } if *other == peer);
        for (id, _) in self.queries.extract_if(|_, query| looked_for(query)) {
            if let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&id) {
                query.finish();
            }
        }
    }

    pub(crate) fn announce(&mut self, key: Vec<u8>, done: Answer<()>) {
        match self.swarm.behaviour_mut().kad.start_providing(RecordKey::new(&key)) {
            Ok(query) => {
                self.announced.insert(key);
                self.queries.insert(query, Query::Announce { done });
            }
            Err(error) => {
                let error = Error::resource_exhausted("this node remembers as many keys as its limits allow")
                    .with("limit", "max_provided_keys")
                    .with_remedy("withdraw a key, or raise the limit")
                    .with_source(error);
                let _ = done.send(Err(error));
            }
        }
    }

    pub(crate) fn withdraw(&mut self, key: Vec<u8>, done: Answer<Vec<PeerId>>) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.stop_providing(&RecordKey::new(&key));
        let query = kad.get_closest_peers(key.clone());
        self.announced.remove(&key);
        self.queries.insert(query, Query::Withdraw { done });
    }

    pub(crate) fn providers(&mut self, key: Vec<u8>, done: Answer<Vec<PeerId>>) {
        let query = self.swarm.behaviour_mut().kad.get_providers(RecordKey::new(&key));
        self.queries.insert(query, Query::Providers { found: BTreeSet::new(), done });
    }

    /// Keeps a provider record within its provider's share. A full store forgets nobody for a newcomer.
    fn remember(&mut self, record: kad::ProviderRecord) {
        let now = Instant::now();
        // This node's own keys have room whatever others announce.
        let most = (self.dispatch.limits.max_provided_keys / 4 * 3).max(1);
        if self.remembered.len() >= MAX_PROVIDERS || self.kept_for_others() >= most {
            self.forget_expired();
        }
        let full = self.kept_for_others() >= most;
        let (key, provider) = (record.key.to_vec(), record.provider);
        let mine = self.remembered.entry(provider).or_default();
        let room = mine.contains_key(&key) || (mine.len() < MAX_KEYS_OF_A_PEER && !full);
        if room && self.swarm.behaviour_mut().kad.store_mut().add_provider(record).is_ok() {
            mine.insert(key, now);
        }
        if mine.is_empty() {
            self.remembered.remove(&provider);
        }
    }

    fn kept_for_others(&self) -> usize {
        self.remembered.values().map(HashMap::len).sum()
    }

    /// Forgets records that are too old. The store forgets only those of a key that somebody asks for.
    fn forget_expired(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (provider, keys) in &mut self.remembered {
            keys.retain(|key, since| {
                let fresh = now.duration_since(*since) < PROVIDER_TTL;
                if !fresh {
                    gone.push((RecordKey::new(key), *provider));
                }
                fresh
            });
        }
        self.remembered.retain(|_, keys| !keys.is_empty());
        for (key, provider) in gone {
            self.swarm.behaviour_mut().kad.store_mut().remove_provider(&key, &provider);
        }
    }

    pub(crate) fn forget(&mut self, key: &[u8], provider: &PeerId) {
        if let Some(keys) = self.remembered.get_mut(provider) {
            keys.remove(key);
        }
        self.swarm.behaviour_mut().kad.store_mut().remove_provider(&RecordKey::new(&key), provider);
    }

    pub(crate) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest { request: kad::InboundRequest::AddProvider { record: Some(record) } }
                if is_place(record.key.as_ref()) && record.addresses.len() <= MAX_ADDRESSES =>
            {
                self.remember(record);
            }
            // With one peer of the DHT, every question can be asked.
            kad::Event::RoutingUpdated { .. } => self.settle(),
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => self.on_query(id, result, step.last),
            _ => {}
        }
    }

    fn on_query(&mut self, id: kad::QueryId, result: QueryResult, last: bool) {
        if let QueryResult::Bootstrap(_) = result {
            if last {
                self.forget_expired();
                self.announce_again();
            }
            return;
        }
        if let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) = &result
            && let Some(Query::Providers { found, .. }) = self.queries.get_mut(&id)
        {
            found.extend(providers.iter().copied());
        }
        if !last {
            return;
        }
        let Some(query) = self.queries.remove(&id) else { return };
        match query {
            Query::Reach { peer } => {
                let addresses = addresses_of(peer, result);
                self.dial_found(peer, addresses);
            }
            Query::Announce { done } => {
                let announced = match result {
                    QueryResult::StartProviding(Err(error)) => {
                        Err(Error::timeout("the announcement did not reach the DHT in time").with_source(error))
                    }
                    _ => Ok(()),
                };
                let _ = done.send(announced);
            }
            Query::Withdraw { done } => {
                let _ = done.send(Ok(closest(result).into_iter().map(|info| info.peer_id).collect()));
            }
            Query::Providers { mut found, done } => {
                found.remove(&self.shared.local);
                let _ = done.send(Ok(found.into_iter().collect()));
            }
        }
    }

    /// Puts this node's records where they belong now: after every refresh of the routing table others may be closest.
    fn announce_again(&mut self) {
        for key in &self.announced {
            if let Err(error) = self.swarm.behaviour_mut().kad.start_providing(RecordKey::new(key)) {
                tracing::warn!(%error, "a key cannot be announced again");
            }
        }
    }
}

impl Driver {
    /// Answers of hivemind's Kademlia network, which is asked for nothing but peers that somebody waits for.
    pub(crate) fn on_gateway(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed { id, result, step, .. } = event else { return };
        if step.last
            && let Some(peer) = self.gateway_queries.remove(&id)
        {
            let addresses = addresses_of(peer, result);
            self.dial_found(peer, addresses);
        }
    }
}

fn closest(result: QueryResult) -> Vec<kad::PeerInfo> {
    match result {
        QueryResult::GetClosestPeers(Ok(kad::GetClosestPeersOk { peers, .. })) => peers,
        QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
        _ => Vec::new(),
    }
}

fn addresses_of(peer: PeerId, result: QueryResult) -> Vec<Multiaddr> {
    closest(result).into_iter().filter(|info| info.peer_id == peer).flat_map(|info| info.addrs).collect()
}

pub(crate) fn nowhere(peer: PeerId) -> Error {
    Error::not_found("nobody in the DHT knows an address at which the peer answers").with("peer", peer)
}

/// Addresses that can be given to `connect` as they are, in a stable order.
fn complete(peer: PeerId, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let addresses: BTreeSet<_> = addresses.iter().map(|address| with_peer(address, peer)).collect();
    addresses.into_iter().collect()
}

/// Forgets, at its own request, that a peer provides a key.
pub(crate) struct Withdrawals {
    pub commands: mpsc::Sender<Command>,
}

#[async_trait]
impl UnaryHandler for Withdrawals {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        if !is_place(&body) {
            return Err(Error::invalid_argument("not the sha2-256 multihash of a key"));
        }
        self.commands
            .send(Command::Forget { key: body.to_vec(), provider: caller })
            .await
            .map_err(|_| super::dispatch::closed())?;
        Ok(Bytes::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_at_the_multihash_of_its_text() {
        let place = place("abc").unwrap();
        assert_eq!(place[..6], [0x12, 0x20, 0xba, 0x78, 0x16, 0xbf]);
        assert!(is_place(&place));
        assert!(!is_place(&place[1..]));
        assert!(super::place("").is_err());
    }
}
