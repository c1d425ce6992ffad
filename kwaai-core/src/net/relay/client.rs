//! The relays that this node is reached through: one and a spare, the trusted ones first, renewed and replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::relay::outbound::hop::ReserveError;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::net::address::{circuit, peer_of, plausible, with_peer, without_peer};
use crate::net::driver::Driver;
use crate::net::events::NetworkEvent;

/// How often reservations are looked after.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// One relay to be reached through, and a spare that takes over at once.
const WANTED: usize = 2;
/// A relay that has not answered for so long no longer holds up the next.
const PATIENCE: Duration = Duration::from_secs(4);
/// The wait after the first failure; it doubles with each, up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// Relays that nobody named and whose failures are remembered.
const MAX_STRANGERS: usize = 64;

/// What this node has of its relays.
pub(crate) struct Reservations {
    /// The relays that the owner named, in that order.
    trusted: Vec<(PeerId, Vec<Multiaddr>)>,
    slots: BTreeMap<PeerId, Slot>,
}

/// What is known of one relay.
struct Slot {
    listener: Option<ListenerId>,
    since: Instant,
    circuits: Vec<Multiaddr>,
    failures: u32,
    retry_at: Instant,
    error: Option<Refusal>,
}

/// Why a relay gave nothing.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// It has no places left, or none for this node.
    pub full: bool,
    pub text: String,
}

impl Slot {
    fn new(now: Instant) -> Slot {
        Slot { listener: None, since: now, circuits: Vec::new(), failures: 0, retry_at: now, error: None }
    }

    /// Whether it is of use, or may soon be.
    fn counts(&self, now: Instant) -> bool {
        self.listener.is_some() && (!self.circuits.is_empty() || now.duration_since(self.since) < PATIENCE)
    }

    fn fail(&mut self, refusal: Refusal, now: Instant) {
        self.listener = None;
        self.circuits.clear();
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + backoff(self.failures);
        self.error = Some(refusal);
    }
}

fn backoff(failures: u32) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(16));
    FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF)
}

impl Reservations {
    pub(crate) fn new(trusted: &[Multiaddr]) -> Reservations {
        let mut relays: Vec<(PeerId, Vec<Multiaddr>)> = Vec::new();
        for address in trusted {
            let Some(peer) = peer_of(address) else { continue };
            match relays.iter_mut().find(|(known, _)| *known == peer) {
                Some((_, addresses)) => addresses.push(without_peer(address)),
                None => relays.push((peer, vec![without_peer(address)])),
            }
        }
        Reservations { trusted: relays, slots: BTreeMap::new() }
    }

    pub(crate) fn is_trusted(&self, peer: PeerId) -> bool {
        self.trusted.iter().any(|(trusted, _)| *trusted == peer)
    }

    pub(crate) fn names_any(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// The relays that accepted, in the order of their PeerIds.
    pub(crate) fn accepted(&self) -> Vec<PeerId> {
        self.slots.iter().filter(|(_, slot)| !slot.circuits.is_empty()).map(|(peer, _)| *peer).collect()
    }

    /// The relays that failed last, and why.
    pub(crate) fn refusals(&self) -> Vec<(PeerId, Refusal)> {
        let failed = self.slots.iter().filter(|(_, slot)| slot.circuits.is_empty());
        failed.filter_map(|(peer, slot)| Some((*peer, slot.error.clone()?))).collect()
    }

    pub(crate) fn circuits(&self) -> Vec<Multiaddr> {
        let mut circuits: Vec<_> = self.slots.values().flat_map(|slot| slot.circuits.clone()).collect();
        circuits.sort();
        circuits.dedup();
        circuits
    }

    fn slot_of(&mut self, listener: ListenerId) -> Option<(PeerId, &mut Slot)> {
        let mut slots = self.slots.iter_mut();
        slots.find(|(_, slot)| slot.listener == Some(listener)).map(|(peer, slot)| (*peer, slot))
    }

    /// The relay to ask next, if one is needed.
    fn next(&self, offering: &[(PeerId, Multiaddr)], now: Instant) -> Option<(PeerId, Multiaddr)> {
        let may = |peer: &PeerId| match self.slots.get(peer) {
            Some(slot) => slot.listener.is_none() && slot.retry_at <= now,
            None => true,
        };
        let counting = |trusted: bool| {
            let slots =
                self.slots.iter().filter(|(peer, slot)| slot.counts(now) && (!trusted || self.is_trusted(**peer)));
            slots.count()
        };
        if counting(true) < WANTED
            && let Some((peer, addresses)) = self.trusted.iter().find(|(peer, _)| may(peer))
        {
            // Another of its addresses after each failure.
            let failures = self.slots.get(peer).map_or(0, |slot| slot.failures as usize);
            return addresses.get(failures % addresses.len().max(1)).map(|address| (*peer, address.clone()));
        }
        let room = self.slots.len() < MAX_STRANGERS + self.trusted.len();
        let known = |peer: &PeerId| room || self.slots.contains_key(peer);
        match counting(false) < WANTED {
            true => offering.iter().find(|(peer, _)| may(peer) && known(peer)).cloned(),
            false => None,
        }
    }
}

impl Driver {
    /// Asks relays as long as this node needs them, and lets go of them when it does not.
    pub(crate) fn keep_reservations(&mut self) {
        if !self.reach.wants_relays(self.reservations.names_any()) {
            let listeners = self.reservations.slots.values().filter_map(|slot| slot.listener);
            for listener in listeners.collect::<Vec<_>>() {
                self.swarm.remove_listener(listener);
            }
            return;
        }
        let now = Instant::now();
        let offering = self.offering();
        for _ in 0..WANTED {
            let Some((peer, address)) = self.reservations.next(&offering, now) else { break };
            let slot = self.reservations.slots.entry(peer).or_insert_with(|| Slot::new(now));
            slot.since = now;
            match self.swarm.listen_on(circuit(&address, peer)) {
                Ok(listener) => slot.listener = Some(listener),
                Err(error) => slot.fail(Refusal { full: false, text: error.to_string() }, now),
            }
        }
        self.drop_strangers(now);
    }

    /// With enough trusted relays, the others are not needed.
    fn drop_strangers(&mut self, now: Instant) {
        let reservations = &self.reservations;
        let serving = |peer: &PeerId, slot: &Slot| reservations.is_trusted(*peer) && !slot.circuits.is_empty();
        if reservations.slots.iter().filter(|(peer, slot)| serving(peer, slot)).count() < WANTED {
            return;
        }
        let strangers =
            reservations.slots.iter().filter(|(peer, slot)| !reservations.is_trusted(**peer) && slot.counts(now));
        for listener in strangers.filter_map(|(_, slot)| slot.listener).collect::<Vec<_>>() {
            self.swarm.remove_listener(listener);
        }
    }

    /// Connected peers that relay, the bootstraps first, with an address of each.
    fn offering(&self) -> Vec<(PeerId, Multiaddr)> {
        let directory = self.shared.directory();
        let relays = directory.peers.iter().filter(|(_, known)| known.relays);
        let mut offering: Vec<_> = relays.filter_map(|(peer, known)| Some((*peer, known.direct()?))).collect();
        let is_bootstrap = |peer: PeerId| self.bootstrap.iter().any(|bootstrap| bootstrap.peer == Some(peer));
        offering.sort_by_key(|(peer, _)| !is_bootstrap(*peer));
        offering
    }

    /// A relay accepted: this node is reached through it at this address.
    pub(crate) fn circuit_listening(&mut self, listener: ListenerId, address: &Multiaddr) {
        let local = self.shared.local;
        let Some((relay, slot)) = self.reservations.slot_of(listener) else { return };
        let seen = self.shared.directory().peers.get(&relay).and_then(|known| known.direct());
        let address = with_peer(address, local);
        // A relay names its home addresses as well.
        if seen.is_some_and(|seen| !plausible(&address, &seen)) || slot.circuits.contains(&address) {
            return;
        }
        slot.circuits.push(address.clone());
        slot.failures = 0;
        slot.error = None;
        self.swarm.add_external_address(address.clone());
        self.publish_circuits();
        self.shared.events.send(NetworkEvent::Listening { address });
    }

    /// A reservation ended. Whether it was one.
    pub(crate) fn circuit_closed(&mut self, listener: ListenerId, reason: &Result<(), std::io::Error>) -> bool {
        let now = Instant::now();
        let Some((relay, slot)) = self.reservations.slot_of(listener) else { return false };
        let gone = std::mem::take(&mut slot.circuits);
        match reason {
            // One that served until now is asked again at once.
            Ok(()) if !gone.is_empty() => {
                slot.listener = None;
                slot.retry_at = now + FIRST_BACKOFF;
            }
            Ok(()) => slot.fail(Refusal { full: false, text: "the relay cannot be reached".into() }, now),
            Err(error) => slot.fail(refusal(error), now),
        }
        tracing::debug!(%relay, failures = slot.failures, "a reservation ended");
        for address in &gone {
            self.swarm.remove_external_address(address);
        }
        self.publish_circuits();
        for address in gone {
            self.shared.events.send(NetworkEvent::ListeningStopped { address });
        }
        true
    }

    fn publish_circuits(&mut self) {
        self.shared.directory().refusals = self.reservations.refusals();
        self.judge();
    }
}

fn refusal(error: &std::io::Error) -> Refusal {
    let first = error.get_ref().map(|error| error as &(dyn std::error::Error + 'static));
    let chain = std::iter::successors(first, |error| error.source()).collect::<Vec<_>>();
    let full = chain
        .iter()
        .filter_map(|error| error.downcast_ref::<ReserveError>())
        .any(|error| matches!(error, ReserveError::ResourceLimitExceeded | ReserveError::Refused));
    let text = chain.last().map_or_else(|| error.to_string(), ToString::to_string);
    Refusal { full, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(peer: PeerId, port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}").parse().unwrap()
    }

    fn ask(reservations: &mut Reservations, peer: PeerId, now: Instant) {
        reservations.slots.entry(peer).or_insert_with(|| Slot::new(now)).listener = Some(ListenerId::next());
    }

    #[tokio::test]
    async fn trusted_relays_come_first_and_strangers_only_while_they_are_missing() {
        let now = Instant::now();
        let [first, second, stranger] = std::array::from_fn(|_| PeerId::random());
        let mut reservations = Reservations::new(&[named(first, 1), named(second, 2), named(first, 3)]);
        let offering = [(stranger, named(stranger, 9))];
        for expected in [first, second] {
            let (peer, _) = reservations.next(&offering, now).unwrap();
            assert_eq!(peer, expected);
            ask(&mut reservations, peer, now);
        }
        assert!(reservations.next(&offering, now).is_none());
        let failed = Refusal { full: true, text: "no places".into() };
        reservations.slots.get_mut(&first).unwrap().fail(failed, now);
        assert_eq!(reservations.next(&offering, now).unwrap().0, stranger);
        let (peer, address) = reservations.next(&offering, now + FIRST_BACKOFF).unwrap();
        assert_eq!((peer, address), (first, "/ip4/127.0.0.1/tcp/3".parse().unwrap()), "at its other address");
        assert!(reservations.refusals()[0].1.full);
    }

    #[tokio::test]
    async fn a_relay_that_does_not_answer_holds_nobody_up() {
        let now = Instant::now();
        let peers: [PeerId; 3] = std::array::from_fn(|_| PeerId::random());
        let mut reservations = Reservations::new(&peers.map(|peer| named(peer, 1)));
        for peer in &peers[..2] {
            ask(&mut reservations, *peer, now);
        }
        assert!(reservations.next(&[], now).is_none());
        assert_eq!(reservations.next(&[], now + PATIENCE).unwrap().0, peers[2]);
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes() {
        assert_eq!([1, 2, 3].map(backoff).map(|wait| wait.as_secs()), [1, 2, 4]);
        assert_eq!([9, 10, u32::MAX].map(backoff).map(|wait| wait.as_secs()), [256, 300, 300]);
    }
}
