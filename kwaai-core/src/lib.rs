//! A KwaaiNet node inside your own process.
//!
//! Five handles make up the library: [`Node`], [`TrustGraph`], [`ShardEngine`](shard::ShardEngine),
//! [`Rag`](rag::Rag) and, with the feature `vpk`, `Vpk`. There is no daemon and no global state: a program may run ten nodes
//! beside each other, each with its own data directory.
//!
//! Everything runs on the caller's tokio runtime, which must be a multi-thread one.

mod blocking;
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod http;
pub mod identity;
pub mod llm;
pub mod metric;
pub mod net;
pub mod node;
pub mod rag;
pub mod shard;
pub mod store;
pub mod trust;
mod vault;
pub mod vector;
#[cfg(feature = "vpk")]
pub mod vpk;

pub use config::Config;
pub use error::{Error, ErrorCode, Result};
pub use node::Node;
pub use trust::TrustGraph;
