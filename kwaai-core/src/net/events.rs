//! What happens on the network.

use std::sync::{Mutex, MutexGuard, PoisonError};

use libp2p::{Multiaddr, PeerId};

use crate::Error;
use crate::event::{self, Sender, Stream};

use super::messages::Message;
use super::reach::Reachability;

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer dialled this node.
    Inbound,
    /// This node dialled the peer.
    Outbound,
}

impl Direction {
    /// The fixed name, `inbound` or `outbound`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// A peer with at least one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectedPeer {
    /// Who it is, as the connection authenticated it.
    pub peer: PeerId,
    /// The far ends of the connections, sorted.
    pub addresses: Vec<Multiaddr>,
    /// The last measured round trip in milliseconds; `None` until the first one is measured.
    pub rtt_ms: Option<f64>,
    /// What the peer says it runs: shortened, control characters escaped, and not to be trusted. Empty until it said.
    pub agent: String,
    /// Who opened the oldest of the connections.
    pub direction: Direction,
    /// Whether every connection leads through a relay.
    pub relayed: bool,
    /// Whether it was named as a bootstrap.
    pub bootstrap: bool,
    /// Whether it was named as a trusted relay.
    pub trusted_relay: bool,
}

/// Something that happened on the network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// This node can be dialled at a new address.
    Listening {
        /// The address, with this node's PeerId at its end.
        address: Multiaddr,
    },
    /// An address is no longer listened on.
    ListeningStopped {
        /// The address, with this node's PeerId at its end.
        address: Multiaddr,
    },
    /// The first connection with a peer was established.
    PeerConnected {
        /// Who it is.
        peer: PeerId,
        /// The far end of the connection.
        address: Multiaddr,
        /// Who opened it.
        direction: Direction,
    },
    /// A peer said what it runs; it can now be found through the DHT as well.
    PeerIdentified {
        /// Who it is.
        peer: PeerId,
        /// What it says it runs: shortened, control characters escaped, and not to be trusted.
        agent: String,
    },
    /// The last connection with a peer ended.
    PeerDisconnected {
        /// Who it was.
        peer: PeerId,
    },
    /// A peer that was reached through a relay is connected directly now; calls under way go on where they are.
    PeerDirect {
        /// Who it is.
        peer: PeerId,
    },
    /// Whether others can dial this node was found out, or changed.
    ReachabilityChanged {
        /// What is known now.
        reachability: Reachability,
    },
    /// A message arrived.
    MessageReceived {
        /// The message.
        message: Message,
    },
}

/// Sends every value to any number of readers.
pub(crate) struct Hub<T> {
    capacity: usize,
    keeps: bool,
    state: Mutex<Readers<T>>,
}

struct Readers<T> {
    senders: Vec<Sender<T>>,
    parked: Option<Stream<T>>,
    closed: bool,
}

impl<T: Clone> Hub<T> {
    /// A hub whose readers see what is sent from the moment they subscribe.
    pub(crate) fn new(capacity: usize) -> Hub<T> {
        let state = Readers { senders: Vec::new(), parked: None, closed: false };
        Hub { capacity, keeps: false, state: Mutex::new(state) }
    }

    /// A hub that keeps what nobody reads for the next reader.
    pub(crate) fn keeping(capacity: usize) -> Hub<T> {
        Hub { keeps: true, ..Hub::new(capacity) }
    }

    fn state(&self) -> MutexGuard<'_, Readers<T>> {
        // Cloning values is all that runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> Stream<T> {
        let mut state = self.state();
        if let Some(parked) = state.parked.take() {
            return parked;
        }
        let (sender, stream) = event::subscription(self.capacity);
        if state.closed {
            sender.finish(Err(Error::closed("the network was shut down")));
        } else {
            state.senders.push(sender);
        }
        stream
    }

    pub(crate) fn send(&self, value: T) {
        let mut state = self.state();
        // Who gave up gets the end, not the error of a sender that went away.
        state.senders.extract_if(.., |sender| sender.is_cancelled()).for_each(|sender| sender.finish(Ok(())));
        if state.senders.is_empty() && self.keeps && !state.closed {
            let (sender, stream) = event::subscription(self.capacity);
            state.senders.push(sender);
            state.parked = Some(stream);
        }
        for sender in &state.senders {
            sender.send(value.clone());
        }
    }

    /// Ends every stream after what it still holds.
    pub(crate) fn close(&self) {
        let senders = {
            let mut state = self.state();
            state.closed = true;
            state.parked = None;
            std::mem::take(&mut state.senders)
        };
        for sender in senders {
            sender.finish(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::event::Item;

    #[tokio::test]
    async fn every_reader_gets_every_event_and_the_end() {
        let hub = Hub::new(8);
        let (mut one, mut two) = (hub.subscribe(), hub.subscribe());
        hub.send(7);
        hub.close();
        for stream in [&mut one, &mut two] {
            assert_eq!(stream.next().await.unwrap(), Some(Item::Value(7)));
            assert_eq!(stream.next().await.unwrap(), None);
        }
        assert_eq!(hub.subscribe().next().await.unwrap_err().code(), ErrorCode::Closed);
    }

    #[tokio::test]
    async fn a_cancelled_reader_gets_what_came_before_and_then_the_end() {
        let hub = Hub::new(2);
        let mut stream = hub.subscribe();
        hub.send(1);
        stream.cancel();
        hub.send(2);
        assert_eq!(stream.next().await.unwrap(), Some(Item::Value(1)));
        assert_eq!(stream.next().await.unwrap(), None);
        let mut waiting = hub.subscribe();
        let cancel = waiting.cancellation();
        let (next, ()) = tokio::join!(waiting.next(), async { cancel.cancel() });
        assert_eq!(next.unwrap(), None);
    }

    #[tokio::test]
    async fn a_keeping_hub_has_what_came_before_the_first_reader() {
        let hub = Hub::keeping(2);
        for i in 0..3 {
            hub.send(i);
        }
        let mut stream = hub.subscribe();
        assert_eq!(stream.next().await.unwrap(), Some(Item::Lagged { missed: 1 }));
        assert_eq!(stream.next().await.unwrap(), Some(Item::Value(1)));
        drop(stream);
        hub.send(9);
        let mut late = hub.subscribe();
        assert_eq!(late.next().await.unwrap(), Some(Item::Value(9)));
    }
}
