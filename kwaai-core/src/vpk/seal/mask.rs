//! The masks of stored numbers.

use zeroize::Zeroizing;

use super::PRIME;
use crate::vpk::random::Uniform;
use crate::vpk::segment::SegmentStamp;

/// Masks are the stream of XChaCha20 under the collection's key and the segment's nonce. The nonce is 24 random bytes that
/// sealing draws itself, so two segments never share a mask: not after a crash, a restored backup or a fork, and not by any
/// argument of a caller.
pub(super) struct Masks(Zeroizing<[u8; 32]>);

impl Masks {
    pub(super) fn new(key: Zeroizing<[u8; 32]>) -> Masks {
        Masks(key)
    }

    /// The masks of a segment, number by number, row by row.
    pub(super) fn of(&self, stamp: &SegmentStamp) -> Uniform {
        Uniform::keyed(&self.0, &stamp.nonce, PRIME)
    }
}
