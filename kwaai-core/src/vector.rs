//! One index for every vector of the project.
//!
//! Vectors live in redb, written in the same transaction as what they belong to, with a code of each: a byte for a coordinate,
//! and how far that is from the vector. The codes are in memory. A search scans them with what the processor has, AVX-512,
//! AVX2, NEON or plain arithmetic; they bound every score from both sides, so the few vectors that are then read contain the
//! best ones for certain. A fast search reads the signs of the codes first. Scores are always computed from the vectors
//! themselves.
//!
//! Large collections also have a sealed segment with a navigable graph, in a file beside the database. It only guides the
//! search, so a missing, stale or damaged file costs the time to rebuild it and never a result, and until it is there the
//! collection is searched by a scan.

mod best;
mod bytes;
mod codes;
mod dot;
mod index;
mod memory;
mod metric;
mod segment;
mod signs;
mod table;

pub use dot::dot;
pub use index::{IndexOptions, MAX_HITS, Neighbour, Precision, Search, VectorIndex};
pub use memory::Staged;
pub use metric::{MAX_DIMENSION, Metric};
