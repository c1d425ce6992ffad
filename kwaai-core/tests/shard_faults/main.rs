//! Hosts that fail in the middle of an answer, over real nodes: the answer is the same, token for token, as long as somebody has
//! the blocks.

#[path = "../shard_support/mod.rs"]
mod shard_support;

mod host;
mod schedules;
mod sessions;
mod swarm;
