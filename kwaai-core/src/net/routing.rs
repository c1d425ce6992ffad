//! Who is in the routing table of our own DHT.
//!
//! libp2p dials a member of a full bucket at every newcomer, to see whether it still lives. In a crowd whose connections end,
//! that never ends: each such dial makes a newcomer of its caller at the far end. Here a full bucket takes a newcomer in
//! place of a member that the last dial did not reach, and otherwise not at all; lookups find out who is not reached.

use std::collections::HashSet;

use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, K_VALUE};
use libp2p::{Multiaddr, PeerId};

type Kademlia = kad::Behaviour<MemoryStore>;

/// Decides who comes into the table.
#[derive(Default)]
pub(crate) struct Routing {
    /// Members that the last dial did not reach, so that there are never more than the table has.
    unreached: HashSet<PeerId>,
}

impl Routing {
    /// A peer of the DHT said where it can be dialled.
    pub(crate) fn met(&mut self, kad: &mut Kademlia, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.unreached.remove(&peer);
        if addresses.is_empty() {
            return;
        }
        let members = neighbours(kad, peer);
        if members.len() >= K_VALUE.get() && !members.contains(&peer) {
            let Some(gone) = members.iter().find(|member| self.unreached.remove(member)) else { return };
            kad.remove_peer(gone);
        }
        for address in addresses {
            kad.add_address(&peer, address);
        }
    }

    /// A dial reached nobody at any address of a peer.
    pub(crate) fn not_reached(&mut self, kad: &mut Kademlia, peer: PeerId) {
        if neighbours(kad, peer).contains(&peer) {
            self.unreached.insert(peer);
        }
    }
}

/// The members of the bucket that a peer belongs to.
fn neighbours(kad: &mut Kademlia, peer: PeerId) -> Vec<PeerId> {
    let bucket = kad.kbucket(peer);
    bucket.iter().flat_map(|bucket| bucket.iter().map(|member| *member.node.key.preimage())).collect()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use libp2p::swarm::{NetworkBehaviour, ToSwarm};

    use super::*;
    use crate::net::swarm::kademlia;

    fn address(port: usize) -> Vec<Multiaddr> {
        vec![format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()]
    }

    /// Peers of one bucket.
    fn alike(kad: &mut Kademlia, count: usize) -> Vec<PeerId> {
        let first = PeerId::random();
        let range = |kad: &mut Kademlia, peer: PeerId| kad.kbucket(peer).map(|bucket| bucket.range());
        let same = range(kad, first);
        let others = std::iter::repeat_with(PeerId::random).filter(|peer| range(kad, *peer) == same);
        std::iter::once(first).chain(others.take(count - 1).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_full_bucket_takes_a_newcomer_in_place_of_a_member_that_was_not_reached_and_dials_nobody() {
        let (mut kad, mut routing) = (kademlia(PeerId::random(), 16), Routing::default());
        let peers = alike(&mut kad, K_VALUE.get() + 2);
        let (members, newcomers) = peers.split_at(K_VALUE.get());
        for (port, peer) in members.iter().enumerate() {
            routing.met(&mut kad, *peer, address(port + 1));
        }
        let mut before = neighbours(&mut kad, members[0]);
        before.sort();
        routing.met(&mut kad, newcomers[0], address(100));
        let mut after = neighbours(&mut kad, members[0]);
        after.sort();
        assert_eq!(before, after);
        routing.not_reached(&mut kad, members[3]);
        routing.not_reached(&mut kad, members[7]);
        routing.met(&mut kad, members[3], address(4));
        routing.not_reached(&mut kad, newcomers[0]);
        routing.met(&mut kad, newcomers[1], address(101));
        let after = neighbours(&mut kad, members[0]);
        assert!(after.contains(&newcomers[1]) && after.contains(&members[3]) && !after.contains(&members[7]));
        assert_eq!(after.len(), K_VALUE.get());
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(event) = kad.poll(&mut context) {
            assert!(!matches!(event, ToSwarm::Dial { .. }), "{event:?}");
        }
    }
}
