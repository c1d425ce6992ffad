//! This node as a relay. Requests of a peer wait until the gate has decided about it; the answer counts for a minute.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::relay::{self, Event};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::RelayLimits;
use crate::net::dispatch::Dispatch;
use crate::trust::Purpose;

/// How long a decision of the gate counts.
const DECIDED_FOR: Duration = Duration::from_secs(60);
/// How long the gate may take before a peer is nobody known; for that it may ask the peer for credentials.
const DECIDING: Duration = Duration::from_secs(3);
/// How long the other end of a circuit may take to accept it.
const ACCEPTING: Duration = Duration::from_secs(30);
/// Decisions that are remembered; beyond it, those that no longer count go.
const MAX_DECIDED: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    None,
    Stranger,
    Full,
}

type Handled = THandlerOutEvent<relay::Behaviour>;

pub(crate) struct Server {
    inner: relay::Behaviour,
    dispatch: Arc<Dispatch>,
    room: Arc<Room>,
    /// What peers without a decision asked for.
    waiting: HashMap<PeerId, Vec<(ConnectionId, Handled)>>,
    decisions: mpsc::UnboundedSender<(PeerId, Share)>,
    decided: mpsc::UnboundedReceiver<(PeerId, Share)>,
}

/// Who was admitted to what, and who holds what.
struct Room {
    limits: RelayLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shares: HashMap<PeerId, (Share, Instant)>,
    /// Who holds a reservation, and until when at the latest.
    reserved: HashMap<PeerId, Instant>,
    circuits: HashMap<PeerId, usize>,
    /// Circuits that were granted, and are not accepted by their other end yet.
    granted: HashMap<PeerId, Vec<Instant>>,
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_reserve(&self, peer: PeerId) -> bool {
        let (state, now) = (self.state(), Instant::now());
        let share = state.share(peer);
        // Who holds a place keeps it, also in a full house.
        if share == Share::None || state.holds(peer, now) {
            return share != Share::None;
        }
        let for_strangers = (self.limits.max_reservations.div_ceil(4) * 3).max(1);
        state.held(now) < self.limits.max_reservations
            && (share == Share::Full || state.held_by_strangers(now) < for_strangers)
    }

    /// Grants a circuit, or does not.
    fn grant(&self, peer: PeerId) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        let most = match state.share(peer) {
            Share::None => return false,
            Share::Full => self.limits.max_circuits_per_peer,
            Share::Stranger => self.limits.max_circuits_per_stranger.min(self.limits.max_circuits_per_peer),
        };
        let held = state.circuits.get(&peer).copied().unwrap_or(0);
        let granted = state.granted.entry(peer).or_default();
        granted.retain(|since| now.duration_since(*since) < ACCEPTING);
        let free = held + granted.len() < most;
        if free {
            granted.push(now);
        }
        free
    }

    fn note(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::ReservationReqAccepted { src_peer_id, .. } => {
                state.reserved.insert(*src_peer_id, Instant::now() + self.limits.reservation_duration);
            }
            Event::ReservationTimedOut { src_peer_id } => {
                state.reserved.remove(src_peer_id);
            }
            // `ReservationClosed` comes with the end of any connection of a peer, whichever holds the reservation.
            Event::CircuitReqDenied { src_peer_id, status, .. }
                if !matches!(status, relay::StatusCode::ResourceLimitExceeded) =>
            {
                state.settled(*src_peer_id);
            }
            Event::CircuitReqAccepted { src_peer_id, .. } => {
                state.settled(*src_peer_id);
                *state.circuits.entry(*src_peer_id).or_default() += 1;
            }
            Event::CircuitClosed { src_peer_id, .. } => {
                if let Some(held) = state.circuits.get_mut(src_peer_id) {
                    *held = held.saturating_sub(1);
                    if *held == 0 {
                        state.circuits.remove(src_peer_id);
                    }
                }
            }
            _ => {}
        }
    }
}

impl State {
    fn share(&self, peer: PeerId) -> Share {
        self.shares.get(&peer).map_or(Share::None, |(share, _)| *share)
    }

    /// A circuit that was granted is accepted or refused.
    fn settled(&mut self, peer: PeerId) {
        if let Some(granted) = self.granted.get_mut(&peer) {
            granted.pop();
            if granted.is_empty() {
                self.granted.remove(&peer);
            }
        }
    }

    fn holds(&self, peer: PeerId, now: Instant) -> bool {
        self.reserved.get(&peer).is_some_and(|until| *until > now)
    }

    fn holders(&self, now: Instant) -> impl Iterator<Item = PeerId> {
        self.reserved.iter().filter(move |(_, until)| **until > now).map(|(peer, _)| *peer)
    }

    fn held(&self, now: Instant) -> usize {
        self.holders(now).count()
    }

    fn held_by_strangers(&self, now: Instant) -> usize {
        self.holders(now).filter(|peer| self.share(*peer) != Share::Full).count()
    }

    fn decide(&mut self, peer: PeerId, share: Share, now: Instant) {
        if self.shares.len() >= MAX_DECIDED {
            self.shares.retain(|_, (_, since)| now.duration_since(*since) < DECIDED_FOR);
        }
        self.shares.insert(peer, (share, now));
    }

    fn is_decided(&self, peer: PeerId, now: Instant) -> bool {
        self.shares.get(&peer).is_some_and(|(_, since)| now.duration_since(*since) < DECIDED_FOR)
    }
}

impl Server {
    /// How many peers hold a reservation, and how many circuits there are.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.room.state();
        (state.held(Instant::now()), state.circuits.values().sum())
    }

    pub(crate) fn new(local: PeerId, limits: RelayLimits, dispatch: Arc<Dispatch>) -> Server {
        let room = Arc::new(Room { limits: limits.clone(), state: Mutex::default() });
        let (reserving, connecting) = (room.clone(), room.clone());
        let mut config = relay::Config {
            // libp2p counts a renewal as one more; `may_reserve` does not.
            max_reservations: usize::MAX,
            max_reservations_per_peer: 2,
            reservation_duration: limits.reservation_duration,
            reservation_rate_limiters: Vec::new(),
            max_circuits: limits.max_circuits,
            max_circuits_per_peer: limits.max_circuits_per_peer,
            max_circuit_duration: limits.max_circuit_duration,
            max_circuit_bytes: limits.max_circuit_bytes,
            circuit_src_rate_limiters: Vec::new(),
        };
        config
            .reservation_rate_limiters
            .push(Box::new(move |peer: PeerId, _: &Multiaddr, _| reserving.may_reserve(peer)));
        // So many at once, and then one more every so many seconds.
        let rate = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let mut config = config
            .reservation_rate_per_peer(rate(30), Duration::from_secs(60))
            .reservation_rate_per_ip(rate(120), Duration::from_secs(10))
            .circuit_src_per_peer(rate(60), Duration::from_secs(10))
            .circuit_src_per_ip(rate(240), Duration::from_secs(2));
        // The last that is asked, so that nothing is granted in vain.
        config.circuit_src_rate_limiters.push(Box::new(move |peer: PeerId, _: &Multiaddr, _| connecting.grant(peer)));
        let (decisions, decided) = mpsc::unbounded_channel();
        let inner = relay::Behaviour::new(local, config);
        Server { inner, dispatch, room, waiting: HashMap::new(), decisions, decided }
    }

    /// Whether peers are told that this node relays; `None` as long as it has an address of its own.
    pub(crate) fn set_offered(&mut self, offered: bool) {
        self.inner.set_status(if offered { None } else { Some(relay::Status::Disable) });
    }

    fn ask(&self, peer: PeerId) {
        let (dispatch, decisions) = (self.dispatch.clone(), self.decisions.clone());
        self.dispatch.spawn(async move {
            let admitted = async |purpose| {
                let asked = tokio::time::timeout(DECIDING, dispatch.admit(peer, purpose)).await;
                asked.is_ok_and(|admitted| admitted.is_ok())
            };
            let share = match admitted(Purpose::Relay).await {
                false => Share::None,
                true if admitted(Purpose::RelayFreely).await => Share::Full,
                true => Share::Stranger,
            };
            // The network may have ended meanwhile.
            let _ = decisions.send((peer, share));
        });
    }
}

impl NetworkBehaviour for Server {
    type ConnectionHandler = THandler<relay::Behaviour>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(closed) = &event {
            if let Some(waiting) = self.waiting.get_mut(&closed.peer_id) {
                // A request of a connection that is gone would be counted for ever.
                waiting.retain(|(id, _)| *id != closed.connection_id);
            }
            if closed.remaining_established == 0 {
                let mut state = self.room.state();
                state.reserved.remove(&closed.peer_id);
                state.granted.remove(&closed.peer_id);
            }
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: Handled) {
        if let Some(waiting) = self.waiting.get_mut(&peer) {
            waiting.push((id, event));
        } else if self.room.state().is_decided(peer, Instant::now()) {
            self.inner.on_connection_handler_event(peer, id, event);
        } else {
            self.waiting.insert(peer, vec![(id, event)]);
            self.ask(peer);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some((peer, share))) = self.decided.poll_recv(cx) {
            self.room.state().decide(peer, share, Instant::now());
            for (id, event) in self.waiting.remove(&peer).unwrap_or_default() {
                self.inner.on_connection_handler_event(peer, id, event);
            }
        }
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::GenerateEvent(event)) = &polled {
            self.room.note(event);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(limits: RelayLimits) -> Room {
        Room { limits, state: Mutex::default() }
    }

    fn decide(room: &Room, share: Share) -> PeerId {
        let peer = PeerId::random();
        room.state().decide(peer, share, Instant::now());
        peer
    }

    #[test]
    fn nobody_is_relayed_before_the_gate_decided() {
        let room = room(RelayLimits::default());
        let refused = decide(&room, Share::None);
        for peer in [PeerId::random(), refused] {
            assert!(!room.may_reserve(peer) && !room.grant(peer));
        }
        let stranger = decide(&room, Share::Stranger);
        assert!(room.may_reserve(stranger) && room.grant(stranger));
    }

    #[test]
    fn strangers_leave_places_to_the_known() {
        let room = room(RelayLimits { max_reservations: 4, ..RelayLimits::default() });
        for _ in 0..3 {
            let src_peer_id = decide(&room, Share::Stranger);
            assert!(room.may_reserve(src_peer_id));
            room.note(&Event::ReservationReqAccepted { src_peer_id, renewed: false });
            room.note(&Event::ReservationClosed { src_peer_id });
            assert!(room.may_reserve(src_peer_id), "it may renew what it has");
        }
        assert!(!room.may_reserve(decide(&room, Share::Stranger)), "another connection ended, not the reservation");
        let src_peer_id = decide(&room, Share::Full);
        assert!(room.may_reserve(src_peer_id));
        room.note(&Event::ReservationReqAccepted { src_peer_id, renewed: false });
        assert!(!room.may_reserve(decide(&room, Share::Full)), "the house is full");
        assert!(room.may_reserve(src_peer_id), "a renewal takes no place");
        room.note(&Event::ReservationTimedOut { src_peer_id });
        assert!(room.may_reserve(decide(&room, Share::Full)));
    }

    #[test]
    fn a_stranger_opens_fewer_circuits_than_a_known_peer() {
        let room = room(RelayLimits::default());
        let opened = |src_peer_id: PeerId| {
            let dst_peer_id = PeerId::random();
            // Asked for all at once, before any is accepted.
            let count = std::iter::from_fn(|| room.grant(src_peer_id).then_some(())).count();
            for _ in 0..count {
                room.note(&Event::CircuitReqAccepted { src_peer_id, dst_peer_id });
                assert!(!room.grant(src_peer_id));
            }
            room.note(&Event::CircuitClosed { src_peer_id, dst_peer_id, error: None });
            assert!(room.grant(src_peer_id), "a closed circuit leaves its place");
            let status = relay::StatusCode::NoReservation;
            room.note(&Event::CircuitReqDenied { src_peer_id, dst_peer_id, status });
            assert!(room.grant(src_peer_id), "a refused one as well");
            count
        };
        assert_eq!(opened(decide(&room, Share::Stranger)), 4);
        assert_eq!(opened(decide(&room, Share::Full)), 16);
    }

    #[test]
    fn a_decision_counts_for_a_minute() {
        let room = room(RelayLimits::default());
        let (peer, now) = (decide(&room, Share::Full), Instant::now());
        assert!(room.state().is_decided(peer, now));
        assert!(!room.state().is_decided(peer, now + DECIDED_FOR));
    }
}
