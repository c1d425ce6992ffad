//! Places in the DHT: 160 bits, for nodes and for keys.

use std::fmt;

use libp2p::PeerId;
use sha1::{Digest, Sha1};

use super::msgpack::{self, Value};

/// The place of a key or of a node, a number of 160 bits in big-endian order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhtId([u8; DhtId::LEN]);

impl DhtId {
    /// Length in bytes.
    pub const LEN: usize = 20;

    /// The place of a key that is a text: the SHA-1 of its msgpack form.
    pub fn of_text(key: &str) -> DhtId {
        DhtId::of_value(&Value::from(key))
    }

    /// The place of a key that is any value. Bytes are hashed as they are, everything else in its msgpack form.
    pub fn of_value(key: &Value) -> DhtId {
        match key {
            Value::Binary(bytes) => DhtId::of_bytes(bytes),
            other => DhtId::of_bytes(&msgpack::encode(other)),
        }
    }

    /// The SHA-1 of bytes.
    pub fn of_bytes(bytes: &[u8]) -> DhtId {
        DhtId(Sha1::digest(bytes).into())
    }

    /// Where a node of ours stands: the SHA-1 of its PeerId. hivemind lets every node choose; its own choose at random.
    pub fn of_peer(peer: &PeerId) -> DhtId {
        DhtId::of_bytes(&peer.to_bytes())
    }

    /// A place that was read, if it has the right length.
    pub fn from_slice(bytes: &[u8]) -> Option<DhtId> {
        bytes.try_into().ok().map(DhtId)
    }

    /// The twenty bytes.
    pub fn as_bytes(&self) -> &[u8; DhtId::LEN] {
        &self.0
    }

    /// How far two places are from each other: their exclusive or, compared as a number.
    pub fn distance(&self, other: &DhtId) -> [u8; DhtId::LEN] {
        std::array::from_fn(|i| self.0[i] ^ other.0[i])
    }

    /// How many leading bits two places share, at most 160.
    pub(super) fn common_bits(&self, other: &DhtId) -> usize {
        let distance = self.distance(other);
        match distance.iter().position(|byte| *byte != 0) {
            Some(at) => at * 8 + distance[at].leading_zeros() as usize,
            None => DhtId::LEN * 8,
        }
    }
}

impl fmt::Debug for DhtId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_symmetric_and_counts_from_the_highest_bit() {
        let (a, b) = (DhtId::of_text("a"), DhtId::of_text("b"));
        assert_eq!(a.distance(&b), b.distance(&a));
        assert_eq!(a.common_bits(&a), 160);
        let mut near = *a.as_bytes();
        near[1] ^= 0b0001_0000;
        assert_eq!(a.common_bits(&DhtId(near)), 11);
    }

    #[test]
    fn a_place_has_twenty_bytes() {
        assert!(DhtId::from_slice(&[0; 20]).is_some());
        assert!(DhtId::from_slice(&[0; 19]).is_none());
        assert!(DhtId::from_slice(&[]).is_none());
    }
}
