//! The DHT of hivemind and Petals: its wire formats, its rules, and a node of it.
//!
//! Verified against the PyPI package hivemind 1.1.12, whose wheel carries go-libp2p-daemon. A node takes part when
//! [`NetworkConfig::hivemind`](super::NetworkConfig::hivemind) says so; [`Network::hivemind`](super::Network::hivemind)
//! is then its place in it.

mod announce;
mod client;
mod dictionary;
mod expiring;
pub(super) mod frame;
mod handle;
mod id;
mod lookup;
pub mod messages;
pub mod msgpack;
mod node;
mod owner;
pub mod record;
mod server;
mod signed;
mod silence;
mod storage;
mod swarm;
mod table;

pub use client::Item;
pub use dictionary::{Dictionary, Entry};
pub use frame::{Answer, Call, MAX_MESSAGE};
pub use handle::{Hivemind, Pong};
pub use id::DhtId;
pub use lookup::Found;
pub use msgpack::Value;
pub(crate) use node::Dht;
pub use node::Settings;
pub use owner::{admits, without_signature};
pub use record::{Fields, ServerInfo};
pub use signed::Announced;
pub use storage::{Kept, Storage};
pub(crate) use swarm::{Behaviour, BehaviourEvent, Method, speaks_hivemind};
pub use table::Table;
