//! Other nodes and this one as hosts: found, asked for what they offer, and reached.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use libp2p::PeerId;
use rand::seq::SliceRandom;

use super::depot::Depot;
use super::directory::{Advert, Directory};
use super::keeper::{HostName, Keeper, LocalKeeper, RemoteKeeper};
use super::kept::Room;
use super::placement::{self, HostOffer, Placement, range};
use super::recovery::RecoveryKey;
use super::request::{Call, Request};
use super::topology::{Header, Topology};
use super::{CollectionId, Mode};
use crate::blocking::blocking;
use crate::identity::Did;
use crate::net::Peers;
use crate::trust::{Minimum, Purpose, Tier, TrustGraph};
use crate::{Error, ErrorCode, Result};

/// The most hosts that are asked at once, and in one search for some.
const AT_ONCE: usize = 16;
const MOST: usize = 128;

/// How long a host may take to say what it offers, the dial included.
const PATIENCE: Duration = Duration::from_secs(8);

/// Of how many collections a host says in the DHT that it has a record: peers remember no more than 256 keys of one.
const MOST_RECORDS: usize = 192;

/// How often a host says anew that it hosts, as KwaaiNet's do.
const ANNOUNCE: Duration = Duration::from_secs(300);

/// Whom this node can ask to keep something.
pub(super) struct Hosts {
    /// Who owns what this node makes at hosts: the identity that its connections authenticate.
    owner: Did,
    trust: TrustGraph,
    peers: Option<Arc<dyn Peers>>,
    directory: Option<Arc<dyn Directory>>,
    here: Mutex<Option<Arc<Depot>>>,
    /// What the policy asked of hosts before this one asked something else of its tenants.
    minimum: Mutex<Option<Minimum>>,
    /// Of which collections this node says in the DHT that it has a record.
    recorded: tokio::sync::Mutex<BTreeSet<CollectionId>>,
}

impl Hosts {
    pub(super) fn new(
        owner: Did,
        trust: TrustGraph,
        peers: Option<Arc<dyn Peers>>,
        directory: Option<Arc<dyn Directory>>,
    ) -> Hosts {
        let (here, minimum, recorded) = Default::default();
        Hosts { owner, trust, peers, directory, here, minimum, recorded }
    }

    /// Who owns what is made at hosts.
    pub(super) fn owner(&self) -> Did {
        self.owner
    }

    pub(super) fn trust(&self) -> &TrustGraph {
        &self.trust
    }

    pub(super) fn peers(&self) -> Option<&Arc<dyn Peers>> {
        self.peers.as_ref()
    }

    /// What this node itself keeps things in.
    pub(super) fn here(&self) -> MutexGuard<'_, Option<Arc<Depot>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn minimum(&self) -> MutexGuard<'_, Option<Minimum>> {
        self.minimum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keeper(&self, host: HostName) -> Result<Arc<dyn Keeper>> {
        match (host, &self.peers) {
            (HostName::Here, _) => {
                let none = || Error::unsupported("this node hosts nothing").with_remedy("begin to host first");
                let depot = self.here().clone().ok_or_else(none)?;
                Ok(Arc::new(LocalKeeper { depot, caller: self.owner }))
            }
            (HostName::Peer(peer), Some(peers)) if peer != peers.local_peer() => {
                Ok(Arc::new(RemoteKeeper { peers: peers.clone(), peer }))
            }
            (HostName::Peer(_), Some(_)) => {
                Err(Error::invalid_argument("a node is not its own peer").with_remedy("name it `here`"))
            }
            (HostName::Peer(_), None) => Err(Error::unsupported("there is no network")),
        }
    }

    /// Says that this node hosts, again and again.
    pub(super) async fn advertise(&self, depot: &Depot) -> Duration {
        if let Some(directory) = &self.directory {
            let said = match advert(depot) {
                Ok(advert) => directory.announce(advert).await,
                Err(error) => Err(error),
            };
            if let Err(error) = said {
                tracing::debug!(code = %error.code(), "that this node hosts could not be announced");
            }
        }
        ANNOUNCE
    }

    /// Says of which collections this node has a record, where that has changed.
    pub(super) async fn advertise_records(&self, depot: &Arc<Depot>) {
        let depot = depot.clone();
        match blocking(move || depot.recorded()).await {
            Ok(recorded) => self.say_recorded(recorded.into_iter().take(MOST_RECORDS).collect()).await,
            Err(error) => tracing::debug!(code = %error.code(), "the records could not be read"),
        }
    }

    async fn say_recorded(&self, mut recorded: BTreeSet<CollectionId>) {
        let Some(directory) = &self.directory else { return };
        let mut said = self.recorded.lock().await;
        for gone in said.difference(&recorded) {
            if let Err(error) = directory.keep(*gone, false).await {
                tracing::debug!(code = %error.code(), "an announcement could not be taken back and expires");
            }
        }
        let mut failed = Vec::new();
        for new in recorded.difference(&said) {
            if let Err(error) = directory.keep(*new, true).await {
                tracing::debug!(code = %error.code(), "a record could not be announced");
                failed.push(*new);
            }
        }
        recorded.retain(|collection| !failed.contains(collection));
        *said = recorded;
    }

    /// Says so no more.
    pub(super) async fn withdraw(&self) {
        self.say_recorded(BTreeSet::new()).await;
        if let Some(directory) = &self.directory
            && let Err(error) = directory.withdraw().await
        {
            tracing::debug!(code = %error.code(), "an announcement could not be taken back and expires");
        }
    }

    /// Who says that it hosts, and what it offers to this node: those that are fit first, the fastest of them first.
    pub(super) async fn discover(&self, placement: &Placement) -> Result<Vec<HostOffer>> {
        let directory = self.directory.as_ref().ok_or_else(|| Error::unsupported("there is no network"))?;
        let mut found = directory.hosts().await?;
        found.sort();
        found.dedup();
        if found.len() > MOST {
            // Names cost nothing, and a crowd of them must not stand before those that this node knows.
            let trust = self.trust.clone();
            found = blocking(move || best_known(&trust, found)).await?;
        }
        let asked = found.into_iter().map(|host| self.offer(&**directory, host, placement));
        let mut offers: Vec<HostOffer> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        offers.sort_by_key(|offer| (!offer.is_fit(), offer.latency, offer.host));
        Ok(offers)
    }

    /// Chooses hosts for a collection that names none.
    pub(super) async fn choose(&self, mode: Mode, colluding: usize, placement: &Placement) -> Result<Vec<HostName>> {
        let wanted = placement::wanted(mode, colluding, placement)?;
        let offers = self.discover(placement).await?;
        let chosen = placement::choose(&offers, &[], wanted, placement)?;
        Ok(chosen.into_iter().map(HostName::Peer).collect())
    }

    /// Who says in the DHT that it has a record of a collection.
    pub(super) async fn keepers(&self, collection: CollectionId) -> Result<Vec<PeerId>> {
        let directory = self.directory.as_ref().ok_or_else(|| Error::unsupported("there is no network"))?;
        directory.keepers(collection).await
    }

    /// The highest record of a collection that anybody hands out: of those who say that they have one, of its hosts when it was
    /// exported and, where they have none, of all who say that they host.
    ///
    /// # Errors
    /// `not_found` when nobody has one; `corrupt_data` when nobody has one of this key and somebody hands out another;
    /// otherwise the first reason why none could be asked.
    pub(super) async fn resolve(&self, key: &RecoveryKey, exported: &[HostName]) -> Result<(Header, Topology)> {
        let mut hosts: BTreeSet<HostName> = exported.iter().map(|host| self.seen_from_here(*host)).collect();
        if self.here().is_some() {
            hosts.insert(HostName::Here);
        }
        match self.keepers(key.collection()).await {
            Ok(keepers) => hosts.extend(keepers.into_iter().take(MOST).map(HostName::Peer)),
            Err(error) => tracing::debug!(code = %error.code(), "who has a record could not be looked for"),
        }
        match self.highest(key, hosts.iter().copied()).await {
            Err(error) if error.code() != ErrorCode::CorruptData => {
                let Some(directory) = &self.directory else { return Err(error) };
                let others = directory.hosts().await?.into_iter().map(HostName::Peer);
                let others: Vec<HostName> = others.filter(|host| !hosts.contains(host)).take(MOST).collect();
                if others.is_empty() {
                    return Err(error);
                }
                self.highest(key, others.into_iter()).await.map_err(|_| error)
            }
            outcome => outcome,
        }
    }

    /// A host under its name here.
    pub(super) fn seen_from_here(&self, host: HostName) -> HostName {
        match (host, &self.peers) {
            (HostName::Peer(peer), Some(peers)) if peer == peers.local_peer() => HostName::Here,
            _ => host,
        }
    }

    /// A host under its name everywhere else.
    pub(super) fn seen_from_elsewhere(&self, host: HostName) -> HostName {
        match (host, &self.peers) {
            (HostName::Here, Some(peers)) => HostName::Peer(peers.local_peer()),
            _ => host,
        }
    }

    async fn highest(&self, key: &RecoveryKey, hosts: impl Iterator<Item = HostName>) -> Result<(Header, Topology)> {
        let author = *key.author()?.public_key();
        let request = Request { collection: key.collection(), capability: None, call: Call::Resolve(author) };
        let asked = hosts.map(async |host| {
            let keeper = self.keeper(host)?;
            let answer = tokio::time::timeout(PATIENCE, keeper.call(request.clone())).await;
            let record = answer.unwrap_or_else(|_| Err(Error::timeout("the host did not answer in time")))?;
            Topology::open(key, &record)
        });
        let answers: Vec<Result<(Header, Topology)>> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let mut failed = Error::not_found("nobody has a record of the collection").with_remedy(
            "try again when its hosts can be reached; a key that was exported before a rotation opens nothing",
        );
        let mut highest: Option<(Header, Topology)> = None;
        for answer in answers {
            match answer {
                Ok(found) if highest.as_ref().is_none_or(|(header, _)| header.rank() < found.0.rank()) => {
                    highest = Some(found)
                }
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::NotFound || failed.code() == ErrorCode::CorruptData => {}
                Err(error) => failed = error,
            }
        }
        highest.ok_or(failed)
    }

    async fn offer(&self, directory: &dyn Directory, host: PeerId, placement: &Placement) -> HostOffer {
        let mut offer = HostOffer::new(host);
        let asked = tokio::time::timeout(PATIENCE, self.ask(directory, &mut offer, placement)).await;
        offer.refusal = asked.unwrap_or_else(|_| Err(Error::timeout("the host did not answer in time"))).err();
        offer.networks = networks(directory, host);
        offer
    }

    async fn ask(&self, directory: &dyn Directory, offer: &mut HostOffer, placement: &Placement) -> Result<()> {
        let did = Did::from_peer_id(&offer.host).map_err(|_| {
            Error::untrusted_peer("the host's PeerId carries no key, so that no credential can be about it")
        })?;
        let mut standing = self.standing(did, placement).await?;
        if standing.suffices.is_err() || standing.operators.is_empty() {
            directory.acquaint(offer.host).await;
            standing = self.standing(did, placement).await?;
        }
        (offer.tier, offer.operators) = (standing.tier, standing.operators);
        // Whom this node would not use, it does not tell that it looks for hosts.
        standing.suffices?;
        let keeper = self.keeper(HostName::Peer(offer.host))?;
        let health = Request { collection: CollectionId([0; 16]), capability: None, call: Call::Health };
        keeper.call(health.clone()).await?;
        let start = Instant::now();
        let room = Room::read(&keeper.call(health).await?)?;
        offer.latency = Some(start.elapsed());
        offer.free_bytes = room.left;
        if room.left < placement.free_bytes {
            return Err(Error::resource_exhausted("the host has too little room left")
                .with("left", room.left)
                .with("needed", placement.free_bytes));
        }
        Ok(())
    }

    /// What a host that is there already counts as.
    pub(super) fn known(&self, host: HostName) -> Result<Option<HostOffer>> {
        let HostName::Peer(peer) = host else { return Ok(None) };
        let mut offer = HostOffer::new(peer);
        if let Ok(did) = Did::from_peer_id(&peer) {
            offer.operators = operators(&self.trust, &did)?;
        }
        if let Some(directory) = &self.directory {
            offer.networks = networks(&**directory, peer);
        }
        Ok(Some(offer))
    }

    /// Where a host stands with this node. Scores and links are read off the async workers.
    async fn standing(&self, host: Did, placement: &Placement) -> Result<Standing> {
        let (trust, wanted) = (self.trust.clone(), placement.min_tier.map(Minimum::from).or(*self.minimum()));
        blocking(move || {
            let minimum = match wanted {
                Some(minimum) => minimum,
                None => trust.policy()?.minimum(Purpose::StoreVectors),
            };
            let score = trust.score(&host)?;
            let suffices = match minimum.is_met_by(&score) {
                true => Ok(()),
                false => {
                    Err(Error::untrusted_peer("the host is below the tier that the collection's placement asks for")
                        .with("tier", score.tier)
                        .with("score", score.value)
                        .with("needed", minimum))
                }
            };
            Ok(Standing { tier: score.tier, suffices, operators: operators(&trust, &host)? })
        })
        .await
    }
}

/// How far a host is trusted, whether that suffices, and whose it is.
struct Standing {
    tier: Tier,
    suffices: Result<()>,
    operators: Vec<Did>,
}

fn operators(trust: &TrustGraph, node: &Did) -> Result<Vec<Did>> {
    let links = trust.bindings(node)?.into_iter().filter(|link| link.node == *node);
    let mut operators: Vec<Did> = links.map(|link| link.identity).collect();
    operators.sort();
    operators.dedup();
    Ok(operators)
}

/// The [`MOST`] of these hosts with the highest scores, drawn where they are alike.
fn best_known(trust: &TrustGraph, mut hosts: Vec<PeerId>) -> Result<Vec<PeerId>> {
    hosts.shuffle(&mut rand::rng());
    let (known, dids): (Vec<PeerId>, Vec<Did>) =
        hosts.into_iter().filter_map(|host| Some((host, Did::from_peer_id(&host).ok()?))).unzip();
    let mut ranked: Vec<(f64, PeerId)> = trust.scores(&dids)?.iter().map(|score| score.value).zip(known).collect();
    ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    Ok(ranked.into_iter().take(MOST).map(|(_, host)| host).collect())
}

fn networks(directory: &dyn Directory, host: PeerId) -> Vec<String> {
    let mut ranges: Vec<String> = directory.addresses(host).into_iter().map(range).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}

fn advert(depot: &Depot) -> Result<Advert> {
    let tenants = depot.tenants()?;
    let used = tenants.iter().fold(0u64, |sum, tenant| sum.saturating_add(tenant.bytes));
    let capacity_bytes = depot.policy().capacity_bytes;
    Ok(Advert { capacity_bytes, free_bytes: capacity_bytes.saturating_sub(used), tenants: tenants.len() as u64 })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::identity::Keypair;
    use crate::store::Store;
    use crate::trust::CredentialType;

    #[tokio::test]
    async fn a_crowd_of_names_does_not_stand_before_a_host_that_is_known() {
        let key = |number: u16| {
            let mut seed = [5; 32];
            seed[..2].copy_from_slice(&number.to_le_bytes());
            Keypair::from_seed(seed)
        };
        let graph = |number| {
            TrustGraph::open(Store::in_memory().unwrap(), key(number).signer().unwrap(), Arc::new(SystemClock)).unwrap()
        };
        let (trust, issuer) = (graph(1), graph(2));
        let mut hosts: Vec<PeerId> = (10..10 + 3 * MOST as u16).map(|number| key(number).peer_id()).collect();
        hosts.sort();
        let known = hosts[hosts.len() - 1];
        let subject = Did::from_peer_id(&known).unwrap();
        let pledge = issuer.issue(CredentialType::FiduciaryPledge, subject, Default::default(), None).await.unwrap();
        trust.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
        trust.import_credential(&pledge.to_json()).await.unwrap();
        let found = best_known(&trust, hosts).unwrap();
        assert_eq!((found.len(), found[0]), (MOST, known));
    }
}
