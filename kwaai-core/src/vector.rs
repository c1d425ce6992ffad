//! One index for every vector of the project.
//!
//! Vectors live in redb, written in the same transaction as what they belong to. In memory they form a mutable part,
//! scanned exactly, and at most one sealed segment with a navigable graph over it, which serves large collections. The
//! graph is kept in a file beside the database; it only guides the search, so a missing, stale or damaged file costs
//! the time to rebuild it and never a result. Scores are always computed from the vectors themselves.

mod dot;
mod index;
mod segment;

pub use dot::dot;
pub use index::{IndexOptions, Neighbour, Staged, VectorIndex};
