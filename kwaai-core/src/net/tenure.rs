//! How long a connection stands that nobody uses.
//!
//! One that the app asked for, or that a peer opened, stands for `idle_connection`, and so does every one after a call or a
//! stream. A lookup in the DHT dials twenty peers and more, and needs each of them once: of the connections that nothing
//! else asked for, the newest stand, and the others end as soon as nothing runs over them. Each side gives back what it
//! opened itself, since it alone knows what for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Sleep;

use super::driver::Driver;
use super::limits::deadline_after;

/// A connection that nothing holds stands for this long after its last stream ended.
const LINGER: Duration = Duration::from_secs(5);

/// For how long `idle_connection` holds a connection, and how long one stands that nothing holds.
pub(crate) fn divide(idle_connection: Duration) -> (Duration, Duration) {
    let linger = LINGER.min(idle_connection / 40);
    (idle_connection - linger, linger)
}

/// Holds a connection for a while.
pub(crate) struct Lease {
    duration: Duration,
    ends: Option<Pin<Box<Sleep>>>,
}

impl Lease {
    /// One that has yet to begin.
    pub(crate) fn of(duration: Duration) -> Lease {
        Lease { duration, ends: None }
    }

    /// Begins, or begins anew.
    pub(crate) fn renew(&mut self) {
        if self.duration.is_zero() {
            return;
        }
        let end = deadline_after(self.duration);
        match &mut self.ends {
            Some(ends) => ends.as_mut().reset(end),
            None => self.ends = Some(Box::pin(tokio::time::sleep_until(end))),
        }
    }

    pub(crate) fn end(&mut self) {
        self.ends = None;
    }

    pub(crate) fn holds(&self) -> bool {
        self.ends.is_some()
    }

    /// Ends when its time is over; the task is woken then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.ends.as_mut().is_some_and(|ends| ends.as_mut().poll(cx).is_ready()) {
            self.ends = None;
        }
    }
}

/// Holds every connection for a while, until it is released.
pub(crate) struct Behaviour {
    duration: Duration,
    decided: VecDeque<(PeerId, ConnectionId, Decision)>,
}

/// What a connection is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decision {
    /// It is held for a while from now on.
    Hold,
    /// It is held no longer.
    Release,
}

impl Behaviour {
    pub(crate) fn new(duration: Duration) -> Behaviour {
        Behaviour { duration, decided: VecDeque::new() }
    }

    fn tell(&mut self, peer: PeerId, id: ConnectionId, decision: Decision) {
        self.decided.push_back((peer, id, decision));
    }

    fn handler(&self) -> Handler {
        let mut lease = Lease::of(self.duration);
        lease.renew();
        Handler(lease)
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.decided.pop_front() {
            Some((peer_id, id, event)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(id), event })
            }
            // Decisions are made by the task that polls the swarm afterwards, so no waker is kept.
            None => Poll::Pending,
        }
    }
}

/// The part of [`Behaviour`] that lives with one connection.
pub(crate) struct Handler(Lease);

impl ConnectionHandler for Handler {
    type FromBehaviour = Decision;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Infallible;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.holds()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.0.poll(cx);
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, decision: Decision) {
        match decision {
            Decision::Hold => self.0.renew(),
            Decision::Release => self.0.end(),
        }
    }

    fn on_connection_event(
        &mut self,
        _: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
    }
}

impl Driver {
    /// Whoever the app asks for is no spare, though a lookup came first.
    pub(crate) fn hold(&mut self, peer: PeerId) {
        let ids: Vec<_> = {
            let mut directory = self.shared.directory();
            let links = directory.peers.get_mut(&peer).into_iter().flat_map(|known| &mut known.links);
            links.map(|link| (std::mem::take(&mut link.spare), link.id).1).collect()
        };
        for id in ids {
            self.swarm.behaviour_mut().tenure.tell(peer, id, Decision::Hold);
        }
    }

    /// Gives connections back that lookups opened, the oldest first.
    pub(crate) fn release_spares(&mut self) {
        let most = self.dispatch.limits.max_lookup_connections as usize;
        let released: Vec<_> = {
            let mut directory = self.shared.directory();
            let mut spares: Vec<_> = directory
                .peers
                .iter()
                .flat_map(|(peer, known)| known.links.iter().filter(|link| link.spare).map(|link| (link.id, *peer)))
                .collect();
            spares.sort_unstable();
            spares.truncate(spares.len().saturating_sub(most));
            for (id, peer) in &spares {
                let links = directory.peers.get_mut(peer).into_iter().flat_map(|known| &mut known.links);
                links.filter(|link| link.id == *id).for_each(|link| link.spare = false);
            }
            spares
        };
        for (id, peer) in released {
            self.swarm.behaviour_mut().tenure.tell(peer, id, Decision::Release);
        }
    }
}
