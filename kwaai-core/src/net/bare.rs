//! Protocol names without a leading slash, and openings that cost no round trip, on stock multistream-select.
//!
//! hivemind names its protocols `DHTProtocol.rpc_ping`; multistream-select refuses names that do not begin with a slash.
//! So every multiplexer is wrapped. While a substream is negotiated, names are translated on their way: `X` on the wire
//! is `/bare/X` here. The translation is one to one, since a name that begins with `/bare/` on the wire gets the prefix
//! as well; hence nobody reaches a protocol by its local name. Identify messages are translated likewise, so that both
//! sides see names as they write them. After the negotiation bytes pass untouched.
//!
//! The wrapper also saves a round trip: a name that the peer listed in identify, or accepted once on this connection,
//! is taken as accepted when it is asked for again. Only names without a slash and those in [`OURS`] are treated so; a
//! Kademlia that were answered for its peer would take everybody for a peer of its own.

mod counted;
mod names;
mod negotiation;
mod substream;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures::TryFutureExt;
use futures::future::MapOk;
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};

use super::meter::Traffic;

use counted::Counted;
pub(crate) use names::PREFIX;
use negotiation::{Negotiation, Role};
use substream::Substream;

/// Protocols with a slash that are opened without waiting.
const OURS: [&str; 2] = [super::rpc::PROTOCOL, super::stream::PROTOCOL];

/// The most names that are remembered of one connection.
const MAX_KNOWN: usize = 256;

/// The longest of them; a longer one costs its round trip each time.
const MAX_NAME: usize = 256;

/// Names that the peer of a connection listed or accepted, as they are on the wire.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<HashSet<Vec<u8>>>>);

impl Known {
    fn names(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, name: &[u8]) {
        let eager = !name.starts_with(b"/") || OURS.iter().any(|ours| ours.as_bytes() == name);
        let mut names = self.names();
        if eager && name.len() <= MAX_NAME && names.len() < MAX_KNOWN {
            names.insert(name.to_vec());
        }
    }

    fn forget(&self, name: &[u8]) {
        self.names().remove(name);
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.names().contains(name)
    }
}

/// A multiplexer whose substreams speak names without a slash.
pub(crate) struct Muxer<M> {
    inner: M,
    known: Known,
    traffic: Option<Arc<Traffic>>,
}

impl<M> Muxer<M> {
    /// Counts the bytes of its substreams, if it is told where.
    pub(crate) fn new(inner: M, traffic: Option<Arc<Traffic>>) -> Muxer<M> {
        Muxer { inner, known: Known::default(), traffic }
    }

    fn wrap<S>(&self, stream: S, role: Role) -> Substream<Counted<S>> {
        let stream = Counted::new(stream, self.traffic.clone());
        Substream::new(stream, Negotiation::new(role, self.known.clone()))
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Muxer<M>
where
    M::Substream: Unpin,
{
    type Substream = Substream<Counted<M::Substream>>;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(cx))?;
        Poll::Ready(Ok(self.wrap(stream, Role::Listener)))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(cx))?;
        Poll::Ready(Ok(self.wrap(stream, Role::Dialer)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// The upgrade of a connection to such a multiplexer.
#[derive(Clone)]
pub(crate) struct Upgrade<U> {
    pub inner: U,
    /// Where the bytes of substreams are counted; nowhere for a connection that is itself a stream of another.
    pub traffic: Option<Arc<Traffic>>,
}

impl<U: UpgradeInfo> UpgradeInfo for Upgrade<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.inner.protocol_info()
    }
}

type Wrap<M> = Box<dyn FnOnce(M) -> Muxer<M> + Send>;
type Wrapped<F, M> = MapOk<F, Wrap<M>>;

impl<U> Upgrade<U> {
    fn wrap<M>(traffic: Option<Arc<Traffic>>) -> Wrap<M> {
        Box::new(move |muxer| Muxer::new(muxer, traffic))
    }
}

impl<C, U: InboundConnectionUpgrade<C>> InboundConnectionUpgrade<C> for Upgrade<U> {
    type Output = Muxer<U::Output>;
    type Error = U::Error;
    type Future = Wrapped<U::Future, U::Output>;

    fn upgrade_inbound(self, connection: C, info: U::Info) -> Self::Future {
        self.inner.upgrade_inbound(connection, info).map_ok(Self::wrap(self.traffic))
    }
}

impl<C, U: OutboundConnectionUpgrade<C>> OutboundConnectionUpgrade<C> for Upgrade<U> {
    type Output = Muxer<U::Output>;
    type Error = U::Error;
    type Future = Wrapped<U::Future, U::Output>;

    fn upgrade_outbound(self, connection: C, info: U::Info) -> Self::Future {
        self.inner.upgrade_outbound(connection, info).map_ok(Self::wrap(self.traffic))
    }
}

#[cfg(test)]
mod tests;
