//! Whether others can dial this node, and which of its addresses they are told.
//!
//! The strongest word counts: the owner's, then that of peers which tried (AutoNAT), then that of the router (UPnP), then
//! that of peers which see this node somewhere (identify).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::address::{check_dialable, ip_of, is_global, is_relayed, moved, with_peer, without_peer};
use super::driver::Driver;
use super::events::NetworkEvent;
use crate::{Error, Result};

/// The most addresses that peers may bring up.
const MAX_TRIED: usize = 32;

/// How a node finds out whether it can be dialled, and what its owner knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachConfig {
    /// Addresses to announce in place of all others. The owner vouches that they can be dialled.
    pub announce: Vec<Multiaddr>,
    /// The public number of the machine or its router; announced with the ports that are listened on.
    pub public_ip: Option<IpAddr>,
    /// The port that a router forwards to this node, in place of the one that it listens on.
    pub public_port: Option<u16>,
    /// Takes this node for one that nobody can dial: only addresses through relays are announced, and nobody is asked to
    /// try. `announce` and `public_ip` win over it.
    pub force_private: bool,
    /// So many peers must see this node at the same number before their word counts.
    pub identify_min_confirmations: u32,
    /// The word of these peers counts only when nobody could try to dial this node for so long.
    pub identify_timeout: Duration,
    /// Whether peers are asked to dial this node, and dialled when they ask (AutoNAT).
    pub autonat: bool,
    /// Whether the router is asked to forward a port (UPnP). Not done when only loopback is listened on.
    pub upnp: bool,
}

impl Default for ReachConfig {
    /// Nothing declared, AutoNAT on, UPnP off; two confirmations, 30 seconds.
    fn default() -> ReachConfig {
        ReachConfig {
            announce: Vec::new(),
            public_ip: None,
            public_port: None,
            force_private: false,
            identify_min_confirmations: 2,
            identify_timeout: Duration::from_secs(30),
            autonat: true,
            upnp: false,
        }
    }
}

impl ReachConfig {
    /// Refuses what cannot be announced, or would announce nothing.
    pub(crate) fn validate(&self, listens: bool) -> Result<()> {
        let wrong = |key: &str, text: String| Err(Error::invalid_argument(format!("{key} {text}")).with("key", key));
        for address in &self.announce {
            check_dialable(address)?;
            if ip_of(address).is_some_and(|ip| ip.is_unspecified()) {
                return wrong("announce_addr", format!("has {address}, at which nobody can be dialled"));
            }
        }
        if let Some(ip) = self.public_ip.filter(|ip| !is_global(*ip)) {
            return wrong("public_ip", format!("is {ip}, which is no address of the internet"));
        }
        if self.public_ip.is_some() && !listens {
            return wrong("public_ip", "is set, and the node listens nowhere".into());
        }
        if self.public_port == Some(0) {
            return wrong("public_port", "is 0, and a peer needs a port to dial".into());
        }
        if self.identify_min_confirmations == 0 {
            return wrong("identify_min_confirmations", "is 0, and nobody's word would be enough".into());
        }
        Ok(())
    }
}

/// Whether others can dial a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It can be dialled from the internet.
    Public,
    /// It cannot; others reach it through a relay, if it has one.
    Private,
    /// Nobody outside of its own network tried so far.
    Unknown,
}

impl Verdict {
    /// The fixed name: `public`, `private` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Public => "public",
            Verdict::Private => "private",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Whether and how others reach a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachability {
    /// Whether it can be dialled.
    pub verdict: Verdict,
    /// A sentence that says why, for people.
    pub why: String,
    /// The relays that it is reached through, in the order of their PeerIds.
    pub relays: Vec<PeerId>,
}

impl Default for Reachability {
    fn default() -> Reachability {
        Reachability { verdict: Verdict::Unknown, why: "the node has just started".into(), relays: Vec::new() }
    }
}

/// What is known so far.
pub(crate) struct Reach {
    config: ReachConfig,
    observed: BTreeMap<PeerId, IpAddr>,
    first_observed: Option<Instant>,
    /// Addresses at which a peer dialled this node.
    reached: BTreeSet<Multiaddr>,
    /// Addresses at which a peer tried and failed.
    missed: BTreeSet<Multiaddr>,
    /// Whether version 1 of AutoNAT, which names no address, failed.
    missed_by_v1: bool,
    mapped: BTreeSet<Multiaddr>,
    pub listening: Vec<Multiaddr>,
    verdict: Verdict,
}

/// A verdict, why, and which direct addresses are announced.
struct Judgement {
    verdict: Verdict,
    why: String,
    announced: BTreeSet<Multiaddr>,
}

impl Reach {
    pub(crate) fn new(config: ReachConfig) -> Reach {
        Reach {
            config,
            observed: BTreeMap::new(),
            first_observed: None,
            reached: BTreeSet::new(),
            missed: BTreeSet::new(),
            missed_by_v1: false,
            mapped: BTreeSet::new(),
            listening: Vec::new(),
            verdict: Verdict::Unknown,
        }
    }

    /// A peer sees this node at an address.
    pub(crate) fn observed(&mut self, peer: PeerId, address: &Multiaddr, now: Instant) {
        let Some(ip) = ip_of(address).filter(|ip| is_global(*ip) && !is_relayed(address)) else { return };
        self.observed.insert(peer, ip);
        self.first_observed.get_or_insert(now);
        // Who moved to another network is not to be dialled at the numbers of the last.
        if let Some((present, _)) = self.agreed() {
            let past = |address: &Multiaddr| {
                ip_of(address).is_some_and(|ip| is_global(ip) && ip.is_ipv4() == present.is_ipv4() && ip != present)
            };
            self.reached.retain(|address| !past(address));
            self.missed.retain(|address| !past(address));
        }
    }

    /// A peer is gone, and with it its word.
    pub(crate) fn gone(&mut self, peer: PeerId) {
        self.observed.remove(&peer);
    }

    /// A peer dialled this node at an address.
    pub(crate) fn reached(&mut self, address: &Multiaddr) {
        let address = without_peer(address);
        self.missed.remove(&address);
        self.missed_by_v1 = false;
        if self.reached.len() < MAX_TRIED && !is_relayed(&address) {
            self.reached.insert(address);
        }
    }

    /// This machine lost a number.
    pub(crate) fn lost(&mut self, ip: IpAddr) {
        let elsewhere = |address: &Multiaddr| ip_of(address) != Some(ip);
        self.reached.retain(elsewhere);
        self.missed.retain(elsewhere);
        self.mapped.retain(elsewhere);
        self.listening.retain(elsewhere);
    }

    /// A peer could not dial this node at an address.
    pub(crate) fn missed(&mut self, address: &Multiaddr) {
        let address = without_peer(address);
        self.reached.remove(&address);
        if self.missed.len() < MAX_TRIED && ip_of(&address).is_some_and(is_global) {
            self.missed.insert(address);
        }
    }

    pub(crate) fn missed_by_v1(&mut self) {
        self.missed_by_v1 = true;
    }

    pub(crate) fn mapped(&mut self, address: Multiaddr) {
        // What was tried before the router forwarded anything says nothing of now.
        self.missed.remove(&address);
        self.missed_by_v1 = false;
        self.mapped.insert(address);
    }

    pub(crate) fn unmapped(&mut self, address: &Multiaddr) {
        self.mapped.remove(address);
    }

    /// Whether this node looks for relays: it cannot be dialled, or its owner named relays and nobody dialled it yet.
    pub(crate) fn wants_relays(&self, names_any: bool) -> bool {
        match self.verdict {
            Verdict::Public => false,
            Verdict::Private => names_any || !self.listening.is_empty(),
            Verdict::Unknown => names_any,
        }
    }

    /// What is listened on, at another number.
    pub(crate) fn at(&self, ip: IpAddr) -> BTreeSet<Multiaddr> {
        let same = |address: &&Multiaddr| ip_of(address).is_some_and(|own| own.is_ipv4() == ip.is_ipv4());
        let listening = self.listening.iter().filter(same);
        listening.map(|address| moved(address, ip, self.config.public_port)).collect()
    }

    /// Where this node may be dialled when a peer sees it at an address. Most routers keep the port, so what is listened on is worth a
    /// try at that number. The port that was seen is one more if this end of the connection is listened on, unless the
    /// number is this machine's own: then nothing stands in between, and its ports are known.
    pub(crate) fn behind(&self, observed: &Multiaddr, own_port: bool) -> BTreeSet<Multiaddr> {
        let Some(ip) = ip_of(observed) else { return BTreeSet::new() };
        let is_own = self.listening.iter().any(|own| ip_of(own) == Some(ip));
        let seen = (own_port && !is_own).then(|| without_peer(observed));
        self.at(ip).into_iter().chain(seen).collect()
    }

    /// The number at which enough peers see this node.
    fn agreed(&self) -> Option<(IpAddr, usize)> {
        let mut seen: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for ip in self.observed.values() {
            *seen.entry(*ip).or_default() += 1;
        }
        let most = seen.into_iter().max_by_key(|(_, peers)| *peers)?;
        (most.1 >= self.config.identify_min_confirmations as usize).then_some(most)
    }

    fn judge(&self, now: Instant) -> Judgement {
        let Judging { verdict, why, own } = self.verdict(now);
        let listening = self.listening.iter().cloned();
        let announced = match (verdict, own) {
            (Verdict::Public, own) if self.is_declared() => own,
            (Verdict::Private, _) if self.config.force_private => BTreeSet::new(),
            // Those of the home network still serve at home.
            (Verdict::Private, _) => {
                listening.filter(|address| ip_of(address).is_some_and(|ip| !is_global(ip))).collect()
            }
            (_, own) => listening.chain(own).collect(),
        };
        Judgement { verdict, why, announced }
    }

    fn is_declared(&self) -> bool {
        !self.config.announce.is_empty() || self.config.public_ip.is_some()
    }

    /// Whether the owner wants nobody to dial this node.
    fn is_private_by_choice(&self) -> bool {
        !self.is_declared() && (self.config.force_private || self.listening.is_empty())
    }

    fn verdict(&self, now: Instant) -> Judging {
        let config = &self.config;
        let global = |addresses: &BTreeSet<Multiaddr>| -> BTreeSet<Multiaddr> {
            addresses.iter().filter(|address| ip_of(address).is_some_and(is_global)).cloned().collect()
        };
        if !config.announce.is_empty() {
            let own = config.announce.iter().map(without_peer).collect();
            return Judging::public("its owner says so with announce_addr".into(), own);
        }
        if let Some(ip) = config.public_ip {
            return Judging::public(format!("its owner says that {ip} is its public address"), self.at(ip));
        }
        if config.force_private {
            return Judging::private("its owner says so with force_private".into());
        }
        if self.listening.is_empty() {
            return Judging::private("it listens nowhere".into());
        }
        let (reached, mapped) = (global(&self.reached), global(&self.mapped));
        if let Some(address) = reached.first() {
            return Judging::public(format!("a peer dialled it at {address}"), reached);
        }
        if let Some(address) = self.missed.first() {
            return Judging::private(format!(
                "a peer could not dial it at {address}: a router or a firewall is in between"
            ));
        }
        if self.missed_by_v1 {
            return Judging::private("peers could not dial it: a router or a firewall is in between".into());
        }
        if let Some(address) = mapped.first() {
            return Judging::public(format!("the router forwards {address} to it"), mapped);
        }
        let waited = self.first_observed.is_some_and(|since| now.duration_since(since) >= config.identify_timeout);
        if let Some((ip, peers)) = self.agreed().filter(|_| waited) {
            return Judging::public(
                format!("{peers} peers see it at {ip}, and nobody could try to dial it"),
                self.at(ip),
            );
        }
        let why = match self.listening.iter().all(|address| ip_of(address).is_some_and(|ip| ip.is_loopback())) {
            true => "it listens on loopback, so that only programs of this machine reach it",
            false => "no peer on the internet has tried to dial it so far",
        };
        Judging { verdict: Verdict::Unknown, why: why.into(), own: BTreeSet::new() }
    }
}

/// A verdict, why, and at which addresses of its own the node can be dialled.
struct Judging {
    verdict: Verdict,
    why: String,
    own: BTreeSet<Multiaddr>,
}

impl Judging {
    fn public(why: String, own: BTreeSet<Multiaddr>) -> Judging {
        Judging { verdict: Verdict::Public, why, own }
    }

    fn private(why: String) -> Judging {
        Judging { verdict: Verdict::Private, why, own: BTreeSet::new() }
    }
}

impl Driver {
    /// Draws the conclusion from what is known, tells the swarm what to announce, and callers what changed.
    pub(crate) fn judge(&mut self) {
        let Judgement { verdict, why, announced } = self.reach.judge(Instant::now());
        let confirmed: BTreeSet<_> = self.swarm.external_addresses().cloned().collect();
        for address in announced.difference(&confirmed) {
            self.swarm.add_external_address(address.clone());
        }
        // What was announced before, and what AutoNAT confirmed, which the swarm announces unasked.
        for address in confirmed.difference(&announced).filter(|address| !is_relayed(address)) {
            self.swarm.remove_external_address(address);
        }
        if let Some(server) = self.swarm.behaviour_mut().relay.as_mut() {
            server.set_offered(verdict != Verdict::Private);
        }
        self.reach.verdict = verdict;
        let local = self.shared.local;
        let relays = self.reservations.accepted();
        let reachability = Reachability { verdict, why, relays };
        let (changed, moved) = {
            let mut directory = self.shared.directory();
            let before = directory.addresses();
            directory.announced = announced.iter().map(|address| with_peer(address, local)).collect();
            let changed = directory.reachability.verdict != verdict;
            directory.private_by_choice = self.reach.is_private_by_choice();
            directory.circuits = self.reservations.circuits();
            directory.reachability = reachability.clone();
            (changed, directory.addresses() != before)
        };
        if moved {
            // The swarm announces by itself what is listened on, and does not know what of that counts.
            let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
            self.swarm.behaviour_mut().identify.push(peers);
        }
        if changed {
            tracing::info!(verdict = verdict.as_str(), why = reachability.why, "whether this node can be dialled");
            self.shared.events.send(NetworkEvent::ReachabilityChanged { reachability });
        }
    }
}

#[cfg(test)]
mod tests;
