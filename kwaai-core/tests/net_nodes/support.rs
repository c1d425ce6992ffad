//! Nodes for tests, and waiting for what they do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::event::{Item, Stream};
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::{Limits, Multiaddr, Network, NetworkConfig, NetworkEvent, UnaryHandler};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Error, Result};

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Long enough that only a defect reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lets everybody in.
pub struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

/// Lets one peer in for everything, and others only for what is open.
pub struct Only(pub PeerId);

#[async_trait]
impl Gate for Only {
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        match caller == self.0 || purpose == Purpose::Open {
            true => Ok(()),
            false => Err(Error::permission_denied("unknown, and verified is needed")),
        }
    }
}

pub fn config(listen: &str) -> NetworkConfig {
    NetworkConfig { listen: vec![listen.parse().unwrap()], ..NetworkConfig::new(Keypair::generate()) }
}

pub async fn start(config: NetworkConfig) -> Network {
    Network::start(config, Arc::new(Everybody)).await.unwrap()
}

pub async fn node() -> Network {
    start(config(TCP)).await
}

pub async fn node_with(limits: Limits) -> Network {
    start(NetworkConfig { limits, ..config(TCP) }).await
}

pub fn address(network: &Network) -> Multiaddr {
    network.listen_addresses()[0].clone()
}

/// Waits for an event, and fails when it does not come.
pub async fn wait_for(events: &mut Stream<NetworkEvent>, mut wanted: impl FnMut(&NetworkEvent) -> bool) {
    patiently(async {
        loop {
            match events.next().await.unwrap() {
                Some(Item::Value(event)) if wanted(&event) => return,
                Some(_) => {}
                None => panic!("the events ended"),
            }
        }
    })
    .await
}

pub async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

/// Answers with what a function makes of caller and body.
pub struct Answer<F>(pub F);

#[async_trait]
impl<F, W> UnaryHandler for Answer<F>
where
    F: Fn(PeerId, Bytes) -> W + Send + Sync + 'static,
    W: Future<Output = Result<Bytes>> + Send + 'static,
{
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        (self.0)(caller, body).await
    }
}
