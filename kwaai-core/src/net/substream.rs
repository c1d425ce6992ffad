//! A libp2p behaviour for one protocol of plain streams: it opens them on request and hands over those that arrive.
//!
//! Incoming streams go straight to the acceptor, on the task of their connection. There is no queue that could run
//! full and lose one silently; the acceptor decides about limits.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use super::tenure::Lease;
use crate::{Error, Result};

/// Takes a stream that a peer opened. Called on the connection's task, so it must not block.
pub(crate) type Accept = Arc<dyn Fn(PeerId, Stream) + Send + Sync>;

/// Where an opened stream goes.
pub(crate) type Opened = oneshot::Sender<Result<Stream>>;

/// Asks a connection to open a stream.
pub(crate) struct Open(Opened);

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Open")
    }
}

/// Streams of one protocol.
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    /// How long a connection is held after a stream was opened on it.
    held: Duration,
    accept: Accept,
    wanted: VecDeque<(PeerId, Open)>,
    /// Connections that lead to a peer itself, which are preferred to those through a relay; the oldest first, the newest
    /// preferred: a peer that connects anew may have lost the others.
    direct: HashMap<PeerId, Vec<ConnectionId>>,
}

impl Behaviour {
    pub(crate) fn new(protocol: StreamProtocol, held: Duration, accept: Accept) -> Behaviour {
        Behaviour { protocol, held, accept, wanted: VecDeque::new(), direct: HashMap::new() }
    }

    /// Opens a stream to a connected peer. If the connection goes away first, the sender is dropped.
    pub(crate) fn open(&mut self, peer: PeerId, opened: Opened) {
        self.wanted.push_back((peer, Open(opened)));
    }

    fn handler(&self, peer: PeerId) -> Handler {
        let lease = Lease::of(self.held);
        Handler { peer, protocol: self.protocol.clone(), accept: self.accept.clone(), wanted: VecDeque::new(), lease }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> std::result::Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> std::result::Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(made) if !made.endpoint.is_relayed() => {
                self.direct.entry(made.peer_id).or_default().push(made.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(direct) = self.direct.get_mut(&closed.peer_id) {
                    direct.retain(|id| *id != closed.connection_id);
                    if direct.is_empty() {
                        self.direct.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.wanted.pop_front() {
            Some((peer_id, event)) => {
                let direct = self.direct.get(&peer_id).and_then(|direct| direct.last());
                let handler = direct.map_or(NotifyHandler::Any, |id| NotifyHandler::One(*id));
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event })
            }
            // `open` is called by the task that polls the swarm afterwards, so no waker is kept.
            None => Poll::Pending,
        }
    }
}

/// The part of [`Behaviour`] that lives with one connection.
pub(crate) struct Handler {
    peer: PeerId,
    protocol: StreamProtocol,
    accept: Accept,
    wanted: VecDeque<Opened>,
    lease: Lease,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.lease.holds()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.lease.poll(cx);
        while let Some(opened) = self.wanted.pop_front() {
            // The caller may have given up while the request was on its way here.
            if !opened.is_closed() {
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), opened);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open(opened): Open) {
        self.lease.renew();
        self.wanted.push_back(opened);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                self.lease.renew();
                (self.accept)(self.peer, stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info: opened }) => {
                // A caller that gave up drops the stream, which resets it.
                let _ = opened.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: opened, error }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => Error::timeout("the peer did not answer the opening of a stream"),
                    StreamUpgradeError::Apply(never) => match never {},
                    StreamUpgradeError::NegotiationFailed => {
                        Error::unsupported(format!("the peer does not speak {}", self.protocol))
                    }
                    StreamUpgradeError::Io(error) => {
                        Error::unreachable("the connection broke while a stream was opened").with_source(error)
                    }
                };
                let _ = opened.send(Err(error.with("peer", self.peer)));
            }
            _ => {}
        }
    }
}
