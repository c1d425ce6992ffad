//! NN5: what a node occupies that does nothing, and with a thousand connections of others.

use std::time::Duration;

use futures::StreamExt;
use kwaai_core::net::{Limits, Multiaddr};
use kwaai_core::{Config, Node};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use serde_json::{Value as Json, json};

use crate::node::{Other, end_of_input, until};

const CONNECTIONS: usize = 1000;
/// Handshakes at the same time.
const AT_ONCE: usize = 20;
/// What came in a rush has settled after this.
const CALM: Duration = Duration::from_secs(5);

/// What an ordinary peer speaks.
#[derive(NetworkBehaviour)]
struct Guest {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// A whole node with its defaults, but for room for the guests.
pub async fn host() {
    let many = 2 * CONNECTIONS as u32;
    let limits = Limits { max_connections: many, max_incoming_connections: many, ..Limits::default() };
    let node = Node::start(Config { limits, ..Config::default() }).await.unwrap();
    let addresses = node.info().unwrap().addresses;
    println!("{}", addresses.iter().find(|address| address.to_string().contains("/tcp/")).unwrap());
    end_of_input().await;
}

pub async fn measure() -> Json {
    let mut host = Other::start(&["memory", "host"]);
    let address: Multiaddr = host.line().parse().unwrap();
    tokio::time::sleep(CALM).await;
    let idle = resident_mib(host.id());
    let counted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut guests = Vec::new();
    for batch in 0..CONNECTIONS / AT_ONCE {
        for _ in 0..AT_ONCE {
            let (mut guest, counted) = (guest(), counted.clone());
            guest.dial(address.clone()).unwrap();
            guests.push(tokio::spawn(async move {
                // Identified by the host: it knows of the guest all that it is going to know.
                loop {
                    match guest.select_next_some().await {
                        SwarmEvent::Behaviour(GuestEvent::Identify(identify::Event::Sent { .. })) => {
                            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                        SwarmEvent::ConnectionClosed { cause, .. } => panic!("a guest was turned out: {cause:?}"),
                        _ => {}
                    }
                }
            }));
        }
        until(|| counted.load(std::sync::atomic::Ordering::Relaxed) >= (batch + 1) * AT_ONCE).await;
    }
    tokio::time::sleep(CALM).await;
    assert!(guests.iter().all(|guest| !guest.is_finished()));
    let busy = resident_mib(host.id());
    for guest in guests {
        guest.abort();
        let _ = guest.await;
    }
    json!({"idle_mib": idle, "connections": CONNECTIONS, "busy_mib": busy})
}

fn guest() -> Swarm<Guest> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| Guest {
            identify: identify::Behaviour::new(identify::Config::new("/bench/1.0.0".into(), key.public())),
            ping: ping::Behaviour::default(),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

fn resident_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
