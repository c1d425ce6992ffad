//! Private knowledge of a node.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use libp2p::PeerId;
use libp2p::multiaddr::Protocol;

use super::Node;
use super::gate::TrustGate;
use crate::identity::Did;
use crate::net::hivemind::record::keys::{OUR_VPK_NODES, VPK_NODES};
use crate::net::hivemind::{Fields, Value};
use crate::net::{Network, Peers};
use crate::store::Store;
use crate::trust::TrustGraph;
use crate::vpk::{Advert, CollectionId, Directory, Vpk};
use crate::{Config, Result};

/// The key under which hosts are found in our own DHT.
const PROVIDERS: &str = "vpk/hosts";

/// The key under which those are found that have a record of a collection.
fn record_key(collection: CollectionId) -> String {
    format!("vpk/collections/{collection}")
}

/// Bytes of a gigabyte.
const GIGABYTE: f64 = 1e9;

/// The private knowledge in a node's database. Hosts know a node by what its connections authenticate. On an RSA key, that
/// is nobody to them, and the node can be a host but no tenant.
pub(super) fn open(store: Store, trust: &TrustGraph, config: &Config, network: &Network, gate: Arc<TrustGate>) -> Vpk {
    let owner = Did::from_peer_id(&network.local_peer()).unwrap_or_else(|_| trust.did());
    let name = config.display_name();
    let directory = Arc::new(NetworkDirectory { network: network.clone(), gate, name });
    Vpk::with_directory(store, trust.clone(), owner, config.clock.clone(), Arc::new(network.clone()), directory)
}

impl Node {
    /// Vectors kept on other people's machines that these cannot read, and such vectors of others on this one.
    pub fn vpk(&self) -> Vpk {
        self.inner.vpk.clone()
    }
}

/// Hosts provide a key in our own DHT. In that of hivemind they have a signed record under our key, and one as KwaaiNet's hosts
/// write it; only signed ones are read. No record has an address: a host is found like every other peer.
struct NetworkDirectory {
    network: Network,
    gate: Arc<TrustGate>,
    name: String,
}

#[async_trait]
impl Directory for NetworkDirectory {
    async fn announce(&self, advert: Advert) -> Result<()> {
        let announced = Peers::announce(&self.network, PROVIDERS).await;
        if let Some(hivemind) = self.network.hivemind() {
            hivemind.announce(OUR_VPK_NODES, ours(&advert)).await?;
            hivemind.announce(VPK_NODES, theirs(&advert, &self.name)).await?;
        }
        announced
    }

    async fn withdraw(&self) -> Result<()> {
        let withdrawn = Peers::withdraw(&self.network, PROVIDERS).await;
        if let Some(hivemind) = self.network.hivemind() {
            hivemind.withdraw(OUR_VPK_NODES).await?;
            hivemind.withdraw(VPK_NODES).await?;
        }
        withdrawn
    }

    async fn hosts(&self) -> Result<Vec<PeerId>> {
        let mut hosts = self.network.providers(PROVIDERS).await?;
        if let Some(hivemind) = self.network.hivemind() {
            let announced = hivemind.announced(OUR_VPK_NODES).await;
            hosts.extend(announced.into_iter().filter(|record| record.signed).map(|record| record.peer));
        }
        hosts.retain(|host| *host != self.network.local_peer());
        Ok(hosts)
    }

    async fn keep(&self, collection: CollectionId, kept: bool) -> Result<()> {
        let key = record_key(collection);
        match kept {
            true => Peers::announce(&self.network, &key).await,
            false => Peers::withdraw(&self.network, &key).await,
        }
    }

    async fn keepers(&self, collection: CollectionId) -> Result<Vec<PeerId>> {
        self.network.providers(&record_key(collection)).await
    }

    async fn acquaint(&self, peer: PeerId) {
        self.gate.ask(peer).await;
    }

    fn addresses(&self, peer: PeerId) -> Vec<IpAddr> {
        let connected = self.network.connected().into_iter().find(|connected| connected.peer == peer);
        let addresses = connected.map(|connected| connected.addresses).unwrap_or_default();
        let direct = addresses.iter().filter(|address| !address.iter().any(|part| part == Protocol::P2pCircuit));
        direct
            .filter_map(|address| match address.iter().next() {
                Some(Protocol::Ip4(address)) => Some(address.into()),
                Some(Protocol::Ip6(address)) => Some(address.into()),
                _ => None,
            })
            .collect()
    }
}

fn ours(advert: &Advert) -> Fields {
    let mut fields = Fields::default();
    fields.set("capacity_bytes", Value::from(advert.capacity_bytes));
    fields.set("free_bytes", Value::from(advert.free_bytes));
    fields.set("tenants", Value::from(advert.tenants));
    fields.set("version", Value::from(env!("CARGO_PKG_VERSION")));
    fields
}

/// In their form. Their readers leave out what has no `mode`.
fn theirs(advert: &Advert, name: &str) -> Fields {
    let mut fields = Fields::default();
    fields.set("mode", Value::from("eve"));
    fields.set("capacity_gb", Value::F64(advert.capacity_bytes as f64 / GIGABYTE));
    fields.set("tenant_count", Value::from(advert.tenants));
    fields.set("vpk_version", Value::from(concat!("kwaainet/", env!("CARGO_PKG_VERSION"))));
    fields.set("public_name", Value::from(name));
    fields
}
