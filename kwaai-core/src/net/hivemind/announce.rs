//! Keeping our own records in the DHT while the node runs, and taking them back when it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::identity::Keypair;

use super::Dht;
use super::client::Item;
use super::id::DhtId;
use super::record::{Fields, keys};
use super::signed::{self, Announced};
use crate::{Error, Result};

/// How long a record lives without being renewed, as KwaaiNet's do.
const TTL: f64 = 360.0;
/// How often records are renewed.
const RENEW: Duration = Duration::from_secs(150);
/// How long taking all records back may take.
const WITHDRAW: Duration = Duration::from_secs(3);
/// By how much a record must expire later, in seconds, to take another's place.
const LATER: f64 = 0.001;
/// What the keys of our own records begin with.
const OURS: &str = "_kwaainet.";
/// Under these keys a record names a PeerId and never an address, and the second is the only one of others under which
/// something is said: a host is found there by both.
const WITHOUT_ADDRESSES: [&str; 2] = [keys::OUR_VPK_NODES, keys::VPK_NODES];

/// The records that this node keeps in the DHT.
pub(super) struct Announcements {
    pair: Keypair,
    /// What is said under each key, and until when it was last said.
    said: Mutex<BTreeMap<String, (Fields, f64)>>,
}

impl Announcements {
    pub(super) fn new(pair: Keypair) -> Announcements {
        Announcements { pair, said: Mutex::default() }
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<String, (Fields, f64)>> {
        // No code that can panic runs under this lock.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dht {
    /// Says something about this node under a key of our own, until it is withdrawn.
    pub(super) async fn announce(self: &Arc<Dht>, key: &str, fields: Fields) -> Result<usize> {
        if !key.starts_with(OURS) && key != keys::VPK_NODES {
            return Err(Error::invalid_argument(format!("our own records stand under keys that begin with {OURS}"))
                .with("key", key)
                .with_remedy("others act on theirs, and expect services that this node does not offer"));
        }
        let (expiration, new) = {
            let mut said = self.announcements.said();
            let before = said.get(key).map(|(_, expiration)| *expiration);
            let expiration = (self.now() + TTL).max(before.unwrap_or(0.0) + LATER);
            // Noted before it is said: a withdrawal that comes in between then expires later, and wins.
            said.insert(key.to_owned(), (fields.clone(), expiration));
            (expiration, before.is_none())
        };
        let outcome = self.say(key, fields, expiration).await;
        if outcome.is_err() && new {
            self.announcements.said().remove(key);
        }
        outcome
    }

    /// Takes back what was announced under a key.
    pub(super) async fn withdraw(self: &Arc<Dht>, key: &str) -> Result<()> {
        let said = self.announcements.said().remove(key);
        let Some((_, expiration)) = said else { return Ok(()) };
        // Nothing but a later record takes the place of one. It lasts no longer than what it takes back would have.
        self.say(key, signed::withdrawal(), expiration + LATER).await?;
        Ok(())
    }

    /// Takes back everything, as far as time allows.
    pub(crate) async fn withdraw_all(self: &Arc<Dht>) {
        let keys: Vec<_> = self.announcements.said().keys().cloned().collect();
        let all = futures::future::join_all(keys.iter().map(|key| self.withdraw(key)));
        // Whoever does not answer forgets the record when it expires.
        let _ = tokio::time::timeout(WITHDRAW, all).await;
    }

    /// The records of peers under a key.
    pub(super) async fn announced(self: &Arc<Dht>, key: &str) -> Vec<Announced> {
        let place = DhtId::of_text(key);
        signed::announced(&place, self.get(place, true).await)
    }

    /// Renews every record until the network ends.
    pub(super) async fn renew(self: &Arc<Dht>) {
        loop {
            tokio::time::sleep(RENEW).await;
            let said: Vec<_> =
                self.announcements.said().iter().map(|(key, (fields, _))| (key.clone(), fields.clone())).collect();
            for (key, fields) in said {
                // It may have been withdrawn since.
                if !self.announcements.said().contains_key(&key) {
                    continue;
                }
                if let Err(error) = self.announce(&key, fields).await {
                    tracing::warn!(key, why = %error.message(), "a record could not be renewed");
                }
            }
        }
    }

    async fn say(self: &Arc<Dht>, key: &str, mut fields: Fields, expiration: f64) -> Result<usize> {
        if !WITHOUT_ADDRESSES.contains(&key) {
            let announced = self.dispatch.shared.directory().addresses();
            signed::set_addresses(&mut fields, &announced);
        }
        let key = DhtId::of_text(key);
        let value = signed::sign(&self.announcements.pair, &key, fields, expiration)?;
        let subkey = signed::subkey_of(&self.local);
        self.store(Item { key, subkey, value, expiration, in_cache: false }).await
    }
}
