//! Trust graphs in memory, each with the key of a seed.

use std::sync::Arc;

use kwaai_core::clock::{Clock, SystemClock};
use kwaai_core::identity::Did;
use kwaai_core::store::Store;
use kwaai_core::trust::TrustGraph;

use super::statement::key;

pub fn did(seed: u8) -> Did {
    key(seed).did().unwrap()
}

pub fn on_clock(seed: u8, clock: Arc<dyn Clock>) -> TrustGraph {
    TrustGraph::open(Store::in_memory().unwrap(), key(seed).signer().unwrap(), clock).unwrap()
}

/// On the machine's clock.
pub fn alone(seed: u8) -> TrustGraph {
    on_clock(seed, Arc::new(SystemClock))
}
