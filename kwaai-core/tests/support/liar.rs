//! A node, and a peer that answers as it is told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Network, NetworkConfig, UnaryHandler};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Config, Error, Node};

use super::statement::key;

/// A node with the key of a seed.
pub async fn node(seed: u8) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    key(seed).save(&path).unwrap();
    Node::start(Config { identity_key: Some(path), ..Config::default() }).await.unwrap()
}

pub fn address(node: &Node) -> String {
    node.info().unwrap().addresses[0].to_string()
}

/// Lets everybody in.
struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<(), Error> {
        Ok(())
    }
}

/// A network with the key of a seed and nothing that it serves.
pub async fn network(seed: u8) -> Network {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    Network::start(NetworkConfig { listen, ..NetworkConfig::new(key(seed)) }, Arc::new(Everybody)).await.unwrap()
}

/// Answers as `honest` does, and remembers the answer, until it is told what to say.
pub struct Liar<F> {
    honest: F,
    says: Mutex<Option<Vec<u8>>>,
    said: Mutex<String>,
}

impl<F> Liar<F> {
    pub fn new(honest: F) -> Arc<Liar<F>> {
        Arc::new(Liar { honest, says: Mutex::default(), said: Mutex::default() })
    }

    pub fn say(&self, lie: Vec<u8>) {
        *self.says.lock().unwrap() = Some(lie);
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

#[async_trait]
impl<F> UnaryHandler for Liar<F>
where
    F: Fn(String) -> futures::future::BoxFuture<'static, Result<String, Error>> + Send + Sync + 'static,
{
    async fn call(&self, _: PeerId, body: Bytes) -> Result<Bytes, Error> {
        if let Some(lie) = self.says.lock().unwrap().clone() {
            return Ok(lie.into());
        }
        let answer = (self.honest)(String::from_utf8(body.to_vec()).unwrap()).await?;
        *self.said.lock().unwrap() = answer.clone();
        Ok(answer.into())
    }
}
