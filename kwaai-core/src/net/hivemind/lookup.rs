//! Finding values, and the nodes nearest to a place, by asking ever nearer nodes (Kademlia, section 2.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use tokio::time::Instant;

use super::Dht;
use super::client::Item;
use super::dictionary::{Dictionary, Entry};
use super::expiring::Standing;
use super::id::DhtId;
use super::messages::{FindResponse, FindResult, ResultType, WHOLE};
use super::owner;
use super::signed;
use super::storage::Kept;
use super::table::BUCKET;
use crate::Result;

/// How many nodes are asked at the same time.
const ALPHA: usize = 4;
/// On how many nodes a value is stored, as in hivemind.
const REPLICAS: usize = 5;
/// How many of the nearest must answer before a value counts as read or its nodes as known: twice as many as keep it, for
/// those that came or went since.
const WIDTH: usize = 2 * REPLICAS;
/// The most nodes that one lookup asks, so that liars who name ever more cannot prolong it for ever.
const MAX_ASKED: usize = 100;
/// The most values that a new node is given at once.
const MAX_HANDED_OVER: usize = 1024;
/// How many keys are looked at while others wait for the storage.
const KEYS_AT_ONCE: usize = 64;

/// A value that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The value, or values by sub-key, without what has expired.
    pub kept: Kept,
    /// When it expires, of a dictionary the latest, in seconds since 1970.
    pub expiration: f64,
}

/// What a lookup has collected.
pub(super) struct Lookup {
    pub nearest: Vec<(DhtId, PeerId)>,
    pub found: Option<Found>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Heard,
    Asked,
    Answered,
    Silent,
}

impl Dht {
    /// So many nodes nearest to a place.
    pub(super) async fn nearest(self: &Arc<Dht>, to: DhtId, width: usize) -> Vec<(DhtId, PeerId)> {
        self.look_up(to, width, None, |_| false).await.nearest
    }

    /// Asks nodes that are ever nearer to a place, until so many nearest have answered or `enough` says so.
    pub(super) async fn look_up(
        self: &Arc<Dht>,
        key: DhtId,
        width: usize,
        mut found: Option<Found>,
        enough: impl Fn(&Option<Found>) -> bool,
    ) -> Lookup {
        let mut nodes: BTreeMap<[u8; DhtId::LEN], (DhtId, PeerId, State)> = BTreeMap::new();
        let known = self.table().nearest(&key, BUCKET, None);
        for (id, peer) in known {
            nodes.insert(id.distance(&key), (id, peer, State::Heard));
        }
        let mut asking = FuturesUnordered::new();
        let mut asked = 0;
        while !enough(&found) {
            let promising = nodes.values_mut().filter(|(_, _, state)| *state != State::Silent).take(width);
            for (id, peer, state) in promising.filter(|(_, _, state)| *state == State::Heard) {
                if asking.len() == ALPHA || asked == MAX_ASKED {
                    break;
                }
                *state = State::Asked;
                asked += 1;
                let (this, id, peer) = (self.clone(), *id, *peer);
                asking.push(async move { (id, this.find_at(peer, &[key]).await) });
            }
            let Some((id, answer)) = asking.next().await else { break };
            if let Some((_, _, state)) = nodes.get_mut(&id.distance(&key)) {
                *state = if answer.is_ok() { State::Answered } else { State::Silent };
            }
            let Ok(FindResponse { mut results, .. }) = answer else { continue };
            let Some(result) = results.pop() else { continue };
            for (id, peer) in self.named(&result) {
                nodes.entry(id.distance(&key)).or_insert((id, peer, State::Heard));
            }
            let now = self.now();
            found = better(&key, found, read(&key, result, now), now);
        }
        let answered = nodes.into_values().filter(|(_, _, state)| *state == State::Answered);
        let nearest = answered.map(|(id, peer, _)| (id, peer)).take(width).collect();
        Lookup { nearest, found }
    }

    /// The nodes that an answer names, without this one and those that did not answer lately.
    fn named(&self, result: &FindResult) -> Vec<(DhtId, PeerId)> {
        let named = result.nearest_node_ids.iter().zip(&result.nearest_peer_ids).take(BUCKET);
        let named = named.filter_map(|(id, peer)| Some((DhtId::from_slice(id)?, PeerId::from_bytes(peer).ok()?)));
        let (silence, now) = (self.silence(), Instant::now());
        named.filter(|(id, peer)| *id != self.id && *peer != self.local && !silence.covers(peer, now)).collect()
    }

    /// Looks for a value: here, then at others. `complete` asks all of the nearest and unites what they have; otherwise
    /// the first that has not expired will do.
    pub(super) async fn get(self: &Arc<Dht>, key: DhtId, complete: bool) -> Option<Found> {
        let here = self.lookup_here(&key).map(|(kept, expiration)| Found { kept, expiration });
        self.look_up(key, WIDTH, here, |found| !complete && found.is_some()).await.found
    }

    /// Stores a value at the nodes nearest to its key, this one included if it is one of them. Returns how many keep it.
    ///
    /// # Errors
    /// What kept the last of them from answering, when none did.
    pub(super) async fn store(self: &Arc<Dht>, item: Item) -> Result<usize> {
        let mut nodes = self.nearest(item.key, WIDTH).await;
        nodes.push((self.id, self.local));
        nodes.sort_unstable_by_key(|(id, _)| id.distance(&item.key));
        nodes.truncate(REPLICAS);
        let stores = nodes.into_iter().map(|(_, peer)| {
            let (this, item) = (self.clone(), item.clone());
            async move {
                match peer == this.local {
                    true => Ok(this.keep(item)),
                    false => Ok(this.store_at(peer, &[item]).await?.contains(&true)),
                }
            }
        });
        let outcomes = futures::future::join_all(stores).await;
        let kept = outcomes.iter().filter(|outcome| matches!(outcome, Ok(true))).count();
        match outcomes.into_iter().collect::<Result<Vec<bool>>>() {
            Err(error) if kept == 0 => Err(error),
            _ => Ok(kept),
        }
    }

    /// Gives a node that was just met what it is to keep, and this node is responsible for.
    pub(super) async fn hand_over(self: &Arc<Dht>, id: DhtId, peer: PeerId) {
        // Each key is held against all nodes that are known.
        let turn = self.heavy.clone().acquire_owned().await;
        let this = self.clone();
        let look = move || {
            let _turn = turn;
            this.to_hand_over(id, peer)
        };
        for item in tokio::task::spawn_blocking(look).await.unwrap_or_default() {
            if self.store_at(peer, &[item]).await.is_err() {
                return;
            }
        }
    }

    fn to_hand_over(&self, id: DhtId, peer: PeerId) -> Vec<Item> {
        let now = self.now();
        let keys: Vec<_> = self.kept().records.keys(now).collect();
        let mut items = Vec::new();
        for some in keys.chunks(KEYS_AT_ONCE) {
            let (kept, table) = (self.kept(), self.table());
            let belongs = |key: &&DhtId| {
                let near = table.nearest(key, REPLICAS, Some(&peer));
                let farthest = near.last().map(|(other, _)| other.distance(key));
                let nearest = near.first().map(|(other, _)| other.distance(key));
                (near.len() < REPLICAS || farthest.is_none_or(|farthest| id.distance(key) < farthest))
                    && nearest.is_none_or(|nearest| self.id.distance(key) < nearest)
            };
            let found = some.iter().filter(belongs).take(MAX_HANDED_OVER - items.len());
            let found = found.filter_map(|key| Some((*key, kept.records.get(key, now)?)));
            items.extend(found.map(|(key, (value, expiration))| item(key, value, expiration)));
            if items.len() == MAX_HANDED_OVER {
                break;
            }
        }
        items
    }
}

fn item(key: DhtId, kept: Kept, expiration: f64) -> Item {
    let (subkey, value) = match kept {
        Kept::Plain(value) => (super::messages::PLAIN, value),
        Kept::Dictionary(dictionary) => (WHOLE, dictionary.encode()),
    };
    Item { key, subkey: subkey.to_vec(), value, expiration, in_cache: false }
}

/// What an answer holds, without what has expired or is not from its owner.
fn read(key: &DhtId, result: FindResult, now: f64) -> Option<Found> {
    let expiration = Some(result.expiration_time).filter(|expiration| expiration.is_finite() && *expiration > now)?;
    match result.r#type() {
        ResultType::NotFound => None,
        ResultType::FoundRegular => {
            let admitted = owner::admits(key, super::messages::PLAIN, &result.value, expiration);
            admitted.then_some(Found { kept: Kept::Plain(result.value), expiration })
        }
        ResultType::FoundDictionary => {
            let mut dictionary = Dictionary::decode(&result.value).ok()?;
            dictionary.entries.retain(|entry| {
                entry.expiration > now && owner::admits(key, &entry.subkey, &entry.value, entry.expiration)
            });
            Some(Found { kept: Kept::Dictionary(dictionary), expiration })
        }
    }
}

/// Of two answers the later one; of two dictionaries their union, each sub-key with its latest value. What its writer signed
/// is better than anything that is not signed.
fn better(key: &DhtId, one: Option<Found>, other: Option<Found>, now: f64) -> Option<Found> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    let is_signed = |entry: &Entry| signed::is_signed(key, entry, now);
    let standing = |expiration, signed| Standing { expiration, bytes: 0, signed };
    let expiration = one.expiration.max(other.expiration);
    match (one, other) {
        (Found { kept: Kept::Dictionary(one), .. }, Found { kept: Kept::Dictionary(other), .. }) => {
            let mut entries: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
            for entry in one.entries.into_iter().chain(other.entries) {
                let of = |entry: &Entry| standing(entry.expiration, is_signed(entry));
                let stays =
                    entries.get(&entry.subkey).is_some_and(|known| *known == entry || !of(&entry).replaces(&of(known)));
                if !stays {
                    entries.insert(entry.subkey.clone(), entry);
                }
            }
            let entries = entries.into_values().collect();
            let dictionary = Dictionary { max_size: None, latest_expiration: expiration, entries };
            Some(Found { kept: Kept::Dictionary(dictionary), expiration })
        }
        (one, other) => {
            let of = |found: &Found| match &found.kept {
                Kept::Plain(_) => standing(found.expiration, false),
                Kept::Dictionary(dictionary) => standing(found.expiration, dictionary.entries.iter().any(is_signed)),
            };
            Some(if of(&other).replaces(&of(&one)) { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::super::record::Fields;
    use super::*;

    #[test]
    fn what_its_writer_signed_is_better_than_anything_later_that_is_not() {
        let (key, pair) = (DhtId::of_text("_kwaainet.nodes"), Keypair::generate_ed25519());
        let subkey = signed::subkey_of(&pair.public().to_peer_id());
        let found = |value: Vec<u8>, expiration| {
            let entries = vec![Entry { subkey: subkey.clone(), value, expiration }];
            let dictionary = Dictionary { max_size: None, latest_expiration: expiration, entries };
            Some(Found { kept: Kept::Dictionary(dictionary), expiration })
        };
        let plain = Some(Found { kept: Kept::Plain(vec![1]), expiration: 9e9 });
        let record = |expiration| found(signed::sign(&pair, &key, Fields::default(), expiration).unwrap(), expiration);
        let value_of = |found: Option<Found>| match found.unwrap().kept {
            Kept::Dictionary(dictionary) => dictionary.entries[0].expiration,
            Kept::Plain(_) => 0.0,
        };
        for (one, other, best) in [
            (record(500.0), found(vec![0xc0], 9e9), 500.0),
            (record(500.0), plain.clone(), 500.0),
            (record(500.0), record(600.0), 600.0),
            (found(vec![0xc0], 500.0), found(vec![0xc2], 600.0), 600.0),
            (found(vec![0xc0], 500.0), plain, 0.0),
        ] {
            assert_eq!(value_of(better(&key, one.clone(), other.clone(), 400.0)), best);
            assert_eq!(value_of(better(&key, other, one, 400.0)), best);
        }
    }
}
