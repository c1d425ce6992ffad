//! Other nodes and this one as hosts: found, asked for what they offer, and reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use libp2p::PeerId;

use super::depot::Depot;
use super::directory::{Advert, Directory};
use super::keeper::{HostName, Keeper, LocalKeeper, RemoteKeeper};
use super::kept::Room;
use super::placement::{self, HostOffer, Placement, range};
use super::request::{Call, Request};
use super::{CollectionId, Mode};
use crate::identity::Did;
use crate::net::Peers;
use crate::trust::{Minimum, Purpose, Score, TrustGraph};
use crate::{Error, Result};

/// The most hosts that are asked at once, and in one search for some.
const AT_ONCE: usize = 16;
const MOST: usize = 128;

/// How long a host may take to say what it offers, the dial included.
const PATIENCE: Duration = Duration::from_secs(8);

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
}

impl Hosts {
    pub(super) fn new(
        owner: Did,
        trust: TrustGraph,
        peers: Option<Arc<dyn Peers>>,
        directory: Option<Arc<dyn Directory>>,
    ) -> Hosts {
        Hosts { owner, trust, peers, directory, here: Mutex::default() }
    }

    pub(super) fn peers(&self) -> Option<&Arc<dyn Peers>> {
        self.peers.as_ref()
    }

    /// What this node itself keeps things in.
    pub(super) fn here(&self) -> MutexGuard<'_, Option<Arc<Depot>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Says so no more.
    pub(super) async fn withdraw(&self) {
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
        found.truncate(MOST);
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
        if self.stands(&did, placement)?.1.is_err() || self.trust.bindings(&did)?.is_empty() {
            directory.acquaint(offer.host).await;
        }
        let (score, stands) = self.stands(&did, placement)?;
        offer.tier = score.tier;
        offer.operators = self.operators(&did)?;
        // Whom this node would not use, it does not tell that it looks for hosts.
        stands?;
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
            offer.operators = self.operators(&did)?;
        }
        if let Some(directory) = &self.directory {
            offer.networks = networks(&**directory, peer);
        }
        Ok(Some(offer))
    }

    fn operators(&self, node: &Did) -> Result<Vec<Did>> {
        let links = self.trust.bindings(node)?.into_iter().filter(|link| link.node == *node);
        let mut operators: Vec<Did> = links.map(|link| link.identity).collect();
        operators.sort();
        operators.dedup();
        Ok(operators)
    }

    fn stands(&self, did: &Did, placement: &Placement) -> Result<(Score, Result<()>)> {
        let score = self.trust.score(did)?;
        let stands = match placement.min_tier.map(Minimum::from) {
            None => self.trust.require(did, Purpose::StoreVectors),
            Some(minimum) if minimum.is_met_by(&score) => Ok(()),
            Some(minimum) => {
                Err(Error::untrusted_peer("the host is below the tier that the collection's placement asks for")
                    .with("tier", score.tier)
                    .with("needed", minimum))
            }
        };
        Ok((score, stands))
    }
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
