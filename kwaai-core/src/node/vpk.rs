//! Private knowledge of a node.

use std::sync::Arc;

use super::Node;
use crate::Config;
use crate::identity::Did;
use crate::net::Peers;
use crate::store::Store;
use crate::trust::TrustGraph;
use crate::vpk::Vpk;

/// The private knowledge in a node's database. Hosts know a node by what its connections authenticate. On an RSA key, that
/// is nobody to them, and the node can be a host but no tenant.
pub(super) fn open(store: Store, trust: &TrustGraph, config: &Config, peers: Arc<dyn Peers>) -> Vpk {
    let owner = Did::from_peer_id(&peers.local_peer()).unwrap_or_else(|_| trust.did());
    Vpk::new(store, trust.clone(), owner, config.clock.clone(), Some(peers))
}

impl Node {
    /// Vectors kept on other people's machines that these cannot read, and such vectors of others on this one.
    pub fn vpk(&self) -> Vpk {
        self.inner.vpk.clone()
    }
}
