//! A libp2p behaviour that accepts streams by names which come and go.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::core::{Endpoint, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{InboundUpgrade, Multiaddr, PeerId};

/// Takes a stream that a peer opened by a name. Called on the connection's task, so it must not block.
pub(crate) type Accept = Arc<dyn Fn(PeerId, StreamProtocol, Stream) + Send + Sync>;

/// The names that peers may open streams by now.
#[derive(Clone, Default)]
pub(crate) struct Offered {
    names: Arc<RwLock<Vec<StreamProtocol>>>,
}

impl Offered {
    pub(crate) fn set(&self, names: Vec<StreamProtocol>) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn now(&self) -> Vec<StreamProtocol> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Streams that others open.
pub(crate) struct Behaviour {
    offered: Offered,
    accept: Accept,
}

impl Behaviour {
    pub(crate) fn new(offered: Offered, accept: Accept) -> Behaviour {
        Behaviour { offered, accept }
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler { peer, offered: self.offered.clone(), accept: self.accept.clone() }
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
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The part of [`Behaviour`] that lives with one connection.
pub(crate) struct Handler {
    peer: PeerId,
    offered: Offered,
    accept: Accept,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Names;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    // The connection asks anew for each stream, so that a name is offered from the moment on that it is served.
    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Names(self.offered.now()), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), ()>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: (name, stream), .. }) = event
        {
            (self.accept)(self.peer, name, stream);
        }
    }
}

/// The names of one moment; what is negotiated is one of them.
pub(crate) struct Names(Vec<StreamProtocol>);

impl UpgradeInfo for Names {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((name, stream)))
    }
}
