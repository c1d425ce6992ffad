//! Networks of ours in hivemind's DHT.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kwaai_core::Result;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::hivemind::{Found, Hivemind, Kept, Settings, Value, msgpack, without_signature};
use kwaai_core::net::{Multiaddr, Network, NetworkConfig};
use kwaai_core::trust::{Gate, Purpose};

pub const MINUTE: Duration = Duration::from_secs(60);

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

pub async fn network(listen: &str, bootstrap: Vec<Multiaddr>, hivemind: Option<Settings>) -> Network {
    let listen = vec![listen.parse().unwrap()];
    start(NetworkConfig { listen, bootstrap, hivemind, ..NetworkConfig::new(Keypair::generate()) }).await
}

/// A network that lets everybody in.
pub async fn start(config: NetworkConfig) -> Network {
    Network::start(config, Arc::new(Everybody)).await.unwrap()
}

pub fn at(network: &Network) -> Multiaddr {
    network.listen_addresses()[0].clone()
}

pub fn dht(network: &Network) -> Hivemind {
    network.hivemind().unwrap()
}

/// Waits until something holds; the routing table has no events to wait for.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(MINUTE, waiting).await.expect("it takes too long");
}

pub fn plain(found: Option<Found>) -> Option<Value> {
    match found?.kept {
        Kept::Plain(value) => Some(msgpack::decode(&value).unwrap()),
        Kept::Dictionary(_) => None,
    }
}

pub fn entries(found: Option<Found>) -> Vec<(Value, Value)> {
    let Some(Kept::Dictionary(dictionary)) = found.map(|found| found.kept) else { return vec![] };
    let decoded = |bytes: &[u8]| msgpack::decode(&without_signature(bytes)).unwrap();
    dictionary.entries.iter().map(|entry| (decoded(&entry.subkey), decoded(&entry.value))).collect()
}
