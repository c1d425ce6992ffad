//! What the attacker holds, and what it is compared with.

use crate::vpk::{HostName, Mode};

/// What is true of the vectors, in the order of the rows.
pub(in crate::vpk) struct Known {
    /// The directions, as the whole numbers that were sealed.
    pub vectors: Vec<Vec<i32>>,
    /// How long each was.
    pub lengths: Vec<f32>,
    /// Texts and metadata of some of them.
    pub texts: Vec<Vec<u8>>,
}

/// What one host keeps.
pub(in crate::vpk) struct HostView {
    pub host: HostName,
    /// The row of each known vector, in numbers below the prime.
    pub rows: Vec<Vec<u32>>,
    /// Segments, payloads and manifest as they are.
    pub bytes: Vec<Vec<u8>>,
}

/// A collection as its hosts see it.
pub(in crate::vpk) struct Evidence {
    pub mode: Mode,
    pub prime: u32,
    pub known: Known,
    pub hosts: Vec<HostView>,
}
