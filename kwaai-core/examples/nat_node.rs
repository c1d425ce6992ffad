//! A node of the NAT laboratory, `make nat-lab`, driven through its standard input.
//!
//!     nat_node [listen=ADDRESS] [bootstrap=ADDRESS] [relay=ADDRESS] [public[=IP]]
//!
//! `relay=` names a relay to be reached through, `public` makes it one. It prints `peer ID`, then what happens: `address A`,
//! `gone A`, `direct PEER`, `verdict V WHY`. It reads `connect A`, `call PEER`, `slow PEER MS` `addresses` and `diagnose`, and answers
//! with `connected`, `answered`, `slow-answered` or `found`, each with milliseconds, `direct` or `relayed`, and the address, or
//! with `failed` and why.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::event::Item;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::{Multiaddr, Network, NetworkConfig, NetworkEvent, Peers, ReachConfig, RelayLimits, UnaryHandler};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(30);

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

/// Answers after as many milliseconds as the body says.
struct Wait;

#[async_trait]
impl UnaryHandler for Wait {
    async fn call(&self, _: PeerId, body: Bytes) -> Result<Bytes> {
        let text = std::str::from_utf8(&body).map_err(|_| Error::invalid_argument("not a text"))?;
        let wait = text.parse().map_err(|_| Error::invalid_argument("not a number"))?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Ok(body)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let network = Network::start(config()?, Arc::new(Everybody)).await?;
    network.serve_unary("wait", Purpose::Open, Arc::new(Wait))?;
    println!("peer {}", network.local_peer());
    for address in network.listen_addresses() {
        println!("address {address}");
    }
    tokio::spawn(tell(network.clone()));
    let (said, mut lines) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
            if said.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let network = network.clone();
        tokio::spawn(async move {
            if let Err(error) = obey(&network, &line).await {
                println!("failed {line}: {}", error.message());
            }
        });
    }
    network.shutdown(Duration::ZERO).await
}

fn config() -> Result<NetworkConfig> {
    let mut config = NetworkConfig { listen: Vec::new(), ..NetworkConfig::new(Keypair::generate()) };
    for argument in std::env::args().skip(1) {
        let (key, value) = argument.split_once('=').unwrap_or((&argument, ""));
        let address = || value.parse::<Multiaddr>().map_err(|_| Error::invalid_argument(format!("{argument}?")));
        match key {
            "listen" => config.listen.push(address()?),
            "bootstrap" => config.bootstrap.push(address()?),
            "relay" => config.relays.push(address()?),
            "public" => {
                let public_ip = value.parse::<IpAddr>().ok();
                config.relay = Some(RelayLimits::default());
                config.reach = ReachConfig { public_ip, ..ReachConfig::default() };
            }
            _ => return Err(Error::invalid_argument(format!("{argument}?"))),
        }
    }
    Ok(config)
}

async fn tell(network: Network) -> Result<()> {
    let mut events = network.events();
    while let Some(item) = events.next().await? {
        match item {
            Item::Value(NetworkEvent::Listening { address }) => println!("address {address}"),
            Item::Value(NetworkEvent::ListeningStopped { address }) => println!("gone {address}"),
            Item::Value(NetworkEvent::PeerDirect { peer }) => println!("direct {peer}"),
            Item::Value(NetworkEvent::ReachabilityChanged { reachability }) => {
                println!("verdict {} {}", reachability.verdict.as_str(), reachability.why);
            }
            _ => {}
        }
    }
    Ok(())
}

async fn obey(network: &Network, line: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let peer = |text: &str| text.parse::<PeerId>().map_err(|_| Error::invalid_argument("not a PeerId"));
    let began = Instant::now();
    match words[..] {
        ["connect", address] => {
            let address = address.parse().map_err(|_| Error::invalid_argument("not an address"))?;
            let peer = network.connect(address).await?;
            println!("connected {peer} {}", said(network, peer, began));
        }
        ["call", of] => {
            network.call(peer(of)?, "wait", Bytes::from_static(b"0"), PATIENCE).await?;
            println!("answered {of} {}", said(network, peer(of)?, began));
        }
        ["slow", of, wait] => {
            network.call(peer(of)?, "wait", Bytes::copy_from_slice(wait.as_bytes()), PATIENCE).await?;
            println!("slow-answered {of} {}", said(network, peer(of)?, began));
        }
        ["addresses"] => {
            let addresses: Vec<_> = network.listen_addresses().iter().map(ToString::to_string).collect();
            println!("addresses {}", addresses.join(" "));
        }
        ["diagnose"] => {
            for diagnosis in network.diagnose().await? {
                println!("found {} {}", diagnosis.cause.as_str(), diagnosis.text);
            }
        }
        _ => println!("failed {line}: no such command"),
    }
    Ok(())
}

fn said(network: &Network, peer: PeerId, began: Instant) -> String {
    let connected = network.connected();
    let known = connected.iter().find(|known| known.peer == peer);
    let way = if known.is_none_or(|known| known.relayed) { "relayed" } else { "direct" };
    let at = known.and_then(|known| known.addresses.first()).map_or_else(String::new, ToString::to_string);
    format!("{} {way} {at}", began.elapsed().as_millis())
}
