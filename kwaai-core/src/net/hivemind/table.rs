//! Which nodes are known, and who of them is near a place (Kademlia, Maymounkov and Mazières 2002, section 2.2).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use libp2p::PeerId;

use super::id::DhtId;

/// How many nodes one bucket holds, how many wait to take a place in it, and how many are told to one that asks.
pub(super) const BUCKET: usize = 20;

/// The nodes that share so many leading bits with this one, the longest known first.
#[derive(Default)]
struct Bucket {
    nodes: VecDeque<(DhtId, PeerId)>,
    /// The latest seen last.
    waiting: VecDeque<(DhtId, PeerId)>,
}

/// Nodes by how many leading bits their places share with this node's.
///
/// hivemind splits its buckets somewhat further; whom a bucket keeps is each node's own affair.
pub struct Table {
    local: DhtId,
    buckets: Vec<Bucket>,
    ids: HashMap<PeerId, DhtId>,
}

impl Table {
    /// An empty table around this node's place.
    pub fn new(local: DhtId) -> Table {
        let buckets = (0..DhtId::LEN * 8).map(|_| Bucket::default()).collect();
        Table { local, buckets, ids: HashMap::new() }
    }

    /// How many nodes hold a place.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.nodes.len()).sum()
    }

    /// Whether no node is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a peer stands, if it is known.
    pub fn id_of(&self, peer: &PeerId) -> Option<DhtId> {
        self.ids.get(peer).copied()
    }

    /// Notes that a node answered or asked. Returns the one that should be asked whether it is still there, when the
    /// bucket is full and the newcomer has to wait.
    pub fn saw(&mut self, id: DhtId, peer: PeerId) -> Option<PeerId> {
        if id == self.local {
            return None;
        }
        // A peer that says it stands elsewhere now has moved.
        if self.ids.get(&peer).is_some_and(|known| *known != id) {
            self.gone(&peer);
        }
        let bucket = &mut self.buckets[id.common_bits(&self.local)];
        if let Some(at) = bucket.nodes.iter().position(|(known, _)| *known == id) {
            // The first peer that holds a place keeps it: nobody takes it over by saying the same.
            if bucket.nodes[at].1 == peer {
                bucket.nodes.remove(at);
                bucket.nodes.push_back((id, peer));
            }
            return None;
        }
        bucket.waiting.retain(|(known, other)| *known != id && *other != peer);
        if bucket.nodes.len() < BUCKET {
            bucket.nodes.push_back((id, peer));
            self.ids.insert(peer, id);
            return None;
        }
        if bucket.waiting.len() == BUCKET {
            bucket.waiting.pop_front();
        }
        bucket.waiting.push_back((id, peer));
        bucket.nodes.front().map(|(_, peer)| *peer)
    }

    /// Notes that a peer does not answer. Whoever waits for its place gets it.
    pub fn gone(&mut self, peer: &PeerId) {
        let Some(id) = self.ids.remove(peer) else { return };
        let bucket = &mut self.buckets[id.common_bits(&self.local)];
        bucket.nodes.retain(|(_, known)| known != peer);
        while let Some((id, peer)) = bucket.waiting.pop_back() {
            // It may have moved since, and hold a place already.
            if let Entry::Vacant(place) = self.ids.entry(peer) {
                place.insert(id);
                bucket.nodes.push_back((id, peer));
                return;
            }
        }
    }

    /// The nodes nearest to a place, the nearest first, without one that is not to be named.
    pub fn nearest(&self, to: &DhtId, count: usize, without: Option<&PeerId>) -> Vec<(DhtId, PeerId)> {
        let known = self.buckets.iter().flat_map(|bucket| &bucket.nodes);
        let mut nodes: Vec<_> = known.filter(|(_, peer)| Some(peer) != without).copied().collect();
        nodes.sort_unstable_by_key(|(id, _)| id.distance(to));
        nodes.truncate(count);
        nodes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(seed: u32) -> DhtId {
        DhtId::of_bytes(&seed.to_le_bytes())
    }

    #[test]
    fn a_full_bucket_keeps_the_old_and_promotes_the_newest_when_one_is_gone() {
        let mut table = Table::new(id(0));
        let far: Vec<_> = (1..).map(id).filter(|other| other.common_bits(&id(0)) == 0).take(22).collect();
        let peers: Vec<_> = far.iter().map(|_| PeerId::random()).collect();
        for i in 0..20 {
            assert_eq!(table.saw(far[i], peers[i]), None);
        }
        assert_eq!(table.saw(far[0], peers[0]), None);
        assert_eq!(table.saw(far[20], peers[20]), Some(peers[1]));
        assert_eq!(table.saw(far[21], peers[21]), Some(peers[1]));
        assert_eq!((table.len(), table.id_of(&peers[21])), (20, None));
        table.gone(&peers[1]);
        assert_eq!((table.len(), table.id_of(&peers[21])), (20, Some(far[21])));
        assert_eq!(table.id_of(&peers[1]), None);
    }

    #[test]
    fn nobody_takes_over_a_place_and_whoever_moves_leaves_the_old_one() {
        let mut table = Table::new(id(0));
        let (honest, thief) = (PeerId::random(), PeerId::random());
        table.saw(id(1), honest);
        table.saw(id(1), thief);
        assert_eq!(table.nearest(&id(1), 9, None), [(id(1), honest)]);
        table.saw(id(2), honest);
        assert_eq!(table.nearest(&id(1), 9, None), [(id(2), honest)]);
        table.saw(id(0), thief);
        assert_eq!(table.len(), 1);
    }

    proptest! {
        #[test]
        fn the_nearest_come_first_and_the_asker_is_left_out(seeds in prop::collection::btree_set(1u32.., 1..60), to: u32) {
            let mut table = Table::new(id(0));
            let peers: Vec<_> = seeds.iter().map(|seed| (id(*seed), PeerId::random())).collect();
            for (id, peer) in &peers {
                table.saw(*id, *peer);
            }
            let asker = peers[0].1;
            let nearest = table.nearest(&id(to), BUCKET, Some(&asker));
            prop_assert!(nearest.iter().all(|(_, peer)| *peer != asker));
            prop_assert!(nearest.is_sorted_by_key(|(known, _)| known.distance(&id(to))));
            prop_assert_eq!(nearest.len(), table.len().saturating_sub(usize::from(table.id_of(&asker).is_some())).min(BUCKET));
        }
    }
}
