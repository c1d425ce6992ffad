//! Nodes of js-libp2p from npm among nodes of ours: ping, identify, calls, and relays both ways.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use judge::Process;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::wire::{Reply, Request};
use kwaai_core::net::{ConnectedPeer, Multiaddr, Network, NetworkConfig, Peers, RelayLimits, UnaryHandler};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Error, Result};
use serde_json::{Value as Json, json};

#[path = "support/judge.rs"]
mod judge;

const MINUTE: Duration = Duration::from_secs(60);

/// More than the 128 KiB at which a circuit usually ends.
const LARGE: usize = 300_000;

struct Judge(Process);

/// Who and where a node of js-libp2p is.
struct Theirs {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
}

impl Judge {
    /// The judge, or `None`, with the reason printed, where it cannot run.
    fn new() -> Option<Judge> {
        let folder: PathBuf = std::env::current_dir().unwrap().join("../tests/judges/js-libp2p");
        let installed = folder.join("node_modules/libp2p").is_dir();
        if !installed || Command::new("node").arg("--version").output().is_err() {
            println!("skipped: the judge of js-libp2p is not installed; run `.ci/setup --test`");
            return None;
        }
        Some(Judge(Process::start(Command::new("node").arg("judge.mjs").current_dir(folder))))
    }

    fn start(&mut self, name: &str, more: Json) -> Theirs {
        self.try_start(name, more).unwrap()
    }

    fn try_start(&mut self, name: &str, more: Json) -> std::result::Result<Theirs, String> {
        let mut command = json!({"do": "start", "node": name});
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.0.try_ask(&command)?;
        let addresses = answer["addresses"].as_array().unwrap().iter();
        Ok(Theirs {
            peer: answer["peer"].as_str().unwrap().parse().unwrap(),
            addresses: addresses.map(|address| address.as_str().unwrap().parse().unwrap()).collect(),
        })
    }

    /// Calls `echo` at an address, and returns what came back.
    fn call(&mut self, name: &str, address: &Multiaddr, body: &Bytes) -> Reply {
        let request = Request { method: "echo".into(), deadline_ms: 30_000, body: body.clone() }.encode().unwrap();
        let request = BASE64.encode(request);
        let answer = self.0.ask(&json!({"do": "call", "node": name, "address": address, "request": request}));
        Reply::decode(&BASE64.decode(answer["reply"].as_str().unwrap()).unwrap()).unwrap()
    }

    /// Pings an address and has the node there say who it is.
    fn meet(&mut self, name: &str, address: &Multiaddr) {
        assert_eq!(self.0.ask(&json!({"do": "ping", "node": name, "address": address})), Json::Bool(true));
        let said = self.0.ask(&json!({"do": "agent", "node": name, "address": address}));
        assert_eq!(said["agent"], concat!("kwaainet/", env!("CARGO_PKG_VERSION")));
        assert!(said["protocols"].as_array().unwrap().contains(&"/kwaainet/rpc/1.0.0".into()));
    }
}

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

/// Relays for nobody.
struct NoRelay;

#[async_trait]
impl Gate for NoRelay {
    async fn admit(&self, _: PeerId, purpose: Purpose) -> Result<()> {
        match purpose {
            Purpose::Relay | Purpose::RelayFreely => Err(Error::permission_denied("not for you")),
            _ => Ok(()),
        }
    }
}

struct Echo;

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, _: PeerId, body: Bytes) -> Result<Bytes> {
        Ok(body)
    }
}

fn config() -> NetworkConfig {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    NetworkConfig { listen, ..NetworkConfig::new(Keypair::generate()) }
}

fn relaying() -> NetworkConfig {
    NetworkConfig { relay: Some(RelayLimits::default()), ..config() }
}

/// A node that listens nowhere but at its relay.
fn hidden(relay: &Multiaddr) -> NetworkConfig {
    NetworkConfig { listen: Vec::new(), relays: vec![relay.clone()], ..config() }
}

async fn start(config: NetworkConfig) -> Network {
    let network = Network::start(config, Arc::new(Everybody)).await.unwrap();
    network.serve_unary("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    network
}

fn at(network: &Network) -> Multiaddr {
    network.listen_addresses()[0].clone()
}

async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            match found() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(MINUTE, waiting).await.expect("it takes too long")
}

/// What a node of ours knows of a peer once it was pinged and said who it is.
async fn known(network: &Network, peer: PeerId) -> ConnectedPeer {
    let known = || {
        let connected = network.connected().into_iter().find(|known| known.peer == peer);
        connected.filter(|known| known.rtt_ms.is_some() && !known.agent.is_empty())
    };
    until(known).await
}

fn large() -> (Bytes, String) {
    let body = Bytes::from(vec![7; LARGE]);
    let reply = BASE64.encode(Reply::Body(body.clone()).encode().unwrap());
    (body, reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pings_identifies_and_calls_the_other() {
    let Some(mut judge) = Judge::new() else { return };
    let (body, reply) = large();
    let ours = start(config()).await;
    let theirs = judge.start("a", json!({"reply": reply}));
    judge.meet("a", &at(&ours));
    assert_eq!(judge.call("a", &at(&ours), &body), Reply::Body(body.clone()));
    let peer = known(&ours, theirs.peer).await;
    assert!(peer.agent.starts_with("js-libp2p/") && !peer.relayed, "{}", peer.agent);

    let other = start(config()).await;
    assert_eq!(other.connect(theirs.addresses[0].clone()).await.unwrap(), theirs.peer);
    known(&other, theirs.peer).await;
    assert_eq!(other.call(theirs.peer, "echo", body.clone(), MINUTE).await.unwrap(), body);
    for network in [ours, other] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn theirs_is_reached_through_a_relay_of_ours() {
    let Some(mut judge) = Judge::new() else { return };
    let (body, reply) = large();
    let relay = start(relaying()).await;
    let theirs = judge.start("hidden", json!({"via": at(&relay), "reply": reply}));
    let ours = start(NetworkConfig { listen: Vec::new(), ..config() }).await;
    assert_eq!(ours.connect(theirs.addresses[0].clone()).await.unwrap(), theirs.peer);
    assert!(known(&ours, theirs.peer).await.relayed);
    assert_eq!(ours.call(theirs.peer, "echo", body.clone(), MINUTE).await.unwrap(), body);
    judge.start("caller", json!({}));
    assert_eq!(judge.call("caller", &theirs.addresses[0], &body), Reply::Body(body));
    for network in [ours, relay] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_is_reached_through_a_relay_of_theirs() {
    let Some(mut judge) = Judge::new() else { return };
    let (body, _) = large();
    let relay = judge.start("relay", json!({"relays": true}));
    let ours = start(hidden(&relay.addresses[0])).await;
    let through = until(|| ours.listen_addresses().first().cloned()).await;
    assert_eq!(ours.reachability().relays, [relay.peer]);
    judge.start("caller", json!({}));
    // Not `meet`: js-libp2p cannot read what is observed of a relayed peer, a PeerId without a number.
    assert_eq!(judge.0.ask(&json!({"do": "ping", "node": "caller", "address": through})), Json::Bool(true));
    assert_eq!(judge.call("caller", &through, &body), Reply::Body(body.clone()));
    let other = start(NetworkConfig { listen: Vec::new(), ..config() }).await;
    assert_eq!(other.connect(through).await.unwrap(), ours.local_peer());
    assert_eq!(other.call(ours.local_peer(), "echo", body.clone(), MINUTE).await.unwrap(), body);
    for network in [other, ours] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_of_ours_refuses_theirs_when_the_gate_does() {
    let Some(mut judge) = Judge::new() else { return };
    let relay = Network::start(relaying(), Arc::new(NoRelay)).await.unwrap();
    let error = judge.try_start("hidden", json!({"via": at(&relay)})).err().unwrap();
    // What libp2p's relay answers whenever it has no place for a peer.
    assert!(error.contains("reservation failed with status RESOURCE_LIMIT_EXCEEDED"), "{error}");
    relay.shutdown(Duration::ZERO).await.unwrap();
}
